// SPDX-License-Identifier: BSD-3-Clause
// Commands of rtpproxy's protocol carried out: text in, text and flows out.

#include <initializer_list>
#include <iterator>
#include <optional>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "control/protocol/rtpp/rtpp.h"
#include "dataplane/base/text.h"
#include "tests/control/call/calls_fixture.h"
#include "tests/control/protocol/rtpp/rtpp_fixture.h"

namespace millrace {
namespace {

const IpAddress kProxy = IpAddress::v4(127, 0, 0, 1);  // the peer of datagrams

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

TEST_F(RtppServe, OfferInTheOtherDirection) {
  const int to_b = port(update());
  const int to_a = port(lookup());
  EXPECT_EQ(port("Uc0 call 192.0.2.2 5100 b;1 a;1"), to_a);
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5100));
  EXPECT_EQ(port("Lc0 call 192.0.2.1 4000 b;1 a;1"), to_b);
  EXPECT_EQ(ask("D call b a"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, HoldByAddressAndResume) {
  const int to_b = port(update());
  port(lookup());
  EXPECT_EQ(port("Uc0 call 0.0.0.0 4000 a;1 b;1"), to_b);
  EXPECT_FALSE(flow(at(to_b)).destination);
  EXPECT_EQ(port("Uc0 call 192.0.2.1 4000 a;1 b;1"), to_b);
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
}

TEST_F(RtppServe, BridgesInterfaces) {
  const std::string reply = ask("Uiec0 call 192.0.2.1 4000 a;1");
  EXPECT_TRUE(reply.ends_with(" 203.0.113.10\n")) << reply;
  EXPECT_TRUE(ask("Lei call 192.0.2.2 5000 a;1 b;1").ends_with(" 198.18.0.10\n"));
}

TEST_F(RtppServe, LocalAddressSelectsOneOfTheInterface) {
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

TEST_F(RtppServe, AsymmetricSendsToTheSdpAddress) {
  const int to_b = port("Uac0 call 192.0.2.1 4000 a;1");
  port(lookup());
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
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

// The replies that rtpproxy's test command_parser expects, in its order.
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
           {"Q id tag whatever", "60 0 0 0 0"},
           {"Q id whatever tag", "60 0 0 0 0"},
           {"Qv id tag whatever", "ttl=60 npkts_ina=0 npkts_ino=0 nrelayed=0 ndropped=0"},
           {"Qv id whatever tag", "ttl=60 npkts_ina=0 npkts_ino=0 nrelayed=0 ndropped=0"},
           {"G nonsense", "E68"},
           {"Ggarbage nonsense", "E9"},
           {"G nsess_created nsess_destroyed nsess_complete", "1 0 0"},
           {"X id", "E1"},
           {"X", "0"}}) {
    EXPECT_EQ(ask(command), std::string(expected) + '\n') << command;
  }
  EXPECT_EQ(ask("\n"), "E5\n");
  expect_no_ports_used();
}

// Kamailio's module takes port 0 for a failure and leaves the whole SDP as it was.
TEST_F(RtppServe, RefusedStreamOfAKnownCallHasAPort) {
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

TEST_F(RtppServe, DeletesACallWhoseOnlyStreamWasRefused) {
  port(update());
  EXPECT_EQ(ask("L call 192.0.2.2 0 a;1 b;1"), "9 198.18.0.10\n");
  expect_no_ports_used();
  EXPECT_EQ(ask("D call a b"), "0\n");
  EXPECT_EQ(statistics().sessions, 0U);
}

// Sippy's B2BUA sends U for both parties, with both tags, and never L.
TEST_F(RtppServe, UpdateOfTheOtherPartyAnswers) {
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

TEST_F(RtppServe, UpdateOfTheOtherPartyAnswersItsStreamOnly) {
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

TEST_F(RtppServe, LookupWithoutToTag) {
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
TEST_F(RtppServe, LabelOfTheLookupPlacesTheOfferersPort) {
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

TEST_F(RtppServe, NewPortReplacesTheOldOne) {
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

TEST_F(RtppServe, WithoutCodecsBothPortsCarryAnything) {
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

// U by A, U by B and L each hold a reference to the media. D and Dw release it as rtpproxy does: a
// Dw that names the other party first releases a party's weak reference.
TEST_F(RtppServe, StrongSessionOutlivesDw) {
  port(update());
  port(lookup());
  EXPECT_EQ(ask("Dw call a b"), "0\n");
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(ask("D call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, WeakSessionOutlivesD) {
  port(update());
  port("Lwc0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(ask("D call a b"), "0\n");
  EXPECT_EQ(ask("Q call a b"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Dw call a b"), "0\n");
  EXPECT_EQ(ask("Dw call a b"), "E50\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, EndsWithTheLastWeakReference) {
  port("Uwc0 call 192.0.2.1 4000 a;1");
  port("Lwc0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(ask("D call a b"), "0\n");
  EXPECT_EQ(ask("Dw call b a"), "0\n");
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(ask("Dw call b a"), "0\n") << "b still holds it";
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(ask("Dw call a b"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, DeletesOneStreamOnly) {
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

TEST_F(RtppServe, DeletesOneStreamOfOneBranchOnly) {
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

// Random commands on a few calls: both verbs in both directions, new ports, labels, refused
// streams, branches, weak and strong claims, unknown tags.
TEST_F(RtppServe, PortsReturnAfterAnyHistory) {
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
