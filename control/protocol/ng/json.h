// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Converts JSON requests to bencode and bencode replies to JSON. The rest of the ng codec handles
// bencode only.
//
// Strings, integers, arrays and objects map one to one. true and false become 1 and 0, null becomes
// the empty string, a number that is not a 64-bit integer becomes the string of its digits. In
// replies, bytes that are not UTF-8 become U+FFFD, since JSON cannot carry them.
// Nesting is limited as in bencode. Parsing does not recurse. Nothing throws.

#include <expected>
#include <string>
#include <string_view>

#include "control/protocol/ng/bencode.h"

namespace millrace::json {

// Finds the end of the object at the start of `buffer`. Scans strings and brackets only;
// to_bencode() checks the rest of the syntax.
[[nodiscard]] Extent scan(std::string_view buffer, std::size_t limit = SIZE_MAX);

enum class Refusal : std::uint8_t { syntax, too_deep };
[[nodiscard]] std::expected<std::string, Refusal> to_bencode(std::string_view document);

// Converts one whole bencoded value; "null" if `value` is not one.
[[nodiscard]] std::string from_bencode(std::string_view value);

}  // namespace millrace::json
