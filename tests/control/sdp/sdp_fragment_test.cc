// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/sdp_fragment.h"

#include <string>

#include <gtest/gtest.h>

#include "control/sdp/sdp.h"
#include "tests/exact.h"

namespace millrace::sdp {
namespace {

// RFC 8840 section 4.4: a fragment repeats the earlier candidates and adds new ones.
constexpr std::string_view kFragment =
    "a=group:BUNDLE 1 2\r\n"
    "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
    "a=ice-ufrag:8hhY\r\n"
    "m=audio 9 RTP/AVP 0\r\n"
    "a=mid:1\r\n"
    "a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r\n"
    "a=candidate:1 2 UDP 2130706432 2001:db8:a0b:12f0::1 5001 typ host\r\n"
    "a=candidate:2 1 UDP 1694498815 192.0.2.3 5010 typ srflx raddr 10.0.1.1 rport 8998\r\n"
    "m=video 9 RTP/AVP 31\r\n"
    "a=mid:2\r\n"
    "a=ice-ufrag:other\r\n"
    "a=candidate:1 1 TCP 2130706432 192.0.2.9 9 typ host tcptype active\r\n"
    "a=candidate:1 1 UDP 2130706432 phone.local 6000 typ host\r\n"
    "a=end-of-candidates\r\n";

std::string error(std::string_view body) {
  const auto parsed = parse_fragment(body);
  return parsed ? "accepted" : parsed.error().message;
}

TEST(SdpFragment, ParsesSectionsAndTheirCandidates) {
  for (const bool crlf : {true, false}) {
    std::string body(kFragment);
    if (!crlf) std::erase(body, '\r');
    const auto sections = parse_fragment(body);
    ASSERT_TRUE(sections);
    ASSERT_EQ(sections->size(), 2U);
    EXPECT_EQ(sections->at(0).mid, "1");
    EXPECT_EQ(sections->at(0).ufrag, "8hhY");
    const std::vector candidates = {IpAddress::v4(192, 0, 2, 3),
                                    IpAddress::parse("2001:db8:a0b:12f0::1").value()};
    EXPECT_EQ(sections->at(0).candidates, candidates) << "what a NAT gave comes first";
    EXPECT_EQ(sections->at(1).mid, "2");
    EXPECT_EQ(sections->at(1).ufrag, "other");
    EXPECT_TRUE(sections->at(1).candidates.empty());
  }
}

// Sent by some clients with a single section.
TEST(SdpFragment, MidStartsASectionWithoutMLine) {
  const auto sections =
      parse_fragment("a=ice-ufrag:x\na=mid:audio\na=candidate:1 1 UDP 1 192.0.2.3 5010 typ host");
  ASSERT_TRUE(sections);
  ASSERT_EQ(sections->size(), 1U);
  EXPECT_EQ(sections->at(0).mid, "audio");
  EXPECT_EQ(sections->at(0).ufrag, "x");
  EXPECT_EQ(sections->at(0).candidates.size(), 1U);
}

TEST(SdpFragment, RefusesMalformedFragments) {
  EXPECT_TRUE(error("").starts_with("line 1: no media"));
  EXPECT_TRUE(error("a=ice-ufrag:x\r\n").starts_with("line 1: no media"));
  EXPECT_TRUE(error("m=audio 9 RTP/AVP 0\r\nnonsense").starts_with("line 2: not of the form"));
  EXPECT_EQ(error("\nm=audio 9\r\n\r\na=mid:1\r\n\n"), "accepted");
  EXPECT_TRUE(error("m=audio 9\r\n\r\nx\r\n").starts_with("line 3: not of the form"));
  EXPECT_TRUE(error("m=audio 9\na=mid:\r1").starts_with("line 2: a NUL or CR"));
  EXPECT_TRUE(error("m=a\na=" + std::string(kMaxLine, 'x')).starts_with("line 2: more than"));
  EXPECT_TRUE(error(std::string(kMaxBody + 1, 'x')).starts_with("line 1: more than"));
  std::string many;
  for (std::size_t i = 0; i <= kMaxSections; ++i) many += "m=audio 9 RTP/AVP 0\r\n";
  EXPECT_TRUE(error(many).starts_with("line 65: too many m= lines"));
}

TEST(SdpFragment, CandidatesAreBounded) {
  std::string body = "m=audio 9 RTP/AVP 0\r\n";
  for (int i = 0; i < 200; ++i) {
    body += "a=candidate:1 1 UDP 1 192.0.2." + std::to_string(i) + " 5000 typ srflx\r\n";
  }
  EXPECT_EQ(parse_fragment(body).value().at(0).candidates.size(), kMaxCandidates);
}

TEST(SdpFragment, EveryPrefixIsParsedWithinItsBounds) {
  for (std::size_t size = 0; size < kFragment.size(); ++size) {
    const Exact exact(kFragment.substr(0, size));
    const auto sections = parse_fragment(exact.view());
    EXPECT_TRUE(sections || sections.error().message.starts_with("line ")) << size;
  }
}

}  // namespace
}  // namespace millrace::sdp
