// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_unsupported.h"

#include "control/command/unsupported.h"
#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {
namespace {

constexpr std::string_view kNoRecording = "this relay records nothing";
constexpr std::string_view kNoSending = "this relay sends no media of its own";
constexpr std::string_view kTwoParties = "this relay joins the two parties of a dialog only";
constexpr std::string_view kNoSrtp =
    "this relay speaks neither SRTP nor DTLS; keys and fingerprints pass between the parties";
constexpr std::string_view kNoTranscoding = "this relay does not transcode";
constexpr std::string_view kOnlyDrops = "this relay drops telephone-events or passes them";

struct CommandReason {
  std::string_view name;
  std::string_view why;
};

constexpr auto kCommands = std::to_array<CommandReason>({
    {"start recording", kNoRecording},
    {"stop recording", kNoRecording},
    {"pause recording", kNoRecording},
    {"start forwarding", kNoRecording},
    {"stop forwarding", kNoRecording},
    {"play media", kNoSending},
    {"stop media", kNoSending},
    {"play DTMF", kNoSending},
    {"inject start", kNoSending},
    {"inject stop", kNoSending},
    {"publish", kTwoParties},
    {"subscribe request", kTwoParties},
    {"subscribe answer", kTwoParties},
    {"unsubscribe", kTwoParties},
    {"connect", kTwoParties},
    {"create", kTwoParties},
    {"create answer", kTwoParties},
    {"mesh", kTwoParties},
    {"transform", kNoTranscoding},
    {"cli", "use `list`, `query` and `statistics`"},
    {"CLI", "use `list`, `query` and `statistics`"},
});

// True: `word` is one of `words`, which are lower case and separated by spaces.
bool listed(std::string_view word, std::string_view words) {
  while (!words.empty()) {
    const std::size_t space = std::min(words.find(' '), words.size());
    if (same(word, words.substr(0, space))) return true;
    words.remove_prefix(std::min(space + 1, words.size()));
  }
  return false;
}

using Of = sdp::ConditionalOption::Of;

constexpr std::string_view kOff = "off no disable";

enum class Effect : std::uint8_t { refuse, warn };

// A key, and its words that request nothing. Or a flag: a name that ends in a hyphen is a prefix,
// and a word follows. Several options may have one name. `why`: the reason of a refusal, or the
// whole warning.
struct Option {
  std::string_view name;
  Effect effect;
  std::string_view why;
  std::optional<Of> of = std::nullopt;  // none: concerns every SDP
  std::string_view nothing = kOff;
};

constexpr auto refuse = Effect::refuse;
constexpr auto warn = Effect::warn;
constexpr auto any = std::nullopt;

constexpr std::string_view kPassedSuites = "off no disable nonew pad";
constexpr std::string_view kPassedOsrtp = "off no disable accept accept-rfc accept-legacy";
constexpr std::string_view kAtOnce = "this relay forwards packets immediately";
constexpr std::string_view kPacketTime = "ptime: packets keep the duration that their sender chose";
constexpr std::string_view kLearning =
    "endpoint-learning: addresses are learned as by default, see sip-source-address, asymmetric";
constexpr std::string_view kNoRtcp = "generate-RTCP: RTCP passes between the parties";
constexpr std::string_view kCodecs =
    "the parties negotiate their codecs; see codec-strip, codec-offer, single-codec";
constexpr std::string_view kNoAgent = "ICE-lite: the relay is no ICE agent";

constexpr auto kKeys = std::to_array<Option>({
    {"record-call", refuse, kNoRecording},
    {"sdes", refuse, kNoSrtp, Of::keys, kPassedSuites},
    {"osrtp", refuse, kNoSrtp, Of::keys},
    {"osrtp", refuse, kNoSrtp, any, kPassedOsrtp},
    {"dtls", refuse, kNoSrtp, Of::keys},
    {"dtls-reverse", refuse, kNoSrtp, Of::keys},
    {"dtls-fingerprint", refuse, kNoSrtp, Of::keys},
    {"t.38", refuse, kNoTranscoding},
    {"audio-player", refuse, kNoSending, any, "off no disable default"},
    {"moh", refuse, kNoSending},
    {"dtmf-security", refuse, kOnlyDrops, any, "off no drop"},
    {"trigger", refuse, kOnlyDrops},
    {"dtmf-delay", refuse, kAtOnce, any, "0"},
    {"delay-buffer", refuse, kAtOnce, any, "0"},
    {"media-echo", refuse, "this relay forwards media to the other party only"},
    {"drop-traffic", refuse, "use the command `block media`", any, "stop"},
    {"ptime", warn, kPacketTime, any, "0"},
    {"ptime-reverse", warn, kPacketTime, any, "0"},
    {"template", warn, "template: this relay has none; write its flags out"},
    {"endpoint-learning", warn, kLearning, any, "heuristic"},
    {"generate-rtcp", warn, kNoRtcp},
    {"ice-lite", warn, kNoAgent, Of::ice},
});
constexpr auto kFlags = std::to_array<Option>({
    {"record-call", refuse, kNoRecording},
    {"sdes-", refuse, kNoSrtp, Of::keys, kPassedSuites},
    {"osrtp-", refuse, kNoSrtp, Of::keys},
    {"osrtp-", refuse, kNoSrtp, any, kPassedOsrtp},
    {"dtls-", refuse, kNoSrtp, Of::keys},
    {"recrypt", refuse, kNoSrtp, Of::keys},
    {"webrtc", refuse, kNoSrtp, Of::no_dtls},
    {"transcode-", refuse, kNoTranscoding},
    {"codec-transcode-", refuse, kNoTranscoding},
    {"codec-mask-", refuse, kNoTranscoding},
    {"codec-consume-", refuse, kNoTranscoding},
    {"codec-accept-", refuse, kNoTranscoding},
    {"codec-set-", refuse, kNoTranscoding},
    {"always-transcoding", refuse, kNoTranscoding},
    {"always-transcode", refuse, kNoTranscoding},
    {"force-transcoding", refuse, kNoTranscoding},
    {"t38-", refuse, kNoTranscoding},
    {"inject-dtmf", refuse, kNoSending},
    {"audio-player", refuse, kNoSending},
    {"player", refuse, kNoSending},
    {"block-dtmf", refuse, "use the command `block DTMF`"},
    {"no-port-latching", warn, "no-port-latching: a party's ports stay as long as its media"},
    {"endpoint-learning-", warn, kLearning, any, "heuristic"},
    {"generate-rtcp", warn, kNoRtcp},
    {"static-codecs", warn, kCodecs},
    {"reuse-codecs", warn, kCodecs},
    {"no-codec-renegotiation", warn, kCodecs},
    {"block-short", warn, "block-short: packets of any length pass"},
    {"block-short-packets", warn, "block-short: packets of any length pass"},
    {"block-egress", warn, "block-egress: this relay plays nothing"},
    {"detect-dtmf", warn, "detect-DTMF: this relay reports no telephone-events"},
    {"reject-ice", warn, "reject-ICE: the parties negotiate ICE; ICE=remove ends it for both",
     Of::ice},
    {"ice-lite-", warn, kNoAgent, Of::ice},
    {"no-tls-id", warn, "no-tls-id: a=tls-id passes between the parties", Of::dtls},
    {"webrtc", warn, "WebRTC: DTLS, ICE and rtcp-mux are negotiated between the parties", Of::dtls},
});

bool is_prefix(const Option& flag) { return flag.name.ends_with('-'); }

bool has_name(std::string_view name, const Option& flag) {
  if (!is_prefix(flag)) return same(name, flag.name);
  return name.size() > flag.name.size() && same(name.substr(0, flag.name.size()), flag.name);
}

// True: the value is more than words that request nothing.
bool requests(bencode::Value value, const Option& key) {
  if (is_empty(value)) return false;
  const auto words = texts(value);
  return !words || !std::ranges::all_of(
                       *words, [&](std::string_view word) { return listed(word, key.nothing); });
}

bool requests(std::string_view name, const Option& flag) {
  return !is_prefix(flag) || !listed(name.substr(flag.name.size()), flag.nothing);
}

void add(std::string_view name, const Option& option, Request& request, std::string& refusal) {
  const bool refused = option.effect == Effect::refuse;
  if (!refused && !option.of) return add_sentence(request.unsupported, option.why);
  std::string text(option.why);
  if (refused) text = '"' + std::string(name) + "\" is not supported: " + text;
  if (!option.of) {
    if (refusal.empty()) refusal = std::move(text);
    return;
  }
  auto& conditional = request.edits.conditional;
  const bool known = std::ranges::any_of(conditional, [&](const sdp::ConditionalOption& each) {
    return each.of == *option.of && each.refused == refused && (refused || each.text == text);
  });
  if (!known) conditional.push_back({*option.of, refused, std::move(text)});
}

}  // namespace

std::optional<std::string> unsupported_command(std::string_view name) {
  const auto found = std::ranges::find(kCommands, name, &CommandReason::name);
  if (found == kCommands.end()) return std::nullopt;
  return "Command \"" + std::string(name) + "\" is not supported: " + std::string(found->why);
}

bool Unsupported::key(std::string_view name, bencode::Value value) {
  bool known = false;
  for (const Option& option : kKeys) {
    if (!same(name, option.name)) continue;
    known = true;
    if (requests(value, option)) add(name, option, request_, refusal_);
  }
  return known;
}

bool Unsupported::flag(std::string_view name) {
  bool known = false;
  for (const Option& option : kFlags) {
    if (!has_name(name, option)) continue;
    known = true;
    if (requests(name, option)) add(name, option, request_, refusal_);
  }
  return known;
}

}  // namespace millrace::ng
