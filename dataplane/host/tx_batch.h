// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What one worker is about to send on one NIC.
//
// The relay and the host append, the worker sends after every burst and empties it. What the NIC
// does not take the worker frees, as DropReason::tx_full.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

struct rte_mbuf;

namespace millrace {

struct alignas(64) TxBatch {
  static constexpr std::size_t kCapacity = 64;  // two bursts: one relayed, one of the host's own

  std::array<rte_mbuf*, kCapacity> packets{};
  std::uint32_t count = 0;
  std::uint64_t bytes = 0;  // of the frames in it

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
