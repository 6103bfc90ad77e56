// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parser of the key `rtpp-flags`: the option string of a proxy's script, passed on unparsed.
//
//   replace-origin ICE=remove direction=pub direction=priv codec=[strip=[opus G722] offer=[PCMA]]
//
// Spaces separate words. A bare word is a flag, `key=value` is a key, and a repeated key is a list.
// Brackets hold a list, or a dictionary if one of their words has a `=`. Within a word, `--` is `=`
// and `..` is a space. Private to the ng codec (ng.h).

#include <optional>
#include <string>
#include <string_view>

namespace millrace::ng {

// Converts `text` to a bencoded dictionary; none if brackets do not match or nest too deep.
[[nodiscard]] std::optional<std::string> expand_flags(std::string_view text);

}  // namespace millrace::ng
