// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// JSON as another skin of bencode: what enters is turned into bencode, and what leaves is turned
// into JSON, so that behind this file the ng protocol has one encoding and both mean the same.
//
// Strings, integers, arrays and objects have their counterparts. What bencode lacks becomes what a
// reader of ng keys understands: true and false are 1 and 0, null is the empty string, a number
// that is not a 64-bit integer is the string of its digits. In the other direction bytes that are
// not UTF-8 become U+FFFD, since JSON cannot carry them.
// Nesting is limited as in bencode, nothing recurses on input and nothing throws.

#include <expected>
#include <string>
#include <string_view>

#include "control/protocol/ng/bencode.h"

namespace millrace::json {

// Where the object ends that `buffer` starts with. Looks at strings and brackets only; whether the
// text within is JSON is seen by to_bencode().
[[nodiscard]] Extent scan(std::string_view buffer, std::size_t limit = SIZE_MAX);

enum class Refusal : std::uint8_t { syntax, too_deep };
[[nodiscard]] std::expected<std::string, Refusal> to_bencode(std::string_view document);

// `value` is one whole bencoded value; of anything else comes null.
[[nodiscard]] std::string from_bencode(std::string_view value);

}  // namespace millrace::json
