// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The key `rtpp-flags`: what a proxy's script wrote as one string, for the relay to take apart.
//
//   replace-origin ICE=remove direction=pub direction=priv codec=[strip=[opus G722] offer=[PCMA]]
//
// Words between spaces: a bare one is a flag, `key=value` is a key, and one that comes several
// times is a list. Brackets hold a list, or a dictionary where one of its words has a `=`. Within
// a word `--` stands for `=` and `..` for a space. Private to the ng codec (ng.h).

#include <optional>
#include <string>
#include <string_view>

namespace millrace::ng {

// The same as a bencoded dictionary; nothing if a bracket has no other, or they nest too deep.
[[nodiscard]] std::optional<std::string> expand_flags(std::string_view text);

}  // namespace millrace::ng
