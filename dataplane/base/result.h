// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Result<T>: a value, or an Error with a text for the operator.

#include <expected>
#include <string>
#include <utility>

namespace millrace {

// The text gives the place, the fault and the remedy.
struct Error {
  std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(std::string message) {
  return std::unexpected(Error{std::move(message)});
}

}  // namespace millrace
