// SPDX-License-Identifier: BSD-3-Clause
// What U, L and D do to a call's streams, ports and flows.

#include <initializer_list>
#include <iterator>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/control/protocol/rtpp/rtpp_serve_fixture.h"

namespace millrace {
namespace {

using RtppSession = RtppServe;

TEST_F(RtppSession, OfferInTheOtherDirection) {
  const int to_b = port(update());
  const int to_a = port(lookup());
  EXPECT_EQ(port("Uc0 call 192.0.2.2 5100 b;1 a;1"), to_a);
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5000));
  EXPECT_EQ(port("Lc0 call 192.0.2.1 4000 b;1 a;1"), to_b);
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5100));
  EXPECT_EQ(ask("D call b a"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, HoldByAddressAndResume) {
  const int to_b = port(update());
  port(lookup());
  EXPECT_EQ(port("Uc0 call 0.0.0.0 4000 a;1 b;1"), to_b);
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
  port(lookup());
  EXPECT_FALSE(flow(at(to_b)).destination);
  EXPECT_EQ(port("Uc0 call 192.0.2.1 4000 a;1 b;1"), to_b);
  port(lookup());
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
}

TEST_F(RtppSession, BridgesInterfaces) {
  const std::string reply = ask("Uiec0 call 192.0.2.1 4000 a;1");
  EXPECT_TRUE(reply.ends_with(" 203.0.113.10\n")) << reply;
  EXPECT_TRUE(ask("Lei call 192.0.2.2 5000 a;1 b;1").ends_with(" 198.18.0.10\n"));
}

TEST_F(RtppSession, LocalAddressSelectsOneOfTheInterface) {
  config.interfaces[0].addresses = {kCore, kEdge};
  config.interfaces[0].ids = {MediaAddressId{0}, MediaAddressId{1}};
  config.interfaces.pop_back();
  restart();
  for (int i = 0; i < 8; ++i) {
    const std::string id = std::to_string(i);
    const std::string to_edge = ask("UL203.0.113.10c0 edge" + id + " 192.0.2.1 4000 a;1");
    EXPECT_TRUE(to_edge.ends_with(" 203.0.113.10\n")) << to_edge;
    const std::string to_core = ask("UL198.18.0.10c0 core" + id + " 192.0.2.1 4000 a;1");
    EXPECT_TRUE(to_core.ends_with(" 198.18.0.10\n")) << to_core;
  }
}

TEST_F(RtppSession, AsymmetricSendsToTheSdpAddress) {
  const int to_b = port("Uac0 call 192.0.2.1 4000 a;1");
  port(lookup());
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
}

// Kamailio's module takes port 0 for a failure and leaves the whole SDP as it was.
TEST_F(RtppSession, RefusedStreamOfAKnownCallHasAPort) {
  port(update());
  port("Uc99 call 192.0.2.1 4002 a;2");
  const int audio_to_a = port(lookup());
  EXPECT_EQ(ask("L call 192.0.2.2 0 a;2 b;2"), "9 198.18.0.10\n");
  EXPECT_EQ(flow(at(audio_to_a)).destination, endpoint("192.0.2.2", 5000));
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(ask("U call 192.0.2.1 0 a;2 b;2"), "9 198.18.0.10\n");
  EXPECT_EQ(ask("L call 192.0.2.2 0 a;2 b;2"), "9 198.18.0.10\n");
  EXPECT_EQ(ask("L other 192.0.2.2 0 a;2 b;2"), "0\n");
  EXPECT_EQ(ask("D call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, DeletesACallWhoseOnlyStreamWasRefused) {
  port(update());
  EXPECT_EQ(ask("L call 192.0.2.2 0 a;1 b;1"), "9 198.18.0.10\n");
  expect_no_ports_used();
  EXPECT_EQ(ask("D call a b"), "0\n");
  EXPECT_EQ(statistics().sessions, 0U);
}

// Sippy's B2BUA sends U for both parties, with both tags, and never L.
TEST_F(RtppSession, UpdateOfTheOtherPartyAnswers) {
  const int to_b = port("U call 192.0.2.1 4000 a b");
  EXPECT_EQ(port("U call 192.0.2.1 4000 a b"), to_b) << "repeated";
  const int to_a = port("U call 192.0.2.2 5000 b a");
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5000));
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
  EXPECT_EQ(ask("G nsess_complete"), "1\n");
  // Each later one moves its party at once, whichever comes first.
  EXPECT_EQ(port("U call 192.0.2.2 5100 b a"), to_a);
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5100));
  EXPECT_EQ(port("U call 192.0.2.1 4100 a b"), to_b);
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4100));
  expire_after(config.timeouts.media - std::chrono::seconds(1));
  EXPECT_EQ(statistics().sessions, 1U);
  expire_after(std::chrono::seconds(2));
  EXPECT_EQ(statistics().timeouts, 1U) << "not the offer timeout";
}

TEST_F(RtppSession, UpdateOfTheOtherPartyAnswersItsStreamOnly) {
  port("Uc0 call 192.0.2.1 4000 a;1");
  port("Uc99 call 192.0.2.1 4002 a;2");
  port("Uc0 call 192.0.2.2 5000 b;1 a;1");
  const int video_to_a = port("Uc99 call 192.0.2.2 5002 b;2 a;2");
  EXPECT_EQ(flow(at(video_to_a)).destination, endpoint("192.0.2.2", 5002));
  const int text_to_a = port("Uc98 call 192.0.2.2 5004 b;3 a;3");
  const int text_to_b = port("Uc98 call 192.0.2.1 4004 a;3 b;3");
  EXPECT_EQ(flow(at(text_to_a)).destination, endpoint("192.0.2.2", 5004));
  EXPECT_EQ(flow(at(text_to_b)).destination, endpoint("192.0.2.1", 4004));
  EXPECT_EQ(ask("D call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, LookupWithoutToTag) {
  const int to_b = port(update());
  const int to_a = port("Lc0 call 192.0.2.2 5000 a;1");
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5000));
  EXPECT_EQ(ask("Q call a;1"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Q call b a;1"), "60 0 0 0 0\n") << "the other party of a";
  EXPECT_EQ(port("Uc0 call 192.0.2.2 5100 b;1 a;1"), to_a) << "b is the party without a tag";
  EXPECT_EQ(port("Lc0 call 192.0.2.1 4000 b;1 a;1"), to_b);
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5100));
  EXPECT_EQ(ask("D call a;1"), "0\n");
  expect_no_ports_used();
}

// As in rtpproxy, the port in the reply to L is not taken until then.
TEST_F(RtppSession, LabelOfTheLookupPlacesTheOfferersPort) {
  const int to_b = port("Ul{core}c0 call 192.0.2.1 4000 a;1");
  const std::string reply = ask("Ll{edge}c0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_TRUE(reply.ends_with(" 203.0.113.10\n")) << reply;
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
  EXPECT_EQ(ask("Ll{core}c0 call 192.0.2.2 5000 a;1 b;1"), reply) << "it is known by now";
  EXPECT_EQ(ask("Ll{nowhere}c0 call 192.0.2.2 5000 a;1 b;1"), "E31\n");
  EXPECT_EQ(ask("D call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, NewPortReplacesTheOldOne) {
  const int to_b = port(update());
  const int to_a = port(lookup());
  const int again = port("Unc0 call 192.0.2.1 4000 a;1 b;1");
  EXPECT_NE(again, to_b);
  EXPECT_FALSE(flow(at(to_b)).active);
  EXPECT_EQ(flow(at(again)).destination, endpoint("192.0.2.1", 4000));
  EXPECT_NE(port("Lnc0 call 192.0.2.2 5000 a;1 b;1"), to_a);
  EXPECT_FALSE(flow(at(to_a)).active);
  EXPECT_EQ(port(update()), again);
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(ask("D call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, WithoutCodecsBothPortsCarryAnything) {
  const int to_b = port("U call 192.0.2.1 4000 a");
  const int to_a = port("L call 192.0.2.2 5000 a b");
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5000));
  EXPECT_EQ(rtcp_flow(at(to_a)).destination, endpoint("192.0.2.2", 5001));
  EXPECT_EQ(rtcp_flow(at(to_b)).destination, endpoint("192.0.2.1", 4001));
  // T.38 in place of the audio, and back.
  port("Uc0 call 192.0.2.1 4000 a b");
  port("Lc0 call 192.0.2.2 5000 a b");
  EXPECT_EQ(rtcp_flow(at(to_a)).destination, endpoint("192.0.2.2", 5001));
  EXPECT_EQ(ask("D call a b"), "0\n");
  expect_no_ports_used();
}

// U makes a strong claim on the media, Uw and Lw make a weak one each. D and Dw release them as
// rtpproxy does: a Dw that names the other party first releases a party's weak claim.
TEST_F(RtppSession, StrongSessionOutlivesDw) {
  port(update());
  port(lookup());
  EXPECT_EQ(ask("Dw call a b"), "0\n");
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(ask("D call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, WeakSessionOutlivesD) {
  port(update());
  port("Lwc0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(ask("D call a b"), "0\n");
  EXPECT_EQ(ask("Q call a b"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Dw call a b"), "0\n");
  EXPECT_EQ(ask("Dw call a b"), "E50\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, EndsWithTheLastWeakClaim) {
  port("Uwc0 call 192.0.2.1 4000 a;1");
  port("Lwc0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(ask("D call a b"), "0\n");
  EXPECT_EQ(ask("Dw call b a"), "0\n");
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(ask("Dw call b a"), "0\n") << "the weak claim of b is left";
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(ask("Dw call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, DeletesOneStreamOnly) {
  port("Uc0 call 192.0.2.1 4000 a;1");
  const int video = port("Uc99 call 192.0.2.1 4002 a;2");
  const int audio_to_a = port("Lc0 call 192.0.2.2 5000 a;1 b;1");
  const int video_to_a = port("Lc99 call 192.0.2.2 5002 a;2 b;2");
  EXPECT_EQ(ask("D call a;3 b;3"), "E50\n");
  EXPECT_EQ(ask("D call a;2 b;2"), "0\n");
  EXPECT_TRUE(flow(at(audio_to_a)).active);
  EXPECT_FALSE(flow(at(video_to_a)).active);
  EXPECT_FALSE(flow(at(video)).active);
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(ask("Q call a;2 b;2"), "E50\n");
  EXPECT_EQ(ask("D call a;2 b;2"), "E50\n");
  EXPECT_EQ(ask("Lc99 call 192.0.2.2 5002 a;2 b;2"), "0\n");
  // It may come back, on other ports.
  port("Uc99 call 192.0.2.1 4002 a;2 b;2");
  const int again = port("Lc99 call 192.0.2.2 5002 a;2 b;2");
  EXPECT_EQ(flow(at(again)).destination, endpoint("192.0.2.2", 5002));
  EXPECT_EQ(ask("D call a;2 b;2"), "0\n");
  EXPECT_EQ(ask("D call a;1 b;1"), "0\n");
  EXPECT_EQ(ask("D call a b"), "E50\n");
  expect_no_ports_used();
}

TEST_F(RtppSession, DeletesOneStreamOfOneBranchOnly) {
  port("Uc0 call;x 192.0.2.1 4000 a;1");
  port("Uc99 call;x 192.0.2.1 4002 a;2");
  port("Uc0 call;y 192.0.2.1 4000 a;1");
  port("Uc99 call;y 192.0.2.1 4002 a;2");
  EXPECT_EQ(statistics().ports_used, 12U);
  EXPECT_EQ(ask("D call;x a;2"), "0\n");
  EXPECT_EQ(statistics().ports_used, 10U) << "the caller's are shared";
  const int to_a = port("Lc99 call;y 192.0.2.3 5002 a;2 c;2");
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.3", 5002));
  EXPECT_EQ(ask("X"), "0\n");
  expect_no_ports_used();
}

// Random commands on a few calls: both verbs in both directions, new ports, labels, refused
// streams, branches, weak and strong claims, unknown tags.
TEST_F(RtppSession, PortsReturnAfterAnyHistory) {
  config.interfaces[0].port_max = UdpPort(30199);  // small enough to run out at times
  config.timeouts.quarantine = std::chrono::seconds(0);
  restart();
  std::mt19937 random(1);
  const auto one_of = [&](std::initializer_list<std::string> values) {
    return std::data(values)[random() % values.size()];
  };
  int given = 0, refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string verb = one_of({"U", "U", "L", "L", "D", "Q"});
    const std::string call = one_of({"one", "two", "three"}) + one_of({"", "", ";x", ";y"});
    const std::string stream = one_of({";1", ";1", ";2", ";3"});
    std::string tags = one_of({"a", "a", "b", "c"}) + stream;
    if (const auto to = one_of({"", "b", "b", "a", "d"}); !to.empty()) tags += " " + to + stream;
    std::string command = verb;
    if (verb == "U" || verb == "L") {
      command += one_of({"", "", "w", "n"}) + one_of({"", "", "l{edge}", "l{core}"}) +
                 one_of({"c0", "c0", ""});
      command += " " + call + " " + one_of({"192.0.2.1", "192.0.2.2", "0.0.0.0"}) + " " +
                 one_of({"4000", "4002", "5000", "0"}) + " " + tags;
    } else {
      command += verb == "D" ? one_of({"", "w"}) : "";
      command += " " + call + " " + tags;
    }
    const std::string reply = ask(command);
    reply.front() == 'E' || reply == "0\n" ? ++refused : ++given;
    ASSERT_LE(statistics().sessions, 3U) << command;
    now += std::chrono::milliseconds(random() % 100);
    if (i % 100 == 0) static_cast<void>(calls->expire(now));
  }
  EXPECT_GT(given, 5000);
  EXPECT_GT(refused, 1000);
  EXPECT_EQ(ask("X"), "0\n");
  EXPECT_EQ(statistics().sessions, 0U);
  expect_no_ports_used();
}

}  // namespace
}  // namespace millrace
