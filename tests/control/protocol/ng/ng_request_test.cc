// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_request.h"

#include <chrono>

#include <gtest/gtest.h>

#include "tests/control/protocol/ng/ng_request_fixture.h"

namespace millrace::ng {
namespace {

using std::chrono::seconds;

TEST(NgRequest, ParsesMediaCommands) {
  const std::pair<std::string_view, Command> commands[] = {
      {"block media", Command::block_media},     {"unblock media", Command::unblock_media},
      {"silence media", Command::silence_media}, {"unsilence media", Command::unsilence_media},
      {"block DTMF", Command::block_dtmf},       {"unblock DTMF", Command::unblock_dtmf}};
  for (const auto& [name, command] : commands) {
    const std::string bytes = "d7:command" + b(name) +
                              "7:call-id1:c5:label1:L7:address9:192.0.2.1"
                              "8:from-tag1:f6:to-tag1:t5:flagsl11:directional3:allee";
    const auto message = parse(bytes);
    ASSERT_TRUE(message) << message.error();
    const Request& r = message->request;
    EXPECT_EQ(r.command, command) << name;
    EXPECT_EQ(r.labels.label, "L");
    EXPECT_EQ(r.target.address, IpAddress::v4(192, 0, 2, 1));
    EXPECT_EQ(r.from_tag, "f");
    EXPECT_TRUE(r.target.all_parties);
    EXPECT_EQ(message->unknown, Strings{});
  }
}

TEST(NgRequest, ParsesDialogAndLatchingKeys) {
  const std::string bytes = offer(
      "10:from-label1:A8:metadata3:m=18:sip-code3:18314:address-family3:IP6"
      "5:flagsl14:media-handover8:NAT-wait10:pierce-NAT5:reset11:provisional13:strict-sourcee");
  const auto message = parse(bytes);
  ASSERT_TRUE(message) << message.error();
  const Request& r = message->request;
  EXPECT_EQ(r.labels.label, "A");
  EXPECT_EQ(r.labels.metadata, "m=1");
  EXPECT_EQ(r.sip.code, 183U);
  EXPECT_EQ(r.placement.address_family, Family::ipv6);
  EXPECT_TRUE(r.latching.media_handover);
  EXPECT_TRUE(r.latching.nat_wait);
  EXPECT_TRUE(r.latching.nat_punch);
  EXPECT_TRUE(r.latching.reset);
  EXPECT_TRUE(r.latching.strict_source);
  EXPECT_TRUE(r.sip.provisional);
  EXPECT_EQ(message->unknown, Strings{});
  const std::string ignored = offer("3:all5:flows5:flagsl5:fancye");
  EXPECT_EQ(parse(ignored)->unknown, (Strings{"all=flows", "fancy"}));
  for (const char* spelt : {"5:flagsl10:pierce NATe", "5:flagsl10:PIERCE_nate",
                            "10:rtpp-flags21:pierce-NAT ICE=remove"}) {
    const std::string asked = offer(spelt);
    EXPECT_TRUE(parse(asked)->request.latching.nat_punch) << spelt;
    EXPECT_EQ(parse(asked)->request.unsupported, "") << spelt;
  }
  const std::string undone = offer("5:flagsl10:new-branch16:no-port-latchinge");
  EXPECT_EQ(parse(undone)->unknown, Strings{});
  EXPECT_TRUE(parse(undone)->request.new_branch);
  EXPECT_EQ(parse(undone)->request.unsupported,
            "no-port-latching: a party's ports stay as long as its media");
}

TEST(NgRequest, ParsesSdpFragments) {
  const auto message = parse(offer("5:flagsl8:fragment11:trickle-ICEe"));
  ASSERT_TRUE(message) << message.error();
  EXPECT_TRUE(message->request.fragment);
  EXPECT_EQ(message->unknown, Strings{});
}

TEST(NgVocabulary, FillsEveryField) {
  const std::string bytes = offer(
      "6:to-tag1:t10:via-branch3:z9h13:received froml3:IP611:2001:db8::1e"
      "9:directionl3:pub4:prive13:media address11:203.0.113.93:TOSi184e12:delete delayi0e"
      "3:ICE6:remove8:supportsl10:load limit"
      "e"
      "5:flagsl18:SIP-source-address10:asymmetric6:to-tag5:fatal4:faste"
      "7:replacel6:origin12:session name18:session-connectione");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  const Request& r = message->request;
  EXPECT_EQ(r.to_tag, "t");
  EXPECT_EQ(r.via_branch, "z9h");
  EXPECT_EQ(r.latching.received_from, *IpAddress::parse("2001:db8::1"));
  EXPECT_EQ(r.placement.from_interface, "pub");
  EXPECT_EQ(r.placement.to_interface, "priv");
  EXPECT_EQ(r.placement.media_address, IpAddress::v4(203, 0, 113, 9));
  EXPECT_EQ(r.dscp, 46);
  EXPECT_EQ(r.removal.delay, seconds(0));
  EXPECT_EQ(r.edits.ice, IceHandling::remove);
  EXPECT_TRUE(r.supports_load_limit);
  EXPECT_TRUE(r.latching.sip_source_address);
  EXPECT_TRUE(r.latching.asymmetric);
  EXPECT_FALSE(r.latching.strict_source);
  EXPECT_TRUE(r.removal.match_to_tag);
  EXPECT_TRUE(r.removal.fatal);
  EXPECT_TRUE(r.removal.fast);
  EXPECT_TRUE(r.edits.replace_origin);
  EXPECT_TRUE(r.edits.origin.session_name);
  EXPECT_EQ(message->unknown, Strings{});
}

TEST(NgVocabulary, FlagsNameInterfacesInTheirOrder) {
  const auto read = [](const std::string& keys) {
    const std::string bytes = offer(keys);
    const auto message = parse(bytes);
    EXPECT_TRUE(message.has_value()) << message.error();
    EXPECT_EQ(message->unknown, Strings{});
    const Placement& place = message->request.placement;
    return std::string(place.from_interface) + '>' + std::string(place.to_interface);
  };
  EXPECT_EQ(read("5:flagsl8:internal8:Externale"), "internal>external");
  EXPECT_EQ(read("10:rtpp-flags" + b("external internal")), "external>internal");
  EXPECT_EQ(read("5:flagsl8:externale"), "external>");
  EXPECT_EQ(read("5:flagsl8:internal8:external8:internale"), "internal>internal")
      << "the last one counts";
  EXPECT_EQ(read("9:directionl3:pub4:prive5:flagsl8:internal8:externale"), "pub>priv");
  EXPECT_EQ(read("5:flagsl8:internale9:directionl3:pube"), "pub>");
  EXPECT_EQ(read("9:directionle5:flagsl8:internal8:externale"), "internal>external");
  EXPECT_EQ(read("9:interface3:pub12:to-interface4:priv"), "pub>priv");
}

TEST(NgVocabulary, ParsesTheReportingOfSources) {
  const auto read = [](const std::string& value, std::string_view command = "query") {
    const std::string bytes =
        "d7:call-id1:c7:command" + b(command) + "14:ssrc-reporting" + value + "e";
    const auto message = parse(bytes);
    EXPECT_TRUE(message.has_value()) << message.error();
    return message->ssrcs;
  };
  EXPECT_EQ(read("6:inline"), SsrcReporting::inlined);
  EXPECT_EQ(read("6:Global", "delete"), SsrcReporting::global);
  EXPECT_EQ(read("4:none"), SsrcReporting::none);
  EXPECT_EQ(read("4:both"), SsrcReporting::both);
  EXPECT_EQ(read("i1e"), SsrcReporting::both);
  EXPECT_EQ(read("0:", "delete"), SsrcReporting::both);
}

TEST(NgVocabulary, ParsesThePeersOfInterfaces) {
  const std::string bytes = offer("12:inbound-peer9:192.0.2.113:outbound-peer15:[2001:db8::1]:0");
  EXPECT_EQ(error(bytes), "Invalid value of key \"outbound-peer\": expected an IP address");
  const std::string good = offer("12:inbound-peer9:192.0.2.113:outbound peer13:[2001:db8::1]");
  const auto message = parse(good);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->request.placement.from_peer, IpAddress::v4(192, 0, 2, 1));
  EXPECT_EQ(message->request.placement.to_peer, *IpAddress::parse("2001:db8::1"));
  EXPECT_EQ(parse(offer("4:peer9:192.0.2.1"))->request.placement.from_peer,
            IpAddress::v4(192, 0, 2, 1));
  const auto empty = parse(offer("4:peer0:"));
  ASSERT_TRUE(empty.has_value()) << empty.error();
  EXPECT_EQ(empty->request.unsupported, "peer: ignored, expected an IP address");
}

TEST(NgVocabulary, IgnoresCaseAndTheKindOfSeparator) {
  for (const std::string_view key :
       {"delete delay", "delete-delay", "delete_delay", "Delete-Delay"}) {
    const std::string bytes = offer(b(key) + "i7e");
    EXPECT_EQ(parse(bytes)->request.removal.delay, seconds(7)) << key;
  }
  for (const std::string_view flag :
       {"SIP-source-address", "sip source address", "SIP_source_address"}) {
    const std::string bytes = offer("5:flagsl" + b(flag) + "e");
    EXPECT_TRUE(parse(bytes)->request.latching.sip_source_address) << flag;
  }
  const std::string bytes = "d7:command6:delete7:call id1:ce";
  EXPECT_EQ(parse(bytes)->request.call_id, "c");
}

TEST(NgVocabulary, AcceptsListsAndIntegersAsStrings) {
  const std::string bytes = offer(
      "5:flags26:asymmetric, trust-address,13:received-from13:IP4,192.0.2.19:direction8:pub,priv"
      "3:TOS3:18412:delete-delay2:307:replace6:origin8:supports10:load limit");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_TRUE(message->request.latching.asymmetric);
  EXPECT_EQ(message->request.latching.received_from, IpAddress::v4(192, 0, 2, 1));
  EXPECT_EQ(message->request.placement.from_interface, "pub");
  EXPECT_EQ(message->request.placement.to_interface, "priv");
  EXPECT_EQ(message->request.dscp, 46);
  EXPECT_EQ(message->request.removal.delay, seconds(30));
  EXPECT_TRUE(message->request.edits.replace_origin);
  EXPECT_TRUE(message->request.supports_load_limit);
  EXPECT_EQ(message->unknown, Strings{});
  const std::string call = "d7:command6:delete7:call-idi42ee";
  EXPECT_EQ(parse(call)->request.call_id, "42");
}

TEST(NgVocabulary, DefaultsOfTosDelayAndLimit) {
  const auto dscp = [](std::string_view tos) {
    const std::string bytes = offer("3:TOS" + std::string(tos));
    return parse(bytes)->request.dscp;
  };
  EXPECT_EQ(dscp("i0e"), 0);
  EXPECT_EQ(dscp("i255e"), 63);
  EXPECT_EQ(dscp("i256e"), std::nullopt);
  EXPECT_EQ(dscp("i-1e"), std::nullopt);
  const std::string bytes = offer("12:delete-delayi-1e");
  EXPECT_EQ(parse(bytes)->request.removal.delay, std::nullopt);
  EXPECT_EQ(parse("d7:command4:liste")->request.list_limit, 32U);
  EXPECT_EQ(parse("d7:command4:list5:limiti0ee")->request.list_limit, 0U);
  EXPECT_EQ(parse("d7:command4:list5:limiti1025ee")->request.list_limit, 1024U);
  EXPECT_EQ(parse("d7:command4:list5:limit3:100e")->request.list_limit, 100U);
}

TEST(NgVocabulary, LastOfDuplicateKeysApplies) {
  const std::string bytes = offer("3:TOSi0e3:TOSi184e3:ICE6:remove3:ICE4:keep");
  EXPECT_EQ(parse(bytes)->request.dscp, 46);
  EXPECT_EQ(parse(bytes)->request.edits.ice, IceHandling::add);
}

TEST(NgVocabulary, ReportsIgnoredNames) {
  const std::string bytes = offer(
      "5:flagsl13:trust-address9:symmetric13:strict-source5:weird5:weird26:replace-session-"
      "connection"
      "11:strict_thate18:transport-protocol7:RTP/XYZ14:address "
      "family3:IP68:rtcp-muxl6:accept5:weirde6:bundlel6:stricte"
      "5:codecd9:translatel4:PCMUee7:replacel5:thing18:session-connectione16:sip-message-type11:"
      "sip_request"
      "12:xmlrpc-cb-ipd1:a1:be");
  EXPECT_EQ(parse(bytes)->unknown,
            (Strings{"weird", "strict_that", "transport-protocol=RTP/XYZ", "rtcp-mux=weird",
                     "bundle=strict", "codec=translate", "replace=thing", "xmlrpc-cb-ip"}));
}

TEST(NgVocabulary, ReportedNamesAreBounded) {
  std::string flags = "5:flagsl";
  for (int i = 0; i < 1000; ++i) flags += b("flag" + std::to_string(i));
  const std::string many = offer(flags + "e");
  EXPECT_EQ(parse(many)->unknown.size(), 32U);
  const std::string long_name = offer("5:flagsl" + b(std::string(5000, 'x')) + "e");
  EXPECT_EQ(parse(long_name)->unknown, Strings{std::string(64, 'x')});
}

}  // namespace
}  // namespace millrace::ng
