// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Pending TX packets of one worker for one port.
//
// The relay and the host append. The worker sends and clears the batch after every burst and frees
// the packets that the NIC did not accept, as DropReason::tx_full.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

struct rte_mbuf;

namespace millrace {

struct alignas(64) TxBatch {
  static constexpr std::size_t kCapacity = 64;  // two bursts: one relayed, one from the host

  std::array<rte_mbuf*, kCapacity> packets{};
  std::uint32_t count = 0;
  std::uint64_t bytes = 0;  // sum of the frame lengths

  [[nodiscard]] std::size_t room() const { return kCapacity - count; }
  void push(rte_mbuf* packet, std::size_t length) {
    packets[count++] = packet;
    bytes += length;
  }
  void clear() {
    count = 0;
    bytes = 0;
  }
};

[[nodiscard]] inline std::uint64_t bytes_in(std::span<const TxBatch> batches) {
  std::uint64_t sum = 0;
  for (const TxBatch& batch : batches) sum += batch.bytes;
  return sum;
}

}  // namespace millrace
