// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/sdp.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/control/sdp/sdp_fixture.h"

namespace millrace::sdp {
namespace {

// The error's text, or "" when the body is fine.
std::string error_of(std::string_view body) {
  const Exact exact(body);
  const Result<Session> session = parse(exact.view());
  return session ? "" : session.error().message;
}

TEST(SdpParse, ParsesAddressesPortsAndDirections) {
  const std::string body = with_head(
      "a=sendonly\r\n"
      "m=audio 4000 RTP/AVP 9 0 101\r\n"
      "a=rtpmap:0 PCMU/8000\r\n"
      "a=rtcp-mux\r\n"
      "a=candidate:1 1 UDP 2130706431 10.0.0.5 4000 typ host\r\n"
      "a=candidate:1 2 udp 2130706430 10.0.0.5 4001 typ host\r\n"
      "a=candidate:2 1 UDP 1694498815 198.51.100.7 4000 typ srflx raddr 10.0.0.5 rport 4000\r\n"
      "m=video 5000 rtp/savpf 96 97\r\n"
      "c=IN IP6 2001:db8::7\r\n"
      "a=rtpmap:97 rtx/90000\r\n"
      "a=rtpmap:96 VP8/90000\r\n"
      "a=rtcp:53020 in ip4 192.0.2.9\r\n"
      "a=recvonly\r\n"
      "m=image 6000 UDPTL t38\r\n"
      "a=inactive\r\n");
  const Session session = parsed(body);
  ASSERT_EQ(session.sections.size(), 3U);
  EXPECT_TRUE(session.own_connection);
  EXPECT_EQ(session.media_starts, (SmallVector<std::size_t, 2>{6, 12, 18}));

  const Media& audio = session.sections[0];
  EXPECT_EQ(audio.type, "audio");
  EXPECT_EQ(audio.protocol, "RTP/AVP");
  EXPECT_EQ(audio.port, UdpPort(4000));
  EXPECT_TRUE(audio.relayable && audio.rtp && audio.rtcp_mux);
  EXPECT_FALSE(audio.own_connection || audio.held_by_address || audio.bundle_only);
  EXPECT_EQ(audio.connection, ip("192.0.2.1"));
  EXPECT_EQ(audio.rtcp, (Endpoint{ip("192.0.2.1"), UdpPort(4001)}));
  EXPECT_EQ(audio.direction, Direction::sendonly);
  EXPECT_EQ(audio.payload_types.count(), 3U);
  EXPECT_TRUE(audio.payload_types[0] && audio.payload_types[9] && audio.payload_types[101]);
  EXPECT_EQ(audio.codec, "G722/8000");
  EXPECT_EQ(audio.clock_hz, 8000U);
  EXPECT_EQ(audio.candidates, (std::vector{ip("198.51.100.7"), ip("10.0.0.5")}));

  const Media& video = session.sections[1];
  EXPECT_TRUE(video.relayable && video.rtp && video.own_connection);
  EXPECT_EQ(video.connection, ip("2001:db8::7"));
  EXPECT_EQ(video.rtcp, (Endpoint{ip("192.0.2.9"), UdpPort(53020)}));
  EXPECT_EQ(video.direction, Direction::recvonly);
  EXPECT_EQ(video.codec, "VP8/90000");
  EXPECT_EQ(video.clock_hz, 90000U);

  const Media& image = session.sections[2];
  EXPECT_TRUE(image.relayable);
  EXPECT_FALSE(image.rtp);
  EXPECT_EQ(image.direction, Direction::inactive);
  EXPECT_TRUE(image.payload_types.none());
}

TEST(SdpParse, ViewsPointIntoTheBody) {
  const std::string body = with_head("m=audio 4000 RTP/AVP 0");
  const Session session = parsed(body);
  const auto inside = [&](std::string_view view) {
    return view.data() >= body.data() && view.data() + view.size() <= body.data() + body.size();
  };
  for (const Line& line : session.lines) EXPECT_TRUE(inside(line.text) && inside(line.ending));
  EXPECT_TRUE(inside(session.sections[0].type) && inside(session.sections[0].protocol));
}

TEST(SdpParse, RecognisesTheUdpTransports) {
  const std::map<std::string, std::pair<bool, bool>> relayable_and_rtp = {
      {"RTP/AVP", {true, true}},
      {"RTP/AVPF", {true, true}},
      {"RTP/SAVP", {true, true}},
      {"RTP/SAVPF", {true, true}},
      {"UDP/TLS/RTP/SAVP", {true, true}},
      {"UDP/TLS/RTP/SAVPF", {true, true}},
      {"udptl", {true, false}},
      {"UDPTL", {true, false}},
      {"UDP/DTLS/SCTP", {true, false}},
      {"UDP/BFCP", {true, false}},
      {"udp", {true, false}},
      {"UDP", {true, false}},
      {"TCP/MSRP", {false, false}},
      {"TCP/TLS/MSRP", {false, false}},
      {"TCP/RTP/AVP", {false, false}},
      {"TCP", {false, false}},
      {"TCP/DTLS/SCTP", {false, false}},
      {"TCP/TLS/RTP/SAVPF", {false, false}},
      {"RTP/AVPX", {false, false}},
      {"RTP/AV", {false, false}},
  };
  for (const auto& [protocol, expected] : relayable_and_rtp) {
    const std::string body = with_head("m=audio 4000 " + protocol + " 0\n");
    const Session session = parsed(body);
    EXPECT_EQ(session.sections[0].relayable, expected.first) << protocol;
    EXPECT_EQ(session.sections[0].rtp, expected.second) << protocol;
  }
}

TEST(SdpParse, TakesTheClockFromTheFirstFormat) {
  const std::map<std::string, std::pair<std::string, unsigned>> cases = {
      {"m=audio 4 RTP/AVP 0\n", {"PCMU/8000", 8000}},
      {"m=audio 4 RTP/AVP 9\n", {"G722/8000", 8000}},
      {"m=audio 4 RTP/AVP 6\n", {"DVI4/16000", 16000}},
      {"m=video 4 RTP/AVP 34\n", {"H263/90000", 90000}},
      {"m=audio 4 RTP/AVP 96 0\n", {"", 8000}},
      {"m=audio 4 RTP/AVP 96 0\na=rtpmap:0 PCMU/8000\na=rtpmap:96 opus/48000/2\n",
       {"opus/48000/2", 48000}},
      {"m=audio 4 RTP/AVP 0\na=rtpmap:0 X/16000\n", {"X/16000", 16000}},
      // Invalid clock rates are ignored.
      {"m=audio 4 RTP/AVP 0\na=rtpmap:0 X/0\n", {"PCMU/8000", 8000}},
      {"m=audio 4 RTP/AVP 0\na=rtpmap:0 X/4294967296\n", {"PCMU/8000", 8000}},
      {"m=audio 4 RTP/AVP 0\na=rtpmap:0 X/-8000\n", {"PCMU/8000", 8000}},
      {"m=audio 4 RTP/AVP 0\na=rtpmap:0 X\n", {"PCMU/8000", 8000}},
      {"m=audio 4 RTP/AVP 0\na=rtpmap:0\n", {"PCMU/8000", 8000}},
      {"m=audio 4 RTP/AVP 0\na=rtpmap:\n", {"PCMU/8000", 8000}},
      {"m=audio 4 RTP/AVP 0\na=rtpmap\n", {"PCMU/8000", 8000}},
  };
  for (const auto& [media, expected] : cases) {
    const std::string body = with_head(media);
    const Session session = parsed(body);
    EXPECT_EQ(session.sections[0].codec, expected.first) << media;
    EXPECT_EQ(session.sections[0].clock_hz, expected.second) << media;
  }
}

TEST(SdpParse, OnlyUdpCandidatesWithAddressesAreHints) {
  std::string body = with_head("m=audio 4 RTP/AVP 0\n");
  for (const char* wrong :
       {"1 1 TCP 2105458943 10.0.0.1 9 typ host tcptype active",
        "1 1 UDP 2130706431 d3b6d5f1-c3d5.local 5000 typ host", "1 0 UDP 1 10.0.0.2 5000 typ host",
        "1 257 UDP 1 10.0.0.3 5000 typ host", "1 1 UDP 1 10.0.0.4 65536 typ host",
        "1 1 UDP 1 10.0.0.5", "1 1 UDP 1", "1 1 UDP", "1", "", "1 1 UDP 1 0.0.0.0 9 typ host",
        "1 4294967297 UDP 1 10.0.0.6 5000 typ host"}) {
    body += "a=candidate:" + std::string(wrong) + "\n";
  }
  body += "a=candidate\na=candidate:x 256 uDp 1 2001:db8::5 0 typ host\n";
  EXPECT_EQ(parsed(body).sections[0].candidates, std::vector{ip("2001:db8::5")});

  for (int i = 0; i < 300; ++i) {
    body += "a=candidate:1 1 UDP 1 10.1." + std::to_string(i / 250) + "." +
            std::to_string(i % 250 + 1) + " 5000 typ host\n";
  }
  EXPECT_EQ(parsed(body).sections[0].candidates.size(), kMaxCandidates + 1)
      << "of IPv4, one of IPv6";
}

TEST(SdpParse, UnusableCandidatesTakeNoRoom) {
  for (const std::string_view unusable :
       {"fe80::", "2001:db8::", "169.254.1.", "127.0.0.", "10.1.0."}) {
    std::string body = with_head("m=audio 4 RTP/AVP 0\na=ice-ufrag:u\n");
    for (int i = 1; i <= 200; ++i) {
      body +=
          "a=candidate:1 1 UDP 1 " + std::string(unusable) + std::to_string(i) + " 5000 typ host\n";
    }
    body += "a=candidate:2 1 UDP 1 198.51.100.7 5000 typ host\n";
    const auto candidates = parsed(body).sections[0].candidates;
    EXPECT_TRUE(std::ranges::count(candidates, ip("198.51.100.7"))) << unusable;
    EXPECT_LE(candidates.size(), kMaxCandidates + 1);
  }
}

TEST(SdpParse, ReflexiveAndRelayedCandidatesComeFirst) {
  std::string body = with_head("m=audio 4 RTP/AVP 0\na=ice-ufrag:u\n");
  for (int i = 1; i <= 20; ++i) {
    body += "a=candidate:1 1 UDP 1 10.0.0." + std::to_string(i) + " 5000 typ host\n";
  }
  body +=
      "a=candidate:2 1 UDP 1 198.51.100.7 5000 typ srflx raddr 10.0.0.1 rport 5000\n"
      "a=candidate:3 2 UDP 1 198.51.100.8 5001 typ relay raddr 10.0.0.1 rport 5000\n";
  const Session session = parsed(body);
  const auto& candidates = session.sections[0].candidates;
  ASSERT_EQ(candidates.size(), kMaxCandidates);
  EXPECT_EQ(candidates[0], ip("198.51.100.7"));
  EXPECT_EQ(candidates[1], ip("198.51.100.8"));
  EXPECT_EQ(candidates[2], ip("10.0.0.1"));
  EXPECT_TRUE(session.sections[0].rtcp_candidates);
}

TEST(SdpParse, ParsesIceOfSessionAndSection) {
  const std::string body = with_head(
      "a=ice-ufrag:session\nm=audio 4 RTP/AVP 0\na=ice-ufrag:media\n"
      "a=remote-candidates:1 192.0.2.3 45664 2 192.0.2.4 45665\n"
      "m=audio 6 RTP/AVP 0\na=remote-candidates:1 x.local 4 2\n"
      "a=candidate:1 1 UDP 1 10.0.0.1 6 typ host\n");
  const Session session = parsed(body);
  EXPECT_EQ(session.sections[0].ice_ufrag, "media");
  EXPECT_EQ(session.sections[0].remote_candidates, (std::vector{ip("192.0.2.3"), ip("192.0.2.4")}));
  EXPECT_EQ(session.sections[1].ice_ufrag, "session");
  EXPECT_TRUE(session.sections[1].remote_candidates.empty());
  EXPECT_FALSE(session.sections[1].rtcp_candidates);
}

TEST(SdpParse, HoldByAddress) {
  const auto media = [](std::string_view address, std::string_view rest) {
    static std::string body;
    body = "v=0\nc=IN " + std::string(address) + "\n" + std::string(rest);
    return parsed(body).sections[0];
  };
  EXPECT_TRUE(media("IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0\n").held_by_address);
  EXPECT_TRUE(media("IP6 ::", "m=audio 4000 RTP/AVP 0\n").held_by_address);
  EXPECT_FALSE(media("IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0\na=inactive\n").held_by_address);
  // No default candidate yet (RFC 8840 section 4.1.1) is no hold.
  EXPECT_FALSE(media("IP4 0.0.0.0", "m=audio 9 RTP/SAVPF 0\na=ice-ufrag:abcd\n").held_by_address);
  EXPECT_FALSE(media("IP4 0.0.0.0", "a=ice-ufrag:abcd\nm=audio 9 RTP/SAVPF 0\n").held_by_address);
  EXPECT_FALSE(media("IP4 0.0.0.0", "m=audio 0 RTP/AVP 0\n").held_by_address);
}

TEST(SdpParse, RejectedSectionsNeedNoConnection) {
  const std::string body =
      "v=0\n"
      "m=audio 0 RTP/AVP\n"
      "m=video 0 RTP/AVP 31 $ 4294967296\n"
      "m=video 0 RTP/AVPF 96\n"
      "a=bundle-only\n"
      "m=image 0 udptl t38\n";
  const Session session = parsed(body);
  ASSERT_EQ(session.sections.size(), 4U);
  for (const Media& media : session.sections) {
    EXPECT_TRUE(media.relayable);
    EXPECT_EQ(media.port, UdpPort(0));
    EXPECT_EQ(media.rtcp.port, UdpPort(0));
    EXPECT_FALSE(media.connection);
  }
  EXPECT_EQ(session.sections[1].payload_types.count(), 1U);
  EXPECT_FALSE(session.sections[1].bundle_only);
  EXPECT_TRUE(session.sections[2].bundle_only);
}

// RFC 3605: without a=rtcp, RTCP is at port + 1 of the address in c=.
TEST(SdpParse, UnusableRtcpAttributeIsIgnored) {
  const std::string media = "m=audio 4000 RTP/AVP 0\n";
  for (const char* line :
       {"a=rtcp", "a=rtcp:", "a=rtcp: ", "a=rtcp:0", "a=rtcp:70000", "a=rtcp:-1", "a=rtcp:x",
        "a=rtcp:5000x", "a=rtcp:IN IP4 192.0.2.7", "a=rtcp:5000 IN", "a=rtcp:5000 IN IP4",
        "a=rtcp:5000 IN IP4 a.example", "a=rtcp:5000 IN IP6 192.0.2.7", "a=rtcp:5000 trailing",
        "a=rtcp:5000 IN IP4 224.0.0.1", "a=rtcp:5000 IN IP4 192.0.2.7 trailing",
        "a=rtcp:0 IN IP4 192.0.2.7"}) {
    for (const std::string& body : {with_head(media + line), with_head(media + line + "\n")}) {
      ASSERT_EQ(error_of(body), "");
      EXPECT_EQ(parsed(body).sections[0].rtcp, (Endpoint{ip("192.0.2.1"), UdpPort(4001)})) << line;
    }
    // It does not replace a usable one.
    const std::string two = with_head(media + "a=rtcp:5000 IN IP4 192.0.2.7\n" + line + "\n");
    EXPECT_EQ(parsed(two).sections[0].rtcp, (Endpoint{ip("192.0.2.7"), UdpPort(5000)})) << line;
  }
}

TEST(SdpParse, AcceptsUnambiguousDeviations) {
  for (const std::string& body : {
           std::string("v=0"),
           std::string("v=0\n"),
           std::string("v=0\r\n\r\n"),
           with_head(""),
           with_head("b=\n"),
           with_head("b=AS\n"),
           with_head("a=\n"),
           with_head("k=prompt\n"),
           with_head("m=audio 65535 RTP/AVP 127\n"),
           with_head("m=audio 4/1 RTP/AVP 0\n"),
           with_head("m=audio 4 RTP/AVP 0 0 0\n"),
           with_head("m=audio 4 RTP/AVP 0 \n"),
           // Sections that are not relayed are not validated.
           with_head("m=message 7/2 TCP/MSRP *\nc=IN IP4 chat.example\nc=IN IP4 x\na=rtcp:x\n"),
           with_head("m=audio 4 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" +
                     std::string(8000, 'A') + "\n"),
           with_head("m=audio 4 RTP/AVP 0\na=fmtp:99999999999999999999 x\na=fmtp\n"),
       }) {
    EXPECT_EQ(error_of(body), "") << body.substr(0, 200);
  }
}

TEST(SdpParse, ErrorsNameTheLineAndTheRemedy) {
  using std::string_view_literals::operator""sv;
  const std::string_view nul = "m=audio 4 RTP/AVP 0\na=fmtp:0 a\0b\n"sv;
  const std::map<std::string, std::string> cases = {
      {"", "line 1: the body is empty; write v=0 first"},
      {"\r\n\r\n", "line 1: the body is empty; write v=0 first"},
      {"o=- 1 1 IN IP4 192.0.2.1\nv=0\n",
       "line 1: 'o=- 1 1 IN IP4 192.0.2.1' is the first line; write v=0 first"},
      {"v=1\n", "line 1: 'v=1' is the first line; write v=0 first"},
      {"v=0\nv=0\n", "line 2: a second v=; remove one"},
      {"v=0\ns=-\ns=-\n", "line 3: a second s=; remove one"},
      {"v=0\nm=audio 0 RTP/AVP 0\nv=0\n", "line 3: v= after m=; move it before the first m="},
      {"\nv=0\n", "line 1: '' is the first line; write v=0 first"},
      {"v=0\n\n \n", "line 3: ' ' is not of the form x=value, x a lower-case letter"},
      {"v=0\nhello\n", "line 2: 'hello' is not of the form x=value, x a lower-case letter"},
      {"v=0\nC=IN IP4 1.2.3.4\n",
       "line 2: 'C=IN IP4 1.2.3.4' is not of the form x=value, x a lower-case letter"},
      {"v=0\nc =IN IP4 1.2.3.4\n",
       "line 2: 'c =IN IP4 1.2.3.4' is not of the form x=value, x a lower-case letter"},
      {"v=0\na", "line 2: 'a' is not of the form x=value, x a lower-case letter"},
      {"v=0\r\ns=a\rc=IN IP4 1.2.3.4\r\n",
       "line 2: a CR within the line; end lines with CRLF or LF"},
      {"v=0\r\r\n", "line 1: a CR within the line; end lines with CRLF or LF"},
      {"v=0\r", "line 1: a CR within the line; end lines with CRLF or LF"},
      {with_head(nul), "line 7: a NUL byte; remove it"},
      {"v=0\no=\no=\n", "line 3: a second o=; remove one"},
      {"v=0\nc=IN IP4\n",
       "line 2: 'IN IP4' is not a connection address; write IN IP4 ADDRESS or IN IP6 ADDRESS"},
      {"v=0\nc=ATM NSAP 47.0091\n",
       "line 2: 'ATM NSAP 47.0091' is not a connection address; write IN IP4 ADDRESS or IN IP6 "
       "ADDRESS"},
      {"v=0\nc=IN IP4 1.2.3.4 x\n",
       "line 2: 'IN IP4 1.2.3.4 x' is not a connection address; write IN IP4 ADDRESS or IN IP6 "
       "ADDRESS"},
      {"v=0\nc=IN IP4 media.example.com\n",
       "line 2: 'media.example.com' is not an IP address; write one, host names are not resolved"},
      {"v=0\nc=IN IP4 2001:db8::1\n",
       "line 2: '2001:db8::1' is not of the type IP4; write IP6 for IPv6"},
      {"v=0\nc=IN IP6 1.2.3.4\n", "line 2: '1.2.3.4' is not of the type IP6; write IP4 for IPv4"},
      {"v=0\nc=IN IP6 ::ffff:1.2.3.4\n",
       "line 2: '::ffff:1.2.3.4' is not of the type IP6; write IP4 for IPv4"},
      {"v=0\nc=IN IP4 224.2.1.1/127\n",
       "line 2: '224.2.1.1/127' is multicast or broadcast, or has a TTL or count; "
       "write a unicast address"},
      {"v=0\nc=IN IP4 1.2.3.4\nc=IN IP4 1.2.3.5\n",
       "line 3: a second c= in the same section, with another address; remove one"},
      {with_head("m=audio 4 RTP/AVP 0\nc=IN IP4 1.2.3.4\nc=IN IP4 1.2.3.5\n"),
       "line 8: a second c= in the same section, with another address; remove one"},
      {with_head("m=audio\n"), "line 6: m='audio' is too short; write m=audio 4000 RTP/AVP 0"},
      {with_head("m=\n"), "line 6: m='' is too short; write m=audio 4000 RTP/AVP 0"},
      {with_head("m=audio x RTP/AVP 0\n"), "line 6: 'x' is not a port; write 0 to 65535"},
      {with_head("m=audio -1 RTP/AVP 0\n"), "line 6: '-1' is not a port; write 0 to 65535"},
      {with_head("m=audio +4 RTP/AVP 0\n"), "line 6: '+4' is not a port; write 0 to 65535"},
      {with_head("m=audio 65536 RTP/AVP 0\n"), "line 6: '65536' is not a port; write 0 to 65535"},
      {with_head("m=audio 4294967296 RTP/AVP 0\n"),
       "line 6: '4294967296' is not a port; write 0 to 65535"},
      {with_head("m=message 65536 TCP/MSRP *\n"),
       "line 6: '65536' is not a port; write 0 to 65535"},
      {with_head("m=audio 4000/0 RTP/AVP 0\n"),
       "line 6: '4000/0' is not a port and a number of ports; write the port alone"},
      {with_head("m=audio 4000/ RTP/AVP 0\n"),
       "line 6: '4000/' is not a port and a number of ports; write the port alone"},
      {with_head("m=audio 4000/65536 RTP/AVP 0\n"),
       "line 6: '4000/65536' is not a port and a number of ports; write the port alone"},
      {with_head("m=audio 4 RTP/AVP\n"), "line 6: m= without formats; write its payload types"},
      {with_head("m=audio 4 RTP/AVP 128\n"), "line 6: '128' is not a payload type; write 0 to 127"},
      {with_head("m=audio 4 RTP/AVP 0 4294967296\n"),
       "line 6: '4294967296' is not a payload type; write 0 to 127"},
      {with_head("m=audio 4 RTP/AVP 0\ta\n"), "line 6: 'a' is not a payload type; write 0 to 127"},
      {with_head("m=audio 0 RTP/AVP x\na=bundle-only\n"),
       "line 6: 'x' is not a payload type; write 0 to 127"},
      {"v=0\nm=audio 0 RTP/AVP 0\nm=video 4 RTP/AVP 31\nm=audio 0 RTP/AVP 0\n",
       "line 3: m=video has no connection address; write c=IN IP4 ADDRESS below it"},
  };
  for (const auto& [body, message] : cases) EXPECT_EQ(error_of(body), message);
}

// Logs and JSON replies contain the message: short and printable for any line.
TEST(SdpParse, MessagesAreShortAndPrintable) {
  const std::string error = error_of("v=0\n\xff\x1b[31m" + std::string(5000, '\x80'));
  EXPECT_LT(error.size(), 160U);
  EXPECT_TRUE(std::ranges::all_of(error, [](char c) { return c >= ' ' && c <= '~'; })) << error;
}

TEST(SdpParse, LimitsAreExact) {
  const std::string audio = "m=audio 4 RTP/AVP 0\n";
  EXPECT_EQ(error_of(with_head(repeat(audio, kMaxSections))), "");
  EXPECT_EQ(error_of(with_head(repeat(audio, kMaxSections + 1))),
            "line 70: too many m= lines; at most 64 are accepted");

  EXPECT_EQ(error_of("v=0\n" + repeat("a=\n", kMaxLines - 1)), "");
  EXPECT_EQ(error_of("v=0\n" + repeat("a=\n", kMaxLines)),
            "line 4097: too many lines; at most 4096 are accepted");

  EXPECT_EQ(error_of("v=0\na=" + std::string(kMaxLine - 2, 'x')), "");
  EXPECT_EQ(error_of("v=0\na=" + std::string(kMaxLine - 1, 'x')),
            "line 2: 8193 bytes; at most 8192 are accepted");

  const std::string line = "a=" + std::string(4093, 'x') + "\n";  // 4096 bytes
  const std::string full = "v=0\n" + repeat(line, 15) + "a=" + std::string(4090, 'x');
  ASSERT_EQ(full.size(), kMaxBody);
  EXPECT_EQ(error_of(full), "");
  EXPECT_EQ(error_of(full + "x"), "line 17: the body has more than 65536 bytes; shorten it");
}

}  // namespace
}  // namespace millrace::sdp
