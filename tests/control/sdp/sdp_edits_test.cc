// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/sdp_edits.h"

#include <algorithm>
#include <ctime>

#include <gtest/gtest.h>

#include "tests/control/sdp/sdp_fixture.h"

namespace millrace::sdp {
namespace {

// ---- attributes -----------------------------------------------------------------------------

constexpr std::string_view kTwo =
    "a=sendrecv\r\na=tool:x\r\n"
    "m=audio 4000 RTP/AVP 0\r\na=ssrc:1 cname:a\r\na=ssrc:12 cname:b\r\na=ptime:20\r\na=mid:1\r\n"
    "m=video 4002 RTP/AVP 96\r\na=ssrc:1 cname:a\r\na=extmap:1 urn:x\r\na=extmap-allow-mixed\r\n";

std::string edited(const LineEdits& edits, std::string_view rest = kTwo) {
  const std::string once = edit_lines(with_head(rest), edits);
  EXPECT_EQ(edit_lines(once, edits), once);
  return once.substr(kHead.size());
}

AttributeEdits in_session() { return {}; }
AttributeEdits in_media(std::string type) {
  AttributeEdits edits;
  edits.where = AttributeEdits::Where::sections;
  edits.type = std::move(type);
  return edits;
}

TEST(SdpLines, AreAddedOnceAtTheEndOfTheirSection) {
  AttributeEdits session = in_session(), audio = in_media("audio");
  session.add = {"tool:x", "note:y"};
  audio.add = {"sendonly"};
  EXPECT_EQ(edited({.attributes = {session, audio}}),
            "a=sendrecv\r\na=tool:x\r\na=note:y\r\n"
            "m=audio 4000 RTP/AVP 0\r\na=ssrc:1 cname:a\r\na=ssrc:12 cname:b\r\na=ptime:20\r\n"
            "a=mid:1\r\na=sendonly\r\n"
            "m=video 4002 RTP/AVP 96\r\na=ssrc:1 cname:a\r\na=extmap:1 urn:x\r\n"
            "a=extmap-allow-mixed\r\n");
}

TEST(SdpLines, AreRemovedByNameOrWhole) {
  const auto without = [](std::string attribute) {
    AttributeEdits audio = in_media("audio");
    audio.remove = {std::move(attribute)};
    const std::string out = edited({.attributes = {audio}});
    return out.substr(0, out.find("m=video"));
  };
  const std::string head = "a=sendrecv\r\na=tool:x\r\nm=audio 4000 RTP/AVP 0\r\n";
  const std::string one = "a=ssrc:1 cname:a\r\n", other = "a=ssrc:12 cname:b\r\n";
  EXPECT_EQ(without("ssrc:"), head + "a=ptime:20\r\na=mid:1\r\n");
  EXPECT_EQ(without("ssrc"), head + "a=ptime:20\r\na=mid:1\r\n");
  EXPECT_EQ(without("ssrc:1"), head + other + "a=ptime:20\r\na=mid:1\r\n");
  EXPECT_EQ(without("ptime:20"), head + one + other + "a=mid:1\r\n");
  EXPECT_EQ(without("ptime:2"), head + one + other + "a=ptime:20\r\na=mid:1\r\n");
  EXPECT_EQ(without("sendrecv"), head + one + other + "a=ptime:20\r\na=mid:1\r\n");
}

TEST(SdpLines, AreSubstitutedByNameOrPrefix) {
  const auto audio = [](std::vector<std::pair<std::string, std::string>> pairs) {
    AttributeEdits edits = in_media("audio");
    edits.substitute = std::move(pairs);
    const std::string out = edited({.attributes = {edits}});
    const std::size_t begin = out.find("m=audio") + 24;
    return out.substr(begin, out.find("m=video") - begin);
  };
  const std::string one = "a=ssrc:1 cname:a\r\n", other = "a=ssrc:12 cname:b\r\n";
  const std::string end = "a=ptime:20\r\na=mid:1\r\n";
  EXPECT_EQ(audio({{"ptime", "ptime:40"}}), one + other + "a=ptime:40\r\na=mid:1\r\n");
  EXPECT_EQ(audio({{"ptime:", "ptime:40"}}), one + other + "a=ptime:40\r\na=mid:1\r\n");
  EXPECT_EQ(audio({{"ssrc:1", "note:x"}}), "a=note:x\r\n" + other + end);
  EXPECT_EQ(audio({{"ssrc:12", "ssrc:12"}, {"ssrc", "ssrc:8"}}), "a=ssrc:8\r\na=ssrc:12\r\n" + end)
      << "the first pair that matches";
  EXPECT_EQ(audio({{"ptime:2", "x"}, {"ssr", "x"}, {"", "x"}}), one + other + end);
}

TEST(SdpLines, AreSubstitutedWhole) {
  AttributeEdits session = in_session(), audio = in_media("audio");
  session.substitute = {{"sendrecv", "sendonly"}, {"tool:y", "nothing"}};
  audio.substitute = {{"ptime:20", "ptime:40"}};
  EXPECT_TRUE(edited({.attributes = {session, audio}})
                  .starts_with("a=sendonly\r\na=tool:x\r\nm=audio 4000 RTP/AVP 0\r\n"
                               "a=ssrc:1 cname:a\r\na=ssrc:12 cname:b\r\na=ptime:40\r\n"));
}

TEST(SdpLines, MissingMidIsGenerated) {
  EXPECT_TRUE(edited({.attributes = {}, .generate_mid = true})
                  .ends_with("a=extmap-allow-mixed\r\na=mid:2\r\n"));
  const std::string taken = "m=audio 4 RTP/AVP 0\nm=video 6 RTP/AVP 96\na=mid:1";
  EXPECT_EQ(edited({.attributes = {}, .generate_mid = true}, taken),
            "m=audio 4 RTP/AVP 0\na=mid:1_\nm=video 6 RTP/AVP 96\na=mid:1");
}

TEST(SdpLines, AreFoundBetweenBlanks) {
  const std::string body = "m=audio 4 RTP/AVP 0\na= mid:2\nm=video 6 RTP/AVP 96\na=ssrc:1\n";
  EXPECT_EQ(edited({.attributes = {}, .generate_mid = true}, body),
            "m=audio 4 RTP/AVP 0\na= mid:2\nm=video 6 RTP/AVP 96\na=ssrc:1\na=mid:2_\n");
  AttributeEdits audio = in_media("audio");
  audio.remove = {"mid"};
  EXPECT_EQ(edited({.attributes = {audio}}, body),
            "m=audio 4 RTP/AVP 0\nm=video 6 RTP/AVP 96\na=ssrc:1\n");
}

TEST(SdpLines, EmptyLinesRemainLast) {
  EXPECT_EQ(edited({.attributes = {}, .generate_mid = true}, "m=audio 4 RTP/AVP 0\r\n\r\n\n\r\n"),
            "m=audio 4 RTP/AVP 0\r\na=mid:1\r\n\r\n\n\r\n");
}

TEST(SdpLines, LoopMarkIsDetected) {
  const std::string body = with_head("m=audio 4 RTP/AVP 0\r\n");
  EXPECT_FALSE(has_looped(body));
  const std::string marked = edit_lines(body, {.attributes = {}, .loop_mark = true});
  EXPECT_TRUE(has_looped(marked));
  EXPECT_LT(marked.find("a=millrace:"), marked.find("m=audio"));
  EXPECT_EQ(edit_lines(marked, {.attributes = {}, .loop_mark = true}), marked);
}

// ---- origin ---------------------------------------------------------------------------------

std::string sdp_of(std::string_view origin, std::string_view rest = "s=-\r\n") {
  return "v=0\r\no=" + std::string(origin) + " IN IP4 192.0.2.1\r\n" + std::string(rest);
}

TEST(SdpOrigin, VersionFollowsTheContent) {
  Origin origin;
  const OriginEdits edits{.version = true};
  EXPECT_EQ(keep_origin(sdp_of("alice 1 7"), origin, edits), sdp_of("alice 1 7"));
  EXPECT_EQ(keep_origin(sdp_of("alice 1 9"), origin, edits), sdp_of("alice 1 7"));
  EXPECT_EQ(keep_origin(sdp_of("alice 1 9", "s=x\r\n"), origin, edits),
            sdp_of("alice 1 8", "s=x\r\n"));
  const OriginEdits force{.version = true, .increment = true};
  EXPECT_EQ(keep_origin(sdp_of("alice 1 9", "s=x\r\n"), origin, force),
            sdp_of("alice 1 9", "s=x\r\n"));
}

TEST(SdpOrigin, UserAndIdAreKept) {
  Origin origin;
  const OriginEdits edits{.user = true, .id = true};
  EXPECT_EQ(keep_origin(sdp_of("alice 1 7"), origin, edits), sdp_of("alice 1 7"));
  EXPECT_EQ(keep_origin(sdp_of("bob 2 9"), origin, edits), sdp_of("alice 1 9"));
}

TEST(SdpOrigin, FirstSessionNameIsKept) {
  Origin origin;
  const OriginEdits edits{.version = true, .session_name = true};
  EXPECT_EQ(keep_origin(sdp_of("alice 1 7", "s=Call one\r\n"), origin, edits),
            sdp_of("alice 1 7", "s=Call one\r\n"));
  EXPECT_EQ(keep_origin(sdp_of("bob 2 9", "s=-\r\n"), origin, edits),
            sdp_of("bob 2 7", "s=Call one\r\n"))
      << "the version counts changes of the printed s=";
  const OriginEdits name{.session_name = true};
  EXPECT_EQ(keep_origin("v=0\ns=", origin, name), "v=0\ns=Call one");
  EXPECT_EQ(keep_origin("v=0\n", origin, name), "v=0\n");
  Origin unnamed;
  EXPECT_EQ(keep_origin("v=0\ns=\nt=0 0\n", unnamed, name), "v=0\ns=\nt=0 0\n");
  EXPECT_EQ(keep_origin("v=0\ns=x\nt=0 0\n", unnamed, name), "v=0\ns=\nt=0 0\n");
}

TEST(SdpOrigin, UnparsableOriginIsKept) {
  Origin origin;
  for (const std::string& body :
       {sdp_of("alice smith 1 7"), sdp_of("alice"), sdp_of("a b x"),
        sdp_of("alice 1 18446744073709551616"), std::string("v=0\r\ns=-\r\n")}) {
    EXPECT_EQ(keep_origin(body, origin, {.user = true, .version = true}), body);
  }
}

// ---- refused edits --------------------------------------------------------------------------

TEST(SdpEdits, ProfilesChangeInFeedbackOnly) {
  EXPECT_TRUE(interchangeable("RTP/AVP", "rtp/avpf"));
  EXPECT_TRUE(interchangeable("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"));
  EXPECT_FALSE(interchangeable("RTP/AVP", "RTP/SAVP"));
  EXPECT_FALSE(interchangeable("RTP/SAVPF", "UDP/TLS/RTP/SAVPF"));
  Edits edits;
  edits.protocol = "RTP/SAVPF";
  const std::string body = with_head("m=audio 4 RTP/AVP 0\r\n");
  const auto refused = check(parsed(body), edits);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("neither encrypts nor decrypts"), std::string::npos);
  EXPECT_TRUE(check(parsed(with_head("m=audio 4 RTP/SAVP 0\r\n")), edits));
  edits.protocol = "accept";
  EXPECT_TRUE(check(parsed(body), edits));
}

TEST(SdpEdits, RemovedMediaIsRejected) {
  const std::string body = with_head("m=audio 4 RTP/AVP 0\r\nm=video 6 RTP/AVP 96\r\n");
  Session session = parsed(body);
  Edits edits;
  edits.remove_media_types = {"video"};
  adjust(session, edits);
  EXPECT_EQ(session.sections[0].port, UdpPort(4));
  EXPECT_EQ(session.sections[1].port, UdpPort(0));
}

TEST(SdpEdits, OtherMediaTypesAreThoseWithoutAName) {
  const std::string body = with_head(
      "m=audio 1 RTP/AVP 0\r\nm=video 2 RTP/AVP 96\r\nm=application 3 UDP/BFCP *\r\n"
      "m=text 4 RTP/AVP 98\r\nm=image 5 udptl t38\r\nm=message 6 TCP/MSRP *\r\n");
  const auto kept = [&](std::vector<std::string> types) {
    Session session = parsed(body);
    Edits edits;
    edits.remove_media_types = std::move(types);
    adjust(session, edits);
    std::string names;
    for (const Media& media : session.sections) {
      if (media.port != UdpPort(0)) names += std::string(media.type) + ' ';
    }
    return names;
  };
  EXPECT_EQ(kept({"other"}), "audio video image message ");
  EXPECT_EQ(kept({"text", "other", "video"}), "audio image message ");
}

TEST(SdpEdits, ConditionalOptionsConcernTheSdpsTheyName) {
  using Of = ConditionalOption::Of;
  const auto result = [](Of of, std::string_view media) {
    Edits edits;
    edits.conditional = {{of, false, "warned"}};
    const std::string body = with_head(media);
    const Session session = parsed(body);
    EXPECT_TRUE(check(session, edits)) << media;
    const std::string warning = unsupported_options(session, edits);
    edits.conditional = {{of, true, "refused"}};
    const auto checked = check(session, edits);
    EXPECT_EQ(unsupported_options(session, edits), "") << media;
    // A warning and a refusal concern the same SDPs.
    EXPECT_EQ(warning.empty(), checked.has_value()) << media;
    EXPECT_EQ(checked ? "" : checked.error().message, warning.empty() ? "" : "refused") << media;
    return !warning.empty();
  };
  struct Case {
    std::string_view media;
    bool keys, ice, dtls;
  };
  constexpr Case kCases[] = {
      {"m=audio 4 RTP/AVP 0\r\n", false, false, false},
      {"m=audio 4 rtp/savpf 0\r\n", true, false, false},
      {"m=audio 4 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", true, false,
       false},
      {"m=audio 4 RTP/AVP 0\r\na= Fingerprint : sha-256 AB\r\n", true, false, false},
      {"m=audio 4 UDP/TLS/RTP/SAVPF 0\r\n", true, false, true},
      {"m=application 4 UDP/DTLS/SCTP webrtc-datachannel\r\n", true, false, true},
      {"m=audio 4 RTP/AVP 0\r\na=ice-ufrag:a\r\n", false, true, false},
      {"m=audio 4 RTP/AVP 0\r\na=candidate:1 1 UDP 1 192.0.2.1 4 typ host\r\n", false, true, false},
  };
  for (const Case& each : kCases) {
    EXPECT_EQ(result(Of::keys, each.media), each.keys) << each.media;
    EXPECT_EQ(result(Of::ice, each.media), each.ice) << each.media;
    EXPECT_EQ(result(Of::dtls, each.media), each.dtls) << each.media;
    EXPECT_EQ(result(Of::no_dtls, each.media), !each.dtls) << each.media;
  }
}

// ---- bounds ---------------------------------------------------------------------------------

TEST(SdpEdits, ReplyIsBounded) {
  const std::string body = with_head(repeat("m=audio 4 RTP/AVP 0\r\na=x\r\n", kMaxSections));
  const Session session = parsed(body);
  Edits edits;
  EXPECT_TRUE(check(session, edits));
  const auto printed = [&] { return edit_lines(body, edits.lines).size(); };
  // Added lines are copied to each section.
  edits.lines.attributes = {in_media("")};
  edits.lines.attributes[0].add = {std::string(kMaxPrinted / kMaxSections - 1200, 'y')};
  EXPECT_TRUE(check(session, edits));
  EXPECT_LE(printed(), kMaxPrinted);
  edits.lines.attributes[0].add[0].append(2400, 'y');
  const auto refused = check(session, edits);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "sdp-attr: with these lines added or substituted the SDP could grow past 262144 "
            "bytes; write fewer or shorter ones");
  // A line may be substituted wherever it stands.
  edits.lines.attributes[0].add.clear();
  edits.lines.attributes[0].substitute = {{"x", std::string(1000, 'y')}};
  EXPECT_TRUE(check(session, edits));
  EXPECT_LE(printed(), largest_print(session, edits.lines));
  edits.lines.attributes[0].substitute = {{"x", std::string(4000, 'y')}};
  EXPECT_FALSE(check(session, edits));
}

// Rewritten lines may occur thousands of times, and the line copied to each untouched section may
// be kMaxLine long.
TEST(SdpRewrite, GrowthIsBounded) {
  const std::string media = "m=audio 4 RTP/AVP 0\n", tcp = "m=message 4 TCP/MSRP *\n";
  const std::string padded = "v=0\nc=IN IP4 192.0.2.1" + std::string(8000, ' ') + "\n";
  for (const std::string& body :
       {with_head(media + repeat("a=rtcp:1\n", 4000)), with_head(tcp + repeat("c=\n", 4000)),
        padded + media + repeat(tcp, kMaxSections - 1), with_head(repeat(media, kMaxSections))}) {
    const Session session = parsed(body);
    Rewrite to{.sections = {}, .origin = ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")};
    to.rtcp = RtcpAttribute::full;
    for (const Media& each : session.sections) {
      to.sections.push_back({.address = *to.origin,
                             .port = UdpPort(each.relayable ? 65'000 : 0),
                             .rtcp = UdpPort(65'001),
                             .untouched = !each.relayable && session.sections.size() > 1});
    }
    const std::string out = rewrite(session, to);
    EXPECT_LE(out.size(), body.size() + kMaxSectionGrowth * (session.sections.size() + 1));
    EXPECT_EQ(rewrite(parsed(out), to), out);
  }
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The minimum of several runs.
double cost(const auto& work) {
  double least = 1e9;
  for (int run = 0; run < 7; ++run) {
    const double start = cpu_seconds();
    EXPECT_FALSE(work().empty());
    least = std::min(least, cpu_seconds() - start);
  }
  return least;
}

// Four times the lines, or the formats, cost about four times the CPU time. A search of all formats
// of m= for each line costs sixteen times.
TEST(SdpEdits, CostIsLinear) {
  CodecChoice choice;
  for (std::size_t i = 0; i < kMaxEdits / 2; ++i) {
    choice.strip.push_back("X" + std::to_string(i));
    choice.offer.push_back("Y" + std::to_string(i));
  }
  const auto formats = [](std::size_t count) {
    return with_head("m=audio 4 RTP/AVP" + repeat(" 0", count) + " 96\n" +
                     repeat("a=rtpmap:96 a/1\n", count));
  };
  const auto choose = [&](std::size_t count) {
    const std::string body = formats(count);
    const Session session = parsed(body);
    return cost([&] { return choose_codecs(session, choice); });
  };
  EXPECT_LT(choose(3200), 9 * choose(800) + 20e-6);

  LineEdits edits{.attributes = {in_media("")}, .generate_mid = true};
  for (std::size_t i = 0; i < kMaxEdits; ++i) edits.attributes[0].add.push_back(std::to_string(i));
  const auto edit = [&](std::size_t sections) {
    const std::string body =
        with_head(repeat("m=audio 4 RTP/AVP 0\n" + repeat("a=x\n", 50), sections));
    return cost([&] { return edit_lines(body, edits); });
  };
  EXPECT_LT(edit(64), 9 * edit(16) + 20e-6);
}

}  // namespace
}  // namespace millrace::sdp
