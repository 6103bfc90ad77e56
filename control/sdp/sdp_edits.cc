// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/sdp_edits.h"

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <set>

#include "control/sdp/sdp_text.h"
#include "dataplane/base/text.h"

namespace millrace::sdp {
namespace {

// Takes one line, with its ending, off the front of `body`.
std::string_view take_line(std::string_view& body) {
  const std::size_t end = body.find('\n');
  const std::string_view line = body.substr(0, end == body.npos ? end : end + 1);
  body.remove_prefix(line.size());
  return line;
}

std::string_view text_of(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// True: the pattern is the whole attribute or a beginning of it (AttributeEdits).
bool matches(const std::string& pattern, std::string_view attribute) {
  if (pattern.empty() || !attribute.starts_with(pattern)) return false;
  return attribute.size() == pattern.size() || pattern.back() == ':' ||
         attribute[pattern.size()] == ':' || is_blank(attribute[pattern.size()]);
}

const std::string& loop_mark() {
  static const std::string mark = [] {
    std::random_device random;
    return "millrace:" + std::to_string(std::uint64_t{random()} << 32 | random());
  }();
  return mark;
}

bool has(std::string_view text, std::string_view folded) {
  return !std::ranges::search(text, folded, {}, lower).empty();
}

// What an SDP has: encryption of any kind, ICE, DTLS.
struct Features {
  bool keys = false, ice = false, dtls = false;
};

Features features_of(const Session& session) {
  Features found;
  for (const Media& media : session.sections) {
    found.dtls |= has(media.protocol, "udp/tls/") || has(media.protocol, "dtls");
    found.keys |= found.dtls || has(media.protocol, "savp") || has(media.protocol, "tls/");
  }
  for (const Line& line : session.lines) {
    if (!line.text.starts_with("a=")) continue;
    const std::string_view name = attribute(line.text.substr(2)).name;
    const auto is = [name](std::string_view word) { return equal_ignoring_case(name, word); };
    found.keys |= is("crypto") || is("fingerprint");
    found.ice |= is("ice-ufrag") || is("candidate");
  }
  return found;
}

bool concerns(const Features& found, ConditionalOption::Of of) {
  using Of = ConditionalOption::Of;
  switch (of) {
    case Of::keys:
      return found.keys;
    case Of::ice:
      return found.ice;
    case Of::dtls:
      return found.dtls;
    case Of::no_dtls:
      return !found.dtls;
  }
  return true;
}

// The texts of the refused options, or of the others, that concern this SDP.
std::vector<std::string_view> options_of(const Session& session, const Edits& edits, bool refused) {
  std::vector<std::string_view> texts;
  if (edits.conditional.empty()) return texts;
  const Features found = features_of(session);
  for (const ConditionalOption& option : edits.conditional) {
    if (option.refused == refused && concerns(found, option.of)) texts.push_back(option.text);
  }
  return texts;
}

// Replaces s= by the first one that the party received.
void keep_session_name(std::string& body, std::optional<std::string>& first) {
  const std::size_t begin = body.find("\ns=");
  if (begin == body.npos) return;
  const std::size_t from = begin + 3;
  const std::size_t size = std::min(body.find_first_of("\r\n", from), body.size()) - from;
  if (!first) first = body.substr(from, size);
  body.replace(from, size, *first);
}

// Edits attribute lines, section by section.
class Editor {
 public:
  Editor(std::string_view body, const LineEdits& edits)
      : body_(body), edits_(edits), newline_(body.contains("\r\n") ? "\r\n" : "\n") {
    if (!edits.generate_mid) return;
    for (std::string_view rest = body; !rest.empty();) note_mid(text_of(take_line(rest)));
  }

  std::string run() && {
    std::string_view rest = body_;
    while (!rest.empty()) {
      const std::string_view line = take_line(rest);
      const std::string_view text = text_of(line);
      // Empty lines at the end belong to no section.
      if (text.empty() && rest.find_first_not_of("\r\n") == rest.npos) {
        finish();
        write(line);
        while (!rest.empty()) write(take_line(rest));
        return std::move(out_);
      }
      if (text.starts_with("m=")) start(text);
      ending_ = line.substr(text.size());
      if (text.starts_with("a=")) {
        edit(text.substr(2));
      } else {
        write(line);
      }
    }
    finish();
    return std::move(out_);
  }

 private:
  void note_mid(std::string_view text) {
    if (!text.starts_with("a=")) return;
    if (const Attribute found = attribute(text.substr(2)); found.name == "mid") {
      mids_.emplace(without_blanks_before(found.value));
    }
  }

  [[nodiscard]] bool here(const AttributeEdits& edits) const {
    using Where = AttributeEdits::Where;
    if (edits.where == Where::everywhere) return true;
    if (edits.where == Where::session) return !in_media_;
    return in_media_ && (edits.type.empty() || edits.type == type_);
  }

  void start(std::string_view text) {
    finish();
    in_media_ = true;
    type_ = Fields(text.substr(2)).next();
    ++index_;
    has_mid_ = false;
    present_.clear();
  }

  void edit(std::string_view value) {
    const std::string_view found = without_blanks_before(value);
    for (const AttributeEdits& edits : edits_.attributes) {
      if (!here(edits)) continue;
      for (const auto& [from, to] : edits.substitute) {
        if (matches(from, found)) return write_attribute(to);
      }
      if (std::ranges::any_of(edits.remove, [&](const auto& r) { return matches(r, found); }))
        return;
    }
    write_attribute(value);
  }

  void write_attribute(std::string_view value) {
    has_mid_ |= attribute(value).name == "mid";
    present_.emplace_back(value);
    write("a=" + std::string(value) + std::string(ending_));
  }

  // Appends added lines to the section.
  void finish() {
    const auto add = [&](const std::string& line) {
      if (std::ranges::find(present_, line) == present_.end()) write_attribute(line);
    };
    for (const AttributeEdits& edits : edits_.attributes) {
      if (here(edits)) std::ranges::for_each(edits.add, add);
    }
    if (!in_media_ && edits_.loop_mark) add(loop_mark());
    if (in_media_ && edits_.generate_mid && !has_mid_) write_attribute("mid:" + new_mid());
  }

  std::string new_mid() {
    std::string mid = std::to_string(index_);
    while (!mids_.insert(mid).second) mid += '_';
    return mid;
  }

  // Keeps line endings. A last line without ending gets one if a line follows.
  void write(std::string_view line) {
    if (!out_.empty() && out_.back() != '\n') out_ += newline_;
    out_ += line;
  }

  std::string_view body_;
  const LineEdits& edits_;
  std::string_view newline_;
  std::set<std::string, std::less<>> mids_;  // of all sections
  bool in_media_ = false, has_mid_ = false;
  unsigned index_ = 0;  // of the media section, from 1
  std::string_view type_;
  std::string_view ending_;           // of the section's last line so far
  std::vector<std::string> present_;  // attributes of the section so far
  std::string out_;
};

}  // namespace

std::string edit_lines(std::string_view body, const LineEdits& edits) {
  return Editor(body, edits).run();
}

bool has_looped(std::string_view body) {
  return body.find("\na=" + loop_mark()) != std::string_view::npos;
}

std::string keep_origin(std::string body, Origin& origin, const OriginEdits& edits) {
  if (edits.session_name) keep_session_name(body, origin.session_name);
  const std::size_t begin = body.find("\no=");
  if (begin == body.npos) return body;
  const std::size_t from = begin + 3;
  const std::size_t end = std::min(body.find_first_of("\r\n", from), body.size());
  const std::string_view value(body.data() + from, end - from);
  const std::optional<std::size_t> address = origin_address(value);
  if (!address) return body;
  Fields fields(value.substr(0, *address));
  std::string user(fields.next()), id(fields.next());
  const auto read = decimal<std::uint64_t>(fields.next());
  if (!read || !fields.at_end()) return body;
  std::uint64_t version = *read;
  std::string content = body.substr(0, from) + body.substr(end);

  const bool first = origin.id.empty();
  if (!first && edits.user) user = origin.user;
  if (!first && edits.id) id = origin.id;
  const bool grows = edits.increment || (edits.version && content != origin.content);
  if (!first && (edits.version || edits.increment)) version = origin.version + (grows ? 1 : 0);
  body.replace(from, *address, user + ' ' + id + ' ' + std::to_string(version) + ' ');
  origin = {std::move(user), std::move(id), version, std::move(content),
            std::move(origin.session_name)};
  return body;
}

bool interchangeable(std::string_view protocol, std::string_view other) {
  const auto profile = [](std::string_view text) {
    if (text.ends_with('F') || text.ends_with('f')) text.remove_suffix(1);
    return text;
  };
  return equal_ignoring_case(profile(protocol), profile(other));
}

std::size_t largest_print(const Session& session, const LineEdits& edits) {
  std::size_t size = kMaxSectionGrowth;
  for (const Line& line : session.lines) size += line.text.size() + line.ending.size();
  size += kMaxSectionGrowth * session.sections.size();
  constexpr std::size_t kAround = 4;  // "a=", CRLF
  std::size_t longest = 0;            // bytes of the longest substitute
  for (const AttributeEdits& each : edits.attributes) {
    for (const std::string& line : each.add) {
      size += (line.size() + kAround) * (session.sections.size() + 1);
    }
    for (const auto& [from, to] : each.substitute) longest = std::max(longest, to.size());
  }
  return size + longest * session.lines.size();
}

Result<void> check(const Session& session, const Edits& edits) {
  if (largest_print(session, edits.lines) > kMaxPrinted) {
    return fail("sdp-attr: with these lines added or substituted the SDP could grow past " +
                std::to_string(kMaxPrinted) + " bytes; write fewer or shorter ones");
  }
  if (const auto refused = options_of(session, edits, true); !refused.empty()) {
    return fail(std::string(refused.front()));
  }
  if (edits.protocol.empty() || edits.protocol == "accept") return {};
  for (const Media& media : session.sections) {
    if (!media.rtp || media.port == UdpPort(0) || interchangeable(media.protocol, edits.protocol)) {
      continue;
    }
    return fail("transport-protocol " + edits.protocol + " for media over " +
                std::string(media.protocol) +
                ": this relay neither encrypts nor decrypts; leave the key out");
  }
  return {};
}

Result<void> check_bundle(const Session& session, const Edits& edits) {
  const auto live = std::ranges::count_if(
      session.sections, [](const Media& media) { return media.rtp && media.port != UdpPort(0); });
  if (!edits.require_bundle || session.bundle || live < 2) return {};
  return fail(
      "bundle: the SDP has no a=group:BUNDLE, and this relay cannot merge several m= lines into "
      "one stream; leave `require` out");
}

void adjust(Session& session, const Edits& edits) {
  constexpr auto kNamed = std::to_array<std::string_view>({"audio", "video", "image", "message"});
  const auto removed = [&](std::string_view type) {
    const auto& types = edits.remove_media_types;
    const bool named = std::ranges::find(kNamed, type) != kNamed.end();
    return std::ranges::any_of(types, [&](const std::string& each) {
      return each == type || (each == "other" && !named);
    });
  };
  for (Media& media : session.sections) {
    if (edits.no_bundle) media.bundle_only = false;
    if (!removed(media.type)) continue;
    media.port = UdpPort(0);
    media.bundle_only = false;
  }
}

std::string unsupported_options(const Session& session, const Edits& edits) {
  std::string sentences;
  for (const std::string_view text : options_of(session, edits, false)) {
    if (!sentences.empty()) sentences += "; ";
    sentences += text;
  }
  return sentences;
}

std::string unknown_transports(const Session& session) {
  std::string names;
  for (const Media& media : session.sections) {
    const bool tcp = equal_ignoring_case(media.protocol.substr(0, media.protocol.find('/')), "TCP");
    if (media.relayable || tcp || media.port == UdpPort(0)) continue;
    const std::string name = quote(media.protocol);
    if (!names.contains(name)) names += (names.empty() ? "" : ", ") + name;
  }
  return names.empty() ? "" : "transport " + names + ": its media passes around the relay";
}

std::string unsupported_bundle(const Session& session, const Edits& edits) {
  if (edits.no_bundle && std::ranges::any_of(session.sections, &Media::bundle_only)) {
    return "bundle: without a=group:BUNDLE, bundle-only media is rejected";
  }
  const bool missing = edits.offer_bundle && !session.bundle && session.sections.size() > 1;
  return missing ? "bundle: the SDP has no a=group:BUNDLE and is sent without one" : "";
}

}  // namespace millrace::sdp
