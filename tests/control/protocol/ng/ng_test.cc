// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng.h"

#include <chrono>

#include <gtest/gtest.h>

#include "tests/control/protocol/ng/ng_fixture.h"
#include "tests/control/protocol/ng/ng_request_fixture.h"
#include "tests/exact.h"

namespace millrace::ng {
namespace {

using State = Frame::State;
using std::chrono::seconds;

Frame frame_exact(std::string_view text) { return frame(Exact(text).view()); }

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
  EXPECT_EQ(request.latching.received_from, IpAddress::v4(127, 0, 0, 1));
  EXPECT_TRUE(request.supports_load_limit);
  EXPECT_TRUE(request.edits.replace_origin);
  EXPECT_FALSE(request.edits.origin.session_name);
  EXPECT_FALSE(request.latching.sip_source_address);
  EXPECT_FALSE(request.latching.asymmetric);
  EXPECT_EQ(request.edits.ice, IceHandling::force);
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
  EXPECT_EQ(removal->request.removal.delay, std::nullopt);
  EXPECT_FALSE(removal->request.removal.match_to_tag);
  EXPECT_EQ(encode(removal->cookie, removal->encoding, reply::Deleted{}),
            fixture("udp_delete_reply"));
}

TEST(NgCaptured, UnknownKeysAndFlagsAreNamed) {
  const std::string bytes = fixture("unix_offer_custom_keys");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->unknown, (Strings{"media-relay", "relay-zone", "strange-flag"}));
  EXPECT_TRUE(message->request.edits.replace_origin);
}

// ---- frames -----------------------------------------------------------------------------------

TEST(NgFrame, DistinguishesCookiesFromDictionaries) {
  for (const std::string_view whole :
       {"de", "d7:command4:pinge", "c1 d7:command4:pinge", "dead d7:command4:pinge",
        "de d7:command4:pinge", "d7 d7:command4:pinge", R"(d41d8cd9 {"command":"ping"})",
        R"({"command":"ping"})", "c {}", "\r\n d7:command4:pinge", "\n\n{}", "i1e de"}) {
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

TEST(NgErrors, UseTheTextsOfRtpengine) {
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

TEST(NgErrors, DatagramWithoutCookieGetsNoReply) {
  for (const std::string_view bytes :
       {"", " ", "\r\n", "x", "hello", "4:ping", "[1]", "i1e", "\x01\x02 de"}) {
    const auto message = parse(bytes);
    ASSERT_FALSE(message.has_value()) << bytes;
    EXPECT_EQ(message.error(), "") << bytes;
  }
  EXPECT_EQ(parse(std::string(kMaxCookie + 1, 'c') + " de").error(), "");
}

TEST(NgErrors, ErrorsOfMalformedValuesNameTheKey) {
  EXPECT_EQ(
      error(offer("13:media address9:192.0.2.x")),
      "Invalid value of key \"media address\": expected a unicast IP address that media can be "
      "sent to");
  // Neither printed nor sent to: multicast, broadcast, loopback, unspecified, IPv6 multicast.
  for (const std::string_view value : {"9:224.1.1.1", "15:255.255.255.255", "9:127.0.0.1",
                                       "7:0.0.0.0", "7:ff02::1", "9:240.0.0.1"}) {
    EXPECT_EQ(
        error(offer("13:media-address" + std::string(value))),
        "Invalid value of key \"media-address\": expected a unicast IP address that media can "
        "be sent to")
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
            "Invalid value of key \"limit\": expected a number of calls");
  EXPECT_EQ(error("d7:command11:block media7:call-id1:c7:address0:e"),
            "Invalid value of key \"address\": expected an IP address");
  EXPECT_EQ(error("d7:command6:delete7:call-id1:c8:from-taglee"),
            "Invalid value of key \"from-tag\": expected a string");
}

// ---- values that are ignored ------------------------------------------------------------------

// The warning of the request; the error text if it is refused.
std::string warning(const std::string& bytes) {
  const auto message = parse(bytes);
  return message ? message->request.unsupported : error(bytes);
}

TEST(NgIgnored, UnusableOptionalValuesAreAWarning) {
  constexpr std::string_view kSource =
      "received-from: ignored, expected IP4 or IP6, and an IP address";
  for (const std::string_view value :
       {"0:", "le", "de", "l3:IP4e", "l3:IP417:proxy.example.orge", "l3:IP49:192.0.2.xe",
        "l3:IP59:192.0.2.1e", "9:192.0.2.1", "i4e", "l3:IP49:192.0.2.19:192.0.2.2e",
        "ll3:IP4e9:192.0.2.1e"}) {
    const std::string bytes = offer("13:Received From" + std::string(value));
    EXPECT_EQ(warning(bytes), kSource) << value;
    EXPECT_EQ(parse(bytes)->request.latching.received_from, std::nullopt) << value;
  }
  const std::pair<std::string_view, std::string_view> ignored[] = {
      {"3:TOS0:", "tos: ignored, expected an integer"},
      {"3:TOS4:high", "tos: ignored, expected an integer"},
      {"3:TOSle", "tos: ignored, expected an integer"},
      {"13:media-address0:",
       "media-address: ignored, expected a unicast IP address that media can be sent to"},
      {"8:SIP-code0:", "sip-code: ignored, expected a SIP response code"},
      {"8:SIP-code3:700", "sip-code: ignored, expected a SIP response code"},
      {"14:address-family0:", "address-family: ignored, expected IP4 or IP6"},
      {"14:address-family3:IPX", "address-family: ignored, expected IP4 or IP6"},
      {"8:supportsllee8:metadatale",
       "supports: ignored, expected a list of strings; metadata: ignored, expected a string"},
      {"5:codec0:", "codec: ignored, expected a dictionary of lists of codecs"},
      {"5:codecle", "codec: ignored, expected a dictionary of lists of codecs"},
      {"8:SIP-codele3:TOSle3:tos0:",
       "sip-code: ignored, expected a SIP response code; tos: ignored, expected an integer"}};
  for (const auto& [keys, expected] : ignored) EXPECT_EQ(warning(offer(keys)), expected) << keys;
}

TEST(NgIgnored, EmptyListsAskForNothing) {
  for (const std::string_view keys :
       {"5:codecde", "5:codecd5:strip0:6:exceptle5:offerdee", "8:sdp-attrde",
        "8:sdp-attrd5:audiolee", "8:sdp-attrd5:audiod3:addle6:removel0:e10:substituteleee",
        "5:flagsle", "5:flags0:", "9:directionle", "7:replacele", "8:rtcp-muxle", "8:supportsle",
        "10:rtpp-flags0:", "16:sdp-media-removele",
        "12:delete-delay0:", "5:limit0:", "7:address0:"}) {
    const std::string bytes = offer(keys);
    EXPECT_EQ(warning(bytes), "") << keys;
    EXPECT_TRUE(parse(bytes)->request.edits.codecs.empty()) << keys;
  }
}

TEST(NgIgnored, DeleteReadsItsOwnKeysOnly) {
  const auto remove = [](std::string_view keys) {
    return "d7:call-id1:c8:from-tag1:f" + std::string(keys) + "7:command6:deletee";
  };
  // The flags and keys of an offer, as scripts with one string for all requests send them.
  for (const std::string_view keys :
       {"13:received-fromle", "3:TOS0:", "13:media-address9:127.0.0.1", "9:directionl1:a1:b1:ce",
        "4:SDESl6:no-pade", "11:record-call2:on", "5:codecd9:transcodel4:PCMUee", "8:sdp-attri1e",
        "5:flagsl16:no-port-latching11:record-call11:codec-mask-e", "5:labelle", "3:sdple",
        "7:address1:x", "5:limit1:x", "8:SIP-codele"}) {
    EXPECT_EQ(warning(remove(keys)), "") << keys;
  }
  const std::string flags = remove("5:flagsl4:fast5:fatale12:delete-delayi5e");
  EXPECT_TRUE(parse(flags)->request.removal.fast && parse(flags)->request.removal.fatal);
  EXPECT_EQ(parse(flags)->request.removal.delay, std::chrono::seconds(5));
  EXPECT_EQ(warning(remove("12:delete delay0:")),
            "delete-delay: ignored, expected seconds, 86400 at most");
  EXPECT_EQ(warning(remove("12:delete-delayi9223372036854775807e")),
            "delete-delay: ignored, expected seconds, 86400 at most");
  EXPECT_EQ(warning(remove("5:flagsd1:a1:be")), "flags: ignored, expected a list of strings");
  EXPECT_EQ(warning(remove("10:rtpp-flags1:[")),
            "rtpp-flags: ignored, expected words, and brackets in pairs");
  EXPECT_EQ(warning("d7:command5:query7:call-id1:c5:flagsl11:record-calle3:TOS0:e"), "");
}

// ---- JSON -------------------------------------------------------------------------------------

TEST(NgJson, IsEquivalentToBencode) {
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
  EXPECT_EQ(a.latching.received_from, z.latching.received_from);
  EXPECT_EQ(a.placement.from_interface, z.placement.from_interface);
  EXPECT_EQ(a.placement.to_interface, z.placement.to_interface);
  EXPECT_EQ(a.dscp, z.dscp);
  EXPECT_EQ(a.removal.delay, z.removal.delay);
  EXPECT_EQ(a.edits.replace_origin, z.edits.replace_origin);
  EXPECT_EQ(a.latching.asymmetric, z.latching.asymmetric);
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

TEST(NgJson, NullEqualsAbsent) {
  const auto message = parse(R"({"command":"offer","sdp":"x","call-id":null,"from-tag":"f"})");
  ASSERT_TRUE(message) << message.error();
  EXPECT_EQ(message->request.call_id, "");
}

}  // namespace
}  // namespace millrace::ng
