// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_request.h"

#include <utility>
#include <vector>

#include "control/command/unsupported.h"
#include "control/protocol/ng/ng_placement_keys.h"
#include "control/protocol/ng/ng_sdp_keys.h"
#include "control/protocol/ng/ng_unsupported.h"
#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {
namespace {

using bencode::Value;

// ---- names ----------------------------------------------------------------------------------

constexpr auto kTexts = std::to_array<Field<std::string_view>>({
    {"call-id", &Request::call_id},
    {"from-tag", &Request::from_tag},
    {"to-tag", &Request::to_tag},
    {"via-branch", &Request::via_branch},
    {"sdp", &Request::sdp},
});
constexpr auto kLabels = std::to_array<Field<std::string_view, Labels>>({
    {"label", &Labels::label},
    {"from-label", &Labels::label},
    {"metadata", &Labels::metadata},
});
constexpr auto kFlags = std::to_array<Field<bool>>({
    {"fragment", &Request::fragment},
    {"new-branch", &Request::new_branch},
});
constexpr auto kLatchingFlags = std::to_array<Field<bool, LatchOptions>>({
    {"sip-source-address", &LatchOptions::sip_source_address},
    {"asymmetric", &LatchOptions::asymmetric},
    {"strict-source", &LatchOptions::strict_source},
    {"media-handover", &LatchOptions::media_handover},
    {"nat-wait", &LatchOptions::nat_wait},
    {"pierce-nat", &LatchOptions::nat_punch},
    {"reset", &LatchOptions::reset},
});
constexpr auto kRemovalFlags = std::to_array<Field<bool, Removal>>({
    {"to-tag", &Removal::match_to_tag},
    {"fatal", &Removal::fatal},
    {"fast", &Removal::fast},
});
constexpr auto kSupported = std::to_array<Field<bool>>({
    {"load-limit", &Request::supports_load_limit},
});

// Keys of each command. They name the call or a part of it, or are flags.
constexpr auto kSelectors =
    std::to_array<std::string_view>({"call-id", "from-tag", "to-tag", "via-branch", "flags"});
// Keys of block, silence, ...
constexpr auto kTargets = std::to_array<std::string_view>(
    {"label", "from-label", "address", "all", "dtmf-security", "dtmf-delay", "trigger"});
// Keys of commands other than offer and answer.
constexpr auto kForeign =
    std::to_array<std::string_view>({"delete-delay", "limit", "address", "all"});
// Keys of which a malformed value fails the request even if empty: without its value the request
// would be for another call or party.
constexpr auto kNeeded =
    std::to_array<std::string_view>({"call-id", "from-tag", "to-tag", "via-branch", "sdp", "label",
                                     "from-label", "address", "all"});
// Keys of which a malformed value never fails the request: their default serves.
constexpr auto kOptional =
    std::to_array<std::string_view>({"received-from", "tos", "delete-delay", "sip-code", "supports",
                                     "address-family", "metadata", "ssrc-reporting"});

constexpr std::string_view kScriptFlags = "words, and brackets in pairs";

// Accepted and ignored: already the default, or not about media.
constexpr auto kIgnoredKeys = std::to_array<std::string_view>({
    "sip-message-type",
    "to-label",
    "set-label",
    "rtpp-flags",
});
constexpr auto kIgnoredFlags = std::to_array<std::string_view>({
    "trust-address",
    "symmetric",
    "pad-crypto",
    "port-latching",
    "trickle-ice",
    "directional",
    "unidirectional",
    "no-redis-update",
    "debug",
});

struct CommandName {
  std::string_view name;
  Command command;
};
constexpr auto kCommands = std::to_array<CommandName>({
    {"ping", Command::ping},
    {"offer", Command::offer},
    {"answer", Command::answer},
    {"delete", Command::remove},
    {"query", Command::query},
    {"list", Command::list},
    {"statistics", Command::statistics},
    {"block media", Command::block_media},
    {"unblock media", Command::unblock_media},
    {"silence media", Command::silence_media},
    {"unsilence media", Command::unsilence_media},
    {"block DTMF", Command::block_dtmf},
    {"unblock DTMF", Command::unblock_dtmf},
});

std::string_view* find_text(Request& request, std::string_view name) {
  if (auto* const field = find(request, name, kTexts)) return field;
  return find(request.labels, name, kLabels);
}

bool* find_flag(Request& request, std::string_view name) {
  if (auto* const field = find(request, name, kFlags)) return field;
  if (auto* const field = find(request.latching, name, kLatchingFlags)) return field;
  if (auto* const field = find(request.removal, name, kRemovalFlags)) return field;
  if (same(name, "provisional")) return &request.sip.provisional;
  return same(name, "all") ? &request.target.all_parties : nullptr;
}

// ---- a dictionary to a Request --------------------------------------------------------------

// Fills the Request key by key.
class Reader {
 public:
  explicit Reader(Message& message)
      : request_(message.request), ssrcs_(message.ssrcs), unknown_(message.unknown) {}

  // Called first: the command decides which keys are read.
  void command(Value value);
  void key(std::string_view name, Value value);
  // For a value of `rtpp-flags` that is no list of flags.
  void malformed_flags();
  // Error text of an invalid request, rtpengine's where it has one; none: the request is valid.
  [[nodiscard]] std::optional<std::string> refusal() const;

 private:
  using Read = Expected (Reader::*)(Value);
  // Parser of a key whose value is not plain text; null if none.
  static Read special(std::string_view name);

  // True: the command reads this key.
  [[nodiscard]] bool is_own(std::string_view name) const;
  // Ignores the key with a warning, or refuses the request.
  void malformed(std::string_view name, bool ignored, std::string_view expected);

  Expected received_from(Value value);
  Expected tos(Value value);
  Expected delete_delay(Value value);
  Expected limit(Value value);
  Expected flags(Value value);
  Expected supports(Value value);
  Expected party_address(Value value);
  Expected sip_code(Value value);
  Expected all(Value value);
  Expected ssrc_reporting(Value value);

  Request& request_;
  SsrcReporting& ssrcs_;
  Unknown unknown_;
  Unsupported unsupported_{request_};
  SdpKeys sdp_keys_{request_, unknown_, unsupported_};
  PlacementKeys placement_keys_{request_.placement};
  std::optional<std::string_view> command_name_;
  bool command_known_ = false;
  bool sets_up_ = false;   // offer, answer
  std::string malformed_;  // error text of the first malformed value
};

Reader::Read Reader::special(std::string_view name) {
  struct Special {
    std::string_view name;
    Read read;
  };
  static constexpr auto kSpecial = std::to_array<Special>({
      {"received-from", &Reader::received_from},
      {"tos", &Reader::tos},
      {"delete-delay", &Reader::delete_delay},
      {"limit", &Reader::limit},
      {"flags", &Reader::flags},
      {"supports", &Reader::supports},
      {"address", &Reader::party_address},
      {"sip-code", &Reader::sip_code},
      {"all", &Reader::all},
      {"ssrc-reporting", &Reader::ssrc_reporting},
  });
  const auto found =
      std::ranges::find_if(kSpecial, [&](const Special& s) { return same(name, s.name); });
  return found == kSpecial.end() ? nullptr : found->read;
}

bool Reader::is_own(std::string_view name) const {
  if (sets_up_) return !among(name, kForeign);
  if (among(name, kSelectors)) return true;
  switch (request_.command) {
    case Command::remove:
      return same(name, "delete-delay") || same(name, "ssrc-reporting");
    case Command::list:
      return same(name, "limit");
    case Command::query:
      return same(name, "ssrc-reporting");
    case Command::ping:
    case Command::statistics:
      return false;
    default:
      return among(name, kTargets);
  }
}

void Reader::malformed(std::string_view name, bool ignored, std::string_view expected) {
  if (ignored) {
    // Folded: no more warnings than known keys, in whatever spellings they come.
    std::string warning(name);
    std::ranges::transform(warning, warning.begin(), fold);
    (warning += ": ignored, expected ") += expected;
    add_sentence(request_.unsupported, warning);
  } else if (malformed_.empty()) {
    malformed_ = "Invalid value of key \"" + std::string(name) + "\": expected ";
    malformed_ += expected;
  }
}

void Reader::key(std::string_view name, Value value) {
  const bool own = is_own(name);
  if (!own && !sets_up_) return;
  Expected expected;
  if (std::string_view* const field = find_text(request_, name)) {
    const auto text = value.text();
    if (text) *field = *text;
    if (!text) expected = "a string";
  } else if (const Read read = special(name)) {
    expected = (this->*read)(value);
  } else if (!placement_keys_.key(name, value, expected) && !sdp_keys_.key(name, value, expected) &&
             !among(name, kIgnoredKeys) && !unsupported_.key(name, value)) {
    unknown_.add(name);
  }
  if (!expected || !own) return;
  const bool flags_of_others = !sets_up_ && same(name, "flags");
  const bool ignored =
      !among(name, kNeeded) && (is_empty(value) || among(name, kOptional) || flags_of_others);
  malformed(name, ignored, *expected);
}

void Reader::malformed_flags() { malformed("rtpp-flags", !sets_up_, kScriptFlags); }

std::optional<std::string> Reader::refusal() const {
  if (!command_name_) return "Dictionary contains no key \"command\"";
  if (auto why = unsupported_command(*command_name_)) return why;
  if (!command_known_) return "Unrecognized command";
  if (!malformed_.empty()) return malformed_;
  if (sdp_keys_.too_many_edits()) {
    return "More than " + std::to_string(sdp::kMaxEdits) +
           " SDP edits in one request (codecs, attribute lines, their sections, media types)";
  }
  // A fragment holds candidates only; the offer and the answer carry the options, too.
  if (!unsupported_.refusal().empty() && !request_.fragment) return unsupported_.refusal();
  return std::nullopt;
}

void Reader::command(Value value) {
  command_name_ = value.text().value_or("");
  const auto known = std::ranges::find(kCommands, *command_name_, &CommandName::name);
  command_known_ = known != kCommands.end();
  if (command_known_) request_.command = known->command;
  sets_up_ = request_.command == Command::offer || request_.command == Command::answer;
}

Expected Reader::received_from(Value value) {
  constexpr std::string_view kExpected = "IP4 or IP6, and an IP address";
  std::array<std::string_view, 2> parts;
  std::size_t count = 0;
  const bool texts = for_each_text(value, [&](std::string_view text) {
    if (count < parts.size()) parts[count] = text;
    ++count;
  });
  if (!texts || count != parts.size()) return kExpected;
  if (!same(parts[0], "ip4") && !same(parts[0], "ip6")) return kExpected;
  request_.latching.received_from = address(parts[1]);
  return request_.latching.received_from ? Expected() : kExpected;
}

// Negative, or 256 and above: keep the packet's DSCP, as without this key.
Expected Reader::tos(Value value) {
  const auto tos = value.integer();
  if (!tos) return "an integer";
  request_.dscp.reset();
  if (*tos >= 0 && *tos < 256) request_.dscp = static_cast<std::uint8_t>(*tos >> 2);
  return {};
}

// Negative: use the configured delay, as without this key.
Expected Reader::delete_delay(Value value) {
  constexpr std::int64_t kLongest = 86'400;
  const auto seconds = value.integer();
  if (!seconds || *seconds > kLongest) return "seconds, 86400 at most";
  request_.removal.delay.reset();
  if (*seconds >= 0) request_.removal.delay = std::chrono::seconds(*seconds);
  return {};
}

// A list is one reply, of at most 1 MiB since a Call-ID has at most kMaxName bytes.
Expected Reader::limit(Value value) {
  constexpr std::int64_t kMaxListed = 1024;
  const auto limit = value.integer();
  if (!limit || !std::in_range<std::uint32_t>(*limit)) return "a number of calls";
  request_.list_limit = static_cast<std::uint32_t>(std::min(*limit, kMaxListed));
  return {};
}

Expected Reader::flags(Value value) {
  const auto names = texts(value);
  if (!names) return "a list of strings";
  for (const std::string_view name : *names) {
    if (bool* const flag = find_flag(request_, name)) {
      *flag = true;
    } else if (!sets_up_) {
      continue;
    } else if (!placement_keys_.flag(name) && !sdp_keys_.flag(name) &&
               !among(name, kIgnoredFlags) && !unsupported_.flag(name)) {
      unknown_.add(name);
    }
  }
  return {};
}

Expected Reader::supports(Value value) {
  const auto names = texts(value);
  if (!names) return "a list of strings";
  for (const std::string_view name : *names) {
    if (bool* const flag = find(request_, name, kSupported)) *flag = true;
  }
  return {};
}

Expected Reader::party_address(Value value) {
  request_.target.address = address(value.text().value_or(""));
  return request_.target.address ? Expected() : "an IP address";
}

Expected Reader::sip_code(Value value) {
  const auto code = value.integer();
  if (!code || *code < 0 || *code > 699) return "a SIP response code";
  request_.sip.code = static_cast<unsigned>(*code);
  return {};
}

// Other values select media flows that this relay does not have.
Expected Reader::all(Value value) {
  const auto text = value.text();
  if (!text) return "a string";
  request_.target.all_parties = same(*text, "all");
  if (!request_.target.all_parties) unknown_.add("all", *text);
  return {};
}

Expected Reader::ssrc_reporting(Value value) {
  static constexpr auto kWords = std::to_array<NamedValue<SsrcReporting>>({
      {"inline", SsrcReporting::inlined},
      {"global", SsrcReporting::global},
      {"none", SsrcReporting::none},
  });
  const auto text = value.text();
  const SsrcReporting* const where = text ? find(*text, kWords) : nullptr;
  if (where == nullptr) return "inline, global or none";
  ssrcs_ = *where;
  return {};
}

}  // namespace

Result<void> read_request(ScriptFlags flags, std::span<const bencode::Entry> entries,
                          Message& message) {
  Reader reader(message);
  // The command decides which keys are read. Both modules send it last.
  const auto is_command = [](const bencode::Entry& entry) { return same(entry.key, "command"); };
  for (const bencode::Entry& entry : entries) {
    if (is_command(entry)) reader.command(entry.value);
  }
  if (!flags) {
    reader.malformed_flags();
  } else if (*flags) {
    bencode::Entries script(**flags);
    while (const auto entry = script.next()) reader.key(entry->key, entry->value);
  }
  for (const bencode::Entry& entry : entries) {
    if (!is_command(entry)) reader.key(entry.key, entry.value);
  }
  if (auto reason = reader.refusal()) return fail(std::move(*reason));
  return {};
}

}  // namespace millrace::ng
