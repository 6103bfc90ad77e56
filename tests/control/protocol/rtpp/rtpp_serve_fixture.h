// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Commands of rtpproxy's protocol carried out: text in, text and flows out.

#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "control/protocol/rtpp/rtpp.h"
#include "dataplane/base/text.h"
#include "tests/control/call/calls_fixture.h"

namespace millrace {

class RtppServe : public CallsTest {
 protected:
  [[nodiscard]] ServeResult answer(std::string_view message,
                                   const std::optional<IpAddress>& peer = std::nullopt) {
    const Handler handle = handler();
    return rtpp::serve(message,
                       {.handle = handle, .config = config, .max_reply = SIZE_MAX, .peer = peer});
  }
  [[nodiscard]] std::string ask(std::string_view message) { return answer(message).reply; }
  // The U that a caller's INVITE becomes, and the L of the callee's answer.
  [[nodiscard]] static std::string update(const std::string& call = "call") {
    return "Uc0 " + call + " 192.0.2.1 4000 a;1";
  }
  [[nodiscard]] static std::string lookup(const std::string& call = "call") {
    return "Lc0 " + call + " 192.0.2.2 5000 a;1 b;1";
  }
  // The relay's port in the reply to a U or L.
  int port(std::string_view message) {
    const std::string reply = ask(message);
    EXPECT_TRUE(reply.ends_with('\n')) << message << ": " << reply;
    return relay_port(std::string_view(reply).substr(0, reply.size() - 1));
  }
  // The relay's port, on kCore.
  int relay_port(std::string_view port_and_address) {
    constexpr std::string_view kAddress = " 198.18.0.10";
    const auto number = decimal<std::uint16_t>(
        port_and_address.substr(0, port_and_address.size() - kAddress.size()));
    if (!port_and_address.ends_with(kAddress) || !number) {
      ADD_FAILURE() << port_and_address;
      return 0;
    }
    note_port(at(*number));
    return *number;
  }
  [[nodiscard]] static LocalPort at(int port) {
    return {MediaAddressId{0}, UdpPort(static_cast<std::uint16_t>(port))};
  }
  void expect_no_ports_used() { EXPECT_EQ(statistics().ports_used, 0U); }
};

}  // namespace millrace
