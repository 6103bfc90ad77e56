// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng_sdp_keys.h"

namespace millrace::ng {
namespace {

using bencode::Value;

constexpr auto kFlags = std::to_array<Field<bool>>({
    {"replace-origin", &Request::replace_origin},
    {"replace-session-name", &Request::replace_session_name},
});
constexpr auto kReplacements = std::to_array<Field<bool>>({
    {"origin", &Request::replace_origin},
    {"session-name", &Request::replace_session_name},
});

// What asks for nothing else than is done anyway.
constexpr auto kSilentKeys = std::to_array<std::string_view>({"repacketize"});
constexpr auto kSilentFlags = std::to_array<std::string_view>({
    "original-sendrecv",
    "allow-no-codec-media",
    "replace-session-connection",
    "symmetric-codecs",
    "asymmetric-codecs",
    "reorder-codecs",
});
constexpr auto kSilentReplacements = std::to_array<std::string_view>({"session-connection"});

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
  });
  const auto found = std::ranges::find_if(kKeys, [&](const Key& k) { return same(name, k.name); });
  if (found == kKeys.end()) return among(name, kSilentKeys);
  expected = (this->*found->read)(value);
  return true;
}

bool SdpKeys::flag(std::string_view name) {
  if (bool* const flag = find(request_, name, kFlags)) return *flag = true;
  return among(name, kSilentFlags);
}

Expected SdpKeys::replace(Value value) {
  const auto names = texts(value);
  if (!names) return "a list of strings";
  for (const std::string_view name : *names) {
    if (bool* const flag = find(request_, name, kReplacements)) {
      *flag = true;
    } else if (!among(name, kSilentReplacements)) {
      unknown_.add("replace", name);
    }
  }
  return {};
}

// `default` and `optional` differ only in what they do for a party without ICE.
Expected SdpKeys::ice(Value value) {
  struct Handling {
    std::string_view name;
    IceHandling handling;
  };
  static constexpr auto kHandlings = std::to_array<Handling>({
      {"default", IceHandling::add},
      {"optional", IceHandling::add},
      {"force", IceHandling::force},
      {"force-relay", IceHandling::relay_only},
      {"remove", IceHandling::remove},
  });
  const auto text = value.text();
  if (!text) return "a string";
  const auto known =
      std::ranges::find_if(kHandlings, [&](const Handling& h) { return same(*text, h.name); });
  if (known == kHandlings.end()) unknown_.add("ICE", *text);
  request_.ice = known == kHandlings.end() ? IceHandling::add : known->handling;
  return {};
}

// As MediaProxy's modules call it.
Expected SdpKeys::ice_candidate(Value value) {
  constexpr std::string_view kExpected = "high-priority or low-priority";
  const auto text = value.text();
  if (!text) return kExpected;
  request_.prefer_relay = same(*text, "high-priority");
  return request_.prefer_relay || same(*text, "low-priority") ? Expected() : kExpected;
}

Expected SdpKeys::transport_protocol(Value value) {
  const auto text = value.text();
  if (!text) return "a string";
  if (!same(*text, "rtp/avp")) unknown_.add("transport-protocol", *text);
  return {};
}

Expected SdpKeys::rtcp_mux(Value value) {
  const auto names = texts(value);
  if (!names) return "a list of strings";
  for (const std::string_view name : *names) unknown_.add("rtcp-mux", name);
  return {};
}

}  // namespace millrace::ng
