// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "control/sdp/sdp_edits.h"
#include "tests/control/sdp/sdp_fixture.h"

namespace millrace::sdp {
namespace {

constexpr std::string_view kAudio =
    "m=audio 4000 RTP/AVP 111 0 8 96 97 101\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=rtcp-fb:111 nack\r\n"
    "a=rtpmap:96 G729/8000\r\na=rtpmap:97 rtx/48000\r\na=fmtp:97 apt=111\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp-fb:* ccm\r\na=ptime:20\r\n";

// kAudio's lines below t= after the edit; a second run must not change them.
std::string chosen(const CodecChoice& choice, std::string_view media = kAudio) {
  const Exact body(with_head(media));
  const std::string once = choose_codecs(parsed(body.view()), choice);
  EXPECT_EQ(choose_codecs(parsed(once), choice), once);
  return once.substr(kHead.size());
}

std::string formats(const CodecChoice& choice) {
  const std::string out = chosen(choice);
  constexpr std::string_view kBefore = "m=audio 4000 RTP/AVP ";
  return out.substr(kBefore.size(), out.find('\r') - kBefore.size());
}

TEST(SdpCodecs, StrippedCodecLosesAllItsAttributes) {
  EXPECT_EQ(chosen({.strip = {"opus"}, .except = {}, .offer = {}}),
            "m=audio 4000 RTP/AVP 0 8 96 101\r\na=rtpmap:96 G729/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp-fb:* ccm\r\n"
            "a=ptime:20\r\n");
}

TEST(SdpCodecs, MatchByNameRateChannelsOrPayloadType) {
  EXPECT_EQ(formats({.strip = {"pcmu"}, .except = {}, .offer = {}}), "111 8 96 97 101");
  EXPECT_EQ(formats({.strip = {"8"}, .except = {}, .offer = {}}), "111 0 96 97 101");
  EXPECT_EQ(formats({.strip = {"opus/48000"}, .except = {}, .offer = {}}), "0 8 96 101");
  EXPECT_EQ(formats({.strip = {"opus/48000/2"}, .except = {}, .offer = {}}), "0 8 96 101");
  EXPECT_EQ(formats({.strip = {"opus/16000", "opu", "PCM", ""}, .except = {}, .offer = {}}),
            "111 0 8 96 97 101");
}

TEST(SdpCodecs, ExceptKeepsAndOfferReorders) {
  EXPECT_EQ(formats({.strip = {"all"}, .except = {"PCMA", "telephone-event"}, .offer = {}}),
            "8 101");
  EXPECT_EQ(formats({.strip = {"full"}, .except = {"101"}, .offer = {"PCMA", "PCMU"}}), "8 0 101");
  EXPECT_EQ(formats({.strip = {}, .except = {}, .offer = {"G729", "PCMA", "G722"}}),
            "96 8 111 0 97 101");
}

TEST(SdpCodecs, StrippingAllCodecsStripsNone) {
  EXPECT_EQ(chosen({.strip = {"all"}, .except = {"GSM"}, .offer = {}}), kAudio);
}

TEST(SdpCodecs, OtherMediaAndOddFormatsAreKept) {
  const std::string fax = "m=image 4002 udptl t38\r\na=rtpmap:0 PCMU/8000\r\n";
  EXPECT_EQ(chosen({.strip = {"all"}, .except = {"PCMU"}, .offer = {}}, fax), fax);
  const std::string spaced = "m=audio  4000  RTP/AVP  0  8\n";
  EXPECT_EQ(chosen({.strip = {"G722"}, .except = {}, .offer = {}}, spaced), spaced);
  EXPECT_EQ(chosen({.strip = {"PCMU"}, .except = {}, .offer = {}}, spaced),
            "m=audio  4000  RTP/AVP 8\n");
}

TEST(SdpCodecs, DuplicateFormatsAreTreatedAlike) {
  const std::string twice = "m=audio 4 RTP/AVP 96 0 96\r\na=rtpmap:96 opus/48000/2\r\n";
  EXPECT_EQ(chosen({.strip = {"opus"}, .except = {}, .offer = {}}, twice),
            "m=audio 4 RTP/AVP 0\r\n");
  EXPECT_EQ(chosen({.strip = {}, .except = {}, .offer = {"PCMU"}}, twice),
            "m=audio 4 RTP/AVP 0 96 96\r\na=rtpmap:96 opus/48000/2\r\n");
}

TEST(SdpCodecs, SectionWithoutCodecsIsRejectedOnRequest) {
  CodecChoice choice{.strip = {"all"}, .except = {"PCMU"}, .offer = {}, .allow_none = true};
  const std::string video =
      "m=video 4002/2 RTP/AVP 96 97\r\na=mid:v\r\na=bundle-only\r\na=rtpmap:96 VP8/90000\r\n"
      "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
  EXPECT_EQ(chosen(choice, "m=audio 4000 RTP/AVP 8 0\r\n" + video),
            "m=audio 4000 RTP/AVP 0\r\n"
            "m=video 0 RTP/AVP 96 97\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\n"
            "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n");
  choice.allow_none = false;
  EXPECT_EQ(chosen(choice, video), video) << "by default it keeps all";
  // A section that loses none is none of this option's business.
  const std::string fec =
      "m=video 4002 RTP/AVP 97\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
  EXPECT_EQ(chosen({.strip = {"PCMU"}, .except = {}, .offer = {}, .allow_none = true}, fec), fec);
}

// The body below t= with the first codec of each section; a second run must not change it.
std::string first(std::string_view media) {
  const std::string once = keep_first_codec(with_head(media));
  EXPECT_EQ(keep_first_codec(once), once);
  return once.substr(kHead.size());
}

TEST(SdpCodecs, FirstCodecStaysWithItsCompanions) {
  EXPECT_EQ(first(kAudio),
            "m=audio 4000 RTP/AVP 111 97 101\r\n"
            "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=rtcp-fb:111 nack\r\n"
            "a=rtpmap:97 rtx/48000\r\na=fmtp:97 apt=111\r\n"
            "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp-fb:* ccm\r\n"
            "a=ptime:20\r\n");
  EXPECT_EQ(first("m=audio 4 RTP/AVP 101 13 8 0 18\r\na=rtpmap:101 Telephone-Event/8000\r\n"),
            "m=audio 4 RTP/AVP 101 13 8\r\na=rtpmap:101 Telephone-Event/8000\r\n");
  EXPECT_EQ(
      first("m=video 4 RTP/AVP 98 96 99\r\na=rtpmap:98 red/90000\r\na=rtpmap:96 H264/90000\r\n"
            "a=rtpmap:99 VP8/90000\r\nm=audio 6 RTP/AVP 8\r\nm=image 8 udptl t38\r\n"),
      "m=video 4 RTP/AVP 98 96\r\na=rtpmap:98 red/90000\r\na=rtpmap:96 H264/90000\r\n"
      "m=audio 6 RTP/AVP 8\r\nm=image 8 udptl t38\r\n");
}

TEST(SdpCodecs, FirstCodecNeedsOne) {
  const std::string events = "m=audio 4 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n";
  EXPECT_EQ(first(events), events);
  EXPECT_EQ(keep_first_codec("no SDP"), "no SDP");
}

}  // namespace
}  // namespace millrace::sdp
