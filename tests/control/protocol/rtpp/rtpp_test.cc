// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/rtpp/rtpp.h"

#include <deque>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/control/call/calls_fixture.h"
#include "tests/control/protocol/rtpp/rtpp_fixture.h"
#include "tests/exact.h"

namespace millrace {
namespace {

using State = Extent::State;

// ---- framing ---------------------------------------------------------------------------------

TEST(RtppFrame, FirstBytesWithoutNewlineAreOneCommand) {
  EXPECT_EQ(rtpp::frame("V", true), (Extent{State::complete, 1}));
  EXPECT_EQ(rtpp::frame("VF 20050322", true), (Extent{State::complete, 11}));
}

TEST(RtppFrame, NewlineDelimitsTheCommand) {
  for (const bool first : {true, false}) {
    EXPECT_EQ(rtpp::frame("V\nVF 20", first), (Extent{State::complete, 2}));
    EXPECT_EQ(rtpp::frame("V\r\n", first), (Extent{State::complete, 3}));
  }
  EXPECT_EQ(rtpp::frame("VF 20", false).state, State::incomplete);
}

TEST(RtppFrame, OversizedIsMalformed) {
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
  // A U with these modifiers that is good, and what is wrong with one that is not.
  [[nodiscard]] rtpp::Command update(const std::string& text = "") {
    return parse(texts.emplace_back("U" + text + " call 192.0.2.1 4000 tag"));
  }
  [[nodiscard]] std::string modifiers(const std::string& text) const {
    return error("U" + text + " call 192.0.2.1 4000 tag");
  }

  Config config = two_interfaces();
  std::optional<IpAddress> peer;
  std::deque<std::string> texts;  // a Request views what it was parsed from
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
  ASSERT_EQ(request.sections.size(), 1U);
  EXPECT_EQ(request.sections[0].index, 1U);
  EXPECT_EQ(request.sections[0].endpoint.text(), "192.168.1.10:6000");
  EXPECT_EQ(request.sections[0].payload_types.count(), 3U);
  EXPECT_TRUE(request.sections[0].payload_types[101]);
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
  EXPECT_EQ(command.request.sections.at(0).index, 2U);
}

TEST_F(RtppParse, AcceptsSemicolonsInTags) {
  EXPECT_EQ(parse("Q call a;b;3 c;x").request.from_tag, "a;b");
  EXPECT_EQ(parse("Q call a;b;3 c;x").media, 3U);
  EXPECT_EQ(parse("Q call a;b;3 c;x").request.to_tag, "c;x");
  EXPECT_EQ(parse("Q call a;b").media, std::nullopt);
}

TEST_F(RtppParse, Modifiers) {
  EXPECT_FALSE(update().request.latching.asymmetric);
  EXPECT_TRUE(update("a").request.latching.asymmetric);
  EXPECT_FALSE(update("AS").request.latching.asymmetric);
  EXPECT_EQ(parse("U6 call 2001:db8::9 4000 t").request.sections[0].endpoint.text(),
            "[2001:db8::9]:4000");
  EXPECT_EQ(update("z20c0").request.sections[0].payload_types.count(), 1U);
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
  EXPECT_FALSE(update().request.new_ports);
  EXPECT_TRUE(update("n").request.new_ports);
}

TEST_F(RtppParse, WeakAndStrong) {
  EXPECT_EQ(update().request.claim, Claim::strong);
  EXPECT_EQ(update("w").request.claim, Claim::weak);
  EXPECT_EQ(parse("LWc0 call 192.0.2.2 5000 a b").request.claim, Claim::weak);
  EXPECT_EQ(parse("D call tag").request.claim, Claim::strong);
  EXPECT_EQ(parse("Dw call tag").request.claim, Claim::weak);
}

TEST_F(RtppParse, MediaTypeIsEmptyWithoutCodecs) {
  EXPECT_EQ(update().request.sections[0].type, "");
  EXPECT_EQ(update("c0").request.sections[0].type, "audio");
}

TEST_F(RtppParse, FirstBridgingLetterIsTheSendersSide) {
  // Interfaces "core" and "edge" in this order: the first one is inside.
  const auto sides = [this](const std::string& letters) {
    const Request request = update(letters).request;
    return std::string(request.placement.from_interface) + ">" +
           std::string(request.placement.to_interface);
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
  config.interfaces[1].name = "y";
  config.interfaces[1].aliases = {"external"};
  EXPECT_EQ(sides("ei"), "y>x");
  config.interfaces.pop_back();
  EXPECT_EQ(modifiers("E"), "E11");
  EXPECT_EQ(modifiers("I"), "E12");
}

TEST_F(RtppParse, LocalAddress) {
  const auto side = [this](const std::string& modifier) {
    const Request request = update(modifier).request;
    EXPECT_EQ(request.placement.from_interface, request.placement.to_interface);
    return std::string(request.placement.from_interface);
  };
  EXPECT_EQ(side("l203.0.113.10"), "edge");
  EXPECT_EQ(side("L198.18.0.10c0"), "core");
  EXPECT_EQ(side("L{edge}"), "edge");
  config.interfaces[1].aliases = {"pub"};
  EXPECT_EQ(side("L{pub}"), "edge");
  EXPECT_EQ(update("L203.0.113.10").request.placement.to_local, kEdge);
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
  std::string line;  // the request refers to it
  const auto with = [&](const std::string& words) {
    line = "U call 192.0.2.1 4000 from;1 " + words;
    return parse(line);
  };
  auto command = with("to;1 unix:/run/notify.sock T%3a7%20x");
  EXPECT_EQ(command.request.to_tag, "to");
  EXPECT_EQ(command.request.notify.socket, "unix:/run/notify.sock");
  EXPECT_EQ(command.request.notify.tag, "T:7 x");
  command = with("tcp:192.0.2.5:9000 tag");
  EXPECT_EQ(command.request.to_tag, "");
  EXPECT_EQ(command.request.notify.socket, "tcp:192.0.2.5:9000");
  // Kamailio before 5.8: a socket without a tag, which is no use.
  command = with("to;1 unix:/run/notify.sock");
  EXPECT_EQ(command.request.to_tag, "to");
  EXPECT_EQ(command.request.notify.socket, "");
  EXPECT_EQ(with("elsewhere tag").request.notify.socket, "");
  EXPECT_EQ(error("U call 192.0.2.1 4000 f t unix:/s %4"), "E10");
  EXPECT_EQ(error("U call 192.0.2.1 4000 f t unix:/s %zz"), "E10");
  EXPECT_EQ(error("U call 192.0.2.1 4000 f t unix:/s a%0ab"), "E10");
}

// Such a tag cannot be sent as one line at the end of the call: refused at once.
TEST_F(RtppParse, RefusesANotificationTagWithALineEnd) {
  for (const char* tag : {"a%0db", "%0D", "a%0d%0a", "a%0a", "a%00b"}) {
    EXPECT_EQ(error(std::string("U call 192.0.2.1 4000 f t unix:/s ") + tag), "E10") << tag;
  }
  EXPECT_EQ(parse("U call 192.0.2.1 4000 f t unix:/s a%09%25").request.notify.tag, "a\t%");
}

TEST_F(RtppParse, CcSelfIsTheAddressOfThePeer) {
  const auto socket = [this] {
    const auto command = parse("U call 192.0.2.1 4000 f tcp:%%CC_SELF%%:9000 tag");
    return std::string(command.request.notify.socket);
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
  EXPECT_EQ(error("Dwx call tag"), "E8");
  EXPECT_EQ(error("Rx call tag"), "E7");
  EXPECT_EQ(error("Gx"), "E9");
  EXPECT_EQ(error("Ix"), "E18");
  EXPECT_EQ(error("Qx call tag"), "E19");
  EXPECT_EQ(error("Px call name session tag"), "E17");
  EXPECT_EQ(error("P-1 call name session tag"), "accepted");
}

TEST_F(RtppParse, Subcommands) {
  EXPECT_TRUE(update().then.empty());
  const auto command = parse(
      "U call;x 192.0.2.1 4000 a;2 b;2 && s ttl=300 && Lwc0 192.0.2.2 5000 && Dw && SR tos=184");
  EXPECT_EQ(command.request.media_timeout, std::chrono::seconds(300));
  EXPECT_EQ(command.request.dscp, 46);
  ASSERT_EQ(command.then.size(), 4U);
  EXPECT_EQ(command.then[0].verb, rtpp::Verb::set);
  const rtpp::Command& lookup = command.then[1];
  EXPECT_EQ(lookup.verb, rtpp::Verb::lookup);
  EXPECT_EQ(lookup.request.command, Command::answer);
  EXPECT_EQ(lookup.request.call_id, "call");
  EXPECT_EQ(lookup.request.via_branch, "x");
  EXPECT_EQ(lookup.request.from_tag, "a");
  EXPECT_EQ(lookup.request.to_tag, "b");
  EXPECT_EQ(lookup.request.claim, Claim::weak);
  ASSERT_EQ(lookup.request.sections.size(), 1U);
  EXPECT_EQ(lookup.request.sections[0].index, 2U);
  EXPECT_EQ(lookup.request.sections[0].endpoint.text(), "192.0.2.2:5000");
  EXPECT_EQ(command.then[2].verb, rtpp::Verb::remove);
  EXPECT_EQ(command.then[2].request.claim, Claim::weak);
  EXPECT_EQ(command.then[2].request.removal.media, 2U);
  EXPECT_EQ(command.then[3].verb, rtpp::Verb::set);
}

// The one-shot form, as expected by rtpproxy's own tests.
TEST_F(RtppParse, LookupAsASubcommand) {
  const std::string u = "U call 127.0.0.1 12345 from_tag_1 to_tag_1 && ";
  EXPECT_EQ(parse(u + "L 127.0.0.1 54321").then.size(), 1U);
  const auto command = parse(u + "L 127.0.0.1 54321 unix:/run/notify.sock T%3a7");
  EXPECT_EQ(command.then.at(0).request.notify.tag, "T:7");
  EXPECT_EQ(error("U call 127.0.0.1 12345 from_tag_1 && L 127.0.0.1 54321"), "E3");
  for (const char* text : {"L 127.0.0.1", "L 127.0.0.1 54321 extra", "L 127.0.0.1 notaport",
                           "L 127.0.0.1 54321 tcp:127.0.0.1:1234 %", "C call2 from", "C",
                           "C call2 from to extra", "Cx call2 from to"}) {
    EXPECT_EQ(error(u + text), "E3") << text;
  }
  EXPECT_EQ(parse(u + "C call2 from to").then.at(0).verb, rtpp::Verb::copy);
}

TEST_F(RtppParse, RefusesBadSubcommands) {
  const std::string u = "U call 192.0.2.1 4000 t && ";
  for (const char* text : {"", "M1:1", "D x", "Dx", "D &&", "S", "S ttl=0", "S ttl=", "S ttl=1x",
                           "S tos=256", "S tos=0", "S ssrc=1", "Sx ttl=1", "Srr ttl=1", "S ttl=1 x",
                           "S ttl=4294967296", "V", "D && D && D && D && D"}) {
    EXPECT_EQ(error(u + text), "E3") << text;
  }
  for (const char* text :
       {"D call t && D", "V && D", "Q call t && S ttl=1", "Q call t u && L 1.2.3.4 5",
        "L call 192.0.2.1 4000 a b && L 192.0.2.1 4000"}) {
    EXPECT_EQ(error(text), "E3") << text;
  }
}

TEST_F(RtppParse, FeaturesMatchTheImplementation) {
  for (const char* date : {"20040107", "20050322", "20060704", "20080403", "20081102", "20081224",
                           "20090810", "20140323", "20141004", "20150330", "20150420", "20150617",
                           "20191015", "20230205", "20230314", "20260306", "20260308"}) {
    EXPECT_TRUE(rtpp::has_feature(date)) << date;
  }
  for (const char* date : {"20071116", "20071218", "20140617", "20170313", "20200226", "20230424",
                           "20250523", "", "2004010"}) {
    EXPECT_FALSE(rtpp::has_feature(date)) << date;
  }
}

TEST_F(RtppParse, EveryPrefixOfACaptureIsParsedWithinItsBounds) {
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

}  // namespace
}  // namespace millrace
