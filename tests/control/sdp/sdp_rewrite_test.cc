// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <ctime>
#include <filesystem>
#include <map>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/sdp/sdp.h"
#include "tests/control/sdp/sdp_fixture.h"
#include "tests/data.h"

namespace millrace::sdp {
namespace {

struct Fixture {
  std::string name, in, out;
  Rewrite to;

  friend std::ostream& operator<<(std::ostream& os, const Fixture& fixture) {
    return os << fixture.name;
  }
};

// One line a value: `media ADDRESS PORT RTCP`, `reject`, `untouched`, `origin ADDRESS`,
// `remove-ice`, `add-ice`, `relay-only`.
Rewrite read_rewrite(const std::string& file) {
  Rewrite to;
  std::istringstream in(read_data(file));
  for (std::string word; in >> word;) {
    if (word == "media") {
      std::string address;
      std::uint16_t port = 0, rtcp = 0;
      in >> address >> port >> rtcp;
      to.sections.push_back({ip(address), UdpPort(port), UdpPort(rtcp), false});
    } else if (word == "reject") {
      to.sections.push_back({});
    } else if (word == "untouched") {
      to.sections.push_back({.address = {}, .port = {}, .rtcp = {}, .untouched = true});
    } else if (word == "origin") {
      std::string address;
      in >> address;
      to.origin = ip(address);
    } else if (word == "remove-ice") {
      to.ice = Ice::remove;
    } else if (word == "add-ice") {
      to.ice = Ice::add;
    } else if (word == "relay-only") {
      to.ice = Ice::relay_only;
    } else {
      ADD_FAILURE() << file << ": " << word;
    }
  }
  return to;
}

std::vector<Fixture> fixtures() {
  std::vector<Fixture> all;
  for (const auto& entry : std::filesystem::directory_iterator(data_folder() / "sdp")) {
    if (entry.path().extension() != ".rewrite") continue;
    const std::string name = entry.path().stem(), file = "sdp/" + name;
    all.push_back({name, read_data(file + ".in.sdp"), read_data(file + ".out.sdp"),
                   read_rewrite(file + ".rewrite")});
  }
  std::ranges::sort(all, {}, &Fixture::name);
  return all;
}

class SdpFixture : public testing::TestWithParam<Fixture> {};

TEST_P(SdpFixture, RewriteMatchesTheFixture) {
  const Fixture& fixture = GetParam();
  const Exact in(fixture.in);
  EXPECT_EQ(rewrite(parsed(in.view()), fixture.to), fixture.out);
}

TEST_P(SdpFixture, RewriteIsIdempotent) {
  const Fixture& fixture = GetParam();
  const Exact out(fixture.out);
  EXPECT_EQ(rewrite(parsed(out.view()), fixture.to), fixture.out);
}

// The result parses to the requested addresses; relayed sections keep no old address.
TEST_P(SdpFixture, ResultParsesToTheRequestedAddresses) {
  const Fixture& fixture = GetParam();
  const Session in = parsed(fixture.in), out = parsed(fixture.out);
  ASSERT_EQ(out.sections.size(), in.sections.size());
  for (std::size_t k = 0; k < in.sections.size(); ++k) {
    const Media &before = in.sections[k], &after = out.sections[k];
    const MediaRewrite& to = fixture.to.sections[k];
    EXPECT_EQ(after.type, before.type);
    EXPECT_EQ(after.protocol, before.protocol);
    EXPECT_EQ(after.payload_types, before.payload_types);
    EXPECT_EQ(after.codec, before.codec);
    EXPECT_EQ(after.direction, before.direction);
    EXPECT_EQ(after.rtcp_mux, before.rtcp_mux);
    EXPECT_EQ(after.held_by_address, before.held_by_address);
    if (to.untouched) {
      EXPECT_EQ(after.port, before.port);
      EXPECT_EQ(after.connection, before.connection);
      continue;
    }
    EXPECT_EQ(after.port, to.port);
    if (to.port == UdpPort(0)) continue;
    const IpAddress zero = to.address.is_v4() ? IpAddress::v4(0, 0, 0, 0) : IpAddress();
    EXPECT_EQ(after.connection, before.held_by_address ? zero : to.address);
    if (!after.rtp) continue;
    const bool by_mux = to.rtcp == to.port && after.rtcp_mux;
    EXPECT_TRUE(after.rtcp.port == to.rtcp || by_mux);
    EXPECT_TRUE(after.rtcp.address == to.address || before.held_by_address);
  }
}

// Every line but the named ones is kept, byte for byte and in order, line end included.
TEST_P(SdpFixture, OtherLinesAreUntouched) {
  const Fixture& fixture = GetParam();
  const auto others = [&](const std::string& body) {
    std::vector<std::string> lines;
    const Session session = parsed(body);
    for (const Line& line : session.lines) {
      const auto named = [&](std::string_view start) { return line.text.starts_with(start); };
      if (named("m=") || named("c=") || named("a=rtcp:")) continue;
      if (fixture.to.origin && named("o=")) continue;
      if (fixture.to.ice == Ice::remove && (named("a=ice-") || named("a=candidate:"))) continue;
      if (fixture.to.ice == Ice::remove && named("a=end-of-candidates")) continue;
      // A last line that had no ending may have got one, as another follows it.
      const bool finished = fixture.in.ends_with('\n');
      lines.push_back(std::string(line.text) + std::string(finished ? line.ending : ""));
    }
    return lines;
  };
  EXPECT_EQ(others(fixture.out), others(fixture.in));
}

TEST_P(SdpFixture, EveryPrefixIsParsedOrRefusedWithinItsBounds) {
  const std::string& in = GetParam().in;
  for (std::size_t size = 0; size < in.size(); ++size) {
    const Exact prefix(std::string_view(in).substr(0, size));
    const Result<Session> session = parse(prefix.view());
    if (!session) {
      EXPECT_TRUE(session.error().message.starts_with("line ")) << session.error().message;
      continue;
    }
    const Rewrite to{.sections = std::vector<MediaRewrite>(
                         session->sections.size(), {ip("2001:db8::9"), UdpPort(4), UdpPort(6)}),
                     .origin = ip("2001:db8::9"),
                     .ice = Ice::remove};
    EXPECT_TRUE(parse(rewrite(*session, to))) << prefix.view();
  }
}

INSTANTIATE_TEST_SUITE_P(Data, SdpFixture, testing::ValuesIn(fixtures()),
                         [](const auto& fixture) { return fixture.param.name; });

TEST(SdpFixtures, AreFound) { EXPECT_GE(fixtures().size(), 18U); }

TEST(SdpRewrite, RemovesIceOnRequestOnly) {
  const std::string body = with_head(
      "a=ice-lite\na=ice-options:trickle\nm=audio 4 RTP/AVP 0\na=ice-ufrag:a\na=ice-pwd:b\n"
      "a=ice-pacing:50\na=ice-mismatch\na=candidate:1 1 UDP 1 10.0.0.1 4 typ host\n"
      "a=remote-candidates:1 10.0.0.2 4\na=end-of-candidates\na=icecream\na=candidates\n");
  Rewrite to{.sections = {{ip("203.0.113.9"), UdpPort(6), UdpPort(7)}},
             .origin = std::nullopt,
             .ice = Ice::remove};
  const std::string without = rewrite(parsed(body), to);
  EXPECT_TRUE(without.ends_with("t=0 0\r\nm=audio 6 RTP/AVP 0\na=icecream\na=candidates\n"))
      << without;
  to.ice = Ice::keep;
  const std::string with = rewrite(parsed(body), to);
  EXPECT_EQ(parsed(with).lines.size(), parsed(body).lines.size());
  EXPECT_NE(with.find("a=candidate:1 1 UDP 1 10.0.0.1 4 typ host\n"), with.npos);
}

// ---- edits requested by proxies --------------------------------------------------------------

std::string rewritten(std::string_view media, Rewrite to) {
  to.sections = {{ip("203.0.113.9"), UdpPort(6), UdpPort(7)}};
  const std::string once = rewrite(parsed(with_head(media)), to);
  EXPECT_EQ(rewrite(parsed(once), to), once);
  return once.substr(once.find("t=0 0\r\n") + 7);
}

TEST(SdpOptions, UnusableRtcpAttributeBecomesTheRelays) {
  const std::string in = "m=audio 4 RTP/AVP 0\na=rtcp", out = "m=audio 6 RTP/AVP 0\na=rtcp:7";
  for (const char* bad : {"", ":", ":0", ":70000", ":x"}) {
    EXPECT_EQ(rewritten(in + bad + "\n", {}), out + "\n") << bad;
  }
  for (const char* bad : {":5 IN IP4 a.example", ":5 trailing", ":IN IP4 192.0.2.7"}) {
    EXPECT_EQ(rewritten(in + bad + "\n", {}), out + " IN IP4 203.0.113.9\n") << bad;
  }
}

TEST(SdpOptions, RtcpAttributeIsOmittedOrFull) {
  Rewrite to;
  to.rtcp = RtcpAttribute::never;
  EXPECT_EQ(rewritten("m=audio 4 RTP/AVP 0\na=rtcp:5\na=x\n", to), "m=audio 6 RTP/AVP 0\na=x\n");
  to.rtcp = RtcpAttribute::full;
  EXPECT_EQ(rewritten("m=audio 4 RTP/AVP 0\na=rtcp:5\na=x\n", to),
            "m=audio 6 RTP/AVP 0\na=rtcp:7 IN IP4 203.0.113.9\na=x\n");
  EXPECT_EQ(rewritten("m=audio 4 RTP/AVP 0\na=x\n", to),
            "m=audio 6 RTP/AVP 0\na=x\na=rtcp:7 IN IP4 203.0.113.9\n");
  EXPECT_EQ(rewritten("m=image 4 udptl t38\n", to), "m=image 6 udptl t38\n");
}

TEST(SdpOptions, HoldForTheOtherFamilyIsByDirection) {
  const auto printed = [](std::string_view connection, std::string_view address,
                          std::string_view rest = "") {
    const std::string body =
        with_head("m=audio 4 RTP/AVP 0\nc=" + std::string(connection) + "\n" + std::string(rest));
    const Rewrite to{.sections = {{ip(address), UdpPort(6), UdpPort(7)}}, .origin = std::nullopt};
    const std::string once = rewrite(parsed(body), to);
    EXPECT_EQ(rewrite(parsed(once), to), once);
    return once.substr(once.find("m=audio"));
  };
  EXPECT_EQ(printed("IN IP4 0.0.0.0", "2001:db8::9"),
            "m=audio 6 RTP/AVP 0\nc=IN IP6 2001:db8::9\na=sendonly\n");
  EXPECT_EQ(printed("IN IP6 ::", "203.0.113.9", "a=recvonly\na=rtcp:5 IN IP6 ::\n"),
            "m=audio 6 RTP/AVP 0\nc=IN IP4 203.0.113.9\na=inactive\n"
            "a=rtcp:7 IN IP4 203.0.113.9\n");
  EXPECT_EQ(printed("IN IP6 ::", "2001:db8::9"), "m=audio 6 RTP/AVP 0\nc=IN IP6 ::\n");
  EXPECT_EQ(printed("IN IP4 0.0.0.0", "203.0.113.9"), "m=audio 6 RTP/AVP 0\nc=IN IP4 0.0.0.0\n");
}

TEST(SdpOptions, HoldByAddressBecomesOneByDirection) {
  Rewrite to;
  to.replace_zero_address = true;
  const std::string held = "m=audio 4 RTP/AVP 0\nc=IN IP4 0.0.0.0\n";
  const std::string real = "m=audio 6 RTP/AVP 0\nc=IN IP4 203.0.113.9\n";
  EXPECT_EQ(rewritten(held, to), real + "a=sendonly\n");
  EXPECT_EQ(rewritten(held + "a=sendrecv\na=x\n", to), real + "a=sendonly\na=x\n");
  EXPECT_EQ(rewritten(held + "a=recvonly\n", to), real + "a=inactive\n");
  EXPECT_EQ(rewritten("m=audio 4 RTP/AVP 0\na=recvonly\n", to),
            "m=audio 6 RTP/AVP 0\na=recvonly\n");
}

TEST(SdpOptions, ProtocolIsReplaced) {
  const Rewrite to{.sections = {{.address = ip("203.0.113.9"),
                                 .port = UdpPort(6),
                                 .rtcp = UdpPort(7),
                                 .protocol = "RTP/AVPF"}},
                   .origin = std::nullopt};
  const std::string once = rewrite(parsed(with_head("m=audio 4  RTP/AVP  0 8\n")), to);
  EXPECT_TRUE(once.ends_with("\r\nm=audio 6 RTP/AVPF  0 8\n")) << once;
  EXPECT_EQ(rewrite(parsed(once), to), once);
}

// A section that is not relayable is rejected on request.
TEST(SdpRewrite, RejectsTcpMediaWithoutAnAddress) {
  const std::string body = with_head("m=message 7 TCP/MSRP *\nc=IN IP4 chat.example\na=x\n");
  EXPECT_TRUE(rewrite(parsed(body), {.sections = {{}}, .origin = std::nullopt})
                  .ends_with("m=message 0 TCP/MSRP *\nc=IN IP4 0.0.0.0\na=x\n"));
}

TEST(SdpRewrite, RejectedSectionIsUnchanged) {
  const std::string body = with_head("m=audio 0 RTP/AVP 0\n");
  const std::string out =
      rewrite(parsed(body),
              {.sections = {{ip("203.0.113.9"), UdpPort(6), UdpPort(7)}}, .origin = std::nullopt});
  EXPECT_EQ(out, body);
}

// a=rtcp and a=rtcp-mux describe the relay's ports, whatever the sender's SDP has.
TEST(SdpRewrite, MuxIsAddedAndRemoved) {
  const auto with_rtcp = [](const std::string& media, UdpPort rtcp, std::optional<bool> mux) {
    const std::string body = with_head(media);
    MediaRewrite to{.address = ip("203.0.113.9"), .port = UdpPort(6), .rtcp = rtcp};
    to.rtcp_mux = mux;
    const Rewrite all{.sections = {to}, .origin = std::nullopt};
    const std::string out = rewrite(parsed(body), all);
    EXPECT_EQ(rewrite(parsed(out), all), out);
    return out.substr(out.find("m="));
  };
  const std::string plain = "m=audio 4 RTP/AVP 0\na=ptime:20\n";
  const std::string mux = "m=audio 4 RTP/AVP 0\na=rtcp-mux\na=rtcp-mux-only\na=ptime:20\n";
  EXPECT_EQ(with_rtcp(plain, UdpPort(6), true), "m=audio 6 RTP/AVP 0\na=ptime:20\na=rtcp-mux\n");
  EXPECT_EQ(with_rtcp(plain, UdpPort(7), true), "m=audio 6 RTP/AVP 0\na=ptime:20\na=rtcp-mux\n");
  EXPECT_EQ(with_rtcp(plain, UdpPort(7), false), "m=audio 6 RTP/AVP 0\na=ptime:20\n");
  EXPECT_EQ(with_rtcp(mux, UdpPort(7), false), "m=audio 6 RTP/AVP 0\na=ptime:20\n");
  EXPECT_EQ(with_rtcp(mux, UdpPort(6), true),
            "m=audio 6 RTP/AVP 0\na=rtcp-mux\na=rtcp-mux-only\na=ptime:20\n");
  EXPECT_EQ(with_rtcp(mux, UdpPort(6), std::nullopt), with_rtcp(mux, UdpPort(6), true));
  EXPECT_EQ(with_rtcp("m=audio 4 RTP/AVP 0\na=rtcp:4\na=rtcp-mux\n", UdpPort(7), false),
            "m=audio 6 RTP/AVP 0\na=rtcp:7\n");
  EXPECT_EQ(with_rtcp("m=audio 4 RTP/AVP 0\na=rtcp-mux", UdpPort(9), false),
            "m=audio 6 RTP/AVP 0\na=rtcp:9");
}

// ---- cost ----------------------------------------------------------------------------------

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The minimum of several runs of parse() and rewrite().
double cost(const std::string& body) {
  double least = 1e9;
  for (int run = 0; run < 15; ++run) {
    const double start = cpu_seconds();
    const Result<Session> session = parse(body);
    EXPECT_TRUE(session) << session.error().message;
    if (!session) return 0;
    const Rewrite to{.sections = std::vector<MediaRewrite>(
                         session->sections.size(), {ip("203.0.113.9"), UdpPort(4), UdpPort(9)}),
                     .origin = ip("203.0.113.9"),
                     .ice = Ice::remove};
    EXPECT_FALSE(rewrite(*session, to).empty());
    least = std::min(least, cpu_seconds() - start);
  }
  return least;
}

// Four times the input costs about four times the CPU time; quadratic work would cost sixteen.
TEST(SdpCost, IsLinearForTheWorstBodies) {
  const std::string media = "m=audio 4 RTP/AVP 0\n";
  const auto candidates = [](std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) {
      out += "a=candidate:1 1 UDP 1 10.0." + std::to_string(i / 250) + "." +
             std::to_string(i % 250 + 1) + " 4000 typ host\n";
    }
    return out;
  };
  const std::map<std::string, std::pair<std::string, std::string>> bodies = {
      {"short lines", {repeat("a=\n", 1000), repeat("a=\n", 4000)}},
      {"rtpmaps", {repeat("a=rtpmap:0 PCMU/8000\n", 750), repeat("a=rtpmap:0 PCMU/8000\n", 3000)}},
      {"candidates", {candidates(340), candidates(1360)}},
      {"sections", {repeat(media, 15), repeat(media, 60)}},
      {"spaces",
       {"a=rtcp:4" + std::string(2000, ' ') + "\n", "a=rtcp:4" + std::string(8000, ' ') + "\n"}},
      {"sections with lines",
       {repeat(media + repeat("a=x\n", 64), 15), repeat(media + repeat("a=x\n", 64), 60)}},
      {"formats",
       {"m=audio 4 RTP/AVP" + repeat(" 0", 1000) + "\n",
        "m=audio 4 RTP/AVP" + repeat(" 0", 4000) + "\n"}},
  };
  for (const auto& [name, pair] : bodies) {
    const double one = cost(with_head(media + pair.first));
    const double four = cost(with_head(media + pair.second));
    EXPECT_LT(four, one * 9 + 20e-6) << name;
  }
}

}  // namespace
}  // namespace millrace::sdp
