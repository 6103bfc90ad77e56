// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// DPDK and memory for benchmarks: no reserved hugepages, no device, no root.
//
// EAL starts with ordinary memory, one lcore per core the process may run on (at most three: main
// and two workers) and the main thread unpinned. Packets and flow table slots are in memory with
// MADV_HUGEPAGE: the kernel backs them with transparent huge pages where available, so they are in
// huge pages as in production. huge_bytes() returns how many bytes it backed, for the report.

#include <cstddef>
#include <cstdint>

#include "dataplane/flow/flow_table.h"

struct rte_mempool;

namespace millrace::perf {

inline constexpr unsigned kMaxWorkers = 2;

// Starts EAL when first called. Throws std::runtime_error.
void start_eal();
// The number of workers that can have a core each, at most kMaxWorkers.
[[nodiscard]] unsigned worker_cores();
// The lcore of worker 0 or 1. With two cores or more, worker 0 is not on the main thread's first
// core.
[[nodiscard]] unsigned lcore_of_worker(unsigned worker);

// A pool of which the caller can hold `packets` mbufs, each for one Ethernet frame. Never freed.
[[nodiscard]] rte_mempool& make_pool(std::size_t packets);

// Creates a DPDK heap of `bytes` of such memory and returns its socket_id. Once per process.
[[nodiscard]] int huge_heap(std::size_t bytes);

// Slots in huge pages as far as the kernel has some.
[[nodiscard]] SlotMemory huge_slot_memory();
// Memory of this process that the kernel backs with huge pages, in bytes.
[[nodiscard]] std::uint64_t huge_bytes();

}  // namespace millrace::perf
