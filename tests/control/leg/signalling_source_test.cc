// SPDX-License-Identifier: BSD-3-Clause
// What the source of the signalling says of a party, and what it does not.

#include "tests/control/leg/party_media_fixture.h"

namespace millrace::test {
namespace {

using SignallingSourceTest = PartyMediaTest;

// OpenSIPS's rtp_relay:update names the host of a Contact as the source.
TEST_F(SignallingSourceTest, PrivateContactShutsOutNoAddressOfTheSdp) {
  request.latching.received_from = ip("192.168.1.20");
  const PartyMedia shown = apply_sdp("203.0.113.5");
  EXPECT_EQ(shown.components[0].remote(), (Endpoint{ip("203.0.113.5"), UdpPort(4000)}));
  EXPECT_EQ(shown.hints, list({"192.168.1.20", "203.0.113.5"}));
  const PartyMedia apart = apply_sdp("192.168.1.30",
                                     "a=rtcp:4100 IN IP4 192.168.1.31\r\n"
                                     "a=candidate:1 1 UDP 1 192.168.1.32 4000 typ host\r\n");
  EXPECT_EQ(apart.hints, list({"192.168.1.20", "192.168.1.30", "192.168.1.31", "192.168.1.32"}));
  EXPECT_FALSE(apart.components[0].remote()) << "nothing is sent there before it is heard";
  EXPECT_FALSE(apart.components[1].remote());
  request.latching.sip_source_address = true;
  const PartyMedia replaced = apply_sdp("203.0.113.5");
  EXPECT_EQ(replaced.components[0].remote(), (Endpoint{ip("192.168.1.20"), UdpPort(4000)}));
  EXPECT_EQ(replaced.hints, list({"192.168.1.20", "203.0.113.5"}));
  EXPECT_EQ(apply_sdp("127.0.0.1").hints, list({"192.168.1.20"}));
}

TEST_F(SignallingSourceTest, PrivateSourceOnTheLinkIsTheSource) {
  request.latching.received_from = ip("10.0.0.77");
  EXPECT_EQ(apply_sdp("192.168.1.30").hints, list({"10.0.0.77"}));
}

TEST_F(SignallingSourceTest, VagueSourceDoesNotReplaceAnEarlierOneOfTheSameAddress) {
  for (const bool replaces : {false, true}) {
    before = {};
    request.latching.sip_source_address = replaces;
    request.latching.received_from = ip("192.0.2.9");
    const auto remote = apply_sdp("192.168.1.20").components[0].remote();
    const auto expect_kept = [&](std::string_view sdp, const PartyMedia::Hints& hints) {
      const PartyMedia media = apply_sdp(sdp);
      EXPECT_EQ(media.hints, hints) << sdp;
      EXPECT_EQ(media.signalled_from, ip("192.0.2.9")) << sdp;
      EXPECT_EQ(media.components[0].remote(), remote) << sdp;
      EXPECT_FALSE(media.components[0].moved) << sdp;
    };
    request.latching.received_from = ip("192.168.1.20");
    expect_kept("192.168.1.20", list({"192.0.2.9", "192.168.1.20"}));
    request.latching.received_from.reset();
    expect_kept("192.168.1.20", list({"192.0.2.9"}));
    request.latching.received_from = ip("127.0.0.1");  // the proxy's own request
    expect_kept("192.168.1.20", list({"192.0.2.9"}));
  }
}

TEST_F(SignallingSourceTest, SourceThatIsPlainReplacesAnEarlierOne) {
  request.latching.received_from = ip("192.0.2.9");
  apply_sdp("192.168.1.20");
  request.latching.received_from = ip("10.0.0.77");  // on the link
  EXPECT_EQ(apply_sdp("192.168.1.20").signalled_from, ip("10.0.0.77"));
  request.latching.received_from = ip("192.0.2.10");
  EXPECT_EQ(apply_sdp("192.168.1.20").hints, list({"192.0.2.10"}));
  // The party is elsewhere now, without a NAT.
  request.latching.received_from = ip("192.168.1.21");
  const PartyMedia moved = apply_sdp("192.168.1.21");
  EXPECT_EQ(moved.hints, list({"192.168.1.21"}));
  EXPECT_TRUE(moved.components[0].remote());
}

TEST_F(SignallingSourceTest, PrivateAddressWithAnotherPortKeepsTheSource) {
  request.latching.received_from = ip("192.0.2.9");
  apply_sdp("192.168.1.20");
  before.components[0].port = UdpPort(4002);
  request.latching.received_from = ip("192.168.1.20");
  const PartyMedia moved = apply_sdp("192.168.1.20");
  EXPECT_EQ(moved.hints, list({"192.0.2.9", "192.168.1.20"}));
  EXPECT_TRUE(moved.components[0].moved);
}

TEST_F(SignallingSourceTest, PrivateCandidatesOfAPrivateContactAreHints) {
  request.latching.received_from = ip("192.168.1.20");
  apply_sdp("192.168.1.30", "a=ice-ufrag:a\r\n");
  std::vector<IpAddress> candidates;
  for (std::uint8_t i = 0; i < 8; ++i) candidates.push_back(IpAddress::v4(10, 1, 0, i));
  EXPECT_EQ(add_candidates(before, {.mid = "", .ufrag = "a", .candidates = candidates},
                           realms.at(*realms.find("", Family::ipv4)), realms),
            6U);
  EXPECT_EQ(before.hints[0], ip("192.168.1.20"));
  EXPECT_EQ(before.hints[1], ip("192.168.1.30")) << "the SDP's address stays";
}

}  // namespace
}  // namespace millrace::test
