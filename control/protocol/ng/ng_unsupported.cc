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

// `folded` is lower case.
bool has(std::string_view line, std::string_view folded) {
  return !std::ranges::search(line, folded, {}, lower).empty();
}

Unsupported::Content content_of(std::string_view sdp) {
  Unsupported::Content content;
  while (!sdp.empty()) {
    const std::size_t end = std::min(sdp.find_first_of("\r\n"), sdp.size());
    const std::string_view line = sdp.substr(0, end);
    if (line.starts_with("m=")) {
      content.dtls |= has(line, "udp/tls/") || has(line, "dtls");
      content.keys |= has(line, "savp") || has(line, "tls/");
    } else if (line.starts_with("a=")) {
      const std::string_view name = line.substr(2, line.find(':') - 2);
      content.keys |= same(name, "crypto") || same(name, "fingerprint");
      content.ice |= same(name, "ice-ufrag") || same(name, "candidate");
    }
    sdp.remove_prefix(std::min(end + 1, sdp.size()));
  }
  return content;
}

using Of = Unsupported::Of;

constexpr std::string_view kOff = "off no disable";

// A key, and its words that request nothing. Or a flag: a name that ends in a hyphen is a prefix,
// and a word follows. Several options may have one name. `why` is the whole warning if the option
// is ignored.
struct Option {
  std::string_view name;
  std::string_view why;
  Of of = Of::any;
  std::string_view nothing = kOff;
};

constexpr std::string_view kPassedSuites = "off no disable nonew pad";
constexpr std::string_view kPassedOsrtp = "off no disable accept accept-rfc accept-legacy";
constexpr std::string_view kAtOnce = "this relay forwards packets immediately";

constexpr auto kRefusedKeys = std::to_array<Option>({
    {"record-call", kNoRecording},
    {"sdes", kNoSrtp, Of::keys, kPassedSuites},
    {"osrtp", kNoSrtp, Of::keys},
    {"osrtp", kNoSrtp, Of::any, kPassedOsrtp},
    {"dtls", kNoSrtp, Of::keys},
    {"dtls-reverse", kNoSrtp, Of::keys},
    {"dtls-fingerprint", kNoSrtp, Of::keys},
    {"t.38", kNoTranscoding},
    {"audio-player", kNoSending, Of::any, "off no disable default"},
    {"moh", kNoSending},
    {"dtmf-security", kOnlyDrops, Of::any, "off no drop"},
    {"trigger", kOnlyDrops},
    {"dtmf-delay", kAtOnce, Of::any, "0"},
    {"delay-buffer", kAtOnce, Of::any, "0"},
    {"media-echo", "this relay forwards media to the other party only"},
    {"drop-traffic", "use the command `block media`", Of::any, "stop"},
});
constexpr auto kRefusedFlags = std::to_array<Option>({
    {"record-call", kNoRecording},
    {"sdes-", kNoSrtp, Of::keys, kPassedSuites},
    {"osrtp-", kNoSrtp, Of::keys},
    {"osrtp-", kNoSrtp, Of::any, kPassedOsrtp},
    {"dtls-", kNoSrtp, Of::keys},
    {"recrypt", kNoSrtp, Of::keys},
    {"webrtc", kNoSrtp, Of::no_dtls},
    {"transcode-", kNoTranscoding},
    {"codec-transcode-", kNoTranscoding},
    {"codec-mask-", kNoTranscoding},
    {"codec-consume-", kNoTranscoding},
    {"codec-accept-", kNoTranscoding},
    {"codec-set-", kNoTranscoding},
    {"always-transcoding", kNoTranscoding},
    {"force-transcoding", kNoTranscoding},
    {"t38-", kNoTranscoding},
    {"inject-dtmf", kNoSending},
    {"block-dtmf", "use the command `block DTMF`"},
});

constexpr std::string_view kPacketTime = "ptime: packets keep the duration that their sender chose";
constexpr std::string_view kLearning =
    "endpoint-learning: addresses are learned as by default, see sip-source-address, asymmetric";
constexpr auto kIgnoredKeys = std::to_array<Option>({
    {"ptime", kPacketTime, Of::any, "0"},
    {"ptime-reverse", kPacketTime, Of::any, "0"},
    {"template", "template: this relay has none; write its flags out"},
    {"endpoint-learning", kLearning, Of::any, "heuristic"},
    {"generate-rtcp", "generate-RTCP: RTCP passes between the parties"},
    {"ice-lite", "ICE-lite: the relay is no ICE agent", Of::ice},
});
constexpr auto kIgnoredFlags = std::to_array<Option>({
    {"no-port-latching", "no-port-latching: a party's ports stay as long as its media"},
    {"endpoint-learning-", kLearning, Of::any, "heuristic"},
    {"block-egress", "block-egress: this relay plays nothing"},
    {"detect-dtmf", "detect-DTMF: this relay reports no telephone-events"},
    {"reject-ice", "reject-ICE: the parties negotiate ICE; ICE=remove ends it for both", Of::ice},
    {"ice-lite-", "ICE-lite: the relay is no ICE agent", Of::ice},
    {"no-tls-id", "no-tls-id: a=tls-id passes between the parties", Of::dtls},
    {"webrtc", "WebRTC: DTLS, ICE and rtcp-mux are negotiated between the parties", Of::dtls},
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

}  // namespace

std::optional<std::string> unsupported_command(std::string_view name) {
  const auto found = std::ranges::find(kCommands, name, &CommandReason::name);
  if (found == kCommands.end()) return std::nullopt;
  return "Command \"" + std::string(name) + "\" is not supported: " + std::string(found->why);
}

bool Unsupported::concerns(Of of) {
  if (of == Of::any) return true;
  if (!content_) content_ = content_of(request_.sdp);
  switch (of) {
    case Of::keys:
      return content_->keys;
    case Of::ice:
      return content_->ice;
    case Of::dtls:
      return content_->dtls;
    case Of::no_dtls:
      return !content_->dtls;
    case Of::any:
      break;
  }
  return true;
}

void Unsupported::refuse(std::string_view name, std::string_view why) {
  if (!refusal_.empty()) return;
  refusal_ = "\"" + std::string(name) + "\" is not supported: ";
  refusal_ += why;
}

bool Unsupported::key(std::string_view name, bencode::Value value) {
  bool known = false;
  for (const Option& option : kRefusedKeys) {
    if (!same(name, option.name)) continue;
    known = true;
    if (requests(value, option) && concerns(option.of)) refuse(name, option.why);
  }
  for (const Option& option : kIgnoredKeys) {
    if (!same(name, option.name)) continue;
    known = true;
    if (requests(value, option) && concerns(option.of)) {
      add_sentence(request_.unsupported, option.why);
    }
  }
  return known;
}

bool Unsupported::flag(std::string_view name) {
  bool known = false;
  for (const Option& option : kRefusedFlags) {
    if (!has_name(name, option)) continue;
    known = true;
    if (requests(name, option) && concerns(option.of)) refuse(name, option.why);
  }
  for (const Option& option : kIgnoredFlags) {
    if (!has_name(name, option)) continue;
    known = true;
    if (requests(name, option) && concerns(option.of)) {
      add_sentence(request_.unsupported, option.why);
    }
  }
  return known;
}

}  // namespace millrace::ng
