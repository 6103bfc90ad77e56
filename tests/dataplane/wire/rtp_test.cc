// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/rtp.h"

#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "dataplane/relay/content.h"
#include "dataplane/wire/stun.h"
#include "tests/exact.h"

namespace millrace {
namespace {

using flow_flag::kMux;
using Kind = Evidence::Kind;
using Bytes = std::vector<std::byte>;

Bytes bytes(std::initializer_list<int> values) {
  Bytes out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

bool is_rtp(std::span<const std::byte> data, bool encrypted = false) {
  return parse_rtp(Exact(data).bytes(), encrypted).has_value();
}
bool is_rtcp(std::span<const std::byte> data, bool encrypted = false) {
  return parse_rtcp(Exact(data).bytes(), encrypted).has_value();
}

const Bytes kPlain = bytes({0x80, 0x88, 0x12, 0x34, 0, 0, 1, 0x40, 0xde, 0xad, 0xbe, 0xef, 1, 2});
// Two CSRCs, an extension of one word, four bytes of payload, three of padding.
const Bytes kFull = bytes({0xb2, 0x60, 0,    1,    0, 0, 0,    0,    0, 0, 0, 9, 0, 0, 0, 1, 0, 0,
                           0,    2,    0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 1, 2, 3, 4, 0, 0, 3});
// Receiver report without blocks, then BYE without sources.
const Bytes kReport = bytes({0x80, 201, 0, 1, 0, 0, 0, 7, 0x80, 203, 0, 0});

TEST(Rtp, ParsesThePlainHeader) {
  const auto rtp = parse_rtp(kPlain, false);
  ASSERT_TRUE(rtp);
  EXPECT_EQ(rtp->payload_type, 8);
  EXPECT_EQ(rtp->sequence, 0x1234);
  EXPECT_EQ(rtp->timestamp, 0x140U);
  EXPECT_EQ(rtp->ssrc, 0xdeadbeefU);
}

TEST(Rtp, EveryPrefixShorterThanItsHeadersIsRefused) {
  EXPECT_TRUE(is_rtp(kFull));
  // Header, CSRCs, extension: 12 + 8 + 8 bytes.
  for (std::size_t n = 0; n < 28; ++n) {
    EXPECT_FALSE(is_rtp(std::span(kFull).first(n))) << n;
    EXPECT_FALSE(is_rtp(std::span(kFull).first(n), true)) << n;
  }
}

TEST(Rtp, OtherVersionsAreRefused) {
  for (const int version : {0x00, 0x40, 0xc0}) {
    Bytes packet = kPlain;
    packet[0] = static_cast<std::byte>(version);
    EXPECT_FALSE(is_rtp(packet));
  }
}

TEST(Rtp, CsrcsAndExtensionBeyondTheEndAreRefused) {
  for (unsigned csrcs = 1; csrcs < 16; ++csrcs) {
    Bytes packet = kPlain;
    packet[0] = static_cast<std::byte>(0x80 | csrcs);
    EXPECT_FALSE(is_rtp(packet)) << csrcs;
  }
  Bytes packet = kFull;
  packet[22] = std::byte{0xff};  // extension of 65,281 words
  EXPECT_FALSE(is_rtp(packet));
}

TEST(Rtp, PaddingMustFitBehindTheHeaders) {
  for (int padding = 0; padding < 256; ++padding) {
    Bytes packet = kFull;
    packet.back() = static_cast<std::byte>(padding);
    // 35 bytes, 28 of headers: at most 7 of padding, at least its own count.
    EXPECT_EQ(is_rtp(packet), padding >= 1 && padding <= 7) << padding;
    EXPECT_TRUE(is_rtp(packet, true)) << "ciphertext is not parsed";
  }
  EXPECT_FALSE(is_rtp(bytes({0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}))) << "no byte to count";
}

TEST(Rtcp, EveryStrictPrefixIsRefused) {
  ASSERT_TRUE(is_rtcp(kReport));
  EXPECT_EQ(parse_rtcp(kReport, false)->ssrc.host(), 7U);
  for (std::size_t n = 0; n < kReport.size(); ++n) {
    if (n == 8) continue;  // the receiver report alone is a packet of its own
    EXPECT_FALSE(is_rtcp(std::span(kReport).first(n))) << n;
  }
}

TEST(Rtcp, PartsMustFillTheDatagram) {
  for (int words = 0; words < 256; ++words) {
    Bytes packet = kReport;
    packet[11] = static_cast<std::byte>(words);  // of the BYE
    EXPECT_EQ(is_rtcp(packet), words == 0) << words;
    packet = kReport;
    packet[3] = static_cast<std::byte>(words);  // of the report; 2 swallows the BYE
    EXPECT_EQ(is_rtcp(packet), words == 1 || words == 2) << words;
  }
  Bytes packet = kReport;
  packet[8] = std::byte{0x40};  // second part of version 1
  EXPECT_FALSE(is_rtcp(packet));
}

TEST(Rtcp, OnlyTheLastPartIsPadded) {
  Bytes padded = kReport + bytes({0, 0, 0, 4});
  padded[8] = std::byte{0xa0};
  padded[11] = std::byte{1};
  EXPECT_TRUE(is_rtcp(padded));
  for (const int count : {0, 1, 3, 8, 255}) {
    padded.back() = static_cast<std::byte>(count);
    EXPECT_FALSE(is_rtcp(padded)) << count;
  }
  Bytes first = kReport;
  first[0] = std::byte{0xa0};
  EXPECT_FALSE(is_rtcp(first));
}

TEST(Rtcp, AcceptsAssignedTypesOnly) {
  for (int type = 0; type < 256; ++type) {
    Bytes packet = kReport;
    packet[1] = static_cast<std::byte>(type);
    const bool known = (type >= 192 && type <= 195) || (type >= 200 && type <= 213);
    EXPECT_EQ(is_rtcp(packet), known) << type;
    EXPECT_EQ(is_rtcp_type(static_cast<std::byte>(type)), type >= 192 && type <= 223) << type;
  }
}

TEST(Rtcp, SrtcpParsesTheFirstHeaderOnly) {
  const Bytes packet = bytes({0x81, 200, 0, 2, 1, 2, 3, 4, 9, 9, 9, 9, 0x80, 0, 0, 1, 7, 7});
  EXPECT_TRUE(is_rtcp(packet, true));
  EXPECT_FALSE(is_rtcp(packet, false));
}

// RFC 7983 section 7.
TEST(Content, ClassifiesEveryFirstByte) {
  for (int b = 0; b < 256; ++b) {
    Protocol expected = Protocol::unknown;
    if (b <= 3) expected = Protocol::stun;
    if (b >= 16 && b <= 19) expected = Protocol::zrtp;
    if (b >= 20 && b <= 63) expected = Protocol::dtls;
    if (b >= 64 && b <= 79) expected = Protocol::turn_channel;
    if (b >= 128 && b <= 191) expected = Protocol::rtp;
    EXPECT_EQ(protocol_of(static_cast<std::byte>(b)), expected) << b;

    Bytes packet = kPlain;
    packet[0] = static_cast<std::byte>(b);
    const auto content = examine(packet, flow_flag::kRtp);
    switch (expected) {
      case Protocol::unknown:
      case Protocol::turn_channel:
        ASSERT_FALSE(content) << b;
        EXPECT_EQ(content.error(), DropReason::unknown_protocol) << b;
        break;
      case Protocol::stun:
        ASSERT_FALSE(content) << b;
        EXPECT_EQ(content.error(), DropReason::stun_malformed) << b;
        break;
      case Protocol::zrtp:
      case Protocol::dtls:
        ASSERT_TRUE(content) << b;
        EXPECT_NE(content->kind, Kind::rtp) << b;
        break;
      case Protocol::rtp:
        if (b == 0x80) {
          ASSERT_TRUE(content);
          EXPECT_EQ(content->kind, Kind::rtp);
        } else if ((b & 0x0f) != 0) {
          ASSERT_FALSE(content) << b;
          EXPECT_EQ(content.error(), DropReason::rtp_malformed) << b;
        }
        break;
    }
    // An opaque path passes them all.
    ASSERT_TRUE(examine(packet, 0)) << b;
    EXPECT_EQ(examine(packet, 0)->kind, Kind::datagram) << b;
  }
}

TEST(Content, DistinguishesRtcpOnASharedPort) {
  EXPECT_EQ(examine(kReport, flow_flag::kRtp | kMux)->kind, Kind::rtcp);
  EXPECT_EQ(examine(kReport, flow_flag::kRtcp)->kind, Kind::rtcp);
  EXPECT_EQ(examine(kPlain, flow_flag::kRtp | kMux)->kind, Kind::rtp);
  ASSERT_FALSE(examine(kPlain, flow_flag::kRtcp));
  EXPECT_EQ(examine(kPlain, flow_flag::kRtcp).error(), DropReason::rtcp_malformed);
  ASSERT_FALSE(examine(bytes({0x80}), flow_flag::kRtp | kMux)) << "no second byte";
}

TEST(Content, KeepalivesAreNoMedia) {
  EXPECT_EQ(examine({}, flow_flag::kRtp).error(), DropReason::empty_datagram);
  EXPECT_EQ(examine(bytes({13, 10}), flow_flag::kRtp).error(), DropReason::unknown_protocol);
  EXPECT_EQ(examine({}, 0)->kind, Kind::keepalive);
}

TEST(Stun, LengthAndCookie) {
  const Bytes request = bytes(
      {0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 37, 0, 0});
  EXPECT_TRUE(is_stun(request));
  for (std::size_t n = 0; n < request.size(); ++n) {
    EXPECT_FALSE(is_stun(Exact(std::span(request).first(n)).bytes())) << n;
  }
  for (std::size_t i = 4; i < 8; ++i) {
    Bytes classic = request;
    classic[i] ^= std::byte{1};
    EXPECT_FALSE(is_stun(classic)) << "cookie byte " << i;
  }
  Bytes odd = request + bytes({0, 0});
  odd[3] = std::byte{6};
  EXPECT_FALSE(is_stun(odd)) << "length not a multiple of four";
}

TEST(Dtls, RecordsMustFit) {
  const Bytes hello = bytes({22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0});
  EXPECT_TRUE(is_dtls(hello));
  for (std::size_t n = 0; n < hello.size(); ++n) {
    EXPECT_FALSE(is_dtls(Exact(std::span(hello).first(n)).bytes())) << n;
  }
  Bytes tls = hello;
  tls[1] = std::byte{3};
  EXPECT_FALSE(is_dtls(tls));
  Bytes unified = hello;
  unified[0] = std::byte{0x2f};
  EXPECT_FALSE(is_dtls(unified)) << "cannot be checked";
}

TEST(Zrtp, MagicAndLengthMustFit) {
  const Bytes hello = bytes({0x10, 0, 0,   1,   0x5a, 0x52, 0x54, 0x50, 1,   2,   3, 4, 0x50, 0x5a,
                             0,    3, 'C', 'o', 'n',  'f',  '2',  'A',  'C', 'K', 0, 0, 0,    0});
  EXPECT_TRUE(is_zrtp(hello));
  for (std::size_t n = 0; n < hello.size(); ++n) {
    EXPECT_FALSE(is_zrtp(Exact(std::span(hello).first(n)).bytes())) << n;
  }
  EXPECT_FALSE(is_zrtp(hello + bytes({0, 0, 0, 0}))) << "longer than its message";
  for (const std::size_t at : {0U, 4U, 7U, 12U, 14U, 15U}) {
    Bytes wrong = hello;
    wrong[at] ^= std::byte{0x20};
    EXPECT_FALSE(is_zrtp(wrong)) << at;
  }
}

}  // namespace
}  // namespace millrace
