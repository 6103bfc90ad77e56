// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One m= section after another of one party.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "control/leg/party_media.h"

namespace millrace::test {

inline IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

inline Config config() {
  Config result;
  Interface core;
  core.name = "core";
  core.addresses = {ip("198.18.0.10"), ip("2001:db8::10")};
  core.ids = {MediaAddressId{0}, MediaAddressId{1}};
  result.interfaces = {core};
  InterfaceConfig device;
  device.addresses = {Prefix::parse("198.18.0.10/24").value(), Prefix::parse("10.0.0.1/24").value(),
                      Prefix::parse("2001:db8::10/64").value()};
  result.dataplane.interfaces = {device};
  return result;
}

class PartyMediaTest : public testing::Test {
 protected:
  Result<PartyMedia> describe_sdp(std::string_view address, std::string_view rest = "",
                                  Family family = Family::ipv4) {
    const std::string body = std::string("v=0\r\nc=IN ") +
                             (family == Family::ipv4 ? "IP4 " : "IP6 ") + std::string(address) +
                             "\r\nm=audio 4000 RTP/AVP 0 101\r\n" + std::string(rest);
    const auto session = sdp::parse(body);
    if (!session) return std::unexpected(session.error());
    return describe(*session, 0, request, realms.at(*realms.find("", family)), realms, before);
  }
  // Describes it and keeps it as the previous SDP.
  PartyMedia apply_sdp(std::string_view address, std::string_view rest = "") {
    return before = describe_sdp(address, rest).value();
  }

  Realms realms{config()};
  Request request;
  PartyMedia before;
};

inline PartyMedia::Hints list(std::initializer_list<std::string_view> texts) {
  PartyMedia::Hints result;
  for (const std::string_view text : texts) result.push_back(ip(text));
  return result;
}

}  // namespace millrace::test
