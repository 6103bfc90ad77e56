// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// DPDK and memory as the benchmarks need them: no hugepages to reserve, no device, no root.
//
// EAL starts with ordinary memory, an lcore for each core the process may run on (at most three:
// main and two workers) and the main thread free to move. Packets and the slots of the flow table
// lie in memory that the kernel is asked to back with huge pages (transparent ones, where it has
// them), as they do in production: how many bytes it did so is told, for the report.

#include <cstddef>
#include <cstdint>

#include "dataplane/flow/flow_table.h"

struct rte_mempool;

namespace millrace::perf {

inline constexpr unsigned kMaxWorkers = 2;

// Starts EAL when first called. Throws std::runtime_error.
void start_eal();
// How many workers have a core of their own beside each other: one on a machine of one core.
[[nodiscard]] unsigned worker_cores();
// The lcore of worker 0 or 1. With two cores or more, worker 0 is not where main began.
[[nodiscard]] unsigned lcore_of_worker(unsigned worker);

// A pool for `packets` in the hands of the caller, each of one frame of Ethernet; never freed.
[[nodiscard]] rte_mempool& make_pool(std::size_t packets);

// A socket_id for DPDK's allocations that come from `bytes` of such memory; one in a process.
[[nodiscard]] int huge_heap(std::size_t bytes);

// Slots in huge pages as far as the kernel has them.
[[nodiscard]] SlotMemory huge_slot_memory();
// Of all memory of this process: how much the kernel has backed with huge pages, in bytes.
[[nodiscard]] std::uint64_t huge_bytes();

}  // namespace millrace::perf
