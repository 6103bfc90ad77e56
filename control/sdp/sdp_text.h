// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Fields of SDP lines, shared by the parsers (sdp.cc, sdp_fragment.cc) and the writers
// (sdp_rewrite.cc, sdp_codecs.cc, sdp_edits.cc). Private to this folder.
//
// Both sides must split a line into the same fields. Otherwise a writer would replace other bytes
// than the parser validated. The functions take the value of a line, after "x=", and return views.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "control/sdp/sdp.h"
#include "dataplane/base/text.h"

namespace millrace::sdp {

inline std::optional<Direction> direction_named(std::string_view name) {
  if (name == "sendrecv") return Direction::sendrecv;
  if (name == "sendonly") return Direction::sendonly;
  if (name == "recvonly") return Direction::recvonly;
  if (name == "inactive") return Direction::inactive;
  return std::nullopt;
}

// Codec of a static payload type (RFC 3551 section 6), e.g. "PCMU/8000"; empty: none.
[[nodiscard]] std::string_view static_codec(std::uint32_t payload_type);

// Separates fields. Some phones send TABs. Loops over it are faster than find_first_of() for fields
// of a few bytes.
inline constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

inline std::string_view without_blanks_before(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return text;
}
inline std::string_view without_blanks_after(std::string_view text) {
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Iterates the fields of a value.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}
  // The next field; empty when there is none.
  std::string_view next() {
    rest_ = without_blanks_before(rest_);
    std::size_t end = 0;
    while (end < rest_.size() && !is_blank(rest_[end])) ++end;
    const std::string_view field = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return field;
  }
  [[nodiscard]] bool at_end() const { return without_blanks_before(rest_).empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

struct Attribute {
  std::string_view name, value;
};

// Without blanks around the name: for some phones "a=sendonly " is a hold.
inline Attribute attribute(std::string_view value) {
  const std::size_t colon = value.find(':');
  const std::string_view name = without_blanks_after(without_blanks_before(value.substr(0, colon)));
  return {name, colon == value.npos ? std::string_view() : value.substr(colon + 1)};
}

// Number of lines before the empty lines at the end.
inline std::size_t text_lines(const std::vector<Line>& lines) {
  std::size_t count = lines.size();
  while (count > 0 && lines[count - 1].text.empty()) --count;
  return count;
}

// Position of the address in o=, `IN IP4 ADDRESS`: its last three fields. The fields before them
// are ignored: some senders write a user name with spaces, or none. None: o= does not end in an
// address.
inline std::optional<std::size_t> origin_address(std::string_view value) {
  std::string_view before = value;
  for (int field = 0; field < 3; ++field) {
    before = without_blanks_after(before);
    while (!before.empty() && !is_blank(before.back())) before.remove_suffix(1);
  }
  Fields fields(value.substr(before.size()));
  const std::string_view net = fields.next(), type = fields.next();
  const auto is = [](std::string_view field, std::string_view word) {
    return field == word || equal_ignoring_case(field, word);
  };
  const bool known = is(net, "IN") && (is(type, "IP4") || is(type, "IP6"));
  return known && !fields.at_end() ? std::optional(before.size()) : std::nullopt;
}

// candidate:<foundation> <component> UDP <priority> <address> <port> typ <type> ... (RFC 8839
// section 5.1); none if malformed, with a host name, or over another transport.
struct Candidate {
  std::uint32_t component = 1;
  IpAddress address;
  UdpPort port;
  std::string_view type;
};

inline std::optional<Candidate> candidate(std::string_view value) {
  Fields fields(value);
  const std::string_view foundation = fields.next();
  const auto component = decimal<std::uint32_t>(fields.next(), 256);
  const bool udp = equal_ignoring_case(fields.next(), "UDP");
  const std::string_view priority = fields.next();
  const Result<IpAddress> address = IpAddress::parse(fields.next());
  const auto port = decimal<std::uint16_t>(fields.next());
  if (foundation.empty() || !component || *component == 0 || !udp || priority.empty()) return {};
  if (!address || !port) return {};
  fields.next();
  return Candidate{*component, *address, UdpPort(*port), fields.next()};
}

// The type of a candidate over any transport, also with a host name; empty if malformed.
inline std::string_view candidate_type(std::string_view value) {
  constexpr int kBefore = 7;  // fields, the last one is "typ"
  Fields fields(value);
  for (int field = 0; field < kBefore; ++field) fields.next();
  return fields.next();
}

// Candidate addresses of one media section, unique, as latch hints. Addresses that cannot be sent
// to (loopback, link-local) take no room, and each family has its own. When that is full, reflexive
// and relay candidates displace host candidates, and public hosts displace private ones. `take()`
// returns them in this order.
class CandidateList {
 public:
  void add(const Candidate& candidate) {
    const IpAddress& address = candidate.address;
    if (!address.is_sendable()) return;
    std::array<std::vector<IpAddress>, kRanks>& own = ranks_[address.is_v4() ? 0 : 1];
    std::size_t count = 0;
    for (const auto& rank : own) {
      if (std::ranges::find(rank, address) != rank.end()) return;
      count += rank.size();
    }
    const std::size_t to = rank_of(candidate);
    if (count == kMaxCandidates) {
      std::size_t last = kRanks - 1;
      while (own[last].empty()) --last;
      if (last <= to) return;
      own[last].pop_back();
    }
    own[to].push_back(address);
  }
  // Moves the list out.
  [[nodiscard]] std::vector<IpAddress> take() {
    std::vector<IpAddress> all;
    for (std::size_t rank = 0; rank < kRanks; ++rank) {
      for (auto& family : ranks_) {
        all.insert(all.end(), family[rank].begin(), family[rank].end());
        family[rank].clear();
      }
    }
    return all;
  }

 private:
  static constexpr std::size_t kRanks = 3;

  static std::size_t rank_of(const Candidate& candidate) {
    if (!equal_ignoring_case(candidate.type, "host")) return 0;
    return candidate.address.is_private() ? 2 : 1;
  }

  std::array<std::array<std::vector<IpAddress>, kRanks>, 2> ranks_;  // by family
};

}  // namespace millrace::sdp
