// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Input on a heap block of exactly its size: AddressSanitizer sees the first byte read past it.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace millrace {

class Exact {
 public:
  explicit Exact(std::span<const std::byte> bytes)
      : size_(bytes.size()), block_(new std::byte[size_]) {
    std::ranges::copy(bytes, block_.get());
  }
  explicit Exact(std::string_view text) : Exact(std::as_bytes(std::span(text))) {}

  [[nodiscard]] std::span<const std::byte> bytes() const { return {block_.get(), size_}; }
  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(block_.get()), size_};
  }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte[]> block_;  // not a vector: that may be larger
};

}  // namespace millrace
