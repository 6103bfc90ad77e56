// SPDX-License-Identifier: BSD-3-Clause
#include "tests/control/leg/party_media_fixture.h"

namespace millrace::test {
namespace {

using State = PartyMedia::State;

TEST_F(PartyMediaTest, PublicAddressIsRemoteAndHint) {
  request.latching.received_from = ip("192.0.2.9");
  const PartyMedia media = apply_sdp("203.0.113.5", "a=rtcp:4100 IN IP4 203.0.113.6\r\n");
  EXPECT_EQ(media.state, State::live);
  EXPECT_EQ(media.components[0].remote(), (Endpoint{ip("203.0.113.5"), UdpPort(4000)}));
  EXPECT_EQ(media.components[1].remote(), (Endpoint{ip("203.0.113.6"), UdpPort(4100)}));
  EXPECT_EQ(media.hints, list({"192.0.2.9", "203.0.113.5", "203.0.113.6"}));
  EXPECT_TRUE(media.payload_types[0] && media.payload_types[101]);
  EXPECT_TRUE(media.payload_types[13] && media.payload_types[19]) << "comfort noise";
  EXPECT_EQ(media.payload_types.count(), 4U);
}

TEST_F(PartyMediaTest, BundledSectionHasThePayloadTypesOfTheGroup) {
  const std::string_view video = "m=video 4000 RTP/AVP 96 97\r\n";
  EXPECT_EQ(apply_sdp("203.0.113.5", video).payload_types.count(), 4U);
  const auto session = sdp::parse(
      "v=0\r\nc=IN IP4 203.0.113.5\r\na=group:BUNDLE 0 1\r\n"
      "m=audio 4000 RTP/AVP 0 101\r\nm=video 4000 RTP/AVP 96 97\r\n"
      "m=application 4000 UDP/DTLS/SCTP webrtc-datachannel\r\n");
  ASSERT_TRUE(session);
  const Realm& realm = realms.at(*realms.find("", Family::ipv4));
  for (const std::size_t rtp : {0U, 1U}) {
    const auto media = describe(*session, rtp, request, realm, realms, {});
    EXPECT_EQ(media.value().payload_types.count(), 6U);
    EXPECT_TRUE(media.value().payload_types[97] && media.value().payload_types[101]);
  }
  EXPECT_TRUE(describe(*session, 2, request, realm, realms, {}).value().payload_types.none());
  const auto dynamic = sdp::parse("v=0\r\nc=IN IP4 203.0.113.5\r\nm=audio 4 RTP/AVP 96\r\n");
  EXPECT_FALSE(describe(*dynamic, 0, request, realm, realms, {})->payload_types[13]);
}

TEST_F(PartyMediaTest, PrivateAddressBehindNatIsNeitherRemoteNorHint) {
  request.latching.received_from = ip("192.0.2.9");
  const PartyMedia media = apply_sdp("192.168.1.20");
  EXPECT_EQ(media.components[0].advertised(), (Endpoint{ip("192.168.1.20"), UdpPort(4000)}));
  EXPECT_FALSE(media.components[0].remote());
  EXPECT_FALSE(media.components[1].remote());
  EXPECT_EQ(media.hints, list({"192.0.2.9"}));
}

TEST_F(PartyMediaTest, ReachablePrivateAddressIsTheRemote) {
  EXPECT_TRUE(apply_sdp("192.168.1.20").components[0].remote());  // nothing else is known
  request.latching.received_from = ip("192.0.2.9");
  EXPECT_TRUE(apply_sdp("10.0.0.77").components[0].remote());  // on-link
  EXPECT_FALSE(apply_sdp("10.0.1.77").components[0].remote());
  before = {};
  request.latching.received_from = ip("10.0.1.77");
  EXPECT_TRUE(apply_sdp("10.0.1.77").components[0].remote());  // no NAT in between
  request.latching.received_from = ip("127.0.0.1");            // the proxy's own request
  EXPECT_EQ(apply_sdp("192.168.1.20").hints, list({"192.168.1.20"}));
}

TEST_F(PartyMediaTest, CandidatesAreHintsUnderTheSameRule) {
  request.latching.received_from = ip("192.0.2.9");
  const auto candidate = [](std::string_view address) {
    return "a=candidate:1 1 UDP 2130706431 " + std::string(address) + " 4000 typ host\r\n";
  };
  const PartyMedia media =
      apply_sdp("203.0.113.5", candidate("192.168.1.20") + candidate("127.0.0.1") +
                                   candidate("198.51.100.4") + candidate("198.18.0.10"));
  EXPECT_EQ(media.hints, list({"192.0.2.9", "203.0.113.5", "198.51.100.4"}));
}

TEST_F(PartyMediaTest, SignallingAddressReplacesTheSdpAddressOnRequest) {
  request.latching.received_from = ip("192.0.2.9");
  request.latching.sip_source_address = true;
  const PartyMedia media = apply_sdp("127.0.0.1");
  EXPECT_EQ(media.components[0].remote(), (Endpoint{ip("192.0.2.9"), UdpPort(4000)}));
  EXPECT_EQ(media.components[1].remote(), (Endpoint{ip("192.0.2.9"), UdpPort(4001)}));
  EXPECT_EQ(media.hints, list({"192.0.2.9"}));
}

TEST_F(PartyMediaTest, SignallingAddressThatIsMissingReplacesNothing) {
  request.latching.sip_source_address = true;
  EXPECT_EQ(apply_sdp("203.0.113.5").components[0].remote(),
            (Endpoint{ip("203.0.113.5"), UdpPort(4000)}));
  EXPECT_EQ(apply_sdp("203.0.113.5", "a=rtcp:4100 IN IP4 127.0.0.1\r\n").components[1].remote(),
            (Endpoint{ip("203.0.113.5"), UdpPort(4001)}));
  EXPECT_TRUE(apply_sdp("0.0.0.0").on_hold);
}

TEST_F(PartyMediaTest, AsymmetricPartyReceivesAtItsSdpAddress) {
  request.latching.received_from = ip("192.0.2.9");
  request.latching.asymmetric = true;
  EXPECT_EQ(apply_sdp("192.168.1.20").components[0].remote(),
            (Endpoint{ip("192.168.1.20"), UdpPort(4000)}));
}

TEST_F(PartyMediaTest, UnsendableAddressesAreRefused) {
  for (const char* address :
       {"127.0.0.1", "0.1.2.3", "169.254.169.254", "240.0.0.1", "255.255.255.255", "198.18.0.10"}) {
    const auto media = describe_sdp(address);
    ASSERT_FALSE(media) << address;
    if (media.error().message.find("line 2") == std::string::npos) {  // sdp's own refusal
      EXPECT_NE(media.error().message.find(address), std::string::npos);
      EXPECT_NE(media.error().message.find("line 3"), std::string::npos);
    }
  }
  for (const char* address :
       {"::1", "fe80::1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::10"}) {
    EXPECT_FALSE(describe_sdp(address, "", Family::ipv6)) << address;
  }
  EXPECT_TRUE(describe_sdp("2001:db8::20", "", Family::ipv6));
  EXPECT_FALSE(
      describe_sdp("203.0.113.5", "a=rtcp:9 IN IP4 0.0.0.0\r\n")->components[1].advertised());
}

// RFC 3605: a=rtcp is optional. Its address must neither reject the call nor become a destination.
TEST_F(PartyMediaTest, UnusableRtcpAddressIsIgnored) {
  for (const char* address :
       {"IP4 127.0.0.1", "IP4 169.254.169.254", "IP4 240.0.0.1", "IP4 198.18.0.10",
        "IP4 198.18.0.255", "IP6 2001:db8::20", "IP6 ::1", "IP6 64:ff9b::7f00:1"}) {
    const auto media =
        describe_sdp("203.0.113.5", "a=rtcp:4100 IN " + std::string(address) + "\r\n");
    ASSERT_TRUE(media) << address << ": " << media.error().message;
    EXPECT_EQ(media->components[0].remote(), (Endpoint{ip("203.0.113.5"), UdpPort(4000)}));
    EXPECT_EQ(media->components[1].advertised(), (Endpoint{ip("203.0.113.5"), UdpPort(4001)}));
    EXPECT_EQ(media->components[1].remote(), (Endpoint{ip("203.0.113.5"), UdpPort(4001)}));
    EXPECT_EQ(media->hints, list({"203.0.113.5"})) << address;
  }
  EXPECT_FALSE(describe_sdp("127.0.0.1", "a=rtcp:4100 IN IP4 203.0.113.5\r\n"));
  // It does not hide a change of the port.
  apply_sdp("203.0.113.5", "a=rtcp:4100 IN IP4 127.0.0.1\r\n");
  EXPECT_TRUE(apply_sdp("203.0.113.5", "a=rtcp:4100\r\n").components[1].moved);
  // With ICE, the relay's own address keeps the endpoint.
  const std::string ice = "a=ice-ufrag:abcd\r\n";
  EXPECT_EQ(
      apply_sdp("203.0.113.5", ice + "a=rtcp:4100 IN IP4 198.18.0.10\r\n").components[1].remote(),
      (Endpoint{ip("203.0.113.5"), UdpPort(4100)}));
}

// The only hint is the signalling source: nothing is ever sent to the address itself.
TEST_F(PartyMediaTest, LocalAddressNeedsAUsableSignallingSource) {
  const auto expect_latched_only = [&](std::string_view address, Family family) {
    for (const char* rest : {"", "a=rtcp:4100\r\n"}) {
      const auto media = describe_sdp(address, rest, family);
      ASSERT_TRUE(media) << address << ": " << media.error().message;
      EXPECT_FALSE(media->components[0].remote());
      EXPECT_FALSE(media->components[1].remote());
      EXPECT_EQ(media->hints, PartyMedia::Hints{*request.latching.received_from});
    }
  };
  request.latching.received_from = ip("192.0.2.9");
  expect_latched_only("127.0.0.1", Family::ipv4);
  expect_latched_only("169.254.169.254", Family::ipv4);
  EXPECT_FALSE(describe_sdp("::1", "", Family::ipv6)) << "the source is of another family";
  for (const char* address : {"0.1.2.3", "240.0.0.1", "198.18.0.10", "198.18.0.255"}) {
    EXPECT_FALSE(describe_sdp(address)) << address;
  }
  const auto other_family = sdp::parse("v=0\r\nc=IN IP6 ::1\r\nm=audio 4000 RTP/AVP 0\r\n");
  EXPECT_FALSE(describe(other_family.value(), 0, request, realms.at(*realms.find("", Family::ipv4)),
                        realms, {}));
  // An a=rtcp with such an address is ignored.
  const auto rtcp = describe_sdp("203.0.113.5", "a=rtcp:4100 IN IP4 127.0.0.1\r\n");
  EXPECT_EQ(rtcp.value().components[1].remote(), (Endpoint{ip("203.0.113.5"), UdpPort(4001)}));
  request.latching.asymmetric = true;
  EXPECT_FALSE(describe_sdp("127.0.0.1"));
  request.latching.asymmetric = false;
  Config still = config();
  still.interfaces[0].latching = Latching::off;
  const Realms unlatched(still);
  const auto local = sdp::parse("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n");
  EXPECT_FALSE(describe(local.value(), 0, request, unlatched.at(*unlatched.find("", Family::ipv4)),
                        unlatched, before));
  for (const char* proxy : {"127.0.0.1", "198.18.0.10"}) {
    request.latching.received_from = ip(proxy);
    EXPECT_FALSE(describe_sdp("127.0.0.1")) << proxy;
  }
  request.latching.received_from = ip("2001:db8:1::9");
  expect_latched_only("::1", Family::ipv6);
  expect_latched_only("fe80::1", Family::ipv6);
  for (const char* address : {"::127.0.0.1", "64:ff9b::7f00:1"}) {
    EXPECT_FALSE(describe_sdp(address, "", Family::ipv6)) << address;
  }
}

TEST_F(PartyMediaTest, OwnAndBroadcastAddressesAreRefusedInEveryNotation) {
  for (const char* address : {"198.18.0.255", "198.18.0.0", "10.0.0.255"}) {
    EXPECT_NE(describe_sdp(address).error().message.find("cannot be sent to"), std::string::npos);
  }
  EXPECT_TRUE(describe_sdp("198.18.1.255"));
  for (const char* address : {"64:ff9b::198.18.0.10", "::198.18.0.10", "2002:c612:a::1"}) {
    const auto media = describe_sdp(address, "", Family::ipv6);
    ASSERT_FALSE(media) << address;
    EXPECT_NE(media.error().message.find("is the relay's own"), std::string::npos) << address;
  }
}

TEST_F(PartyMediaTest, InterfacePolicyFiltersRemoteAndHints) {
  Config with_policy = config();
  PeerPolicy& peers = with_policy.dataplane.interfaces[0].peers;
  peers.deny = {Prefix::parse("203.0.113.0/25").value()};
  const Realms judges(with_policy);
  std::string text;  // the session refers to it
  const auto session = [&](std::string_view address, std::string_view rest = "") {
    const bool v4 = address.find(':') == std::string_view::npos;
    text = "v=0\r\nc=IN " + std::string(v4 ? "IP4 " : "IP6 ") + std::string(address) +
           "\r\nm=audio 4000 RTP/AVP 0\r\n" + std::string(rest);
    return sdp::parse(text).value();
  };
  const auto validated = [&](const sdp::Session& body, Family family = Family::ipv4) {
    return describe(body, 0, request, judges.at(*judges.find("", family)), judges, before);
  };
  const auto refused = validated(session("203.0.113.5"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "Media address 203.0.113.5 (m= in line 3 of the SDP) is no peer of interface 'core': "
            "its `allow` and `deny` do not admit it");
  EXPECT_FALSE(validated(session("64:ff9b::203.0.113.5"), Family::ipv6));
  const auto rtcp = validated(session("203.0.113.200", "a=rtcp:4100 IN IP4 203.0.113.5\r\n"));
  ASSERT_TRUE(rtcp);
  EXPECT_EQ(rtcp->components[1].advertised(), (Endpoint{ip("203.0.113.200"), UdpPort(4001)}));
  EXPECT_EQ(rtcp->hints, list({"203.0.113.200"}));
  // The signalling source and candidates are hints only if the policy allows them.
  request.latching.received_from = ip("203.0.113.9");
  const auto media =
      validated(session("203.0.113.200", "a=candidate:1 1 UDP 1 203.0.113.7 4000 typ host\r\n"));
  ASSERT_TRUE(media);
  EXPECT_EQ(media->hints, list({"203.0.113.200"}));
}

TEST_F(PartyMediaTest, OnlyAChangedEndpointHasMoved) {
  EXPECT_FALSE(apply_sdp("203.0.113.5").components[0].moved);
  EXPECT_FALSE(apply_sdp("203.0.113.5", "a=sendonly\r\n").components[0].moved);
  const PartyMedia rtcp = apply_sdp("203.0.113.5", "a=rtcp:4100\r\n");
  EXPECT_FALSE(rtcp.components[0].moved);
  EXPECT_TRUE(rtcp.components[1].moved);
  EXPECT_TRUE(apply_sdp("203.0.113.6").components[0].moved);
  request.latching.received_from = ip("192.0.2.9");  // repeats the current address
  EXPECT_FALSE(apply_sdp("203.0.113.6").components[0].moved);
}

TEST_F(PartyMediaTest, ChangedNatAddressMovesTheParty) {
  request.latching.received_from = ip("192.0.2.9");
  EXPECT_FALSE(apply_sdp("192.168.1.20").components[0].moved);
  EXPECT_FALSE(apply_sdp("192.168.1.20").components[0].moved);
  request.latching.received_from = ip("192.0.2.10");
  EXPECT_TRUE(apply_sdp("192.168.1.20").components[0].moved);
}

TEST_F(PartyMediaTest, HoldByAddressForgetsNothing) {
  apply_sdp("203.0.113.5");
  const PartyMedia held = apply_sdp("0.0.0.0");
  EXPECT_TRUE(held.on_hold);
  EXPECT_EQ(held.state, State::live);
  EXPECT_EQ(held.components[0].remote(), (Endpoint{ip("203.0.113.5"), UdpPort(4000)}));
  EXPECT_EQ(held.hints, list({"203.0.113.5"}));
  const PartyMedia resumed = apply_sdp("203.0.113.5");
  EXPECT_FALSE(resumed.on_hold);
  EXPECT_FALSE(resumed.components[0].moved);
  apply_sdp("0.0.0.0");
  EXPECT_TRUE(apply_sdp("203.0.113.6").components[0].moved);
}

TEST_F(PartyMediaTest, ZeroAddressWithCandidatesIsNoHold) {
  const PartyMedia media =
      apply_sdp("0.0.0.0", "a=candidate:1 1 UDP 2130706431 203.0.113.5 4000 typ host\r\n");
  EXPECT_FALSE(media.on_hold);
  EXPECT_FALSE(media.components[0].remote());
  EXPECT_EQ(media.hints, list({"203.0.113.5"}));
}

// ---- ICE ------------------------------------------------------------------------------------

constexpr const char* kIce = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
std::string srflx(std::string_view address) {
  return "a=candidate:2 1 UDP 1694498815 " + std::string(address) +
         " 4000 typ srflx raddr 192.168.1.20 rport 4000\r\n";
}

TEST_F(PartyMediaTest, CandidatesOfTheSameIceSessionAddHints) {
  apply_sdp("203.0.113.5", kIce + srflx("198.51.100.4"));
  EXPECT_EQ(apply_sdp("203.0.113.5", kIce + srflx("198.51.100.5")).hints,
            list({"203.0.113.5", "198.51.100.5", "198.51.100.4"}));
  EXPECT_EQ(apply_sdp("203.0.113.5", "a=ice-ufrag:other\r\n" + srflx("198.51.100.6")).hints,
            list({"203.0.113.5", "198.51.100.6"}));
}

TEST_F(PartyMediaTest, UnusableCandidatesTakeNoRoom) {
  request.latching.received_from = ip("192.0.2.9");
  std::string candidates = kIce;
  for (const std::string prefix : {"fe80::", "2001:db8::", "169.254.1.", "192.168.1."}) {
    for (int i = 1; i <= 20; ++i)
      candidates += "a=candidate:1 1 UDP 1 " + prefix + std::to_string(i) + " 4 typ host\r\n";
  }
  candidates += "a=candidate:1 1 UDP 1 203.0.113.99 4000 typ host\r\n";
  EXPECT_EQ(apply_sdp("203.0.113.5", candidates).hints,
            list({"192.0.2.9", "203.0.113.5", "203.0.113.99"}));
}

// Six hundred re-offers of 16 new candidates each, of one ICE session.
TEST_F(PartyMediaTest, NewestCandidatesReplaceTheOldest) {
  request.latching.received_from = ip("192.0.2.9");
  for (int offer = 0; offer < 600; ++offer) {
    std::string candidates = "a=ice-ufrag:a\r\n";
    for (int i = 0; i < 16; ++i) {
      candidates += "a=candidate:1 1 UDP 1 203.1." + std::to_string(offer % 250) + "." +
                    std::to_string(1 + i) + " 4000 typ srflx\r\n";
    }
    apply_sdp("203.0.113.5", candidates);
    ASSERT_EQ(before.hints.size(), kMaxHints);
  }
  const auto hints = list({"192.0.2.9", "203.0.113.5", "203.1.99.1", "203.1.99.2", "203.1.99.3",
                           "203.1.99.4", "203.1.99.5", "203.1.99.6"});
  EXPECT_EQ(before.hints, hints);
  // A single new candidate keeps the newest of the earlier ones.
  apply_sdp("203.0.113.5", "a=ice-ufrag:a\r\na=candidate:1 1 UDP 1 203.2.0.1 4000 typ srflx\r\n");
  EXPECT_EQ(before.hints[2], ip("203.2.0.1"));
  EXPECT_EQ(before.hints[3], hints[2]);
  EXPECT_EQ(before.hints.size(), kMaxHints);
}

// Candidates of an INFO, added to a list that the SDP has filled.
TEST_F(PartyMediaTest, LaterCandidatesReplaceTheOldestInAFullList) {
  std::string candidates = "a=ice-ufrag:a\r\n";
  for (int i = 0; i < 16; ++i) {
    candidates += "a=candidate:1 1 UDP 1 203.1.0." + std::to_string(1 + i) + " 4000 typ host\r\n";
  }
  apply_sdp("203.0.113.5", candidates);
  const Realm& realm = realms.at(*realms.find("", Family::ipv4));
  const auto add = [&](std::initializer_list<std::string_view> addresses) {
    sdp::FragmentMedia fragment{.mid = "", .ufrag = "a", .candidates = {}};
    for (const std::string_view address : addresses) fragment.candidates.push_back(ip(address));
    return add_candidates(before, fragment, realm, realms);
  };
  EXPECT_EQ(add({"203.2.0.1", "203.2.0.2", "203.1.0.1"}), 2U);
  EXPECT_EQ(before.hints, list({"203.0.113.5", "203.2.0.1", "203.2.0.2", "203.1.0.1", "203.1.0.2",
                                "203.1.0.3", "203.1.0.4", "203.1.0.5"}));
  // Beyond the limit: the first ones are kept; none replaces the SDP's endpoint.
  EXPECT_EQ(add({"203.3.0.1", "203.3.0.2", "203.3.0.3", "203.3.0.4", "203.3.0.5", "203.3.0.6",
                 "203.3.0.7", "203.3.0.8"}),
            7U);
  EXPECT_EQ(before.hints, list({"203.0.113.5", "203.3.0.1", "203.3.0.2", "203.3.0.3", "203.3.0.4",
                                "203.3.0.5", "203.3.0.6", "203.3.0.7"}));
}

TEST_F(PartyMediaTest, RelayAddressInAnIceReofferKeepsTheRemote) {
  const PartyMedia first = apply_sdp("203.0.113.5", kIce + srflx("198.51.100.4"));
  const PartyMedia later = apply_sdp("198.18.0.10", kIce);
  EXPECT_EQ(later.components[0].remote(), first.components[0].remote());
  EXPECT_FALSE(later.components[0].moved);
  before = {};
  EXPECT_FALSE(describe_sdp("198.18.0.10", kIce)) << "nothing is known of it";
}

TEST_F(PartyMediaTest, ConcludedIceKeepsTheFlowsAndReportsTheDirectPath) {
  const PartyMedia first = apply_sdp("203.0.113.5", kIce + srflx("198.51.100.4"));
  const std::string end = std::string(kIce) + "a=remote-candidates:1 ";
  const PartyMedia around = apply_sdp("198.51.100.4", end + "192.0.2.7 6000\r\n");
  EXPECT_TRUE(around.ice_concluded);
  EXPECT_TRUE(around.ice_direct);
  EXPECT_EQ(around.state, State::live);
  EXPECT_EQ(around.components[0].remote(), first.components[0].remote());
  EXPECT_FALSE(around.components[0].moved);
  const PartyMedia hold = apply_sdp("198.51.100.4", std::string(kIce) + "a=inactive\r\n");
  EXPECT_FALSE(hold.ice_concluded);
  EXPECT_TRUE(hold.ice_direct) << "as before, until ICE starts again";
  EXPECT_FALSE(apply_sdp("198.51.100.4", "a=ice-ufrag:other\r\n").ice_direct);
  EXPECT_FALSE(apply_sdp("198.18.0.10", end + "198.18.0.10 30000\r\n").ice_direct);
  EXPECT_FALSE(apply_sdp("203.0.113.5", end + "198.18.0.10 30000\r\n").ice_direct);
}

TEST_F(PartyMediaTest, ConcludedIceOfAnUnknownSectionIsUntouched) {
  EXPECT_EQ(
      apply_sdp("10.9.9.9", std::string(kIce) + "a=remote-candidates:1 192.0.2.7 6000\r\n").state,
      State::untouched);
}

TEST_F(PartyMediaTest, IceRemoveOverridesConcludedIce) {
  const std::string end = std::string(kIce) + "a=remote-candidates:1 192.0.2.7 6000\r\n";
  for (const IceHandling ice : {IceHandling::remove, IceHandling::relay_only}) {
    request.edits.ice = ice;
    before = {};
    const PartyMedia media = apply_sdp("203.0.113.5", end);
    EXPECT_EQ(media.state, State::live);
    EXPECT_FALSE(media.ice_concluded);
    EXPECT_TRUE(media.ice_ufrag.empty()) << "it can find no way around the relay";
  }
}

TEST_F(PartyMediaTest, DirectionsDecideSendingAndReceiving) {
  const auto directions = [&](std::string_view line) {
    const PartyMedia media = apply_sdp("203.0.113.5", line);
    return std::pair(media.sends, media.receives);
  };
  EXPECT_EQ(directions(""), std::pair(true, true));
  EXPECT_EQ(directions("a=sendonly\r\n"), std::pair(true, false));
  EXPECT_EQ(directions("a=recvonly\r\n"), std::pair(false, true));
  EXPECT_EQ(directions("a=inactive\r\n"), std::pair(false, false));
}

}  // namespace
}  // namespace millrace::test
