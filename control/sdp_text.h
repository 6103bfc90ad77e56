// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The text of SDP lines, for its reader (sdp.cc) and its writer (sdp_rewrite.cc) alone: both must
// see the same fields in a line, or the writer would replace what the reader did not read.

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "control/sdp.h"

namespace millrace::sdp {

// The fields of a value, separated by spaces.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}
  // The next field; empty when there is none.
  std::string_view next() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size()));
    const std::string_view field = rest_.substr(0, rest_.find(' '));
    rest_.remove_prefix(field.size());
    return field;
  }
  [[nodiscard]] bool at_end() const { return rest_.find_first_not_of(' ') == rest_.npos; }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

struct Attribute {
  std::string_view name, value;
};

inline Attribute attribute(std::string_view value) {
  const std::size_t colon = value.find(':');
  if (colon == value.npos) return {value, {}};
  return {value.substr(0, colon), value.substr(colon + 1)};
}

// How many lines there are before the empty ones at the end.
inline std::size_t text_lines(const std::vector<Line>& lines) {
  std::size_t count = lines.size();
  while (count > 0 && lines[count - 1].text.empty()) --count;
  return count;
}

// Where the last three fields of o= begin. What stands before them some senders get wrong (a user
// name with spaces, or none), and it is none of a relay's business.
inline std::size_t origin_address(std::string_view value) {
  for (int field = 0; field < 3; ++field) {
    while (value.ends_with(' ')) value.remove_suffix(1);
    while (!value.empty() && !value.ends_with(' ')) value.remove_suffix(1);
  }
  return value.size();
}

}  // namespace millrace::sdp
