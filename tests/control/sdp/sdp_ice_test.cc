// SPDX-License-Identifier: BSD-3-Clause
// ICE attributes in the SDP that rewrite() prints.

#include <initializer_list>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "control/sdp/sdp.h"
#include "tests/control/sdp/sdp_fixture.h"

namespace millrace::sdp {
namespace {

constexpr std::string_view kIce = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuv\n";
constexpr std::string_view kRelayRtp =
    "a=candidate:R3405803785 1 UDP 16777215 203.0.113.9 6 typ relay raddr 0.0.0.0 rport 9\n";
constexpr std::string_view kRelayRtcp =
    "a=candidate:R3405803785 2 UDP 16777214 203.0.113.9 7 typ relay raddr 0.0.0.0 rport 9\n";
constexpr std::string_view kHost1 = "a=candidate:1 1 UDP 2130706431 10.0.0.1 4 typ host\n";
constexpr std::string_view kHost2 = "a=candidate:1 2 UDP 2130706430 10.0.0.1 5 typ host\n";

// The lines below t= after `ice` is applied; a second run must not change them.
std::string with_ice(std::string_view media, Ice ice, UdpPort rtcp = UdpPort(7),
                     bool prefer = false) {
  const Rewrite to{.sections = {{ip("203.0.113.9"), UdpPort(6), rtcp}},
                   .origin = std::nullopt,
                   .ice = ice,
                   .prefer_relay = prefer};
  const std::string once = rewrite(parsed(with_head(media)), to);
  EXPECT_EQ(rewrite(parsed(once), to), once);
  return once.substr(once.find("t=0 0\r\n") + 7);
}

std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

TEST(SdpIce, AddInsertsTheRelayCandidate) {
  EXPECT_EQ(
      with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, kHost1, kHost2, "a=ptime:20\n"}), Ice::add),
      join({"m=audio 6 RTP/AVP 0\n", kIce, kRelayRtp, kRelayRtcp, kHost1, kHost2, "a=ptime:20\n"}));
}

TEST(SdpIce, RelayOnlyReplacesAllCandidates) {
  EXPECT_EQ(with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, kHost1, kHost2,
                           "a=candidate:2 1 TCP 1 10.0.0.1 9 typ host tcptype active\n",
                           "a=candidate:3 1 UDP 1 x.local 9 typ host\na=end-of-candidates\n"}),
                     Ice::relay_only),
            join({"m=audio 6 RTP/AVP 0\n", kIce, kRelayRtp, kRelayRtcp, "a=end-of-candidates\n"}));
}

TEST(SdpIce, ReplaceRelayKeepsAddressesAndOtherCandidates) {
  constexpr std::string_view kRelays =
      "a=candidate:7 1 UDP 16777215 198.51.100.7 50000 typ relay raddr 0.0.0.0 rport 9\n"
      "a=candidate:8 1 UDP 16777214 turn.example 50000 typ RELAY raddr 0.0.0.0 rport 9\n"
      "a=candidate:9 1 TCP 16777213 198.51.100.7 9 typ relay raddr 0.0.0.0 rport 9\n";
  constexpr std::string_view kOthers =
      "a=candidate:3 1 UDP 1 x.local 9 typ host\n"
      "a=candidate:2 1 TCP 1 10.0.0.1 9 typ host tcptype active\n";
  EXPECT_EQ(with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, "a=rtcp:5 IN IP4 192.0.2.1\n", kHost1,
                           kRelays, kHost2, kOthers}),
                     Ice::replace_relay),
            join({"m=audio 4 RTP/AVP 0\n", kIce, "a=rtcp:5 IN IP4 192.0.2.1\n", kRelayRtp,
                  kRelayRtcp, kHost1, kHost2, kOthers}));
}

// A section without ICE is relayed by c= and m=, which may need an address of its own.
TEST(SdpIce, ReplaceRelayConcernsSectionsWithIce) {
  const std::string body =
      join({"m=audio 4 RTP/AVP 0\n", kIce, "a=rtcp-mux\n", kHost1, "m=video 6 RTP/AVP 96\n"});
  const Rewrite to{.sections = {{ip("203.0.113.9"), UdpPort(16), UdpPort(16)},
                                {ip("203.0.113.9"), UdpPort(18), UdpPort(19)}},
                   .origin = std::nullopt,
                   .ice = Ice::replace_relay};
  const std::string once = rewrite(parsed(with_head(body)), to);
  EXPECT_EQ(rewrite(parsed(once), to), once);
  const std::string relay =
      "a=candidate:R3405803785 1 UDP 16777215 203.0.113.9 16 typ relay raddr 0.0.0.0 rport 9\n";
  EXPECT_EQ(once,
            join({"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n",
                  "m=audio 4 RTP/AVP 0\nc=IN IP4 192.0.2.1\n", kIce, "a=rtcp-mux\n", relay, kHost1,
                  "m=video 18 RTP/AVP 96\n"}));
}

TEST(SdpIce, RtcpCandidateNeedsOneInTheOffer) {
  EXPECT_EQ(with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, kHost1}), Ice::add),
            join({"m=audio 6 RTP/AVP 0\n", kIce, kRelayRtp, kHost1}));
  EXPECT_EQ(with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, "a=rtcp-mux\n", kHost1, kHost2}),
                     Ice::add, UdpPort(6)),
            join({"m=audio 6 RTP/AVP 0\n", kIce, "a=rtcp-mux\n", kRelayRtp, kHost1, kHost2}));
  // Trickled later (RFC 8840).
  EXPECT_EQ(with_ice(join({"m=audio 9 RTP/AVP 0\n", kIce}), Ice::add),
            join({"m=audio 6 RTP/AVP 0\n", kIce, kRelayRtp, kRelayRtcp}));
  EXPECT_EQ(
      with_ice(join({"m=audio 9 RTP/AVP 0\n", kIce, "a=rtcp-mux\na=end-of-candidates"}), Ice::add),
      join({"m=audio 6 RTP/AVP 0\n", kIce, "a=rtcp-mux\n",
            kRelayRtp.substr(0, kRelayRtp.size() - 1), "\r\na=end-of-candidates"}));
  EXPECT_EQ(with_ice(join({"m=application 4 UDP/DTLS/SCTP x\n", kIce, kHost1}), Ice::add),
            join({"m=application 6 UDP/DTLS/SCTP x\n", kIce, kRelayRtp, kHost1}));
}

TEST(SdpIce, MediaWithoutIceOrRejectedHasNoCandidate) {
  EXPECT_EQ(with_ice("m=audio 4 RTP/AVP 0\n", Ice::add), "m=audio 6 RTP/AVP 0\n");
  EXPECT_EQ(with_ice(join({"m=audio 0 RTP/AVP 0\n", kIce, kHost1}), Ice::relay_only),
            join({"m=audio 0 RTP/AVP 0\n", kIce, kHost1}));
}

TEST(SdpIce, SessionUfragApplies) {
  const std::string body = join({"a=ice-ufrag:s\na=ice-pwd:p\nm=audio 4 RTP/AVP 0\n", kHost1});
  EXPECT_EQ(with_ice(body, Ice::add),
            join({"a=ice-ufrag:s\na=ice-pwd:p\nm=audio 6 RTP/AVP 0\n", kRelayRtp, kHost1}));
}

TEST(SdpIce, UnterminatedLastLineIsTerminatedFirst) {
  const std::string host(kHost1.substr(0, kHost1.size() - 1));
  const std::string relay(kRelayRtp.substr(0, kRelayRtp.size() - 1));
  EXPECT_EQ(with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, host}), Ice::relay_only),
            join({"m=audio 6 RTP/AVP 0\n", kIce, relay, "\r\n"}));
  EXPECT_EQ(with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, host}), Ice::add),
            join({"m=audio 6 RTP/AVP 0\n", kIce, relay, "\r\n", host}));
}

TEST(SdpIce, PreferredRelayOutranksHosts) {
  const std::string out =
      with_ice(join({"m=audio 4 RTP/AVP 0\n", kIce, kHost1, kHost2}), Ice::add, UdpPort(7), true);
  EXPECT_NE(out.find(" 1 UDP 2147483647 203.0.113.9 6 typ relay"), out.npos) << out;
  EXPECT_NE(out.find(" 2 UDP 2147483646 203.0.113.9 7 typ relay"), out.npos) << out;
}

// RFC 8839 section 4.2.5: no mismatch, so c= and m=, and a=rtcp, are a candidate each.
TEST(SdpIce, DefaultDestinationHasACandidateInBothFamilies) {
  for (const char* address : {"203.0.113.9", "2001:db8:1:2:3:4:5:9"}) {
    const std::string body = with_head(join({"m=audio 4 RTP/AVP 0\n", kIce, kHost1, kHost2}));
    const Rewrite to{.sections = {{ip(address), UdpPort(6), UdpPort(9)}},
                     .origin = std::nullopt,
                     .ice = Ice::add};
    const std::string once = rewrite(parsed(body), to);
    EXPECT_EQ(rewrite(parsed(once), to), once);
    const Session out = parsed(once);
    EXPECT_EQ(out.sections[0].connection, ip(address));
    EXPECT_EQ(out.sections[0].candidates, (std::vector{ip(address), ip("10.0.0.1")}));
    for (const char* component : {" 1 UDP 16777215 ", " 2 UDP 16777214 "}) {
      const std::string port = component[1] == '1' ? " 6 typ relay" : " 9 typ relay";
      EXPECT_NE(once.find(component + std::string(address) + port), once.npos) << once;
    }
    const std::size_t foundation = once.find("a=candidate:R") + 12;
    EXPECT_LE(once.find(' ', foundation) - foundation, 32U);
  }
}

}  // namespace
}  // namespace millrace::sdp
