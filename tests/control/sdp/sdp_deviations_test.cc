// SPDX-License-Identifier: BSD-3-Clause
// Faults of real phones: what parse() accepts, and how rewrite() prints it.

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "control/sdp/sdp.h"
#include "control/sdp/sdp_edits.h"
#include "tests/control/sdp/sdp_fixture.h"

namespace millrace::sdp {
namespace {

std::string error_of(const std::string& body) {
  const Exact exact(body);
  const Result<Session> session = parse(exact.view());
  return session ? "" : session.error().message;
}

// `body` with each section at 203.0.113.9, ports 6 and 7. Checks that a second run changes nothing.
std::string printed(const std::string& body) {
  const auto once = [](const std::string& text) {
    const Session session = parsed(text);
    Rewrite to{.sections = {}, .origin = ip("203.0.113.9")};
    to.sections.resize(session.sections.size(), {ip("203.0.113.9"), UdpPort(6), UdpPort(7)});
    return rewrite(session, to);
  };
  const std::string out = once(body);
  EXPECT_EQ(once(out), out);
  return out;
}

TEST(SdpDeviations, OriginWithoutAddressIsUnchanged) {
  for (const char* origin : {"", "-", "- 1 1", "- 1 1 IN", "- 1 1 IN IP4", "- 1 IN IP4 ", "IN IP4",
                             "- 1 1 ATM NSAP 47.0091"}) {
    const std::string body = "v=0\no=" + std::string(origin) + "\ns=-\n";
    ASSERT_EQ(error_of(body), "");
    EXPECT_EQ(printed(body), body);
    Origin kept{.user = "u", .id = "1", .version = 1, .content = ""};
    EXPECT_EQ(keep_origin(body, kept, {.user = true, .id = true, .version = true}), body);
  }
  EXPECT_EQ(printed("v=0\no=IN IP4 host\n"), "v=0\no=IN IP4 203.0.113.9\n");
}

TEST(SdpDeviations, RepeatedConnectionIsPrintedOnce) {
  const std::string twice = "c=IN IP4 192.0.2.1\n", c = "c=IN IP4 203.0.113.9\n";
  const std::string session = "v=0\n" + twice + "c=in  ip4 192.0.2.1\nt=0 0\n";
  const std::string media = "m=audio 4 RTP/AVP 0\n", out = "m=audio 6 RTP/AVP 0\n";
  ASSERT_EQ(error_of(session + media), "");
  EXPECT_EQ(printed(session + media), "v=0\n" + c + "t=0 0\n" + out);
  EXPECT_EQ(printed(session), session) << "no section is relayed";
  EXPECT_EQ(printed("v=0\n" + media + repeat(twice, 3) + "a=x\n"), "v=0\n" + out + c + "a=x\n");
  // Thousands of them do not make the print longer than the body.
  EXPECT_LT(printed("v=0\n" + repeat("c=IN IP6 ::\n", 4000) + media).size(), 100U);
  EXPECT_NE(error_of("v=0\n" + media + twice + twice + "c=IN IP4 192.0.2.2\n"), "");
}

TEST(SdpDeviations, EmptyLinesWithinAreNotPrinted) {
  const std::string body =
      "v=0\r\n\r\nc=IN IP4 192.0.2.1\r\n\n\nt=0 0\r\n\r\nm=audio 4 RTP/AVP 0\r\n\r\ni=title\r\n"
      "a=sendonly\r\n\r\nm=message 7 TCP/MSRP *\r\n\r\na=x\r\n\r\nm=audio 0 RTP/AVP "
      "0\r\n\r\na=y\r\n";
  ASSERT_EQ(error_of(body), "");
  const Session session = parsed(body);
  ASSERT_EQ(session.sections.size(), 3U);
  EXPECT_EQ(session.sections[0].direction, Direction::sendonly);
  std::string expected = body;
  std::size_t at = 0;
  while ((at = expected.find("\n\n")) != expected.npos) expected.erase(at, 1);
  while ((at = expected.find("\r\n\r\n")) != expected.npos) expected.erase(at, 2);
  Rewrite untouched;
  untouched.sections.resize(3);
  for (MediaRewrite& each : untouched.sections) each.untouched = true;
  EXPECT_EQ(rewrite(session, untouched), expected);
  const std::string out = printed(body + "\r\n\n");
  EXPECT_EQ(out.find("\n\r\n"), out.size() - 4) << "those at the end stay";
  EXPECT_EQ(parsed(out).sections.size(), 3U);
  const std::string chosen = choose_codecs(session, {.strip = {}, .except = {}, .offer = {"PCMU"}});
  EXPECT_EQ(chosen, body);
  const LineEdits edits{.attributes = {}, .generate_mid = true};
  EXPECT_EQ(edit_lines(edit_lines(body, edits), edits), edit_lines(body, edits));
}

TEST(SdpDeviations, TabsSeparateFields) {
  const std::string body =
      "v=0\no=Front\tDoor 1 1\tIN\tIP4\t10.0.0.1\nc=IN\tIP4\t192.0.2.1\t\n"
      "m=audio\t4000\tRTP/AVP\t96\t0\na=rtcp:5000\tIN\tIP4\t192.0.2.2\n"
      "a=rtpmap:96\topus/48000/2\na=ice-ufrag:u\n"
      "a=candidate:1\t1\tUDP\t1\t192.0.2.3\t4000\ttyp\thost\n";
  ASSERT_EQ(error_of(body), "");
  const Session session = parsed(body);
  const Media& audio = session.sections.at(0);
  EXPECT_EQ(audio.type, "audio");
  EXPECT_EQ(audio.protocol, "RTP/AVP");
  EXPECT_EQ(audio.port, UdpPort(4000));
  EXPECT_EQ(audio.connection, ip("192.0.2.1"));
  EXPECT_EQ(audio.rtcp, (Endpoint{ip("192.0.2.2"), UdpPort(5000)}));
  EXPECT_EQ(audio.codec, "opus/48000/2");
  EXPECT_TRUE(audio.payload_types[96] && audio.payload_types[0]);
  EXPECT_EQ(audio.candidates, std::vector{ip("192.0.2.3")});
  EXPECT_EQ(printed(body),
            "v=0\no=Front\tDoor 1 1\tIN IP4 203.0.113.9\nc=IN IP4 203.0.113.9\n"
            "m=audio\t6\tRTP/AVP\t96\t0\na=rtcp:7 IN IP4 203.0.113.9\n"
            "a=rtpmap:96\topus/48000/2\na=ice-ufrag:u\n"
            "a=candidate:1\t1\tUDP\t1\t192.0.2.3\t4000\ttyp\thost\n");
  const std::string chosen = choose_codecs(session, {.strip = {"opus"}, .except = {}, .offer = {}});
  EXPECT_NE(chosen.find("m=audio\t4000\tRTP/AVP 0\na=rtcp"), chosen.npos) << chosen;
  EXPECT_EQ(chosen.find("opus"), chosen.npos);
}

TEST(SdpDeviations, AttributesAreEditedAcrossTabs) {
  AttributeEdits audio;
  audio.where = AttributeEdits::Where::sections;
  audio.type = "audio";
  audio.remove = {"fmtp"};
  EXPECT_EQ(edit_lines("v=0\nm=audio\t4 RTP/AVP 0\na=fmtp\t0\n", {.attributes = {audio}}),
            "v=0\nm=audio\t4 RTP/AVP 0\n");
}

TEST(SdpDeviations, BlanksAroundTheNameOfAnAttribute) {
  for (const char* line : {"a=sendonly ", "a=sendonly\t ", "a= sendonly"}) {
    const std::string body = with_head("m=audio 4 RTP/AVP 0\n" + std::string(line) + "\na= \na=\n");
    EXPECT_EQ(parsed(body).sections.at(0).direction, Direction::sendonly) << line;
    EXPECT_NE(printed(body).find(std::string("\n") + line + "\na= \na=\n"), std::string::npos);
    const std::string session = with_head(std::string(line) + "\nm=audio 4 RTP/AVP 0\n");
    EXPECT_EQ(parsed(session).sections.at(0).direction, Direction::sendonly) << line;
  }
  const std::string mux = with_head("m=audio 4 RTP/AVP 0\na=rtcp-mux \na=rtcp :5\n");
  EXPECT_TRUE(parsed(mux).sections.at(0).rtcp_mux);
  EXPECT_EQ(parsed(mux).sections.at(0).rtcp.port, UdpPort(5));
  EXPECT_NE(printed(mux).find("a=rtcp-mux \na=rtcp:7\n"), std::string::npos) << printed(mux);
}

// `block DTMF` drops these payload types.
TEST(SdpDeviations, TelephoneEventsInEveryForm) {
  for (const char* line :
       {"a=rtpmap:101 telephone-event/8000", "a=rtpmap:101\ttelephone-event/8000",
        "a=rtpmap:101 \tTelephone-Event/48000\t", "a=rtpmap: 101 telephone-event/8000/1",
        "a=rtpmap :101 telephone-event/8000", "a=rtpmap:101 telephone-event",
        "a=rtpmap:101 telephone-event/x"}) {
    const Session session = parsed(with_head("m=audio 4 RTP/AVP 0 101\n" + std::string(line)));
    const auto& types = session.sections.at(0).dtmf_types;
    EXPECT_TRUE(types[101] && types.count() == 1) << line;
  }
  for (const char* line : {"a=rtpmap:101 telephone-events/8000",
                           "a=rtpmap:128 telephone-event/8000", "a=rtpmap:telephone-event/8000"}) {
    const Session session = parsed(with_head("m=audio 4 RTP/AVP 0 101\n" + std::string(line)));
    EXPECT_TRUE(session.sections.at(0).dtmf_types.none()) << line;
  }
}

TEST(SdpDeviations, FirstPairOfSeveralPorts) {
  for (const char* port : {"4000/2", "4000/1", "4000/65535"}) {
    const std::string body = with_head("m=audio " + std::string(port) + " RTP/AVP 0\n");
    ASSERT_EQ(error_of(body), "");
    const Session session = parsed(body);
    EXPECT_EQ(session.sections.at(0).port, UdpPort(4000));
    EXPECT_EQ(session.sections.at(0).rtcp, (Endpoint{ip("192.0.2.1"), UdpPort(4001)}));
    EXPECT_TRUE(printed(body).ends_with("m=audio 6 RTP/AVP 0\n")) << printed(body);
  }
}

}  // namespace
}  // namespace millrace::sdp
