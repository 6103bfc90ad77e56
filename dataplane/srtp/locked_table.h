// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Memory for keys: a table of blocks of one size, made at start.
//
// The memory is locked, so that it is never written to swap, excluded from core dumps, and not
// inherited by child processes. take() gives a block of zeros, give_back() wipes it. Control
// threads call both. The packet path only uses the blocks.

#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

#include "dataplane/base/result.h"

namespace millrace {

class LockedTable {
 public:
  // `size` is a multiple of 64.
  [[nodiscard]] static Result<LockedTable> make(std::size_t blocks, std::size_t size);
  LockedTable(LockedTable&& other) noexcept;
  LockedTable& operator=(LockedTable&&) = delete;
  ~LockedTable();

  // A block of zeros, aligned to 64 bytes. Null if all are taken.
  [[nodiscard]] void* take();
  // Precondition: taken from this table, and nobody uses it any more.
  void give_back(void* block);

  [[nodiscard]] std::size_t free_blocks() const;
  [[nodiscard]] std::span<std::byte> memory() const { return memory_; }

 private:
  LockedTable(std::span<std::byte> memory, std::size_t blocks, std::size_t size);

  std::span<std::byte> memory_;
  std::size_t size_;
  mutable std::mutex mutex_;
  std::vector<std::byte*> free_;
};

}  // namespace millrace
