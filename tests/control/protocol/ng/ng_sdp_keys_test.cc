// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_sdp_keys.h"

#include <chrono>
#include <ctime>

#include <gtest/gtest.h>

#include "tests/control/protocol/ng/ng_request_fixture.h"

namespace millrace::ng {
namespace {

// ---- SDP edits --------------------------------------------------------------------------------

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
  EXPECT_EQ(edits.remove_media_types, Strings{"video"});
  EXPECT_EQ(edits.protocol, "RTP/AVPF");
  EXPECT_TRUE(edits.mux.require && !edits.mux.offer && !edits.mux.demux);
  EXPECT_TRUE(edits.origin.user && edits.origin.version && !edits.origin.id);
  EXPECT_TRUE(edits.replace_zero_address);
  EXPECT_TRUE(edits.no_rtcp_attribute && edits.full_rtcp_attribute);
  EXPECT_TRUE(edits.lines.generate_mid && edits.lines.loop_mark);
}

TEST(NgSdpKeys, ParsesEachWordOfRtcpMux) {
  const std::string bytes = offer("8:rtcp-muxl5:offer6:accept6:rejecte");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->unknown, Strings{});
  const sdp::MuxChoice& mux = message->request.edits.mux;
  EXPECT_TRUE(mux.offer && mux.accept && mux.reject);
  EXPECT_FALSE(mux.demux || mux.require);
}

TEST(NgSdpKeys, AcceptsEditsAsFlags) {
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
  EXPECT_TRUE(edits.mux.demux && !edits.mux.reject && edits.no_bundle);
  EXPECT_TRUE(edits.replace_zero_address);
  const auto& attributes = edits.lines.attributes;
  ASSERT_EQ(attributes.size(), 4U);
  EXPECT_EQ(attributes[0].type, "audio");
  EXPECT_EQ(attributes[0].add, Strings{"fmtp:96 mode=30"});
  EXPECT_EQ(attributes[1].where, sdp::AttributeEdits::Where::session);
  EXPECT_EQ(attributes[1].remove, Strings{"tool"});
  EXPECT_EQ(attributes[2].substitute.at(0), std::pair(std::string("a"), std::string("b")));
  EXPECT_EQ(attributes[3].remove, (Strings{"group:BUNDLE", "bundle-only"}));
}

TEST(NgSdpKeys, ParsesAttributesOfSections) {
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
       {"8:sdp-attri1e", "8:sdp-attrd5:audiol1:aee", "8:sdp-attrd5:audiod3:addl3:a\nbeee",
        "8:sdp-attrd5:audiod4:killl1:aeee", "8:sdp-attrd5:audiod10:substitutel1:aeee"}) {
    EXPECT_TRUE(error(offer(std::string(value))).starts_with("Invalid value of key \"sdp-attr\""))
        << value;
  }
  EXPECT_TRUE(error(offer("5:codecl1:ae")).starts_with("Invalid value of key \"codec\""));
}

TEST(NgSdpKeys, ParsesOneStringOfFlags) {
  const std::string bytes =
      offer("10:rtpp-flags" +
            b("replace-origin  ICE=remove direction=pub direction=priv label=x "
              "codec=[strip=[opus G722] offer=[PCMA]] sdp-attr=[audio=[add=[fmtp:96..a--b]]]"));
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->unknown, Strings{});
  const Request& r = message->request;
  EXPECT_TRUE(r.edits.replace_origin);
  EXPECT_EQ(r.edits.ice, IceHandling::remove);
  EXPECT_EQ(r.placement.from_interface, "pub");
  EXPECT_EQ(r.placement.to_interface, "priv");
  EXPECT_EQ(r.edits.codecs.strip, (Strings{"opus", "G722"}));
  EXPECT_EQ(r.edits.codecs.offer, Strings{"PCMA"});
  EXPECT_EQ(r.edits.lines.attributes.at(0).add, Strings{"fmtp:96 a=b"});
  // An explicit key overrides it.
  const std::string both = offer("3:ICE7:default10:rtpp-flags" + b("ICE=remove TOS=184"));
  EXPECT_EQ(parse(both)->request.edits.ice, IceHandling::add);
  EXPECT_EQ(parse(both)->request.dscp, 46);
  for (const std::string_view wrong : {"[", "a=[b", "a=]b", "a=[[[[[[[[[[b]]]]]]]]]]"}) {
    EXPECT_EQ(error(offer("10:rtpp-flags" + b(wrong))),
              "Invalid value of key \"rtpp-flags\": expected words, and brackets in pairs")
        << wrong;
  }
}

TEST(NgVocabulary, ParsesTheValuesOfIce) {
  const auto read = [](const std::string& keys) {
    const std::string bytes = offer(keys);
    auto message = parse(bytes);
    EXPECT_TRUE(message.has_value()) << message.error();
    return std::pair(message->request.edits.ice, message->request.edits.prefer_relay);
  };
  EXPECT_EQ(read(""), std::pair(IceHandling::add, false));
  EXPECT_EQ(read("3:ICE7:default"), std::pair(IceHandling::add, false));
  EXPECT_EQ(read("3:ICE8:optional"), std::pair(IceHandling::add, false));
  EXPECT_EQ(read("3:ice5:Force"), std::pair(IceHandling::force, false));
  EXPECT_EQ(read("3:ICE11:force-relay"), std::pair(IceHandling::force_relay, false));
  EXPECT_EQ(read("3:ICE10:only_relay"), std::pair(IceHandling::relay_only, false));
  EXPECT_EQ(read("3:ICEl7:trickle6:removee"), std::pair(IceHandling::remove, false));
  EXPECT_EQ(read("3:ICE19:force-relay,trickle"), std::pair(IceHandling::force_relay, false));
  EXPECT_EQ(read("3:ICEle"), std::pair(IceHandling::add, false));
  EXPECT_EQ(read("13:ice-candidate13:high-priority"), std::pair(IceHandling::add, true));
  EXPECT_EQ(read("13:ice_candidate12:low-priority"), std::pair(IceHandling::add, false));
  EXPECT_EQ(error(offer("13:ice-candidate4:none")),
            "Invalid value of key \"ice-candidate\": expected high-priority or low-priority");
}

TEST(NgVocabulary, ReportsUnsupportedWordsOfIce) {
  const std::string bytes =
      "d7:command5:offer7:call-id1:c8:from-tag1:f3:ICEl5:force7:trickle9:lite-both4:ice2e3:sdp" +
      b("m=audio 4000 RTP/AVP 0\r\na=ice-ufrag:abcd\r\n") + "e";
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->request.edits.ice, IceHandling::force);
  ASSERT_EQ(message->request.edits.conditional.size(), 1U);
  EXPECT_EQ(message->request.edits.conditional[0].text, "ICE-lite: the relay is no ICE agent");
  EXPECT_EQ(message->unknown, Strings{"ICE=ice2"});
}

TEST(NgSdpKeys, MediaTypeOtherIsFolded) {
  const auto message = parse(offer("16:sdp-media-remove16:text,Other,video"));
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->request.edits.remove_media_types, (Strings{"text", "other", "video"}));
}

TEST(NgSdpKeys, ParsesTheFlagsOfCodecs) {
  for (const std::string_view name :
       {"allow-no-codec-media", "allow empty codec medias", "allow_no_codec_medias"}) {
    const auto message = parse(offer("5:flagsl" + b(name) + "e"));
    ASSERT_TRUE(message.has_value()) << message.error();
    EXPECT_TRUE(message->request.edits.codecs.allow_none) << name;
    EXPECT_TRUE(message->unknown.empty());
  }
  // Of an offer all codecs stay.
  const std::string flag = "5:flagsl12:single codece";
  EXPECT_FALSE(parse(offer(flag))->request.edits.single_codec);
  const std::string answer = "d7:command6:answer3:sdp1:x7:call-id1:c8:from-tag1:f6:to-tag1:t";
  EXPECT_TRUE(parse(answer + flag + "e")->request.edits.single_codec);
  EXPECT_FALSE(parse(answer + "e")->request.edits.single_codec);
}

// ---- bounds -----------------------------------------------------------------------------------

constexpr std::string_view kTooMany =
    "More than 128 SDP edits in one request (codecs, attribute lines, their sections, media types)";

// Each way to ask for `count` edits.
std::vector<std::string> edits(std::size_t count) {
  std::string names, lines, pairs, sections, strip, add;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    names += b("C" + number);
    pairs += "l" + b("a" + number) + b("b") + "e";
    sections += b("s" + number) + "de";
    strip += b("codec-strip-C" + number);
    // The section counts, too: once for each flag that names it.
    add += b("sdp-attr-add-audio-a" + number);
  }
  for (std::size_t i = 1; i < count; ++i) lines += b("a" + std::to_string(i));
  return {"5:codecd5:stripl" + names + "ee",
          "16:sdp-media-removel" + names + "e",
          "8:sdp-attrd5:audiod3:addl" + lines + "eee",
          "8:sdp-attrd5:audiod6:removel" + lines + "eee",
          "8:sdp-attrd" + sections + "e",
          "5:flagsl" + strip + "e",
          "5:flagsl" + add + "e"};
}

TEST(NgSdpKeys, EditsAreBounded) {
  for (const std::string& keys : edits(sdp::kMaxEdits)) {
    const std::string bytes = offer(keys);
    EXPECT_TRUE(parse(bytes).has_value()) << error(bytes);
  }
  for (const std::string& keys : edits(sdp::kMaxEdits + 1)) {
    EXPECT_EQ(error(offer(keys)), kTooMany) << keys.substr(0, 40);
  }
  const std::string pair = "l1:a1:be";
  std::string pairs;
  for (std::size_t i = 1; i < sdp::kMaxEdits; ++i) pairs += pair;
  const auto substitutes = [](std::string_view list) {
    return offer("8:sdp-attrd5:audiod10:substitutel" + std::string(list) + "eee");
  };
  EXPECT_TRUE(parse(substitutes(pairs)).has_value());
  EXPECT_EQ(error(substitutes(pairs + pair)), kTooMany);
  // Keys count together.
  const std::string half = edits(sdp::kMaxEdits / 2 + 1)[0], other = edits(sdp::kMaxEdits / 2)[1];
  EXPECT_EQ(error(offer(half + other)), kTooMany);
}

TEST(NgSdpKeys, RepeatedFlagsAddNothing) {
  std::string flags;
  for (int i = 0; i < 2000; ++i) {
    flags += b("strip-extmap") + b("bundle-reject") + b("no-port-latching");
  }
  const std::string bytes = offer("5:flagsl" + flags + "e");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  const Request& request = message->request;
  ASSERT_EQ(request.edits.lines.attributes.size(), 1U);
  EXPECT_EQ(request.edits.lines.attributes[0].remove,
            (Strings{"extmap", "extmap-allow-mixed", "group:BUNDLE", "bundle-only"}));
  EXPECT_EQ(request.unsupported, "no-port-latching: a party's ports stay as long as its media");
}

// CPU time of an offer with rtpp-flags of `count` keys, each as made by `key`.
std::chrono::nanoseconds time_of_flags(std::size_t count, std::string (*key)(std::size_t)) {
  std::string flags;
  for (std::size_t i = 0; i < count; ++i) flags += key(i);
  const std::string bytes = offer("10:rtpp-flags" + b(flags));
  auto best = std::chrono::nanoseconds::max();
  for (int run = 0; run < 5; ++run) {
    const std::clock_t begin = std::clock();
    EXPECT_TRUE(parse(bytes).has_value());
    const auto ticks = std::clock() - begin;
    best = std::min(best, std::chrono::nanoseconds(ticks * (1'000'000'000 / CLOCKS_PER_SEC)));
  }
  return best;
}

// Four times as many keys take about four times as long; a quadratic parser takes sixteen times.
TEST(NgSdpKeys, CostOfFlagsIsLinear) {
  for (const auto key : {+[](std::size_t i) { return "k" + std::to_string(i) + "=1 "; },
                         +[](std::size_t) { return std::string("k=1 "); }}) {
    const auto few = time_of_flags(2500, key), many = time_of_flags(10'000, key);
    EXPECT_LT(many, 9 * few + std::chrono::milliseconds(1));
  }
}

}  // namespace
}  // namespace millrace::ng
