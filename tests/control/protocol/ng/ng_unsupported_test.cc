// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_unsupported.h"

#include <gmock/gmock.h>

#include <gtest/gtest.h>

#include "tests/control/protocol/ng/ng_request_fixture.h"

namespace millrace::ng {
namespace {

constexpr std::string_view kPlain = "v=0\r\nm=audio 4000 RTP/AVP 0\r\n";
constexpr std::string_view kNoSrtp =
    " is not supported: this relay speaks neither SRTP nor DTLS; keys and fingerprints pass "
    "between the parties";
// SDPs with encryption, in the notations that SIP devices use.
constexpr std::string_view kSecure[] = {
    "v=0\r\nm=audio 4000 RTP/SAVP 0\r\n",
    "v=0\nm=audio 4000 rtp/savpf 0\n",
    "v=0\r\nm=audio 4000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n",
    "v=0\r\na=fingerprint:sha-256 AB\r\nm=audio 4000 RTP/AVP 0\r\n",
    "v=0\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n",
    "v=0\r\nm=application 4000 UDP/DTLS/SCTP webrtc-datachannel\r\n"};

// An offer of `sdp`, which is the last key, as bencode allows.
std::string offer_of(std::string_view sdp, std::string_view keys) {
  return "d7:command5:offer7:call-id1:c8:from-tag1:f" + std::string(keys) + "3:sdp" + b(sdp) + 'e';
}
std::string flag(std::string_view name) { return "5:flagsl" + b(name) + 'e'; }

// The warning; the error text if the request is refused.
std::string result(const std::string& bytes) {
  const auto message = parse(bytes);
  if (!message) return error(bytes);
  EXPECT_EQ(message->unknown, Strings{}) << bytes;
  return message->request.unsupported;
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
  for (const std::string_view name : {"OSRTP-offer", "OSRTP-offer-legacy"}) {
    EXPECT_EQ(result(offer_of(kPlain, flag(name))),
              '"' + std::string(name) + '"' + std::string(kNoSrtp));
  }
  // A fragment holds candidates only.
  EXPECT_EQ(result(offer_of(kPlain, "5:flagsl11:OSRTP-offer8:fragmente")), "");
}

// ---- media ------------------------------------------------------------------------------------

TEST(NgUnsupported, OptionsThatChangeMediaAreRefused) {
  EXPECT_EQ(error(offer("11:record call3:yes")),
            "\"record call\" is not supported: this relay records nothing");
  for (const std::string_view entry : {"11:record-call2:on", "4:T.38l6:decodee",
                                       "12:audio player6:always", "13:DTMF-security4:zero"}) {
    EXPECT_THAT(result(offer(entry)), testing::HasSubstr("is not supported: ")) << entry;
  }
  for (const std::string_view name :
       {"record-call", "transcode-PCMU", "codec-transcode-opus", "codec-mask-all", "codec-set-X",
        "T38-decode", "always-transcoding", "inject-DTMF"}) {
    EXPECT_EQ(result(offer(flag(name))).find("\"" + std::string(name) + "\" is not supported: "),
              0U)
        << name;
  }
  for (const std::string_view entry : {"11:record call2:no", "11:record call3:off",
                                       "12:audio player7:default", "13:DTMF-security4:drop"}) {
    EXPECT_EQ(result(offer(entry)), "") << entry;
  }
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
