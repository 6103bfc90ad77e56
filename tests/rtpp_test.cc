// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/rtpp.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/calls_fixture.h"

namespace millrace {
namespace {

using rtpp::Refusal;
using State = Extent::State;

// What a proxy's module sent, line by line: tests/data/rtpp/NAME.txt.
std::vector<std::string> captured(const std::string& name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else touches the environment
  const char* const data = std::getenv("TEST_DATA");
  std::ifstream file(std::string(data != nullptr ? data : "tests/data") + "/rtpp/" + name + ".txt");
  if (!file) throw std::runtime_error("no fixture " + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// A copy on a heap buffer of its exact size, so that ASan sees a read past the end.
class Exact {
 public:
  explicit Exact(std::string_view text) : bytes_(new char[text.size()]), size_(text.size()) {
    std::memcpy(bytes_.get(), text.data(), size_);
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;  // NOLINT(*-avoid-c-arrays): a vector may be larger
  std::size_t size_;
};

// ---- framing ---------------------------------------------------------------------------------

TEST(RtppFrame, WithoutANewlineTheFirstBytesAreOneCommand) {
  EXPECT_EQ(rtpp::frame("V", true), (Extent{State::complete, 1}));
  EXPECT_EQ(rtpp::frame("VF 20050322", true), (Extent{State::complete, 11}));
}

TEST(RtppFrame, WithANewlineTheLineIs) {
  for (const bool first : {true, false}) {
    EXPECT_EQ(rtpp::frame("V\nVF 20", first), (Extent{State::complete, 2}));
    EXPECT_EQ(rtpp::frame("V\r\n", first), (Extent{State::complete, 3}));
  }
  EXPECT_EQ(rtpp::frame("VF 20", false).state, State::incomplete);
}

TEST(RtppFrame, TooLong) {
  const std::string longest = "D " + std::string(rtpp::kMaxCommand - 3, 'x');
  EXPECT_EQ(rtpp::frame(longest + "\n", true).size, rtpp::kMaxCommand);
  for (const bool first : {true, false}) {
    EXPECT_EQ(rtpp::frame(longest + "xx", first).state, State::malformed);
    EXPECT_EQ(rtpp::frame(longest + "xx\n", first).state, State::malformed);
  }
}

TEST(RtppCookie, IsTheFirstWord) {
  EXPECT_EQ(rtpp::cookie("24117_0 V"), "24117_0");
  EXPECT_EQ(rtpp::cookie("  a V\n"), "a");
  EXPECT_EQ(rtpp::cookie(""), "");
  EXPECT_EQ(rtpp::cookie(" \n"), "");
  EXPECT_EQ(rtpp::cookie(std::string(rtpp::kMaxCookie + 1, 'c') + " V"), "");
}

// ---- parsing ---------------------------------------------------------------------------------

class RtppParse : public testing::Test {
 protected:
  // Expects a good command.
  [[nodiscard]] rtpp::Command parse(std::string_view text) {
    auto command = rtpp::parse(text, config, peer);
    EXPECT_TRUE(command) << text << ": " << (command ? "" : rtpp::print(command.error()));
    return command ? std::move(*command) : rtpp::Command();
  }
  // "E8" for a bad one.
  [[nodiscard]] std::string error(std::string_view text) const {
    const auto command = rtpp::parse(text, config, peer);
    return command ? "accepted" : rtpp::print(command.error());
  }
  // What is wrong with a U that has these modifiers.
  [[nodiscard]] std::string modifiers(const std::string& text) const {
    return error("U" + text + " call 192.0.2.1 4000 tag");
  }

  Config config = two_interfaces();
  std::optional<IpAddress> peer;
};

TEST_F(RtppParse, Update) {
  const auto command = parse("Uc0,8,101 1-22684@127.0.0.1 192.168.1.10 6000 22684SIPpTag001;1");
  const Request& request = command.request;
  EXPECT_EQ(command.verb, rtpp::Verb::update);
  EXPECT_EQ(request.command, Command::offer);
  EXPECT_EQ(request.call_id, "1-22684@127.0.0.1");
  EXPECT_EQ(request.via_branch, "");
  EXPECT_EQ(request.from_tag, "22684SIPpTag001");
  EXPECT_EQ(request.to_tag, "");
  ASSERT_EQ(request.medias.size(), 1U);
  EXPECT_EQ(request.medias[0].index, 1U);
  EXPECT_EQ(request.medias[0].endpoint.text(), "192.168.1.10:6000");
  EXPECT_EQ(request.medias[0].payload_types.count(), 3U);
  EXPECT_TRUE(request.medias[0].payload_types[101]);
  EXPECT_TRUE(request.supports_load_limit);
}

TEST_F(RtppParse, LookupWithBranchAndSecondMedia) {
  const auto command = parse("lC96 id;z9hG4bK-1 192.0.2.2 7002 a;2 b;2");
  EXPECT_EQ(command.verb, rtpp::Verb::lookup);
  EXPECT_EQ(command.request.command, Command::answer);
  EXPECT_EQ(command.request.call_id, "id");
  EXPECT_EQ(command.request.via_branch, "z9hG4bK-1");
  EXPECT_EQ(command.request.from_tag, "a");
  EXPECT_EQ(command.request.to_tag, "b");
  EXPECT_EQ(command.request.medias.at(0).index, 2U);
}

TEST_F(RtppParse, TagsMayHaveSemicolons) {
  EXPECT_EQ(parse("Q call a;b;3 c;x").request.from_tag, "a;b");
  EXPECT_EQ(parse("Q call a;b;3 c;x").media, 3U);
  EXPECT_EQ(parse("Q call a;b;3 c;x").request.to_tag, "c;x");
  EXPECT_EQ(parse("Q call a;b").media, std::nullopt);
}

TEST_F(RtppParse, Modifiers) {
  EXPECT_FALSE(parse("U call 192.0.2.1 4000 t").request.asymmetric);
  EXPECT_TRUE(parse("Ua call 192.0.2.1 4000 t").request.asymmetric);
  EXPECT_FALSE(parse("UAS call 192.0.2.1 4000 t").request.asymmetric);
  EXPECT_EQ(parse("U6 call 2001:db8::9 4000 t").request.medias[0].endpoint.text(),
            "[2001:db8::9]:4000");
  EXPECT_EQ(parse("Uz20c0 call 192.0.2.1 4000 t").request.medias[0].payload_types.count(), 1U);
  EXPECT_EQ(modifiers("6"), "E37");
  EXPECT_EQ(error("U call 2001:db8::9 4000 t"), "E37");
  EXPECT_EQ(error("U call somewhere 4000 t"), "E37");
  EXPECT_EQ(error("U call 192.0.2.1 65536 t"), "E37");
  EXPECT_EQ(modifiers("c"), "E14");
  EXPECT_EQ(modifiers("c0c8"), "E14");
  EXPECT_EQ(modifiers("c128"), "E14");
  EXPECT_EQ(modifiers("z"), "E13");
  EXPECT_EQ(modifiers("z0"), "E13");
  EXPECT_EQ(modifiers("z1000"), "E13");
  EXPECT_EQ(modifiers("q"), "E35");
  EXPECT_EQ(modifiers("n"), "E35") << "a new port is not given";
  EXPECT_EQ(modifiers("w"), "E35") << "there are no weak sessions";
}

TEST_F(RtppParse, WithoutCodecsTheMediaIsOfNoKnownKind) {
  EXPECT_EQ(parse("U call 192.0.2.1 4000 t").request.medias[0].type, "");
  EXPECT_EQ(parse("Uc0 call 192.0.2.1 4000 t").request.medias[0].type, "audio");
}

TEST_F(RtppParse, BridgingNamesTheSendersSideFirst) {
  // Interfaces "core" and "edge" in this order: the first one is inside.
  const auto sides = [this](const std::string& letters) {
    const Request request = parse("U" + letters + " call 192.0.2.1 4000 t").request;
    return std::string(request.from_interface) + ">" + std::string(request.to_interface);
  };
  EXPECT_EQ(sides(""), ">");
  EXPECT_EQ(sides("ei"), "edge>core");
  EXPECT_EQ(sides("IE"), "core>edge");
  EXPECT_EQ(sides("EE"), "edge>edge");
  EXPECT_EQ(sides("II"), "core>core");
  EXPECT_EQ(sides("E"), "edge>core");
  EXPECT_EQ(modifiers("EIE"), "E11");
  EXPECT_EQ(modifiers("EEI"), "E12");
  config.interfaces[0].name = "external";
  EXPECT_EQ(sides("ei"), "external>edge");
  config.interfaces[0].name = "x";
  config.interfaces[1].name = "internal";
  EXPECT_EQ(sides("ei"), "x>internal");
  config.interfaces.pop_back();
  EXPECT_EQ(modifiers("E"), "E11");
  EXPECT_EQ(modifiers("I"), "E12");
}

TEST_F(RtppParse, LocalAddress) {
  const auto side = [this](const std::string& modifier) {
    const Request request = parse("U" + modifier + " call 192.0.2.1 4000 t").request;
    EXPECT_EQ(request.from_interface, request.to_interface);
    return std::string(request.from_interface);
  };
  EXPECT_EQ(side("l203.0.113.10"), "edge");
  EXPECT_EQ(side("L198.18.0.10c0"), "core");
  EXPECT_EQ(side("L{edge}"), "edge");
  EXPECT_EQ(parse("UL203.0.113.10 call 192.0.2.1 4000 t").request.to_local, kEdge);
  EXPECT_EQ(side("r203.0.113.77"), "edge");
  config.interfaces[0].advertised = {IpAddress::v4(192, 0, 2, 99)};
  EXPECT_EQ(side("L192.0.2.99"), "core");
  config.dataplane.interfaces[1].gateways = {IpAddress::v4(203, 0, 113, 1)};
  EXPECT_EQ(side("R8.8.8.8"), "edge");
  EXPECT_EQ(modifiers("L"), "E15");
  EXPECT_EQ(modifiers("L{edge"), "E15");
  EXPECT_EQ(modifiers("L{}"), "E15");
  EXPECT_EQ(modifiers("L[192.0.2.1]"), "E15");
  EXPECT_EQ(modifiers("R[::"), "E16");
  EXPECT_EQ(modifiers("R1.2.3"), "E16");
  EXPECT_EQ(modifiers("L8.8.8.8"), "E31");
  EXPECT_EQ(modifiers("L{nowhere}"), "E31");
  EXPECT_EQ(modifiers("R[2001:db8::1]"), "E33");
}

TEST_F(RtppParse, Notification) {
  const auto with = [this](const std::string& words) {
    return parse("U call 192.0.2.1 4000 from;1 " + words);
  };
  auto command = with("to;1 unix:/run/notify.sock T%3a7%20x");
  EXPECT_EQ(command.request.to_tag, "to");
  EXPECT_EQ(command.request.notify_socket, "unix:/run/notify.sock");
  EXPECT_EQ(command.request.notify_tag, "T:7 x");
  command = with("tcp:192.0.2.5:9000 tag");
  EXPECT_EQ(command.request.to_tag, "");
  EXPECT_EQ(command.request.notify_socket, "tcp:192.0.2.5:9000");
  // Kamailio before 5.8: a socket without a tag, which is no use.
  command = with("to;1 unix:/run/notify.sock");
  EXPECT_EQ(command.request.to_tag, "to");
  EXPECT_EQ(command.request.notify_socket, "");
  EXPECT_EQ(with("elsewhere tag").request.notify_socket, "");
  EXPECT_EQ(error("U call 192.0.2.1 4000 f t unix:/s %4"), "E10");
  EXPECT_EQ(error("U call 192.0.2.1 4000 f t unix:/s %zz"), "E10");
  EXPECT_EQ(error("U call 192.0.2.1 4000 f t unix:/s a%0ab"), "E10");
}

TEST_F(RtppParse, NotificationToWhoAsks) {
  const auto socket = [this] {
    const auto command = parse("U call 192.0.2.1 4000 f tcp:%%CC_SELF%%:9000 tag");
    return std::string(command.request.notify_socket);
  };
  EXPECT_EQ(socket(), "tcp:127.0.0.1:9000");
  peer = IpAddress::v4(127, 0, 0, 9);
  EXPECT_EQ(socket(), "tcp:127.0.0.9:9000");
  peer = IpAddress::parse("::1").value();
  EXPECT_EQ(socket(), "tcp:[::1]:9000");
}

TEST_F(RtppParse, Errors) {
  EXPECT_EQ(error(""), "E5");
  EXPECT_EQ(error(" \r\n"), "E5");
  EXPECT_EQ(error("&& D"), "E5");
  EXPECT_EQ(error("Z"), "E0");
  EXPECT_EQ(error("7"), "E0");
  for (const char* text : {"V 1", "VF", "VF 1 2", "U call 192.0.2.1 4000", "D call", "D a b c d",
                           "L call 192.0.2.1 4000", "L a 192.0.2.1 1 c d e", "Q call", "X now",
                           "P call name codecs", "S call", "R call", "C call name", "I now"}) {
    EXPECT_EQ(error(text), "E1") << text;
  }
  for (const char* text : {"Vx", "VFx 1", "Xa", "Sa call tag"})
    EXPECT_EQ(error(text), "E2") << text;
  EXPECT_EQ(error("Dx call tag"), "E8");
  EXPECT_EQ(error("Dw call tag"), "E8") << "there are no weak sessions";
  EXPECT_EQ(error("D call tag;2"), "E8") << "one media does not go alone";
  EXPECT_EQ(error("Rx call tag"), "E7");
  EXPECT_EQ(error("Gx"), "E9");
  EXPECT_EQ(error("Ix"), "E18");
  EXPECT_EQ(error("Qx call tag"), "E19");
  EXPECT_EQ(error("Px call name session tag"), "E17");
  EXPECT_EQ(error("P-1 call name session tag"), "accepted");
}

TEST_F(RtppParse, Subcommands) {
  EXPECT_TRUE(parse("U call 192.0.2.1 4000 t && D").then_remove);
  EXPECT_FALSE(parse("U call 192.0.2.1 4000 t").then_remove);
  for (const char* text : {"U call 192.0.2.1 4000 t &&", "U call 192.0.2.1 4000 t && M1:1",
                           "U call 192.0.2.1 4000 t && D && D", "D call t && D", "V && D",
                           "U call 192.0.2.1 4000 t && D x"}) {
    EXPECT_EQ(error(text), "E3") << text;
  }
}

TEST_F(RtppParse, FeaturesAreTheTrueOnes) {
  for (const char* date : {"20040107", "20050322", "20060704", "20080403", "20081102", "20081224",
                           "20141004", "20150617", "20191015", "20260306"}) {
    EXPECT_TRUE(rtpp::has_feature(date)) << date;
  }
  for (const char* date : {"20071116", "20071218", "20090810", "20150330", "20150420", "20170313",
                           "20200226", "", "2004010"}) {
    EXPECT_FALSE(rtpp::has_feature(date)) << date;
  }
}

TEST_F(RtppParse, EveryPrefixOfACaptureIsReadWithinItsBounds) {
  for (const char* name : {"unix", "reinvite_timeout"}) {
    for (const std::string& line : captured(name)) {
      for (std::size_t size = 0; size <= line.size(); ++size) {
        const Exact exact(std::string_view(line).substr(0, size));
        const auto command = rtpp::parse(exact.view(), config, peer);
        EXPECT_TRUE(command || size < line.size()) << line;
        std::ignore = rtpp::frame(exact.view(), true);
        std::ignore = rtpp::cookie(exact.view());
      }
    }
  }
}

// ---- serving ---------------------------------------------------------------------------------

class RtppServe : public CallsTest {
 protected:
  [[nodiscard]] Answer answer(std::string_view message,
                              const std::optional<IpAddress>& peer = std::nullopt) {
    return rtpp::serve(message, {.calls = *calls, .now = now, .max_reply = SIZE_MAX, .peer = peer});
  }
  [[nodiscard]] std::string ask(std::string_view message) { return answer(message).reply; }
  // The port that a U or L is told, on kCore.
  int port(std::string_view message) {
    const std::string reply = ask(message);
    std::smatch match;
    if (!std::regex_match(reply, match, std::regex(R"((\d+) 198\.18\.0\.10\n)"))) {
      ADD_FAILURE() << message << ": " << reply;
      return 0;
    }
    const int result = std::stoi(match[1]);
    seen.push_back(at(result));
    return result;
  }
  [[nodiscard]] static LocalPort at(int port) {
    return {MediaAddressId{0}, UdpPort(static_cast<std::uint16_t>(port))};
  }
  void expect_no_ports_used() { EXPECT_EQ(statistics().ports_used, 0U); }
};

TEST_F(RtppServe, AConnectionWithoutNewlineEndsWithItsReply) {
  EXPECT_EQ(ask("V"), "20040107\n");
  EXPECT_TRUE(answer("V").close);
  EXPECT_FALSE(answer("V\n").close);
  EXPECT_EQ(ask("VF 20050322\r\n"), "1\n");
  EXPECT_EQ(ask("VF 20071116"), "0\n");
  EXPECT_TRUE(answer("nonsense").refused);
  EXPECT_EQ(ask("nonsense"), "E1\n") << "N, with modifiers, but no call";
}

TEST_F(RtppServe, DatagramsHaveCookies) {
  const IpAddress peer = IpAddress::v4(127, 0, 0, 1);
  EXPECT_EQ(answer("24117_0 V", peer).reply, "24117_0 20040107\n");
  EXPECT_FALSE(answer("24117_0 V", peer).close);
  EXPECT_EQ(answer("24117_0", peer).reply, "24117_0 E5\n");
  EXPECT_EQ(answer("c D call tag", peer).reply, "c E50\n");
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
  const IpAddress peer = IpAddress::v4(127, 0, 0, 1);
  for (const std::string& line : captured("udp")) {
    const std::string name(rtpp::cookie(line));
    const std::string reply = answer(line, peer).reply;
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
  const int to_b = port("Uc0 call 192.0.2.1 4000 a;1");
  const int to_a = port("Lc0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(port("Uc0 call 192.0.2.2 5100 b;1 a;1"), to_a);
  EXPECT_EQ(flow(at(to_a)).destination, endpoint("192.0.2.2", 5100));
  EXPECT_EQ(port("Lc0 call 192.0.2.1 4000 b;1 a;1"), to_b);
  EXPECT_EQ(ask("D call b a"), "0\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, HoldByAddressAndResume) {
  const int to_b = port("Uc0 call 192.0.2.1 4000 a;1");
  port("Lc0 call 192.0.2.2 5000 a;1 b;1");
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

TEST_F(RtppServe, AsymmetricSendsWhereItIsTold) {
  const int to_b = port("Uac0 call 192.0.2.1 4000 a;1");
  port("Lc0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(flow(at(to_b)).destination, endpoint("192.0.2.1", 4000));
}

TEST_F(RtppServe, UnknownCalls) {
  EXPECT_EQ(ask("L call 192.0.2.2 5000 a b"), "0\n");
  EXPECT_EQ(ask("D call a"), "E50\n");
  EXPECT_EQ(ask("Q call a"), "E50\n");
  EXPECT_EQ(ask("P call name session a"), "E50\n");
  port("Uc0 call 192.0.2.1 4000 a;1");
  EXPECT_EQ(ask("L call 192.0.2.2 5000 other b"), "0\n");
  EXPECT_EQ(ask("D call other"), "E50\n");
  EXPECT_EQ(ask("Q call other"), "E50\n");
}

TEST_F(RtppServe, AddressesThatMustNotBeSentTo) {
  EXPECT_EQ(ask("Uc0 call 127.0.0.1 4000 a;1"), "E37\n");
  EXPECT_EQ(ask("Uc0 call 198.18.0.10 4000 a;1"), "E37\n");
  EXPECT_EQ(ask("Uc0 call 192.0.2.1 4000 a;65"), "E37\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, WhatThisRelayDoesNotMakeIsDeclined) {
  port("Uc0 call 192.0.2.1 4000 a;1");
  EXPECT_EQ(ask("P-1 call /v/p session a;1"), "E60\n");
  EXPECT_EQ(ask("S call a"), "E60\n");
  EXPECT_EQ(ask("R call a"), "E65\n");
  EXPECT_EQ(ask("N call a"), "E65\n");
  EXPECT_EQ(ask("C call file a"), "E65\n");
}

TEST_F(RtppServe, LimitsAndDrain) {
  config.limits.calls = 1;
  restart();
  port("Uc0 one 192.0.2.1 4000 a;1");
  EXPECT_EQ(ask("Uc0 two 192.0.2.1 4000 a;1"), "E98\n");
  calls->drain();
  EXPECT_EQ(ask("Uc0 two 192.0.2.1 4000 a;1"), "E99\n");
  EXPECT_EQ(ask("V"), "20040107\n");
  port("Lc0 one 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(ask("D one a b"), "0\n");
}

TEST_F(RtppServe, OutOfPorts) {
  config.interfaces[0].port_min = UdpPort(30000);
  config.interfaces[0].port_max = UdpPort(30003);
  restart();
  port("Uc0 one 192.0.2.1 4000 a;1");
  EXPECT_EQ(ask("Uc0 two 192.0.2.1 4000 a;1"), "E72\n");
}

TEST_F(RtppServe, Query) {
  port("Uc0 call 192.0.2.1 4000 a;1");
  port("Lc0 call 192.0.2.2 5000 a;1 b;1");
  EXPECT_EQ(ask("Q call a;1 b"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Qv call a b"), "ttl=60 npkts_ina=0 npkts_ino=0 nrelayed=0 ndropped=0\n");
  EXPECT_EQ(ask("Qv call a b rtpa_nlost ttl"), "rtpa_nlost=0 ttl=60\n");
  EXPECT_EQ(ask("Q call a b rtpa_ndups"), "E62\n");
  EXPECT_EQ(ask("Q call a;2 b"), "E50\n");
  EXPECT_EQ(ask("Q call a b && D"), "60 0 0 0 0\n");
  EXPECT_EQ(ask("Q call a b"), "E50\n");
  expect_no_ports_used();
}

TEST_F(RtppServe, RepliesFitTheModulesBuffer) {
  port("Uc0 call 192.0.2.1 4000 a;1");
  std::string names;
  for (int i = 0; i < 16; ++i) names += " rtpa_nrcvd";
  EXPECT_EQ(ask("Qv call a b" + names).size(), 16U * 13);
  const std::string cookie(100, 'c');
  EXPECT_EQ(answer(cookie + " Qv call a b" + names, IpAddress::v4(127, 0, 0, 1)).reply,
            cookie + " E26\n");
}

TEST_F(RtppServe, InfoAndStatistics) {
  port("Uc0 call 192.0.2.1 4000 a;1");
  EXPECT_EQ(ask("Ib"),
            "sessions created: 1\nactive sessions: 1\nactive streams: 2\npackets received: 0\n"
            "packets transmitted: 0\n");
  EXPECT_TRUE(ask("I").ends_with("packets transmitted: 0\ncall\n"));
  EXPECT_NE(ask("IBL").find("\naverage load: 0."), std::string::npos);
  EXPECT_EQ(ask("G nsess_created npkts_relayed"), "1 0\n");
  EXPECT_EQ(ask("Gv nsess_created nsess_destroyed"), "nsess_created=1 nsess_destroyed=0\n");
  EXPECT_EQ(ask("G nsess_nortp"), "E68\n");
  EXPECT_EQ(ask("G").find('E'), std::string::npos);
}

TEST_F(RtppServe, RemoveAll) {
  for (int i = 0; i < 2000; ++i) {
    const std::string id = "call-" + std::to_string(i);
    ASSERT_EQ(ask("Uc0 " + id + " 192.0.2.1 4000 a;1").front() == 'E', false);
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
    ASSERT_NE(ask("Uc0 " + id + " 192.0.2.1 4000 a;1").find(" 198.18.0.10\n"), std::string::npos);
    ASSERT_NE(ask("Lc0 " + id + " 192.0.2.2 5000 a;1 b;1").find(" 198.18.0.10\n"),
              std::string::npos);
    ASSERT_EQ(ask("D " + id + " a b"), "0\n");
  }
  EXPECT_EQ(statistics().sessions_total, 10'000U);
  EXPECT_EQ(statistics().sessions, 0U);
  expect_no_ports_used();
}

}  // namespace
}  // namespace millrace
