// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_unsupported.h"

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

struct Unsupported {
  std::string_view name;
  std::string_view why;
};

constexpr auto kCommands = std::to_array<Unsupported>({
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
constexpr auto kKeys = std::to_array<Unsupported>({
    {"record-call", kNoRecording},
    {"sdes", kNoSrtp},
    {"osrtp", kNoSrtp},
    {"dtls", kNoSrtp},
    {"t.38", kNoTranscoding},
    {"audio-player", kNoSending},
    {"moh", kNoSending},
    {"dtmf-security", kOnlyDrops},
    {"trigger", kOnlyDrops},
});
// Flags; a name that ends in a hyphen is a prefix.
constexpr auto kFlags = std::to_array<Unsupported>({
    {"record-call", kNoRecording},
    {"sdes-", kNoSrtp},
    {"osrtp-", kNoSrtp},
    {"recrypt", kNoSrtp},
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
});

constexpr auto kDegraded = std::to_array<Unsupported>({
    {"no-port-latching", "no-port-latching: a party's ports stay as long as its media"},
});

std::string reason(std::string_view what, const Unsupported& found) {
  return "\"" + std::string(what) + "\" is not supported: " + std::string(found.why);
}

bool is_off(bencode::Value value) {
  const auto words = texts(value);
  return words && std::ranges::all_of(*words, [](std::string_view word) {
           return same(word, "off") || same(word, "no");
         });
}

bool is_flag(std::string_view name, std::string_view flag) {
  if (!flag.ends_with('-')) return same(name, flag);
  return name.size() > flag.size() && same(name.substr(0, flag.size()), flag) &&
         !same(name.substr(flag.size()), "off");
}

}  // namespace

std::optional<std::string> unsupported_command(std::string_view name) {
  const auto found = std::ranges::find(kCommands, name, &Unsupported::name);
  if (found == kCommands.end()) return std::nullopt;
  return "Command " + reason(name, *found);
}

std::optional<std::string> unsupported_key(std::string_view name, bencode::Value value) {
  const auto found =
      std::ranges::find_if(kKeys, [&](const Unsupported& k) { return same(name, k.name); });
  if (found == kKeys.end() || is_off(value)) return std::nullopt;
  return reason(name, *found);
}

std::optional<std::string_view> degraded_flag(std::string_view name) {
  const auto found =
      std::ranges::find_if(kDegraded, [&](const Unsupported& f) { return same(name, f.name); });
  return found == kDegraded.end() ? std::nullopt : std::optional(found->why);
}

std::optional<std::string> unsupported_flag(std::string_view name) {
  const auto found =
      std::ranges::find_if(kFlags, [&](const Unsupported& f) { return is_flag(name, f.name); });
  if (found == kFlags.end()) return std::nullopt;
  return reason(name, *found);
}

}  // namespace millrace::ng
