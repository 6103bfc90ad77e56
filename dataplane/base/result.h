// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Success or an error in words for a person.

#include <expected>
#include <string>
#include <utility>

namespace millrace {

// Why something was refused, in words for a person: the place, what is wrong, what would be right.
struct Error {
  std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(std::string message) {
  return std::unexpected(Error{std::move(message)});
}

}  // namespace millrace
