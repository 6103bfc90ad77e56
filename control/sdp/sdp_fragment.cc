// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/sdp_fragment.h"

#include <algorithm>

#include "control/sdp/sdp.h"
#include "control/sdp/sdp_text.h"

namespace millrace::sdp {
namespace {

class FragmentParser {
 public:
  Result<void> read_line(std::string_view text) {
    if (text.size() > kMaxLine) {
      return fail("more than " + std::to_string(kMaxLine) + " bytes; shorten it");
    }
    if (text.size() < 2 || text[0] < 'a' || text[0] > 'z' || text[1] != '=') {
      return fail("not of the form x=value, x a lower-case letter");
    }
    if (text.find_first_of(std::string_view("\0\r", 2)) != text.npos) {
      return fail("a NUL or CR within the line; remove it");
    }
    if (text[0] == 'm') return begin();
    return text[0] == 'a' ? read(attribute(text.substr(2))) : Result<void>{};
  }

  Result<std::vector<FragmentMedia>> finish() {
    settle();
    if (sections_.empty())
      return fail("line 1: no media section; write m=audio 9 RTP/AVP 0, then a=mid");
    return std::move(sections_);
  }

 private:
  Result<void> begin() {
    if (sections_.size() == kMaxSections) {
      return fail("too many m= lines; at most " + std::to_string(kMaxSections) + " are accepted");
    }
    settle();
    sections_.emplace_back().ufrag = ufrag_;
    return {};
  }

  Result<void> read(const Attribute& a) {
    if (a.name == "mid" && sections_.empty()) {
      if (auto ok = begin(); !ok) return ok;
    }
    if (a.name == "ice-ufrag") (sections_.empty() ? ufrag_ : sections_.back().ufrag) = a.value;
    if (sections_.empty()) return {};
    if (a.name == "mid") sections_.back().mid = a.value;
    if (a.name != "candidate") return {};
    if (const auto parsed = candidate(a.value)) candidates_.add(*parsed);
    return {};
  }

  // Stores the candidates of the last section.
  void settle() {
    if (!sections_.empty()) sections_.back().candidates = candidates_.take();
  }

  std::vector<FragmentMedia> sections_;
  std::string ufrag_;
  CandidateList candidates_;  // of the last section
};

}  // namespace

Result<std::vector<FragmentMedia>> parse_fragment(std::string_view body) {
  if (body.size() > kMaxBody) {
    return fail("line 1: more than " + std::to_string(kMaxBody) + " bytes; shorten it");
  }
  FragmentParser parser;
  for (std::size_t number = 1; !body.empty(); ++number) {
    const std::size_t end = std::min(body.find('\n'), body.size());
    std::string_view line = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (auto ok = parser.read_line(line); !ok) {
      return fail("line " + std::to_string(number) + ": " + ok.error().message);
    }
  }
  return parser.finish();
}

}  // namespace millrace::sdp
