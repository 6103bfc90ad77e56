// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <bitset>
#include <optional>
#include <span>

#include "control/sdp/sdp_edits.h"
#include "control/sdp/sdp_text.h"

namespace millrace::sdp {
namespace {

struct Format {
  std::string_view text;  // as in m=
  std::optional<std::uint32_t> type;
  std::string_view codec;             // "opus/48000/2"; empty: unknown
  std::optional<std::uint32_t> base;  // rtx: the payload type that it repeats
};

// Whether `format` is what `name` says.
bool is(const Format& format, std::string_view name) {
  if (name == format.text) return true;
  if (name.empty() || !same(format.codec.substr(0, name.size()), name)) return false;
  return format.codec.size() == name.size() || format.codec[name.size()] == '/';
}

bool is_any(const Format& format, const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& name) { return is(format, name); });
}

// One RTP media description: its formats, and which of them go on.
class Choice {
 public:
  Choice(std::span<const Line> lines, const CodecChoice& choice) : choice_(choice) {
    Fields fields(lines[0].text.substr(2));
    for (int field = 0; field < 3; ++field) fields.next();
    rest_ = fields.rest();
    while (!fields.at_end()) {
      const std::string_view text = fields.next();
      const auto type = decimal<std::uint32_t>(text, 127);
      formats_.push_back({text, type, type ? static_codec(*type) : std::string_view(), {}});
    }
    for (const Line& line : lines.subspan(1)) read(line.text);
    choose();
  }

  // m= with the formats that were chosen.
  [[nodiscard]] std::string media_line(std::string_view text) const {
    if (!changed_) return std::string(text);
    std::string out(text.substr(0, text.size() - rest_.size()));
    for (const Format& format : chosen_) out.append(1, ' ').append(format.text);
    return out;
  }

  // Whether an attribute speaks of a format that goes.
  [[nodiscard]] bool drops(std::string_view line) const {
    if (!line.starts_with("a=")) return false;
    const Attribute a = attribute(line.substr(2));
    if (a.name != "rtpmap" && a.name != "fmtp" && a.name != "rtcp-fb") return false;
    const auto type = decimal<std::uint32_t>(Fields(a.value).next(), 127);
    return type && dropped_[*type];
  }

 private:
  void read(std::string_view line) {
    if (!line.starts_with("a=")) return;
    const Attribute a = attribute(line.substr(2));
    if (a.name != "rtpmap" && a.name != "fmtp") return;
    Fields fields(a.value);
    const auto type = decimal<std::uint32_t>(fields.next(), 127);
    const auto format = std::ranges::find(formats_, type, &Format::type);
    if (!type || format == formats_.end()) return;
    const std::string_view value = fields.next();
    if (a.name == "rtpmap") format->codec = value;
    if (a.name == "fmtp" && value.starts_with("apt=")) {
      format->base = decimal<std::uint32_t>(value.substr(4, value.find(';') - 4), 127);
    }
  }

  void choose() {
    const bool all = std::ranges::any_of(
        choice_.strip, [](const std::string& name) { return name == "all" || name == "full"; });
    for (const Format& format : formats_) {
      const bool stays = is_any(format, choice_.except) || is_any(format, choice_.offer);
      if (!stays && format.type && (all || is_any(format, choice_.strip))) {
        dropped_.set(*format.type);
      }
    }
    for (const Format& format : formats_) {
      if (format.type && format.base && dropped_[*format.base]) dropped_.set(*format.type);
    }
    const auto stays = [&](const Format& f) { return !f.type || !dropped_[*f.type]; };
    const bool useful = std::ranges::any_of(
        formats_, [&](const Format& f) { return stays(f) && !f.base.has_value(); });
    if (!useful) dropped_.reset();
    std::vector<bool> taken(formats_.size());
    const auto take = [&](auto&& wanted) {
      for (std::size_t i = 0; i < formats_.size(); ++i) {
        if (taken[i] || !stays(formats_[i]) || !wanted(formats_[i])) continue;
        chosen_.push_back(formats_[i]);
        taken[i] = true;
      }
    };
    for (const std::string& name : choice_.offer) {
      take([&](const Format& format) { return is(format, name); });
    }
    take([](const Format&) { return true; });
    changed_ = !std::ranges::equal(chosen_, formats_, {}, &Format::text, &Format::text);
  }

  const CodecChoice& choice_;
  std::string_view rest_;  // of m=, from the formats on
  std::vector<Format> formats_, chosen_;
  std::bitset<128> dropped_;
  bool changed_ = false;
};

}  // namespace

std::string choose_codecs(const Session& session, const CodecChoice& choice) {
  std::string out;
  const auto copy = [&](std::size_t from, std::size_t to) {
    for (; from < to; ++from)
      out.append(session.lines[from].text).append(session.lines[from].ending);
  };
  const std::size_t count = session.medias.size();
  copy(0, count == 0 ? session.lines.size() : session.media_starts[0]);
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t begin = session.media_starts[k];
    const std::size_t end = k + 1 < count ? session.media_starts[k + 1] : session.lines.size();
    if (!session.medias[k].rtp) {
      copy(begin, end);
      continue;
    }
    const std::span lines(session.lines.data() + begin, end - begin);
    const Choice chosen(lines, choice);
    out.append(chosen.media_line(lines[0].text)).append(lines[0].ending);
    for (const Line& line : lines.subspan(1)) {
      if (!chosen.drops(line.text)) out.append(line.text).append(line.ending);
    }
  }
  return out;
}

}  // namespace millrace::sdp
