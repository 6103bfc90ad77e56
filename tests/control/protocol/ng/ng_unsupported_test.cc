// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_unsupported.h"

#include <gmock/gmock.h>

#include <gtest/gtest.h>

#include "control/command/unsupported.h"
#include "control/sdp/sdp_edits.h"
#include "tests/control/protocol/ng/ng_request_fixture.h"

namespace millrace::ng {
namespace {

constexpr std::string_view kPlain = "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP 0\r\n";
constexpr std::string_view kNoSrtp =
    " is not supported: this relay speaks neither SRTP nor DTLS; keys and fingerprints pass "
    "between the parties";
// SDPs with encryption, in the notations that SIP devices use.
constexpr std::string_view kSecure[] = {
    "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/SAVP 0\r\n",
    "v=0\nc=IN IP4 198.51.100.1\nm=audio 4000 rtp/savpf 0\n",
    "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
    "inline:x\r\n",
    "v=0\r\nc=IN IP4 198.51.100.1\r\na=fingerprint:sha-256 AB\r\nm=audio 4000 RTP/AVP 0\r\n",
    "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n",
    "v=0\r\nc=IN IP4 198.51.100.1\r\nm=application 4000 UDP/DTLS/SCTP webrtc-datachannel\r\n"};

// An offer of `sdp`, which is the last key, as bencode allows.
std::string offer_of(std::string_view sdp, std::string_view keys) {
  return "d7:command5:offer7:call-id1:c8:from-tag1:f" + std::string(keys) + "3:sdp" + b(sdp) + 'e';
}
std::string flag(std::string_view name) { return "5:flagsl" + b(name) + 'e'; }

// The warning; the error text if the request is refused, for its options alone or for its SDP.
std::string result(const std::string& bytes) {
  const auto message = parse(bytes);
  if (!message) return error(bytes);
  EXPECT_EQ(message->unknown, Strings{}) << bytes;
  const Request& request = message->request;
  std::string warning = request.unsupported;
  if (request.sdp.empty() || request.fragment) return warning;
  const auto session = sdp::parse(request.sdp);
  if (!session) return session.error().message;
  if (auto ok = sdp::check(*session, request.edits); !ok) return ok.error().message;
  add_sentence(warning, sdp::unsupported_options(*session, request.edits));
  return warning;
}

TEST(NgUnsupported, CommandsNameTheReason) {
  EXPECT_EQ(error("d7:command15:start recordinge"),
            "Command \"start recording\" is not supported: this relay records nothing");
  EXPECT_EQ(error("d7:command9:play DTMFe"),
            "Command \"play DTMF\" is not supported: this relay sends no media of its own");
  EXPECT_EQ(error("d7:command17:subscribe requeste"),
            "Command \"subscribe request\" is not supported: this relay joins the two parties of "
            "a dialog only");
  for (const std::string_view command :
       {"stop recording", "pause recording", "start forwarding", "stop forwarding", "play media",
        "stop media", "publish", "subscribe answer", "unsubscribe", "connect", "create",
        "create answer", "mesh", "inject start", "inject stop", "transform", "cli"}) {
    EXPECT_TRUE(error("d7:command" + b(command) + "e").starts_with("Command \"")) << command;
  }
}

// ---- encryption -------------------------------------------------------------------------------

constexpr std::string_view kSecurityKeys[] = {"4:SDESl8:no-NULL_e",
                                              "4:SDES20:order:A;B;,only-NULL",
                                              "4:SDESl14:encrypted_srtpe",
                                              "4:DTLS7:passive",
                                              "4:DTLS6:active",
                                              "12:DTLS-reverse7:passive",
                                              "16:DTLS-fingerprint5:SHA-1",
                                              "5:OSRTPl6:accepte",
                                              "5:OSRTP10:accept-RFC"};
constexpr std::string_view kSecurityFlags[] = {"SDES-no-AES_CM_128_HMAC_SHA1_80",
                                               "SDES-only-NULL",
                                               "SDES-lifetime",
                                               "SDES-static",
                                               "SDES-unencrypted_srtp",
                                               "OSRTP-accept",
                                               "OSRTP-accept-legacy",
                                               "DTLS-passive",
                                               "recrypt"};

TEST(NgUnsupported, OptionsForKeysRequestNothingOfPlainSdp) {
  for (const std::string_view keys : kSecurityKeys) {
    EXPECT_EQ(result(offer_of(kPlain, keys)), "") << keys;
  }
  for (const std::string_view name : kSecurityFlags) {
    EXPECT_EQ(result(offer_of(kPlain, flag(name))), "") << name;
  }
}

TEST(NgUnsupported, OptionsForKeysAreRefusedIfTheSdpHasKeys) {
  for (const std::string_view sdp : kSecure) {
    for (const std::string_view keys : kSecurityKeys) {
      EXPECT_THAT(result(offer_of(sdp, keys)), testing::HasSubstr(kNoSrtp)) << keys << sdp;
    }
    for (const std::string_view name : kSecurityFlags) {
      EXPECT_EQ(result(offer_of(sdp, flag(name))),
                '"' + std::string(name) + '"' + std::string(kNoSrtp))
          << sdp;
    }
  }
}

TEST(NgUnsupported, PassingKeysIsWhatTheseOptionsRequest) {
  for (const std::string_view sdp : {kPlain, kSecure[0], kSecure[4]}) {
    for (const std::string_view keys :
         {"4:SDES3:off", "4:SDESl3:offe", "4:SDESl5:nonew3:pade", "4:DTLS3:off", "4:DTLS7:disable",
          "5:OSRTP2:no", "4:SDESle", "4:DTLS0:"}) {
      EXPECT_EQ(result(offer_of(sdp, keys)), "") << keys;
    }
    for (const std::string_view name :
         {"SDES-off", "SDES-nonew", "SDES-pad", "DTLS-off", "OSRTP-off", "pad-crypto"}) {
      EXPECT_EQ(result(offer_of(sdp, flag(name))), "") << name;
    }
  }
}

TEST(NgUnsupported, EncryptionOfPlainMediaIsRefused) {
  for (const std::string_view keys : {"5:OSRTPl5:offere", "5:OSRTPl6:accept9:offer-RFCe"}) {
    EXPECT_EQ(result(offer_of(kPlain, keys)), "\"OSRTP\"" + std::string(kNoSrtp)) << keys;
  }
  for (const std::string_view name : {"OSRTP-offer", "OSRTP-offer-legacy", "WebRTC"}) {
    EXPECT_EQ(result(offer_of(kPlain, flag(name))),
              '"' + std::string(name) + '"' + std::string(kNoSrtp));
  }
  // SDES towards WebRTC needs a conversion; DTLS on both sides passes.
  EXPECT_EQ(result(offer_of(kSecure[0], flag("WebRTC"))), "\"WebRTC\"" + std::string(kNoSrtp));
  EXPECT_EQ(result(offer_of(kSecure[4], flag("WebRTC"))),
            "WebRTC: DTLS, ICE and rtcp-mux are negotiated between the parties");
  EXPECT_EQ(result(offer_of(kSecure[4], flag("no-tls-id"))),
            "no-tls-id: a=tls-id passes between the parties");
  EXPECT_EQ(result(offer_of(kPlain, flag("no-tls-id"))), "");
  // A fragment holds candidates only.
  EXPECT_EQ(result(offer_of(kPlain, "5:flagsl6:WebRTC8:fragmente")), "");
}

// ---- media ------------------------------------------------------------------------------------

TEST(NgUnsupported, OptionsThatChangeMediaAreRefused) {
  EXPECT_EQ(error(offer("11:record call3:yes")),
            "\"record call\" is not supported: this relay records nothing");
  EXPECT_EQ(error(offer("5:codecd5:stripl4:PCMUe9:transcodel4:opus4:G729ee")),
            "\"codec-transcode-opus\" is not supported: this relay does not transcode");
  for (const std::string_view entry :
       {"11:record-call2:on", "4:T.38l6:decodee", "12:audio player6:always",
        "13:DTMF-security4:zero", "10:DTMF-delayi40e", "12:delay-bufferi100e",
        "10:media-echo9:blackhole", "12:drop-traffic5:start", "5:codecd4:maskl3:allee",
        "5:codecd7:consumel4:PCMAee", "5:codecd6:accept4:PCMUe", "5:codecd3:setl12:opus/48000/2ee",
        "3:moh2:on", "7:trigger4:1234"}) {
    EXPECT_THAT(result(offer_of(kPlain, entry)), testing::HasSubstr("is not supported: ")) << entry;
  }
  for (const std::string_view name :
       {"record-call", "transcode-PCMU", "codec-transcode-opus", "codec-mask-all", "codec-set-X",
        "T38-decode", "always-transcoding", "always transcode", "audio-player", "inject-DTMF",
        "block-DTMF", "Block DTMF", "codec-consume-PCMA", "codec-accept-PCMU", "force-transcoding",
        "player"}) {
    EXPECT_EQ(result(offer_of(kPlain, flag(name)))
                  .find("\"" + std::string(name) + "\" is not supported: "),
              0U)
        << name;
  }
  for (const std::string_view entry :
       {"11:record call2:no", "11:record call3:off", "12:audio player7:default",
        "12:delay-bufferi0e", "12:drop-traffic4:stop", "5:codecd9:transcodele4:mask0:e",
        "5:codecd9:transcode1:,e", "13:DTMF-security4:drop"}) {
    EXPECT_EQ(result(offer_of(kPlain, entry)), "") << entry;
  }
}

TEST(NgUnsupported, PreferencesAreAWarning) {
  const std::pair<std::string_view, std::string_view> keys[] = {
      {"5:ptimei20e", "ptime: packets keep the duration that their sender chose"},
      {"13:ptime-reverse2:30", "ptime: packets keep the duration that their sender chose"},
      {"8:template6:WebRTC", "template: this relay has none; write its flags out"},
      {"13:generate RTCP2:on", "generate-RTCP: RTCP passes between the parties"},
      {"17:endpoint-learning7:delayed",
       "endpoint-learning: addresses are learned as by default, see sip-source-address, "
       "asymmetric"},
      {"5:flagsl21:endpoint-learning-offe",
       "endpoint-learning: addresses are learned as by default, see sip-source-address, "
       "asymmetric"},
      {"5:flagsl13:generate RTCPe", "generate-RTCP: RTCP passes between the parties"},
      {"5:flagsl13:static-codecs12:reuse codecs22:no-codec-renegotiatione",
       "the parties negotiate their codecs; see codec-strip, codec-offer, single-codec"},
      {"5:flagsl16:no-port-latchinge",
       "no-port-latching: a party's ports stay as long as its media"},
      {"5:flagsl11:block short19:block-short-packetse", "block-short: packets of any length pass"},
      {"5:flagsl12:block-egress11:detect-DTMFe",
       "block-egress: this relay plays nothing; detect-DTMF: this relay reports no "
       "telephone-events"}};
  for (const auto& [entry, warning] : keys)
    EXPECT_EQ(result(offer_of(kPlain, entry)), warning) << entry;
  for (const std::string_view entry :
       {"5:ptimei0e", "5:ptime0:", "8:template0:", "13:generate RTCP3:off",
        "17:endpoint-learning9:heuristic", "5:flagsl27:endpoint-learning-heuristice"}) {
    EXPECT_EQ(result(offer_of(kPlain, entry)), "") << entry;
  }
}

TEST(NgUnsupported, IceOptionsConcernSdpWithIce) {
  constexpr std::string_view kIce =
      "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP "
      "0\r\na=ice-ufrag:abcd\r\na=ice-pwd:x\r\n";
  EXPECT_EQ(result(offer_of(kIce, flag("reject-ICE"))),
            "reject-ICE: the parties negotiate ICE; ICE=remove ends it for both");
  EXPECT_EQ(result(offer_of(kIce, "8:ICE-lite7:forward")), "ICE-lite: the relay is no ICE agent");
  EXPECT_EQ(result(offer_of(kIce, flag("ICE-lite-forward"))),
            "ICE-lite: the relay is no ICE agent");
  EXPECT_EQ(result(offer_of(kIce, "8:ICE-lite3:off")), "");
  EXPECT_EQ(result(offer_of(kPlain, flag("reject-ICE"))), "");
  EXPECT_EQ(result(offer_of(kPlain, "8:ICE-lite4:both")), "");
}

// A request may repeat an option 5,000 times in different spellings.
TEST(NgUnsupported, RepeatedOptionsAreKeptOnce) {
  std::string flags;
  for (int i = 0; i < 5'000; ++i) flags += b("SDES-x" + std::to_string(i)) + b("Reject_ICE");
  const auto message = parse(offer_of(kPlain, "5:flagsl" + flags + "e"));
  ASSERT_TRUE(message.has_value()) << message.error();
  const auto& conditional = message->request.edits.conditional;
  ASSERT_EQ(conditional.size(), 2U);
  EXPECT_EQ(conditional[0].text, "\"SDES-x0\"" + std::string(kNoSrtp));
  EXPECT_EQ(conditional[1].text,
            "reject-ICE: the parties negotiate ICE; ICE=remove ends it for both");
}

TEST(NgUnsupported, OfBlockDtmfOnlyDropIsDone) {
  const auto block = [](std::string_view mode) {
    return "d7:command10:block DTMF7:call-id1:c13:DTMF-security" + b(mode) + 'e';
  };
  EXPECT_EQ(result(block("drop")), "");
  EXPECT_EQ(result(block("silence")),
            "\"DTMF-security\" is not supported: this relay drops telephone-events or passes them");
}

}  // namespace
}  // namespace millrace::ng
