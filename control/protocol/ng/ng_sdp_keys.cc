// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_sdp_keys.h"

#include <initializer_list>

namespace millrace::ng {
namespace {

using bencode::Value;

using Texts = std::vector<std::string>;

constexpr auto kFlags = std::to_array<Field<bool, sdp::Edits>>({
    {"no-rtcp-attribute", &sdp::Edits::no_rtcp_attribute},
    {"full-rtcp-attribute", &sdp::Edits::full_rtcp_attribute},
});
constexpr auto kCodecLists = std::to_array<Field<Texts, sdp::CodecChoice>>({
    {"strip", &sdp::CodecChoice::strip},
    {"except", &sdp::CodecChoice::except},
    {"offer", &sdp::CodecChoice::offer},
});
// The other lists of codecs, as in flags.
constexpr auto kTranscodingLists =
    std::to_array<std::string_view>({"transcode", "mask", "consume", "accept", "set"});

// Accepted and ignored: already the default.
constexpr auto kIgnoredKeys = std::to_array<std::string_view>({"repacketize"});
constexpr auto kIgnoredFlags = std::to_array<std::string_view>({
    "original-sendrecv",
    "symmetric-codecs",
    "asymmetric-codecs",
    "reorder-codecs",
});

// Spellings of one flag.
constexpr auto kAllowNoCodec =
    std::to_array<std::string_view>({"allow-no-codec-media", "allow-no-codec-medias",
                                     "allow-empty-codec-media", "allow-empty-codec-medias"});

// The part of `name` after `prefix`; none if the prefix differs or nothing follows it.
std::optional<std::string_view> after(std::string_view name, std::string_view prefix) {
  if (name.size() <= prefix.size() || !same(name.substr(0, prefix.size()), prefix)) return {};
  return name.substr(prefix.size());
}

bool one_line(std::string_view text) {
  return !text.empty() && text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

// The edits of `section`: a media type; "none" or "global" for the session level.
sdp::AttributeEdits& edits_of(sdp::LineEdits& lines, std::string_view section) {
  using Where = sdp::AttributeEdits::Where;
  sdp::AttributeEdits edits;
  const bool session = same(section, "none") || same(section, "global");
  edits.where = session ? Where::session : Where::sections;
  if (!session) edits.type = section;
  const auto known = std::ranges::find_if(lines.attributes, [&](const sdp::AttributeEdits& e) {
    return e.where == edits.where && e.type == edits.type;
  });
  return known != lines.attributes.end() ? *known : lines.attributes.emplace_back(std::move(edits));
}

// Adds removals for all sections, once each: a flag may be repeated.
void remove_lines(sdp::LineEdits& lines, std::initializer_list<std::string_view> attributes) {
  constexpr auto kEverywhere = sdp::AttributeEdits::Where::everywhere;
  auto edits = std::ranges::find(lines.attributes, kEverywhere, &sdp::AttributeEdits::where);
  if (edits == lines.attributes.end()) {
    edits = lines.attributes.emplace(edits);
    edits->where = kEverywhere;
  }
  for (const std::string_view attribute : attributes) {
    if (std::ranges::find(edits->remove, attribute) == edits->remove.end()) {
      edits->remove.emplace_back(attribute);
    }
  }
}

// Reads the pairs of `substitute`: a list of two strings, or a list of such lists.
bool read_pairs(Value value, std::vector<std::pair<std::string, std::string>>& pairs,
                EditLimit& limit) {
  if (is_empty(value)) return true;
  if (value.kind() != Value::Kind::list) return false;
  if (const auto both = texts(value)) {
    if (both->size() < 2 || !one_line(both->at(0)) || !one_line(both->at(1))) return false;
    if (limit.take()) pairs.emplace_back(both->at(0), both->at(1));
    return true;
  }
  bencode::Items items(value);
  while (const auto item = items.next()) {
    const auto both = texts(*item);
    if (!both || !read_pairs(*item, pairs, limit)) return false;
  }
  return true;
}

bool read_section(Value value, sdp::AttributeEdits& edits, EditLimit& limit) {
  if (value.kind() != Value::Kind::dictionary) return false;
  bencode::Entries entries(value);
  while (const auto entry = entries.next()) {
    if (same(entry->key, "substitute")) {
      if (!read_pairs(entry->value, edits.substitute, limit)) return false;
      continue;
    }
    const bool add = same(entry->key, "add");
    auto lines = texts(entry->value);
    if (lines) std::erase(*lines, std::string_view());
    if ((!add && !same(entry->key, "remove")) || !lines) return false;
    if (!std::ranges::all_of(*lines, one_line)) return false;
    if (!limit.take(lines->size())) continue;
    Texts& list = add ? edits.add : edits.remove;
    list.insert(list.end(), lines->begin(), lines->end());
  }
  return true;
}

}  // namespace

bool SdpKeys::key(std::string_view name, Value value, Expected& expected) {
  struct Key {
    std::string_view name;
    Expected (SdpKeys::*read)(Value);
  };
  static constexpr auto kKeys = std::to_array<Key>({
      {"replace", &SdpKeys::replace},
      {"ice", &SdpKeys::ice},
      {"ice-candidate", &SdpKeys::ice_candidate},
      {"transport-protocol", &SdpKeys::transport_protocol},
      {"rtcp-mux", &SdpKeys::rtcp_mux},
      {"bundle", &SdpKeys::bundle},
      {"codec", &SdpKeys::codec},
      {"sdp-attr", &SdpKeys::sdp_attr},
      {"sdp-media-remove", &SdpKeys::sdp_media_remove},
  });
  const auto found = std::ranges::find_if(kKeys, [&](const Key& k) { return same(name, k.name); });
  if (found == kKeys.end()) return among(name, kIgnoredKeys);
  expected = (this->*found->read)(value);
  return true;
}

bool SdpKeys::flag(std::string_view name) {
  sdp::Edits& edits = request_.edits;
  if (bool* const flag = find(edits, name, kFlags)) return *flag = true;
  if (same(name, "generate-mid")) return edits.lines.generate_mid = true;
  if (same(name, "loop-protect")) return edits.lines.loop_mark = true;
  if (among(name, kAllowNoCodec)) return edits.codecs.allow_none = true;
  if (same(name, "single-codec")) {
    edits.single_codec = request_.command == Command::answer;
    return true;
  }
  if (same(name, "strip-extmap")) {
    remove_lines(edits.lines, {"extmap", "extmap-allow-mixed"});
    return true;
  }
  if (const auto rest = after(name, "replace-")) {
    replace_word(*rest);
    return true;
  }
  if (const auto rest = after(name, "rtcp-mux-")) {
    mux_word(*rest);
    return true;
  }
  if (const auto rest = after(name, "bundle-")) {
    bundle_word(*rest);
    return true;
  }
  return codec_word(name) || attribute_word(name) || among(name, kIgnoredFlags);
}

Expected SdpKeys::replace(Value value) {
  const auto each = [&](std::string_view name) { replace_word(name); };
  return for_each_text(value, each) ? Expected() : "a list of strings";
}

void SdpKeys::replace_word(std::string_view name) {
  sdp::OriginEdits& origin = request_.edits.origin;
  if (same(name, "origin")) {
    request_.edits.replace_origin = true;
  } else if (same(name, "session-name")) {
    origin.session_name = true;
  } else if (same(name, "username")) {
    origin.user = true;
  } else if (same(name, "origin-full")) {
    origin.user = origin.id = origin.version = request_.edits.replace_origin = true;
  } else if (same(name, "sdp-version")) {
    origin.version = true;
  } else if (same(name, "force-increment-sdp-ver")) {
    origin.version = origin.increment = true;
  } else if (same(name, "zero-address")) {
    request_.edits.replace_zero_address = true;
  } else if (!same(name, "session-connection")) {  // always replaced
    unknown_.add("replace", name);
  }
}

// In rtpengine, `default` and `optional` differ only for a party without ICE.
Expected SdpKeys::ice(Value value) {
  static constexpr auto kHandlings = std::to_array<NamedValue<IceHandling>>({
      {"default", IceHandling::add},
      {"optional", IceHandling::add},
      {"force", IceHandling::force},
      {"force-relay", IceHandling::force_relay},
      {"only-relay", IceHandling::relay_only},
      {"remove", IceHandling::remove},
  });
  request_.edits.ice = IceHandling::add;
  const bool texts = for_each_text(value, [&](std::string_view word) {
    if (const IceHandling* const known = find(word, kHandlings)) {
      request_.edits.ice = *known;
    } else if (!same(word, "trickle") && !unsupported_.flag("ice-" + std::string(word))) {
      unknown_.add("ICE", word);
    }
  });
  return texts ? Expected() : "a list of strings";
}

// The values of MediaProxy's modparam ice_candidate.
Expected SdpKeys::ice_candidate(Value value) {
  constexpr std::string_view kExpected = "high-priority or low-priority";
  const auto text = value.text();
  if (!text) return kExpected;
  request_.edits.prefer_relay = same(*text, "high-priority");
  return request_.edits.prefer_relay || same(*text, "low-priority") ? Expected() : kExpected;
}

Expected SdpKeys::transport_protocol(Value value) {
  static constexpr auto kProtocols = std::to_array<std::string_view>(
      {"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"});
  const auto text = value.text();
  if (!text) return "a string";
  if (same(*text, "accept")) {
    request_.edits.protocol = "accept";
    return {};
  }
  const auto known = std::ranges::find_if(kProtocols, [&](std::string_view protocol) {
    return std::ranges::equal(*text, protocol, {}, fold, fold);
  });
  if (known == kProtocols.end()) {
    unknown_.add("transport-protocol", *text);
  } else {
    request_.edits.protocol = *known;
  }
  return {};
}

Expected SdpKeys::rtcp_mux(Value value) {
  const auto each = [&](std::string_view name) { mux_word(name); };
  return for_each_text(value, each) ? Expected() : "a list of strings";
}

void SdpKeys::mux_word(std::string_view name) {
  const std::array known{
      std::pair{"offer", &sdp::MuxChoice::offer},   std::pair{"require", &sdp::MuxChoice::require},
      std::pair{"demux", &sdp::MuxChoice::demux},   std::pair{"accept", &sdp::MuxChoice::accept},
      std::pair{"reject", &sdp::MuxChoice::reject},
  };
  for (const auto& [word, choice] : known) {
    if (same(name, word)) {
      request_.edits.mux.*choice = true;
      return;
    }
  }
  unknown_.add("rtcp-mux", name);
}

Expected SdpKeys::bundle(Value value) {
  const auto each = [&](std::string_view name) { bundle_word(name); };
  return for_each_text(value, each) ? Expected() : "a list of strings";
}

void SdpKeys::bundle_word(std::string_view name) {
  if (same(name, "reject")) {
    request_.edits.no_bundle = true;
    remove_lines(request_.edits.lines, {"group:BUNDLE", "bundle-only"});
  } else if (same(name, "offer") || same(name, "require")) {
    (same(name, "offer") ? request_.edits.offer_bundle : request_.edits.require_bundle) = true;
  } else if (!same(name, "accept")) {
    unknown_.add("bundle", name);
  }
}

Expected SdpKeys::codec(Value value) {
  constexpr std::string_view kExpected = "a dictionary of lists of codecs";
  if (value.kind() != Value::Kind::dictionary) return kExpected;
  bencode::Entries entries(value);
  while (const auto entry = entries.next()) {
    if (is_empty(entry->value)) continue;
    const auto names = texts(entry->value);
    if (!names) return kExpected;
    if (Texts* const list = find(request_.edits.codecs, entry->key, kCodecLists)) {
      if (!limit_.take(names->size())) continue;
      list->insert(list->end(), names->begin(), names->end());
    } else if (!among(entry->key, kTranscodingLists)) {
      unknown_.add("codec", entry->key);
    } else if (!names->empty()) {
      (void)unsupported_.flag("codec-" + std::string(entry->key) + '-' +
                              std::string(names->front()));
    }
  }
  return {};
}

// codec-strip-PCMU, codec-offer-opus/48000/2
bool SdpKeys::codec_word(std::string_view name) {
  const auto rest = after(name, "codec-");
  if (!rest) return false;
  for (const auto& field : kCodecLists) {
    const auto codec = after(*rest, std::string(field.name) + '-');
    if (!codec) continue;
    if (limit_.take()) (request_.edits.codecs.*field.member).push_back(unescape(*codec));
    return true;
  }
  return false;
}

Expected SdpKeys::sdp_attr(Value value) {
  constexpr std::string_view kExpected =
      "a dictionary of media types, and of the lists add, remove and substitute in each";
  if (value.kind() != Value::Kind::dictionary) return kExpected;
  bencode::Entries entries(value);
  while (const auto entry = entries.next()) {
    if (!limit_.take()) return {};
    if (is_empty(entry->value)) continue;
    sdp::LineEdits& lines = request_.edits.lines;
    if (!read_section(entry->value, edits_of(lines, entry->key), limit_)) return kExpected;
  }
  return {};
}

// sdp-attr-add-audio-ptime:20, sdp-attr-substitute-none-sendrecv>sendonly
bool SdpKeys::attribute_word(std::string_view name) {
  const auto rest = after(name, "sdp-attr-");
  if (!rest) return false;
  const auto command = rest->substr(0, rest->find('-'));
  const std::string_view more = rest->substr(std::min(command.size() + 1, rest->size()));
  const auto section = more.substr(0, more.find('-'));
  const std::string line = unescape(more.substr(std::min(section.size() + 1, more.size())));
  if (section.empty() || !one_line(line)) return false;
  if (!limit_.take()) return true;
  sdp::LineEdits& lines = request_.edits.lines;
  const std::size_t to = line.find('>');
  if (same(command, "add")) {
    edits_of(lines, section).add.push_back(line);
  } else if (same(command, "remove")) {
    edits_of(lines, section).remove.push_back(line);
  } else if (same(command, "substitute") && to != line.npos && to > 0 && to + 1 < line.size()) {
    edits_of(lines, section).substitute.emplace_back(line.substr(0, to), line.substr(to + 1));
  } else {
    return false;
  }
  return true;
}

Expected SdpKeys::sdp_media_remove(Value value) {
  const auto types = texts(value);
  if (!types) return "a list of media types";
  Texts& removed = request_.edits.remove_media_types;
  removed.clear();
  for (const std::string_view type : *types) {
    if (limit_.take()) removed.emplace_back(same(type, "other") ? "other" : type);
  }
  return {};
}

}  // namespace millrace::ng
