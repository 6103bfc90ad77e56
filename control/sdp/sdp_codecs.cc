// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>
#include <bitset>
#include <iterator>
#include <optional>
#include <span>

#include "control/sdp/sdp_edits.h"
#include "control/sdp/sdp_text.h"
#include "dataplane/base/text.h"

namespace millrace::sdp {
namespace {

constexpr std::size_t kPayloadTypes = 128;
using PayloadType = std::optional<std::uint32_t>;  // none: not a number from 0 to 127

struct Format {
  std::string_view text;  // as in m=
  PayloadType type;
};

// Meaning of one payload type.
struct Mapping {
  std::string_view codec;  // "opus/48000/2"; empty: unknown
  PayloadType base;        // RTX: the retransmitted payload type (apt)
};

bool matches(std::uint32_t type, const Mapping& mapping, const std::string& name) {
  if (decimal<std::uint32_t>(name) == type) return true;
  if (name.empty() || !equal_ignoring_case(mapping.codec.substr(0, name.size()), name))
    return false;
  return mapping.codec.size() == name.size() || mapping.codec[name.size()] == '/';
}

// The part of a codec's name before the clock rate.
std::string_view encoding(std::string_view codec) { return codec.substr(0, codec.find('/')); }

// Whether media is encoded in it. The others accompany a codec (RFC 4733, 3389, 2198, 5109, 8627).
bool carries_media(const Mapping& mapping) {
  constexpr auto kOthers = std::to_array<std::string_view>(
      {"telephone-event", "CN", "red", "ulpfec", "parityfec", "flexfec", "flexfec-03"});
  const std::string_view name = encoding(mapping.codec);
  return !mapping.base && std::ranges::none_of(kOthers, [&](std::string_view other) {
    return equal_ignoring_case(name, other);
  });
}

// Formats to select: by name, or the first codec.
struct FirstCodec {};

// Selects formats of one RTP media section. Compares each payload type with each name once, even if
// m= repeats the type.
class Choice {
 public:
  Choice(std::span<const Line> lines, const CodecChoice& choice) : Choice(lines) { choose(choice); }
  Choice(std::span<const Line> lines, FirstCodec /*unused*/) : Choice(lines) { keep_first(); }

  // The m= line with the selected formats.
  [[nodiscard]] std::string media_line(std::string_view text) const {
    if (rejected_) return with_port_zero(text);
    if (!changed_) return std::string(text);
    std::string out(text.substr(0, text.size() - rest_.size()));
    for (const Format& format : chosen_) out.append(1, ' ').append(format.text);
    return out;
  }

  // Whether `line` is an attribute of a removed format, or would revive a rejected section.
  [[nodiscard]] bool drops(std::string_view line) const {
    if (!line.starts_with("a=")) return false;
    const Attribute a = attribute(line.substr(2));
    if (rejected_ && a.name == "bundle-only") return true;
    if (a.name != "rtpmap" && a.name != "fmtp" && a.name != "rtcp-fb") return false;
    const auto type = decimal<std::uint32_t>(Fields(a.value).next(), kPayloadTypes - 1);
    return type && dropped_[*type];
  }

 private:
  explicit Choice(std::span<const Line> lines) {
    Fields fields(lines[0].text.substr(2));
    for (int field = 0; field < 3; ++field) fields.next();
    rest_ = fields.rest();
    while (!fields.at_end()) {
      const std::string_view text = fields.next();
      const auto type = decimal<std::uint32_t>(text, kPayloadTypes - 1);
      formats_.push_back({text, type});
      if (!type) continue;
      offered_.set(*type);
      mappings_[*type].codec = static_codec(*type);
    }
    for (const Line& line : lines.subspan(1)) read(line.text);
  }

  static std::string with_port_zero(std::string_view text) {
    Fields fields(text.substr(2));
    fields.next();
    const std::string_view port = fields.next();
    return std::string(text.substr(0, text.size() - fields.rest().size() - port.size())) + '0' +
           std::string(fields.rest());
  }

  void read(std::string_view line) {
    if (!line.starts_with("a=")) return;
    const Attribute a = attribute(line.substr(2));
    if (a.name != "rtpmap" && a.name != "fmtp") return;
    Fields fields(a.value);
    const auto type = decimal<std::uint32_t>(fields.next(), kPayloadTypes - 1);
    if (!type || !offered_[*type]) return;
    const std::string_view value = fields.next();
    Mapping& mapping = mappings_[*type];
    if (a.name == "rtpmap") mapping.codec = value;
    if (a.name == "fmtp" && value.starts_with("apt=")) {
      mapping.base =
          decimal<std::uint32_t>(value.substr(4, value.find(';') - 4), kPayloadTypes - 1);
    }
  }

  // Index of the first name that matches `type`; names.size() if none.
  [[nodiscard]] std::size_t rank(std::uint32_t type, const std::vector<std::string>& names) const {
    const auto found = std::ranges::find_if(
        names, [&](const std::string& name) { return matches(type, mappings_[type], name); });
    return static_cast<std::size_t>(found - names.begin());
  }
  [[nodiscard]] bool is_any(std::uint32_t type, const std::vector<std::string>& names) const {
    return rank(type, names) < names.size();
  }

  void choose(const CodecChoice& choice) {
    const bool all = std::ranges::any_of(
        choice.strip, [](const std::string& name) { return name == "all" || name == "full"; });
    std::array<std::size_t, kPayloadTypes> ranks{};
    for (std::uint32_t type = 0; type < kPayloadTypes; ++type) {
      if (!offered_[type]) continue;
      ranks[type] = rank(type, choice.offer);
      const bool stays = ranks[type] < choice.offer.size() || is_any(type, choice.except);
      if (!stays && (all || is_any(type, choice.strip))) dropped_.set(type);
    }
    select(choice.allow_none);
    std::ranges::stable_sort(chosen_, {}, [&](const Format& f) {
      return f.type ? ranks[*f.type] : choice.offer.size();
    });
    changed_ = !std::ranges::equal(chosen_, formats_, {}, &Format::text, &Format::text);
  }

  void keep_first() {
    const auto is_codec = [&](const Format& f) {
      return f.type && carries_media(mappings_[*f.type]);
    };
    const auto first = std::ranges::find_if(formats_, is_codec);
    for (const Format& format : formats_) {
      if (is_codec(format) && format.type != first->type) dropped_.set(*format.type);
    }
    select(false);
    changed_ = chosen_.size() != formats_.size();
  }

  // Removes RTX of the dropped formats, and copies the others to `chosen_`. If none is useful,
  // keeps all or rejects the section.
  void select(bool may_reject) {
    for (std::uint32_t type = 0; type < kPayloadTypes; ++type) {
      const PayloadType base = mappings_[type].base;
      if (base && dropped_[*base]) dropped_.set(type);
    }
    const auto stays = [&](const Format& f) { return !f.type || !dropped_[*f.type]; };
    const bool useful = std::ranges::any_of(formats_, [&](const Format& f) {
      return stays(f) && !(f.type && mappings_[*f.type].base);
    });
    if (!useful) {
      rejected_ = may_reject && dropped_.any();
      dropped_.reset();
    }
    std::ranges::copy_if(formats_, std::back_inserter(chosen_), stays);
  }

  std::string_view rest_;  // of m=, from the formats on
  std::vector<Format> formats_, chosen_;
  std::array<Mapping, kPayloadTypes> mappings_;
  std::bitset<kPayloadTypes> offered_, dropped_;
  bool changed_ = false, rejected_ = false;
};

// The body with each RTP section filtered by Choice(lines, how).
template <typename How>
std::string filter(const Session& session, const How& how) {
  std::string out;
  const auto copy = [&](std::size_t from, std::size_t to) {
    for (; from < to; ++from)
      out.append(session.lines[from].text).append(session.lines[from].ending);
  };
  const std::size_t count = session.sections.size();
  copy(0, count == 0 ? session.lines.size() : session.media_starts[0]);
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t begin = session.media_starts[k];
    const std::size_t end = k + 1 < count ? session.media_starts[k + 1] : session.lines.size();
    if (!session.sections[k].rtp) {
      copy(begin, end);
      continue;
    }
    const std::span lines(session.lines.data() + begin, end - begin);
    const Choice chosen(lines, how);
    out.append(chosen.media_line(lines[0].text)).append(lines[0].ending);
    for (const Line& line : lines.subspan(1)) {
      if (!chosen.drops(line.text)) out.append(line.text).append(line.ending);
    }
  }
  return out;
}

}  // namespace

std::string choose_codecs(const Session& session, const CodecChoice& choice) {
  return filter(session, choice);
}

std::string keep_first_codec(std::string body) {
  const Result<Session> session = parse(body);
  return session ? filter(*session, FirstCodec()) : body;
}

}  // namespace millrace::sdp
