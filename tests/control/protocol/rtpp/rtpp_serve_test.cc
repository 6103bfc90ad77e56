// SPDX-License-Identifier: BSD-3-Clause
// Replies to rtpproxy's commands: framing, captured calls, error codes, statistics, limits.

#include <initializer_list>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "tests/control/protocol/rtpp/rtpp_fixture.h"
#include "tests/control/protocol/rtpp/rtpp_serve_fixture.h"

namespace millrace {
namespace {

const IpAddress kProxy = IpAddress::v4(127, 0, 0, 1);  // the peer of datagrams

TEST_F(RtppServe, ConnectionWithoutNewlineEndsWithItsReply) {
  EXPECT_EQ(ask("V"), "20040107\n");
  EXPECT_TRUE(answer("V").close);
  EXPECT_FALSE(answer("V\n").close);
  EXPECT_EQ(ask("VF 20050322\r\n"), "1\n");
  EXPECT_EQ(ask("VF 20071116"), "0\n");
  EXPECT_EQ(answer("nonsense").refused, "E1");
  EXPECT_EQ(answer("V").refused, "");
  EXPECT_EQ(ask("nonsense"), "E1\n") << "N, with modifiers, but no call";
}

TEST_F(RtppServe, DatagramsHaveCookies) {
  EXPECT_EQ(answer("24117_0 V", kProxy).reply, "24117_0 20040107\n");
  EXPECT_FALSE(answer("24117_0 V", kProxy).close);
  EXPECT_EQ(answer("24117_0", kProxy).reply, "24117_0 E5\n");
  EXPECT_EQ(answer("c D call tag", kProxy).reply, "c E50\n");
}

TEST_F(RtppServe, CapturedCallOverUnix) {
  const auto lines = captured("unix");
  ASSERT_EQ(lines.size(), 9U);
  const int audio_to_b = port(lines[4]), video_to_b = port(lines[5]);
  const int audio_to_a = port(lines[6]), video_to_a = port(lines[7]);
  EXPECT_EQ(flow(at(audio_to_a)).destination, endpoint("10.0.0.20", 7000));
  EXPECT_EQ(flow(at(audio_to_b)).destination, endpoint("192.168.1.10", 6000));
  EXPECT_EQ(flow(at(video_to_a)).destination, endpoint("10.0.0.20", 7002));
  EXPECT_EQ(flow(at(video_to_b)).destination, endpoint("192.168.1.10", 6002));
  EXPECT_EQ(rtcp_flow(at(audio_to_a)).destination, endpoint("10.0.0.20", 7001));
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(port(lines[4]), audio_to_b) << "the same once more changes nothing";
  EXPECT_EQ(ask(lines[8]), "0\n");
  EXPECT_EQ(ask(lines[8]), "E50\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, CapturedCallOverUdp) {
  for (const std::string& line : captured("udp")) {
    const std::string name(rtpp::cookie(line));
    const std::string reply = answer(line, kProxy).reply;
    EXPECT_TRUE(reply.starts_with(name + " ")) << reply;
    EXPECT_EQ(reply.find('E'), std::string::npos) << line << ": " << reply;
    EXPECT_LE(reply.size(), rtpp::kMaxReply);
    if (line.ends_with(" uastag1")) {
      EXPECT_EQ(reply, name + " 0\n");
    }
  }
  expect_no_ports_used();
}

TEST_F(RtppServe, UnknownCallsGetTheirErrorCodes) {
  EXPECT_EQ(ask("L call 192.0.2.2 5000 a b"), "0\n");
  EXPECT_EQ(ask("D call a"), "E50\n");
  EXPECT_EQ(ask("Q call a"), "E50\n");
  EXPECT_EQ(ask("P call name session a"), "E50\n");
  port(update());
  EXPECT_EQ(ask("L call 192.0.2.2 5000 other b"), "0\n");
  EXPECT_EQ(ask("D call other"), "E50\n");
  EXPECT_EQ(ask("Q call other"), "E50\n");
}

TEST_F(RtppServe, RefusesUnsendableAddresses) {
  EXPECT_EQ(ask("Uc0 call 127.0.0.1 4000 a;1"), "E37\n");
  EXPECT_EQ(ask("Uc0 call 198.18.0.10 4000 a;1"), "E37\n");
  EXPECT_EQ(ask("Uc0 call 192.0.2.1 4000 a;65"), "E37\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, RefusesPlayingRecordingAndCopying) {
  port(update());
  EXPECT_EQ(ask("P-1 call /v/p session a;1"), "E60\n");
  EXPECT_EQ(ask("S call a"), "0\n") << "nothing plays";
  EXPECT_EQ(ask("S other a"), "E50\n");
  EXPECT_EQ(ask("R call a"), "E50\n") << "as rtpproxy without a folder for recordings";
  EXPECT_EQ(ask("Rs call a"), "E50\n");
  EXPECT_EQ(ask("N call a"), "E50\n");
  EXPECT_EQ(ask("C call file a"), "E65\n");
  EXPECT_EQ(ask("Csp call file a"), "E65\n");
  EXPECT_EQ(ask("Rsx call a"), "E6\n");
  EXPECT_EQ(ask("Rx call a"), "E7\n");
  EXPECT_EQ(ask("Cgarbage call file a"), "E7\n");
}

// The replies that rtpproxy's test command_parser expects, in its order. Only ttl differs: before
// the answer the timeout `offer` applies.
TEST_F(RtppServe, RepliesToRtpproxysCommandTable) {
  struct Row {
    const char *command, *reply;
  };
  const std::string u = "U id 192.0.2.1 4000 tag";
  port(u);
  for (const auto& [command, expected] : std::initializer_list<Row>{
           {"A aVF 20080403", "E0"},
           {"B aVF 20080403", "E0"},
           {"U", "E1"},
           {"U id", "E1"},
           {"U id 192.0.2.1", "E1"},
           {"U id 192.0.2.1 4000", "E1"},
           {"Ugarbage id 192.0.2.1 4000 tag", "E35"},
           {"U id 192.0.2.1 4000 tag unix:/s %25%25NS%25%2", "E10"},
           {"L", "E1"},
           {"L id 192.0.2.1 4000", "E1"},
           {"Lgarbage id 192.0.2.1 4000 tag", "E35"},
           {"D", "E1"},
           {"D id", "E1"},
           {"Dgarbage id tag", "E8"},
           {"D id other", "E50"},
           {"D id other another", "E50"},
           {"D id other another more", "E1"},
           {"P", "E1"},
           {"P id name session", "E1"},
           {"Pgarbage id name session tag", "E17"},
           {"P id name session tag", "E60"},
           {"R", "E1"},
           {"R id", "E1"},
           {"R id other", "E50"},
           {"R id other another more", "E1"},
           {"Rs id", "E1"},
           {"Rs id other", "E50"},
           {"R id tag", "E50"},
           {"Rs id tag", "E50"},
           {"N id tag", "E50"},
           {"C", "E1"},
           {"C id name", "E1"},
           {"C other name tag", "E50"},
           {"Cgarbage id name tag to", "E7"},
           {"C id name tag to", "E65"},
           {"S", "E1"},
           {"S id", "E1"},
           {"S other tag", "E50"},
           {"S id tag to more", "E1"},
           {"V", "20040107"},
           {"V id", "E1"},
           {"Vf", "E1"},
           {"Vfgarbage id", "E2"},
           {"Vf id", "0"},
           {"Vf id more", "E1"},
           {"Igarbage", "E18"},
           {"I id", "E1"},
           {"Q", "E1"},
           {"Q id", "E1"},
           {"Q id other", "E50"},
           {"Q id other another", "E50"},
           {"Q id tag whatever", "240 0 0 0 0"},
           {"Q id whatever tag", "240 0 0 0 0"},
           {"Qv id tag whatever", "ttl=240 npkts_ina=0 npkts_ino=0 nrelayed=0 ndropped=0"},
           {"Qv id whatever tag", "ttl=240 npkts_ina=0 npkts_ino=0 nrelayed=0 ndropped=0"},
           {"G nonsense", "E68"},
           {"Ggarbage nonsense", "E9"},
           {"G nonsense1 nonsense2", "E68"},
           {"Ggarbage nsess_created nsess_complete", "E9"},
           {"Gvgarbage nsess_created", "E9"},
           {"Gv nsess_created nsess_destroyed", "nsess_created=1 nsess_destroyed=0"},
           {"G pps_in", "E68"},
           {"G total_duration", "E68"},
           {"Q id tag whatever longest_ipi", "E62"},
           {"Q id tag whatever rtpa_jmax", "E62"},
           {"Q id tag whatever rtpa_javg", "E62"},
           {"G nsess_created nsess_destroyed nsess_complete", "1 0 0"},
           {"X id", "E1"},
           {"X", "0"}}) {
    EXPECT_EQ(ask(command), std::string(expected) + '\n') << command;
  }
  EXPECT_EQ(ask("\n"), "E5\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, LimitsAndDrain) {
  config.limits.calls = 1;
  restart();
  port(update("one"));
  EXPECT_EQ(ask(update("two")), "E98\n");
  calls->drain();
  EXPECT_EQ(ask(update("two")), "E99\n");
  EXPECT_EQ(ask("V"), "20040107\n");
  port(lookup("one"));
  EXPECT_EQ(ask("D one a b"), "0\n");
}

TEST_F(RtppServe, OutOfPorts) {
  config.interfaces[0].port_min = UdpPort(30000);
  config.interfaces[0].port_max = UdpPort(30003);
  restart();
  port(update("one"));
  EXPECT_EQ(ask(update("two")), "E72\n");
}

TEST_F(RtppServe, Query) {
  port(update());
  port(lookup());
  EXPECT_EQ(ask("Q call a;1 b"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Qv call a b"), "ttl=60 npkts_ina=0 npkts_ino=0 nrelayed=0 ndropped=0\n");
  EXPECT_EQ(ask("Qv call a b rtpa_nlost ttl"), "rtpa_nlost=0 ttl=60\n");
  EXPECT_EQ(ask("Qv call a b rtpa_ndups rtpa_jlast"), "rtpa_ndups=0 rtpa_jlast=0\n");
  EXPECT_EQ(ask("Q call a b longest_ipi"), "E62\n");
  EXPECT_EQ(ask("Q call b a"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Q call a;2 b"), "E50\n");
  EXPECT_EQ(ask("Q call a b && D"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Q call a b"), "E50\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, RepliesFitTheBufferOfTheModules) {
  port(update());
  std::string names;
  for (int i = 0; i < 16; ++i) names += " rtpa_nrcvd";
  EXPECT_EQ(ask("Qv call a b" + names).size(), 16U * 13);
  const std::string cookie(100, 'c');
  EXPECT_EQ(answer(cookie + " Qv call a b" + names, kProxy).reply, cookie + " E26\n");
}

TEST_F(RtppServe, InfoAndStatistics) {
  port(update());
  EXPECT_EQ(ask("Ib"),
            "sessions created: 1\nactive sessions: 1\nactive streams: 2\npackets received: 0\n"
            "packets transmitted: 0\n");
  EXPECT_TRUE(ask("I").ends_with("packets transmitted: 0\ncall\n"));
  EXPECT_NE(ask("IBL").find("\naverage load: 0."), std::string::npos);
  EXPECT_EQ(ask("G nsess_created npkts_relayed"), "1 0\n");
  EXPECT_EQ(ask("Gv nsess_created nsess_destroyed"), "nsess_created=1 nsess_destroyed=0\n");
  EXPECT_EQ(ask("G nsess_complete"), "0\n");
  EXPECT_EQ(ask("Gv ncmds_rcvd ncmds_succd ncmds_errs ncmds_repld"),
            "ncmds_rcvd=2 ncmds_succd=2 ncmds_errs=0 ncmds_repld=2\n");
  EXPECT_EQ(ask("Gv npkts_played nplrs_created npkts_discard"),
            "npkts_played=0 nplrs_created=0 npkts_discard=0\n");
  EXPECT_EQ(ask("G nsess_nortp"), "E68\n");
  EXPECT_EQ(ask("G").find('E'), std::string::npos);
}

TEST_F(RtppServe, OneShotUpdateAndLookup) {
  const std::string u = "Uc0 call 192.0.2.1 4000 a;1 b;1 && ";
  const std::string reply = ask(u + "Lc0 192.0.2.2 5000");
  const std::size_t bar = reply.find(" && ");
  ASSERT_TRUE(bar != std::string::npos && reply.ends_with('\n')) << reply;
  const std::string first = reply.substr(0, bar);
  const LocalPort to_b = at(relay_port(first));
  const LocalPort to_a =
      at(relay_port(std::string_view(reply).substr(bar + 4, reply.size() - bar - 5)));
  EXPECT_EQ(flow(to_b).destination, endpoint("192.0.2.1", 4000));
  EXPECT_EQ(flow(to_a).destination, endpoint("192.0.2.2", 5000));
  EXPECT_EQ(ask(u + "Lc0 127.0.0.1 5000"), first + " && -1\n");
  EXPECT_EQ(ask(u + "C call a b"), first + " && -1\n");
  EXPECT_EQ(ask(u + "Sr tos=184 && C call a b"), first + " && 0 && -1\n");
  EXPECT_EQ(ask(u + "Lc0 192.0.2.2 5000 && D"), reply);
  expect_no_ports_used();
}

TEST_F(RtppServe, TtlIsTheTimeUntilTheRelayEndsTheCall) {
  port(update());
  EXPECT_EQ(ask("Q call a x ttl"), "240\n");
  now += std::chrono::seconds(40);
  EXPECT_EQ(ask("Q call a x ttl"), "200\n");
  port(lookup());
  EXPECT_EQ(ask("Q call a x ttl"), "60\n");
  now += std::chrono::milliseconds(59'500);
  EXPECT_EQ(ask("Q call a x ttl"), "1\n");
  port("Uc0 call 0.0.0.0 4000 a;1 b;1");
  port("Lc0 call 0.0.0.0 5000 a;1 b;1");
  now += std::chrono::seconds(100);
  EXPECT_EQ(ask("Q call a x ttl"), "3500\n") << "on hold";
  config.timeouts = {.media = {}, .party = {}, .silent = {}, .offer = {}};
  restart();
  port(update());
  EXPECT_EQ(ask("Q call a x ttl"), "2147483647\n") << "no limit";
}

TEST_F(RtppServe, SessionTimeoutOverridesTheDefault) {
  port("Uc0 call 192.0.2.1 4000 a;1 && S ttl=300");
  port(lookup());
  EXPECT_EQ(ask("Q call a b"), "300 0 0 0 0\n");
  expire_after(std::chrono::seconds(299));
  EXPECT_EQ(statistics().sessions, 1U);
  expire_after(std::chrono::seconds(2));
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(RtppServe, RemoveAllEndsCallsOfThisProtocolOnly) {
  port("Uwc0 call 192.0.2.1 4000 a;1");
  std::ignore = print(offer(audio(kA, 4000)));  // into the same call
  Request other = offer(audio(kA, 4000));
  other.call_id = "other";
  std::ignore = print(other);
  port(update("third"));
  EXPECT_EQ(statistics().sessions, 3U);
  EXPECT_EQ(ask("X"), "0\n");
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(ask("I").substr(0, 20), "sessions created: 3\n");
  EXPECT_EQ(ask("D other A"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, RemoveAll) {
  for (int i = 0; i < 2000; ++i) {
    const std::string id = "call-" + std::to_string(i);
    ASSERT_EQ(ask(update(id)).front() == 'E', false);
  }
  EXPECT_EQ(ask("X"), "0\n");
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(ask("X"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, TenThousandCallsLeakNothing) {
  config.timeouts.quarantine = std::chrono::seconds(0);
  restart();
  for (int i = 0; i < 10'000; ++i) {
    const std::string id = "call-" + std::to_string(i);
    ASSERT_NE(ask(update(id)).find(" 198.18.0.10\n"), std::string::npos);
    ASSERT_NE(ask(lookup(id)).find(" 198.18.0.10\n"), std::string::npos);
    ASSERT_EQ(ask("D " + id + " a b"), "0\n");
  }
  EXPECT_EQ(statistics().sessions_total, 10'000U);
  EXPECT_EQ(statistics().sessions, 0U);
  expect_no_ports_used();
}

}  // namespace
}  // namespace millrace
