// SPDX-License-Identifier: BSD-3-Clause
#include <utility>

#include <gtest/gtest.h>

#include "control/call/call.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

// ---- ICE ------------------------------------------------------------------------------------

// One party's ICE, with a reflexive candidate at `address`.
std::string ice(std::string_view ufrag, std::string_view address) {
  return "a=ice-ufrag:" + std::string(ufrag) + "\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n" +
         "a=candidate:1 1 UDP 1694498815 " + std::string(address) +
         " 4000 typ srflx raddr 0.0.0.0 rport 9\r\n";
}

TEST_F(CallTest, RelayIsACandidateOfBothParties) {
  const Printed offered = print(offer(audio(kA, 4000, ice("a", kA))));
  const Printed answered = print(answer(audio(kB, 5000, ice("b", kB))));
  for (const Printed* seen_by : {&offered, &answered}) {
    const std::string port = std::to_string(seen_by->port());
    EXPECT_NE(seen_by->body->find(" 1 UDP 16777215 198.18.0.10 " + port + " typ relay"),
              std::string::npos)
        << *seen_by->body;
    EXPECT_NE(seen_by->body->find("a=ice-ufrag:"), std::string::npos);
  }
  EXPECT_NE(offered.body->find(std::string(kA) + " 4000 typ srflx"), std::string::npos);
}

TEST_F(CallTest, ForceRelayOffersTheRelayAsACandidateOnly) {
  Request asked = offer(audio(kA, 4000, ice("a", kA)));
  asked.edits.ice = IceHandling::force_relay;
  const Reply reply = handle(asked);
  const std::string body = std::get<reply::Sdp>(reply).body;
  EXPECT_NE(body.find("m=audio 4000 RTP/AVP 0 8\r\n"), std::string::npos) << body;
  EXPECT_NE(body.find("c=IN IP4 198.18.0.100\r\n"), std::string::npos) << body;
  EXPECT_NE(body.find(" typ relay"), std::string::npos) << body;
  EXPECT_NE(body.find(" typ srflx"), std::string::npos) << body;
  const std::size_t at = body.find(" 198.18.0.10 ") + 13;
  const auto port = static_cast<std::uint16_t>(std::stoi(body.substr(at)));
  EXPECT_TRUE(flow(local_port(kCore, UdpPort(port))).active);
  // Media of a party without ICE passes through c= and m=.
  asked.call_id = "other";
  asked.sdp = keep(audio(kA, 4000));
  EXPECT_EQ(print(asked).session.sections[0].connection, kCore);
}

TEST_F(CallTest, OnlyRelayRemovesAllOtherCandidates) {
  Request asked = offer(audio(kA, 4000, ice("a", kA)));
  asked.edits.ice = IceHandling::relay_only;
  const Printed offered = print(asked);
  EXPECT_EQ(offered.session.sections[0].candidates, std::vector{kCore});
}

TEST_F(CallTest, ForcedIceWithoutCandidatesWarns) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.ice = IceHandling::force;
  EXPECT_NE(std::get<reply::Sdp>(handle(asked)).warning.find("ICE=force"), std::string::npos);
  asked.sdp = keep(audio(kA, 4000, ice("a", kA)));
  EXPECT_EQ(std::get<reply::Sdp>(handle(asked)).warning, "");
}

TEST_F(CallTest, ReinviteThatConcludesIcePassesUnchanged) {
  to_b = print(offer(audio(kA, 4000, ice("a", kA)))).local();
  to_a = print(answer(audio(kB, 5000, ice("b", kB)))).local();
  const std::string end = "a=remote-candidates:1 198.18.0.200 5000\r\n";
  Request again = offer(audio(kA, 4444, ice("a", kA) + end));
  again.to_tag = "B";
  const Printed offered = print(again);
  EXPECT_EQ(*offered.body, again.sdp);
  const std::string body = audio(kB, 5555, ice("b", kB));
  EXPECT_EQ(*print(answer(body)).body, body) << "and so does its answer";
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000)) << "the flows stay";
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
}

// ---- SDP edits requested by proxies ----------------------------------------------------------

TEST_F(CallTest, AnswerHasTheProtocolOfTheOffer) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.protocol = "RTP/AVPF";
  EXPECT_EQ(print(asked).session.sections[0].protocol, "RTP/AVPF");
  const std::string body = session(kB) + "m=audio 5000 RTP/AVPF 0 8\r\n";
  EXPECT_EQ(print(answer(body)).session.sections[0].protocol, "RTP/AVP");
  Request accepting = answer(body);
  accepting.edits.protocol = "accept";
  EXPECT_EQ(print(accepting).session.sections[0].protocol, "RTP/AVPF");
}

TEST_F(CallTest, ChangeToAnEncryptedProtocolIsRefused) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.protocol = "RTP/SAVP";
  EXPECT_NE(reason(asked).find("neither encrypts nor decrypts"), std::string::npos);
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallTest, StrippedCodecIsAbsentFromTheOffer) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.codecs.strip = {"PCMU"};
  EXPECT_EQ(print(asked).session.sections[0].codec, "PCMA/8000");
}

TEST_F(CallTest, MediaWithoutCodecsIsRejectedOnRequest) {
  Request asked = offer(audio(kA, 4000) + media("video", 4002));
  asked.edits.codecs.strip = {"all"};
  EXPECT_NE(print(asked).port(1), 0U) << "by default it keeps its codecs";
  Request other = offer(audio(kA, 4000));
  other.call_id = "other";
  other.edits.codecs = {.strip = {"all"}, .except = {}, .offer = {}, .allow_none = true};
  const Printed offered = print(other);
  EXPECT_EQ(offered.port(0), 0U);
  EXPECT_EQ(statistics().ports_used, 8U) << "of the first call";
}

TEST_F(CallTest, AnswerIsPrintedWithItsFirstCodec) {
  to_b = print(offer(audio(kA, 4000))).local();
  Request asked = answer(audio(kB, 5000));
  asked.edits.single_codec = true;
  const Printed answered = print(asked);
  EXPECT_NE(answered.body->find(" RTP/AVP 0\r\n"), std::string::npos) << *answered.body;
}

TEST_F(CallTest, RemovedMediaTakesNoPorts) {
  Request asked = offer(audio(kA, 4000) + media("video", 4002));
  asked.edits.remove_media_types = {"video"};
  const Printed offered = print(asked);
  EXPECT_EQ(offered.port(1), 0U);
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, RemovedMediaIsNotBundleOnly) {
  const std::string video = "a=bundle-only\r\na=mid:v\r\n";
  Request asked = offer(session(kA) + "a=group:BUNDLE a v\r\n" +
                        media("audio", 4000, "a=mid:a\r\n") + media("video", 0, video));
  EXPECT_NE(print(asked).body->find(video), std::string::npos);
  asked.edits.remove_media_types = {"video"};
  const Printed offered = print(asked);
  EXPECT_TRUE(offered.body->ends_with("m=video 0 RTP/AVP 0 8\r\na=mid:v\r\n")) << *offered.body;
}

TEST_F(CallTest, LoopedSdpPassesUnchanged) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.lines.loop_mark = true;
  const Printed once = print(asked);
  Request again = asked;
  again.call_id = "other";
  again.sdp = keep(*once.body);
  EXPECT_EQ(*print(again).body, *once.body);
  EXPECT_EQ(statistics().sessions, 1U);
}

TEST_F(CallTest, SdpVersionFollowsTheRewrittenContent) {
  const auto version = [&](std::string_view body) {
    Request asked = offer(std::string(body));
    asked.edits.origin.version = true;
    const Printed printed = print(asked);
    return printed.body->substr(printed.body->find("o="), 7);
  };
  EXPECT_EQ(version(audio(kA, 4000)), "o=- 1 1");
  EXPECT_EQ(version(audio(kA, 4444)), "o=- 1 1") << "the relay's port is the same";
  EXPECT_EQ(version(audio(kA, 4444, "a=sendonly\r\n")), "o=- 1 2");
}

TEST_F(CallTest, SessionNameOfAPartyStays) {
  const auto name = [&](Request asked) {
    asked.edits.origin.session_name = true;
    const Printed printed = print(asked);
    const std::size_t at = printed.body->find("\r\ns=") + 4;
    return printed.body->substr(at, printed.body->find('\r', at) - at);
  };
  const auto named = [](std::string body, const std::string& with) {
    return body.replace(body.find("s=x"), 3, "s=" + with);
  };
  EXPECT_EQ(name(offer(named(audio(kA, 4000), "Call one"))), "Call one");
  EXPECT_EQ(name(answer(named(audio(kB, 5000), "B's"))), "B's");
  EXPECT_EQ(name(offer(named(audio(kA, 4000), "Call two"))), "Call one");
}

// ---- warnings ---------------------------------------------------------------------------------

class CallWarning : public CallTest {
 protected:
  [[nodiscard]] std::string warning(const Request& asked) {
    const Reply reply = handle(asked);
    const auto* sdp = std::get_if<reply::Sdp>(&reply);
    return sdp != nullptr ? sdp->warning : "no SDP";
  }
};

TEST_F(CallWarning, ChangeOfInterfaceWarns) {
  Request first = offer(audio(kA, 4000));
  first.placement.from_interface = "core";
  first.placement.to_interface = "edge";
  EXPECT_EQ(warning(first), "");
  EXPECT_EQ(warning(first), "") << "the same once more";
  Request second = answer(audio("203.0.113.100", 5000));
  second.placement.from_interface = "edge";
  second.placement.to_interface = "core";
  EXPECT_EQ(warning(second), "");
  std::swap(second.placement.from_interface, second.placement.to_interface);
  EXPECT_EQ(warning(second), "") << "the flags of the offer, given to the answer too";
  std::swap(second.placement.from_interface, second.placement.to_interface);
  Request back = offer(audio("203.0.113.100", 5000));
  back.from_tag = "B";
  back.to_tag = "A";
  back.placement = first.placement;
  EXPECT_EQ(warning(back), "") << "the flags of the offer, given to the other party's too";
  Request again = first;
  again.placement.from_interface = "edge";
  again.placement.to_interface = "core";
  EXPECT_EQ(warning(again),
            "direction: the sender stays on interface 'core', where its first offer put it; 'edge' "
            "is not used; direction: the receiver stays on interface 'edge', where its first offer "
            "put it; 'core' is not used");
  again.placement.to_interface = "elsewhere";
  EXPECT_EQ(warning(again),
            "direction: the sender stays on interface 'core', where its first offer put it; 'edge' "
            "is not used; direction: the receiver stays on interface 'edge', where its first offer "
            "put it; 'elsewhere' is not used");
  second.placement.from_interface = "core";
  EXPECT_EQ(warning(second),
            "direction: the sender stays on interface 'edge', where its first offer put it; 'core' "
            "is not used");
}

TEST_F(CallWarning, AliasOfTheInterfaceIsNoChange) {
  config.interfaces[1].aliases = {"pub"};
  restart();
  Request first = offer(audio(kA, 4000));
  first.placement.from_interface = "core";
  first.placement.to_interface = "pub";
  EXPECT_EQ(print(first).session.sections[0].connection, kEdge);
  EXPECT_EQ(warning(first), "");
  first.placement.to_interface = "edge";
  EXPECT_EQ(warning(first), "");
}

TEST_F(CallWarning, PeerSelectsTheInterface) {
  Request first = offer(audio(kA, 4000));
  first.placement.to_peer = IpAddress::v4(203, 0, 113, 5);
  EXPECT_EQ(print(first).session.sections[0].connection, kEdge);
  EXPECT_EQ(warning(first), "");
  first.placement.to_peer = IpAddress::v4(198, 18, 0, 5);
  EXPECT_EQ(warning(first),
            "direction: the receiver stays on interface 'edge', where its first offer put it; "
            "'core' is not used");
  Request other = offer(audio("203.0.113.5", 4000));
  other.call_id = "other";
  other.placement.from_peer = IpAddress::v4(203, 0, 113, 5);
  other.placement.to_interface = "core";
  EXPECT_EQ(print(other).session.sections[0].connection, kCore);
  other.call_id = "unreachable";
  other.placement.from_peer = IpAddress::v4(192, 0, 2, 1);
  EXPECT_TRUE(reason(other).starts_with("No interface reaches the peer 192.0.2.1"));
}

TEST_F(CallWarning, MediaOverAnUnknownTransportWarns) {
  const std::string fax = "m=image 4002 UDPTL/UDP t38\r\n", odd = "m=audio 4004 UDP/RTP/AVP 0\r\n";
  EXPECT_EQ(warning(offer(audio(kA, 4000) + fax + odd + fax)),
            "transport 'UDPTL/UDP', 'UDP/RTP/AVP': its media passes around the relay");
  Request other = offer(audio(kA, 4000) + "m=message 4006 TCP/MSRP *\r\n" + "m=x 0 odd 0\r\n");
  other.call_id = "other";
  EXPECT_EQ(warning(other), "");
  Request removed = offer(audio(kA, 4000) + fax);
  removed.call_id = "removed";
  removed.edits.remove_media_types = {"image"};
  EXPECT_EQ(warning(removed), "");
}

TEST_F(CallWarning, AllWarningsAreReported) {
  Request asked = offer(audio(kA, 4000) + media("video", 4002));
  asked.edits.ice = IceHandling::force;
  asked.unsupported = "new-branch: no";
  asked.edits.offer_bundle = true;
  const std::string all = warning(asked);
  EXPECT_TRUE(all.starts_with("ICE=force: ")) << all;
  EXPECT_NE(all.find("; new-branch: no; bundle: "), std::string::npos) << all;
}

// ---- BUNDLE -----------------------------------------------------------------------------------

constexpr std::string_view kGroup = "a=group:BUNDLE a v\r\n";

TEST_F(CallWarning, BundlePassesWithAPortPerSection) {
  const std::string two = media("audio", 4000, "a=mid:a\r\n") + media("video", 4002, "a=mid:v\r\n");
  const Printed offered = print(offer(session(kA) + std::string(kGroup) + two));
  EXPECT_NE(offered.body->find("\r\na=group:BUNDLE a v\r\n"), std::string::npos);
  EXPECT_NE(offered.port(0), offered.port(1));
  EXPECT_TRUE(flow(offered.local(0)).active && flow(offered.local(1)).active);
  for (const bool require : {false, true}) {
    Request asked = offer(session(kA) + std::string(kGroup) + two);
    (require ? asked.edits.require_bundle : asked.edits.offer_bundle) = true;
    EXPECT_EQ(warning(asked), "");
  }
}

// ICE agents go on with the pair of the group's first section until an ICE restart.
TEST_F(CallWarning, BundleOutlivesItsFirstSection) {
  const auto body = [](const char* address, int audio_port, int video_port, const char* ufrag) {
    const std::string more = "a=rtcp-mux\r\na=ice-ufrag:" + std::string(ufrag) +
                             "\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
    return session(address) + std::string(kGroup) +
           media("audio", audio_port, "a=mid:a\r\n" + more) +
           media("video", video_port, "a=mid:v\r\n" + more);
  };
  const LocalPort callee = print(offer(body(kA, 4000, 4000, "aaaa"))).local();
  const LocalPort caller = print(answer(body(kB, 5000, 5000, "bbbb"))).local();
  Request fewer = offer(body(kA, 0, 4000, "aaaa"));
  fewer.to_tag = "B";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(print(fewer).port(), 0U);
    EXPECT_EQ(print(answer(body(kB, 0, 5000, "bbbb"))).port(), 0U);
    EXPECT_EQ(flow(callee).destination, endpoint(kA, 4000));
    EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
    EXPECT_FALSE(rtcp_flow(caller).active) << "multiplexed";
    EXPECT_EQ(statistics().ports_used, 8U);
  }
  fewer.sdp = keep(body(kA, 0, 4000, "cccc"));
  EXPECT_EQ(print(fewer).port(), 0U);
  EXPECT_TRUE(flow(callee).active) << "until the answer";
  std::ignore = print(answer(body(kB, 0, 5000, "dddd")));
  EXPECT_FALSE(flow(callee).active);
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallWarning, RequiredBundleWithoutAGroupIsRefused) {
  Request asked = offer(audio(kA, 4000) + media("video", 4002));
  asked.edits.offer_bundle = true;
  EXPECT_EQ(warning(asked), "bundle: the SDP has no a=group:BUNDLE and is sent without one");
  asked.edits.require_bundle = true;
  EXPECT_EQ(reason(asked),
            "bundle: the SDP has no a=group:BUNDLE, and this relay cannot merge several m= "
            "lines into one stream; leave `require` out");
  asked.sdp = keep(audio(kA, 4000));
  EXPECT_EQ(warning(asked), "") << "one media needs none";
  Request unbundled = answer(audio(kB, 5000));
  unbundled.edits.require_bundle = true;
  EXPECT_EQ(warning(unbundled), "") << "who answers decides";
}

TEST_F(CallWarning, BundleOnlySectionNeedsTheGroup) {
  const std::string two = media("audio", 4000) + media("video", 0, "a=bundle-only\r\n");
  Request asked = offer(session(kA) + std::string(kGroup) + two);
  EXPECT_EQ(warning(asked), "");
  asked.edits.no_bundle = true;
  EXPECT_EQ(warning(asked), "bundle: without a=group:BUNDLE, bundle-only media is rejected");
}

}  // namespace
}  // namespace millrace
