// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_sdp_keys.h"

#include <gtest/gtest.h>

#include "tests/control/protocol/ng/ng_request_fixture.h"

namespace millrace::ng {
namespace {

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
  EXPECT_TRUE(edits.mux.require && !edits.mux.offer && !edits.mux.demux);
  EXPECT_TRUE(edits.origin.user && edits.origin.version && !edits.origin.id);
  EXPECT_TRUE(edits.replace_zero_address);
  EXPECT_TRUE(edits.no_rtcp_attribute && edits.full_rtcp_attribute);
  EXPECT_TRUE(edits.lines.generate_mid && edits.lines.loop_mark);
}

TEST(NgSdpKeys, MuxIsWordByWord) {
  const std::string bytes = offer("8:rtcp-muxl5:offer6:accept6:rejecte");
  const auto message = parse(bytes);
  ASSERT_TRUE(message.has_value()) << message.error();
  EXPECT_EQ(message->unknown, Strings{});
  const sdp::MuxChoice& mux = message->request.edits.mux;
  EXPECT_TRUE(mux.offer && mux.accept && mux.reject);
  EXPECT_FALSE(mux.demux || mux.require);
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

}  // namespace
}  // namespace millrace::ng
