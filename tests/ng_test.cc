// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include <gtest/gtest.h>

#include "tests/ng_fixture.h"

namespace millrace::ng {
namespace {

using State = Frame::State;
using Strings = std::vector<std::string>;
using std::chrono::seconds;

// A heap block of exactly the text's size, for AddressSanitizer.
class Exact {
 public:
  explicit Exact(std::string_view text) : size_(text.size()), block_(new char[size_]) {
    std::ranges::copy(text, block_.get());
  }
  [[nodiscard]] std::string_view view() const { return {block_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<char[]> block_;
};

Frame frame_exact(std::string_view text) { return frame(Exact(text).view()); }

std::string b(std::string_view text) { return std::to_string(text.size()) + ':' += text; }

// An offer with `more` as further entries, in bencode.
std::string offer(std::string_view more) {
  return "d7:command5:offer3:sdp1:x7:call-id1:c8:from-tag1:f" + std::string(more) + 'e';
}

// The error text of the reply to `message`.
std::string error(std::string_view message) {
  const auto parsed = parse(message);
  if (parsed) return "(accepted)";
  const std::string& reply = parsed.error();
  const std::size_t key = reply.find("12:error-reason");
  if (key == std::string::npos) return reply;
  const std::size_t colon = reply.find(':', key + 15);
  return reply.substr(colon + 1, reply.size() - colon - 2);
}

// ---- captured bytes ---------------------------------------------------------------------------

TEST(NgCaptured, EveryRequestIsFramedAndParsedWhole) {
  for (const auto& [name, size] : kCapturedRequests) {
    const std::string bytes = fixture(name);
    ASSERT_EQ(bytes.size(), size) << name;
    EXPECT_EQ(frame_exact(bytes), (Frame{State::complete, size})) << name;
    EXPECT_EQ(frame_exact(bytes + bytes), (Frame{State::complete, size})) << name;
    const Exact block(bytes);
    EXPECT_TRUE(parse(block.view()).has_value()) << name;
  }
}

TEST(NgCaptured, EveryStrictPrefixIsIncompleteAndRefused) {
  for (const auto& [name, size] : kCapturedRequests) {
    const std::string bytes = fixture(name);
    for (std::size_t length = 0; length < size; ++length) {
      const Exact prefix(std::string_view(bytes).substr(0, length));
      ASSERT_EQ(frame(prefix.view()).state, State::incomplete) << name << " cut to " << length;
      ASSERT_FALSE(parse(prefix.view()).has_value()) << name << " cut to " << length;
    }
  }
}

TEST(NgCaptured, PingAndPong) {
  for (const std::string name : {"unix_ping", "udp_ping"}) {
    const std::string bytes = fixture(name);
    const auto message = parse(bytes);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->request.command, Command::ping);
    EXPECT_EQ(message->encoding, Encoding::bencode);
    EXPECT_EQ(encode(message->cookie, message->encoding, reply::Pong{}), fixture(name + "_reply"));
  }
}

TEST(NgCaptured, Offer) {
  const std::string bytes = fixture("unix_offer");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value());
  const Request& request = message->request;
  EXPECT_EQ(message->cookie, "");
  EXPECT_EQ(request.command, Command::offer);
  EXPECT_EQ(request.call_id, "1-21645@127.0.0.1");
  EXPECT_EQ(request.from_tag, "21645SIPpTag001");
  EXPECT_EQ(request.to_tag, "");
  EXPECT_EQ(request.sdp.size(), 430U);
  EXPECT_TRUE(request.sdp.starts_with("v=0\r\no=alice "));
  EXPECT_TRUE(request.sdp.ends_with("a=rtpmap:96 H264/90000\r\n"));
  EXPECT_EQ(request.received_from, IpAddress::v4(127, 0, 0, 1));
  EXPECT_TRUE(request.supports_load_limit);
  EXPECT_TRUE(request.replace_origin);
  EXPECT_FALSE(request.replace_session_name);
  EXPECT_FALSE(request.sip_source_address);
  EXPECT_FALSE(request.asymmetric);
  EXPECT_EQ(request.ice, IceHandling::force);
  EXPECT_EQ(message->unknown, Strings{});
}

TEST(NgCaptured, AnswerAndDeleteOverUdp) {
  const std::string answer_bytes = fixture("udp_answer");
  const auto answer = parse(answer_bytes);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->cookie, "0_24024_0");
  EXPECT_EQ(answer->request.command, Command::answer);
  EXPECT_EQ(answer->request.from_tag, "24031SIPpTag001");
  EXPECT_EQ(answer->request.to_tag, "uastag1");
  EXPECT_EQ(answer->request.sdp.size(), 308U);
  EXPECT_EQ(encode(answer->cookie, answer->encoding, reply::Sdp{std::string(answer->request.sdp)}),
            fixture("udp_answer_reply"));

  const std::string delete_bytes = fixture("udp_delete");
  const auto removal = parse(delete_bytes);
  ASSERT_TRUE(removal.has_value());
  EXPECT_EQ(removal->request.command, Command::remove);
  EXPECT_EQ(removal->request.delete_delay, std::nullopt);
  EXPECT_FALSE(removal->request.match_to_tag);
  EXPECT_EQ(encode(removal->cookie, removal->encoding, reply::Deleted{}),
            fixture("udp_delete_reply"));
}

TEST(NgCaptured, UnknownKeysAndFlagsAreNamed) {
  const std::string bytes = fixture("unix_offer_custom_keys");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->unknown, (Strings{"media-relay", "relay-zone", "strange-flag"}));
  EXPECT_TRUE(message->request.replace_origin);
}

// ---- frames -----------------------------------------------------------------------------------

TEST(NgFrame, TellsCookiesFromDictionaries) {
  for (const std::string_view whole :
       {"de", "d7:command4:pinge", "c1 d7:command4:pinge", "dead d7:command4:pinge",
        "de d7:command4:pinge", "d7 d7:command4:pinge", "d41d8cd9 {\"command\":\"ping\"}",
        "{\"command\":\"ping\"}", "c {}", "\r\n d7:command4:pinge", "\n\n{}", "i1e de"}) {
    EXPECT_EQ(frame_exact(whole), (Frame{State::complete, whole.size()})) << whole;
  }
  EXPECT_EQ(frame_exact("de\r\nd7:command4:pinge"), (Frame{State::complete, 2}));
  EXPECT_EQ(frame_exact("d7:command4:pinge\nd7:com"), (Frame{State::complete, 17}));
  for (const std::string_view part : {"", " ", "\r\n", "d", "d7", "d41d8cd9", "cookie", "cookie ",
                                      "cookie d", "cookie {", "{", "{\"a", "dead d7:"}) {
    EXPECT_EQ(frame_exact(part).state, State::incomplete) << part;
  }
  for (const std::string_view bad :
       {"cookie  d7:command4:pinge", "cookie l4:pinge", "cookie i1e", "cookie 4:ping", "cook\x01",
        "cook\tie {}", "d7:commandi1", "d1:ae", "{]", "cookie x", "GET / HTTP/1.1\r\n"}) {
    EXPECT_EQ(frame_exact(bad).state, bad == "d7:commandi1" ? State::incomplete : State::malformed)
        << bad;
  }
}

TEST(NgFrame, IsBounded) {
  const std::string fits = "c d3:sdp131000:" + std::string(131'000, 'x') + "e";
  EXPECT_EQ(frame(fits), (Frame{State::complete, fits.size()}));
  EXPECT_EQ(frame("d3:sdp131063:").state, State::malformed);  // the closing e would be too far
  EXPECT_EQ(frame("d3:sdp131058:").state, State::incomplete);
  EXPECT_EQ(frame("c d3:sdp131058:").state, State::malformed);
  EXPECT_EQ(frame("d3:sdp9223372036854775807:").state, State::malformed);
  EXPECT_EQ(frame("d3:sdp18446744073709551615:x").state, State::malformed);
  EXPECT_EQ(frame("{\"a\":\"" + std::string(kMaxMessage, 'x')).state, State::malformed);
  EXPECT_EQ(frame(std::string(kMaxMessage, ' ')).state, State::malformed);
  EXPECT_EQ(frame(std::string(kMaxCookie, 'c')).state, State::incomplete);
  EXPECT_EQ(frame(std::string(kMaxCookie, 'c') + " de").state, State::complete);
  EXPECT_EQ(frame(std::string(kMaxCookie + 1, 'c')).state, State::malformed);
  EXPECT_EQ(frame('d' + std::string(kMaxCookie + 1, '1')).state, State::malformed);
}

TEST(NgFrame, LimitsDepth) {
  for (const unsigned depth : {1U, bencode::kMaxDepth, 1000U, 100'000U}) {
    const std::string lists(depth, 'l');
    const State expected = depth < bencode::kMaxDepth ? State::incomplete : State::malformed;
    EXPECT_EQ(frame("d1:a" + lists).state, expected) << depth;
    EXPECT_EQ(error("c d1:a" + lists + std::string(depth, 'e') + "e"),
              depth < bencode::kMaxDepth ? "Dictionary contains no key \"command\""
                                         : "Could not decode bencode dictionary");
  }
}

// ---- error replies ----------------------------------------------------------------------------

TEST(NgErrors, UseRtpenginesWords) {
  EXPECT_EQ(parse("c dx").error(),
            "c d6:result5:error12:error-reason35:Could not decode bencode dictionarye");
  EXPECT_EQ(parse("c {").error(),
            R"(c {"result":"error","error-reason":"Failed to parse JSON document"})");
  EXPECT_EQ(error("c i1e"), "Invalid NG data format");
  EXPECT_EQ(error("c [1]"), "Invalid NG data format");
  EXPECT_EQ(error("c "), "Invalid data (no payload)");
  EXPECT_EQ(error("c \r\n"), "Invalid data (no payload)");
  EXPECT_EQ(error("c d7:command4:ping"), "Could not decode bencode dictionary");
  EXPECT_EQ(error("c d7:command4:pingex"), "Could not decode bencode dictionary");
  EXPECT_EQ(error("d7:command4:pin"), "Could not decode bencode dictionary");
  EXPECT_EQ(error("c de"), "Dictionary contains no key \"command\"");
  EXPECT_EQ(error("c d4:Ping4:pinge"), "Dictionary contains no key \"command\"");
  EXPECT_EQ(error("c d7:command4:PINGe"), "Unrecognized command");
  EXPECT_EQ(error("c d7:commandlee"), "Unrecognized command");
  EXPECT_EQ(parse(R"(c {"a":)" + std::string(50, '[') + std::string(50, ']') + "}").error(),
            R"(c {"result":"error","error-reason":"Could not decode JSON dictionary"})");
  EXPECT_EQ(parse(R"(c {"command":"dance"})").error(),
            R"(c {"result":"error","error-reason":"Unrecognized command"})");
}

TEST(NgErrors, NothingIsAnsweredWithoutACookie) {
  for (const std::string_view bytes :
       {"", " ", "\r\n", "x", "hello", "4:ping", "[1]", "i1e", "\x01\x02 de"}) {
    const auto message = parse(bytes);
    ASSERT_FALSE(message.has_value()) << bytes;
    EXPECT_EQ(message.error(), "") << bytes;
  }
  EXPECT_EQ(parse(std::string(kMaxCookie + 1, 'c') + " de").error(), "");
}

TEST(NgErrors, CommandsOfLaterWorkSayWhatTheyAre) {
  EXPECT_EQ(error("d7:command15:start recordinge"),
            "Command \"start recording\" is not supported: this relay records nothing");
  EXPECT_EQ(error("d7:command9:play DTMFe"),
            "Command \"play DTMF\" is not supported: this relay sends no media of its own");
  EXPECT_EQ(error("d7:command17:subscribe requeste"),
            "Command \"subscribe request\" is not supported: this relay joins the two parties of "
            "a dialog only");
  for (const std::string_view command :
       {"stop recording", "pause recording", "start forwarding", "stop forwarding", "play media",
        "stop media", "publish", "subscribe answer", "unsubscribe", "connect", "create",
        "create answer", "mesh", "inject start", "inject stop", "transform", "cli"}) {
    EXPECT_TRUE(error("d7:command" + b(command) + "e").starts_with("Command \"")) << command;
  }
}

TEST(NgErrors, WhatIsNotDoneIsNeverSilentlyLeftOut) {
  EXPECT_EQ(error(offer("11:record call3:yes")),
            "\"record call\" is not supported: this relay records nothing");
  EXPECT_EQ(error(offer("4:SDESl8:no-NULL_e")),
            "\"SDES\" is not supported: this relay speaks neither SRTP nor DTLS; keys and "
            "fingerprints pass between the parties");
  for (const std::string_view entry :
       {"11:record-call2:on", "4:DTLS7:passive", "5:OSRTPl5:offere", "4:T.38l6:decodee",
        "12:audio player6:always", "13:DTMF-security4:zero"}) {
    EXPECT_THAT(error(offer(entry)), testing::HasSubstr("is not supported: ")) << entry;
  }
  for (const std::string_view flag : {"record-call", "SDES-pad", "OSRTP-offer", "recrypt",
                                      "transcode-PCMU", "codec-transcode-opus", "codec-mask-all",
                                      "T38-decode", "always-transcoding", "inject-DTMF"}) {
    EXPECT_EQ(error(offer("5:flagsl" + b(flag) + "e")).find("\"" + std::string(flag)), 0U) << flag;
  }
  for (const std::string_view entry :
       {"11:record call2:no", "11:record call3:off", "4:SDES3:off", "4:SDESl3:offe", "4:DTLS3:off",
        "5:flagsl8:SDES-offe", "5:flagsl17:allow-transcodinge"}) {
    EXPECT_EQ(error(offer(entry)), "(accepted)") << entry;
  }
}

TEST(NgRequest, CommandsOnMedia) {
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
    EXPECT_EQ(r.label, "L");
    EXPECT_EQ(r.address, IpAddress::v4(192, 0, 2, 1));
    EXPECT_EQ(r.from_tag, "f");
    EXPECT_TRUE(r.all);
    EXPECT_EQ(message->unknown, Strings{});
  }
}

TEST(NgRequest, KeysOfDialogsAndLatching) {
  const std::string bytes = offer(
      "10:from-label1:A8:metadata3:m=18:sip-code3:18314:address-family3:IP6"
      "5:flagsl14:media-handover8:NAT-wait5:reset11:provisional13:strict-sourcee");
  const auto message = parse(bytes);
  ASSERT_TRUE(message) << message.error();
  const Request& r = message->request;
  EXPECT_EQ(r.label, "A");
  EXPECT_EQ(r.metadata, "m=1");
  EXPECT_EQ(r.sip_code, 183U);
  EXPECT_EQ(r.address_family, Family::ipv6);
  EXPECT_TRUE(r.media_handover);
  EXPECT_TRUE(r.nat_wait);
  EXPECT_TRUE(r.reset);
  EXPECT_TRUE(r.provisional);
  EXPECT_EQ(message->unknown, Strings{});
  EXPECT_EQ(error(offer("8:sip-code4:gone")),
            "Invalid value of key \"sip-code\": expected a SIP response code");
  const std::string ignored = offer("3:all5:flows5:flagsl10:pierce-NAT10:new-branche");
  EXPECT_EQ(parse(ignored)->unknown, (Strings{"all=flows", "pierce-NAT", "new-branch"}));
}

TEST(NgErrors, MalformedValuesNameTheirKey) {
  EXPECT_EQ(error(offer("3:TOS4:high")), "Invalid value of key \"TOS\": expected an integer");
  EXPECT_EQ(error(offer("3:TOSle")), "Invalid value of key \"TOS\": expected an integer");
  EXPECT_EQ(error(offer("12:delete delay3:now")),
            "Invalid value of key \"delete delay\": expected seconds, 86400 at most");
  EXPECT_EQ(error(offer("12:delete-delayi9223372036854775807e")),
            "Invalid value of key \"delete-delay\": expected seconds, 86400 at most");
  EXPECT_EQ(error(offer("13:media address9:192.0.2.x")),
            "Invalid value of key \"media address\": expected an IP address");
  for (const std::string_view value :
       {"le", "l3:IP4e", "l3:IP49:192.0.2.xe", "l3:IP59:192.0.2.1e", "9:192.0.2.1", "i4e",
        "l3:IP49:192.0.2.19:192.0.2.2e", "ll3:IP4e9:192.0.2.1e"}) {
    EXPECT_EQ(error(offer("13:received-from" + std::string(value))),
              "Invalid value of key \"received-from\": expected IP4 or IP6, and an IP address")
        << value;
  }
  EXPECT_EQ(error(offer("9:directionl1:a1:b1:ce")),
            "Invalid value of key \"direction\": expected the names of two interfaces");
  EXPECT_EQ(error(offer("5:flagsd1:a1:be")),
            "Invalid value of key \"flags\": expected a list of strings");
  EXPECT_EQ(error(offer("5:flagsllee")),
            "Invalid value of key \"flags\": expected a list of strings");
  EXPECT_EQ(error(offer("7:call-idle")), "Invalid value of key \"call-id\": expected a string");
  EXPECT_EQ(error("d7:command4:list5:limiti-1ee"),
            "Invalid value of key \"limit\": expected how many calls to list");
}

// ---- the vocabulary ---------------------------------------------------------------------------

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
  EXPECT_EQ(r.received_from, *IpAddress::parse("2001:db8::1"));
  EXPECT_EQ(r.from_interface, "pub");
  EXPECT_EQ(r.to_interface, "priv");
  EXPECT_EQ(r.media_address, IpAddress::v4(203, 0, 113, 9));
  EXPECT_EQ(r.dscp, 46);
  EXPECT_EQ(r.delete_delay, seconds(0));
  EXPECT_EQ(r.ice, IceHandling::remove);
  EXPECT_TRUE(r.supports_load_limit);
  EXPECT_TRUE(r.sip_source_address);
  EXPECT_TRUE(r.asymmetric);
  EXPECT_TRUE(r.match_to_tag);
  EXPECT_TRUE(r.fatal);
  EXPECT_TRUE(r.fast);
  EXPECT_TRUE(r.replace_origin);
  EXPECT_TRUE(r.replace_session_name);
  EXPECT_EQ(message->unknown, Strings{});
}

TEST(NgVocabulary, SpacesHyphensUnderscoresAndCaseAreTheSame) {
  for (const std::string_view key :
       {"delete delay", "delete-delay", "delete_delay", "Delete-Delay"}) {
    const std::string bytes = offer(b(key) + "i7e");
    EXPECT_EQ(parse(bytes)->request.delete_delay, seconds(7)) << key;
  }
  for (const std::string_view flag :
       {"SIP-source-address", "sip source address", "SIP_source_address"}) {
    const std::string bytes = offer("5:flagsl" + b(flag) + "e");
    EXPECT_TRUE(parse(bytes)->request.sip_source_address) << flag;
  }
  const std::string bytes = "d7:command6:delete7:call id1:ce";
  EXPECT_EQ(parse(bytes)->request.call_id, "c");
}

TEST(NgVocabulary, ListsAndIntegersMayComeAsStrings) {
  const std::string bytes = offer(
      "5:flags26:asymmetric, trust-address,13:received-from13:IP4,192.0.2.19:direction8:pub,priv"
      "3:TOS3:18412:delete-delay2:307:replace6:origin8:supports10:load limit");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_TRUE(message->request.asymmetric);
  EXPECT_EQ(message->request.received_from, IpAddress::v4(192, 0, 2, 1));
  EXPECT_EQ(message->request.from_interface, "pub");
  EXPECT_EQ(message->request.to_interface, "priv");
  EXPECT_EQ(message->request.dscp, 46);
  EXPECT_EQ(message->request.delete_delay, seconds(30));
  EXPECT_TRUE(message->request.replace_origin);
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
  EXPECT_EQ(parse(bytes)->request.delete_delay, std::nullopt);
  EXPECT_EQ(parse("d7:command4:liste")->request.limit, 32U);
  EXPECT_EQ(parse("d7:command4:list5:limiti0ee")->request.limit, 0U);
  EXPECT_EQ(parse("d7:command4:list5:limit3:100e")->request.limit, 100U);
}

TEST(NgVocabulary, OfAKeyThatComesTwiceTheLastCounts) {
  const std::string bytes = offer("3:TOSi0e3:TOSi184e3:ICE6:remove3:ICE4:keep");
  EXPECT_EQ(parse(bytes)->request.dscp, 46);
  EXPECT_EQ(parse(bytes)->request.ice, IceHandling::add);
}

TEST(NgVocabulary, NamesWhatItDoesNotActUpon) {
  const std::string bytes = offer(
      "5:flagsl13:trust-address9:symmetric13:strict-source5:weird5:weird26:replace-session-"
      "connection"
      "11:strict_thate18:transport-protocol7:RTP/XYZ14:address "
      "family3:IP68:rtcp-muxl6:accept5:weirde6:bundlel7:requiree"
      "5:codecd9:transcodel4:PCMUee7:replacel5:thing18:session-connectione16:sip-message-type11:"
      "sip_request"
      "12:xmlrpc-cb-ipd1:a1:be");
  EXPECT_EQ(parse(bytes)->unknown,
            (Strings{"weird", "strict_that", "transport-protocol=RTP/XYZ", "rtcp-mux=weird",
                     "bundle=require", "codec=transcode", "replace=thing", "xmlrpc-cb-ip"}));
}

// ---- what is to be done to the SDP ------------------------------------------------------------

TEST(NgSdpKeys, FillTheEdits) {
  const std::string bytes = offer(
      "5:codecd5:stripl3:alle6:exceptl4:PCMUe5:offer9:PCMA,opuse"
      "16:sdp-media-removel5:videoe18:transport protocol8:rtp/avpf8:rtcp-muxl7:requiree"
      "7:replacel8:username11:SDP-version12:zero-addresse"
      "5:flagsl17:no-rtcp-attribute19:full-rtcp-attribute12:generate-mid12:loop-protecte");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->unknown, Strings{});
  const sdp::Edits& edits = message->request.edits;
  EXPECT_EQ(edits.codecs.strip, Strings{"all"});
  EXPECT_EQ(edits.codecs.except, Strings{"PCMU"});
  EXPECT_EQ(edits.codecs.offer, (Strings{"PCMA", "opus"}));
  EXPECT_EQ(edits.remove_medias, Strings{"video"});
  EXPECT_EQ(edits.protocol, "RTP/AVPF");
  EXPECT_TRUE(edits.require_mux);
  EXPECT_TRUE(edits.origin.user && edits.origin.version && !edits.origin.id);
  EXPECT_TRUE(edits.replace_zero_address);
  EXPECT_TRUE(edits.no_rtcp_attribute && edits.full_rtcp_attribute);
  EXPECT_TRUE(edits.lines.generate_mid && edits.lines.loop_mark);
}

TEST(NgSdpKeys, MayComeAsFlags) {
  const std::string bytes =
      offer("5:flagsl" + b("codec-strip-G722") + b("codec-offer-opus/48000/2") +
            b("codec-except-PCMU") + b("sdp-attr-add-audio-fmtp:96..mode--30") +
            b("sdp-attr-remove-none-tool") + b("sdp-attr-substitute-video-a>b") +
            b("rtcp-mux-demux") + b("BUNDLE-reject") + b("replace-zero-address") + "e");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->unknown, Strings{});
  const sdp::Edits& edits = message->request.edits;
  EXPECT_EQ(edits.codecs.strip, Strings{"G722"});
  EXPECT_EQ(edits.codecs.offer, Strings{"opus/48000/2"});
  EXPECT_EQ(edits.codecs.except, Strings{"PCMU"});
  EXPECT_TRUE(edits.separate_rtcp && edits.demux_asked && edits.no_bundle);
  EXPECT_TRUE(edits.replace_zero_address);
  const auto& attributes = edits.lines.attributes;
  ASSERT_EQ(attributes.size(), 5U);
  EXPECT_EQ(attributes[0].type, "audio");
  EXPECT_EQ(attributes[0].add, Strings{"fmtp:96 mode=30"});
  EXPECT_EQ(attributes[1].where, sdp::AttributeEdits::Where::session);
  EXPECT_EQ(attributes[1].remove, Strings{"tool"});
  EXPECT_EQ(attributes[2].substitute.at(0), std::pair(std::string("a"), std::string("b")));
  EXPECT_EQ(attributes[3].remove, (Strings{"rtcp-mux", "rtcp-mux-only"}));
  EXPECT_EQ(attributes[4].remove, (Strings{"group:BUNDLE", "bundle-only"}));
}

TEST(NgSdpKeys, AttributesOfSections) {
  const std::string bytes = offer(
      "8:sdp-attrd5:audiod3:addl8:ptime:208:sendonlye6:removel5:ssrc:ee"
      "4:noned10:substitutell1:a1:bel1:c1:deeee");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  const auto& attributes = message->request.edits.lines.attributes;
  ASSERT_EQ(attributes.size(), 2U);
  EXPECT_EQ(attributes[0].add, (Strings{"ptime:20", "sendonly"}));
  EXPECT_EQ(attributes[0].remove, Strings{"ssrc:"});
  EXPECT_EQ(attributes[1].substitute.size(), 2U);
  for (const std::string_view value :
       {"8:sdp-attrle", "8:sdp-attrd5:audiolee", "8:sdp-attrd5:audiod3:addl3:a\nbeee",
        "8:sdp-attrd5:audiod4:killl1:aeee", "8:sdp-attrd5:audiod10:substitutel1:aeee"}) {
    EXPECT_TRUE(error(offer(std::string(value))).starts_with("Invalid value of key \"sdp-attr\""))
        << value;
  }
  EXPECT_TRUE(error(offer("5:codecle")).starts_with("Invalid value of key \"codec\""));
}

TEST(NgSdpKeys, OneStringOfFlags) {
  const std::string bytes =
      offer("10:rtpp-flags" +
            b("replace-origin  ICE=remove direction=pub direction=priv label=x "
              "codec=[strip=[opus G722] offer=[PCMA]] sdp-attr=[audio=[add=[fmtp:96..a--b]]]"));
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->unknown, Strings{});
  const Request& r = message->request;
  EXPECT_TRUE(r.replace_origin);
  EXPECT_EQ(r.ice, IceHandling::remove);
  EXPECT_EQ(r.from_interface, "pub");
  EXPECT_EQ(r.to_interface, "priv");
  EXPECT_EQ(r.edits.codecs.strip, (Strings{"opus", "G722"}));
  EXPECT_EQ(r.edits.codecs.offer, Strings{"PCMA"});
  EXPECT_EQ(r.edits.lines.attributes.at(0).add, Strings{"fmtp:96 a=b"});
  // What the proxy says itself counts more.
  const std::string both = offer("3:ICE7:default10:rtpp-flags" + b("ICE=remove TOS=184"));
  EXPECT_EQ(parse(both)->request.ice, IceHandling::add);
  EXPECT_EQ(parse(both)->request.dscp, 46);
  for (const std::string_view wrong : {"[", "a=[b", "a=]b", "a=[[[[[[[[[[b]]]]]]]]]]"}) {
    EXPECT_EQ(error(offer("10:rtpp-flags" + b(wrong))),
              "Invalid value of key \"rtpp-flags\": expected words, and brackets in pairs")
        << wrong;
  }
}

TEST(NgVocabulary, IceByItsNames) {
  const auto read = [](const std::string& keys) {
    const std::string bytes = offer(keys);
    auto message = parse(bytes);
    EXPECT_TRUE(message.has_value()) << message.error();
    return std::pair(message->request.ice, message->request.prefer_relay);
  };
  EXPECT_EQ(read(""), std::pair(IceHandling::add, false));
  EXPECT_EQ(read("3:ICE7:default"), std::pair(IceHandling::add, false));
  EXPECT_EQ(read("3:ICE8:optional"), std::pair(IceHandling::add, false));
  EXPECT_EQ(read("3:ice5:Force"), std::pair(IceHandling::force, false));
  EXPECT_EQ(read("3:ICE11:force-relay"), std::pair(IceHandling::relay_only, false));
  EXPECT_EQ(read("13:ice-candidate13:high-priority"), std::pair(IceHandling::add, true));
  EXPECT_EQ(read("13:ice_candidate12:low-priority"), std::pair(IceHandling::add, false));
  EXPECT_EQ(error(offer("13:ice-candidate4:none")),
            "Invalid value of key \"ice-candidate\": expected high-priority or low-priority");
}

TEST(NgVocabulary, WhatIsNamedIsBounded) {
  std::string flags = "5:flagsl";
  for (int i = 0; i < 1000; ++i) flags += b("flag" + std::to_string(i));
  const std::string many = offer(flags + "e");
  EXPECT_EQ(parse(many)->unknown.size(), 32U);
  const std::string long_name = offer("5:flagsl" + b(std::string(5000, 'x')) + "e");
  EXPECT_EQ(parse(long_name)->unknown, Strings{std::string(64, 'x')});
}

// ---- JSON -------------------------------------------------------------------------------------

TEST(NgJson, MeansTheSameAsBencode) {
  const std::string bencode =
      "c " +
      offer(
          "6:to-tag1:t10:via-branch3:z9h13:received-froml3:IP49:192.0.2.1e9:directionl3:pub4:prive"
          "3:TOSi184e12:delete delay1:57:replacel6:origine5:flagsl10:asymmetric5:weirde");
  const std::string json = R"(c {"command": "offer", "sdp": "x", "call-id": "c", "from-tag": "f",
      "to-tag": "t", "via-branch": "z9h", "received-from": ["IP4", "192.0.2.1"],
      "direction": ["pub", "priv"], "TOS": 184, "delete delay": "5", "replace": ["origin"],
      "flags": ["asymmetric", "weird"]})";
  const auto first = parse(bencode);
  auto second = parse(json);
  ASSERT_TRUE(first.has_value()) << first.error();
  ASSERT_TRUE(second.has_value()) << second.error();
  EXPECT_EQ(second->encoding, Encoding::json);
  EXPECT_EQ(first->cookie, second->cookie);
  EXPECT_EQ(first->unknown, second->unknown);

  const Message moved = std::move(*second);  // views stay good
  const Request& a = first->request;
  const Request& z = moved.request;
  EXPECT_EQ(a.command, z.command);
  EXPECT_EQ(a.call_id, z.call_id);
  EXPECT_EQ(a.from_tag, z.from_tag);
  EXPECT_EQ(a.to_tag, z.to_tag);
  EXPECT_EQ(a.via_branch, z.via_branch);
  EXPECT_EQ(a.sdp, z.sdp);
  EXPECT_EQ(a.received_from, z.received_from);
  EXPECT_EQ(a.from_interface, z.from_interface);
  EXPECT_EQ(a.to_interface, z.to_interface);
  EXPECT_EQ(a.dscp, z.dscp);
  EXPECT_EQ(a.delete_delay, z.delete_delay);
  EXPECT_EQ(a.replace_origin, z.replace_origin);
  EXPECT_EQ(a.asymmetric, z.asymmetric);
}

TEST(NgJson, UnescapesTheSdp) {
  const std::string json =
      "{\"command\":\"offer\",\"call-id\":\"c\\u0040h\",\"from-tag\":\"f\","
      "\"sdp\":\"v=0\\r\\ns=\\u00e9\\r\\n\"}\r\n";
  const auto message = parse(json);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->request.call_id, "c@h");
  EXPECT_EQ(message->request.sdp, "v=0\r\ns=\xc3\xa9\r\n");
}

TEST(NgJson, NullIsAsIfNotThere) {
  const auto message = parse(R"({"command":"offer","sdp":"x","call-id":null,"from-tag":"f"})");
  ASSERT_TRUE(message) << message.error();
  EXPECT_EQ(message->request.call_id, "");
}

}  // namespace
}  // namespace millrace::ng
