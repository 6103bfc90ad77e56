// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/srtp/locked_table.h"

#include <sys/mman.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace millrace {

Result<LockedTable> LockedTable::make(std::size_t blocks, std::size_t size) {
  assert(size % 64 == 0);
  const std::size_t whole = blocks * size;
  if (whole == 0) return LockedTable({}, 0, size);
  void* const memory =
      mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto refuse = [whole](std::string_view what) {
    const std::string reason = std::generic_category().message(errno);
    return fail("SRTP keys: cannot " + std::string(what) + " " + std::to_string(whole >> 20) +
                " MiB: " + reason + "; raise the limit of locked memory (LimitMEMLOCK, ulimit -l)" +
                " or lower srtp_flows");
  };
  if (memory == MAP_FAILED) return refuse("allocate");
  // Only an optimisation, for fewer TLB misses. Before mlock(), which makes the pages.
  madvise(memory, whole, MADV_HUGEPAGE);
  if (madvise(memory, whole, MADV_DONTDUMP) != 0 || madvise(memory, whole, MADV_DONTFORK) != 0 ||
      mlock(memory, whole) != 0) {
    auto error = refuse("lock");
    munmap(memory, whole);
    return error;
  }
  return LockedTable({static_cast<std::byte*>(memory), whole}, blocks, size);
}

LockedTable::LockedTable(std::span<std::byte> memory, std::size_t blocks, std::size_t size)
    : memory_(memory), size_(size) {
  free_.reserve(blocks);
  for (std::size_t i = blocks; i-- > 0;) free_.push_back(memory.data() + i * size);
}

LockedTable::LockedTable(LockedTable&& other) noexcept
    : memory_(std::exchange(other.memory_, {})),
      size_(other.size_),
      free_(std::move(other.free_)) {}

LockedTable::~LockedTable() {
  if (memory_.empty()) return;
  ::explicit_bzero(memory_.data(), memory_.size());
  munmap(memory_.data(), memory_.size());
}

void* LockedTable::take() {
  const std::scoped_lock lock(mutex_);
  if (free_.empty()) return nullptr;
  std::byte* const block = free_.back();
  free_.pop_back();
  return block;
}

void LockedTable::give_back(void* block) {
  ::explicit_bzero(block, size_);
  const std::scoped_lock lock(mutex_);
  free_.push_back(static_cast<std::byte*>(block));
}

std::size_t LockedTable::free_blocks() const {
  const std::scoped_lock lock(mutex_);
  return free_.size();
}

}  // namespace millrace
