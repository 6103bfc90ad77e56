// SPDX-License-Identifier: BSD-3-Clause
// Timeouts that end a call.
#include <gtest/gtest.h>

#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

class CallTimeoutTest : public CallTest {
 protected:
  // Runs the call without media for `time`, checking once a second; returns whether it ended.
  [[nodiscard]] bool over_after(std::chrono::seconds time) {
    for (; time > 0s; time -= 1s) expire_after(1s);
    return statistics().sessions == 0;
  }
};

TEST_F(CallTimeoutTest, UnansweredOfferEnds) {
  std::ignore = print(offer(audio(kA, 4000)));
  EXPECT_FALSE(over_after(239s));
  EXPECT_TRUE(over_after(1s));
  EXPECT_EQ(statistics().offer_timeouts, 1U);
  EXPECT_EQ(statistics().ports_used, 0U);
}

// A phone may ring for long, with early media or without. Timer C restarts with each provisional
// response (RFC 3261 section 16.7).
TEST_F(CallTimeoutTest, ProvisionalAnswersRenewTheOfferTimeout) {
  Request ringing = answer(audio(kB, 5000));
  ringing.sip.code = 183;
  std::ignore = print(offer(audio(kA, 4000)));
  std::ignore = print(ringing);
  EXPECT_FALSE(over_after(200s));
  std::ignore = print(ringing);
  EXPECT_FALSE(over_after(239s));
  EXPECT_TRUE(over_after(1s));
  EXPECT_EQ(statistics().offer_timeouts, 1U);

  std::ignore = print(offer(audio(kA, 4000)));
  std::ignore = print(ringing);
  ringing.sip.code = 200;
  std::ignore = print(ringing);
  ringing.sip.code = 183;  // late
  std::ignore = print(ringing);
  EXPECT_TRUE(over_after(60s));
  EXPECT_EQ(statistics().timeouts, 1U) << "the media timeout of an answered call";
}

TEST_F(CallTimeoutTest, AnsweredCallWithoutMediaEnds) {
  establish();
  EXPECT_FALSE(over_after(30s));
  std::ignore = print(reoffer(audio(kA, 4000)));
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_FALSE(over_after(59s));
  EXPECT_TRUE(over_after(1s));
  EXPECT_EQ(statistics().timeouts, 1U);
  EXPECT_FALSE(flow(to_a).active);
}

TEST_F(CallTimeoutTest, HeldCallHasALongerTimeout) {
  establish();
  std::ignore = print(reoffer(audio(kA, 4000, "a=inactive\r\n")));
  std::ignore = print(answer(audio(kB, 5000, "a=inactive\r\n")));
  EXPECT_FALSE(over_after(3599s));
  EXPECT_TRUE(over_after(1s));
  EXPECT_EQ(statistics().silent_timeouts, 1U);
}

TEST_F(CallTimeoutTest, UnusedRelayWithIceCountsAsDirectPath) {
  const std::string ice = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
  std::ignore = print(offer(audio(kA, 4000, ice)));
  std::ignore = print(answer(audio(kB, 5000, ice)));
  EXPECT_FALSE(over_after(59s));
  EXPECT_TRUE(over_after(1s));
  EXPECT_EQ(statistics().ice_direct, 1U);
  EXPECT_EQ(statistics().timeouts, 0U);
}

TEST_F(CallTimeoutTest, IceOfOnePartyOrOneSectionIsNoDirectPath) {
  const std::string ice = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
  std::ignore = print(offer(audio(kA, 4000, ice)));
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_TRUE(over_after(60s));
  const std::string video = media("video", 4002);
  std::ignore = print(offer(audio(kA, 4000, ice) + video));
  std::ignore = print(answer(audio(kB, 5000, ice) + video));
  EXPECT_TRUE(over_after(60s));
  EXPECT_EQ(statistics().timeouts, 2U);
  EXPECT_EQ(statistics().ice_direct, 0U);
}

TEST_F(CallTimeoutTest, CallThatOnePartyHoldsHasALongerTimeout) {
  config.timeouts.silent = 100s;
  for (const auto& [offered, answered] :
       {std::pair{audio(kA, 4000, "a=sendonly\r\n"), audio(kB, 5000, "a=recvonly\r\n")},
        {audio(kA, 4000, "a=recvonly\r\n"), audio(kB, 5000, "a=sendonly\r\n")},
        {audio("0.0.0.0", 4000), audio(kB, 5000)},
        {audio(kA, 4000), audio(kB, 5000, "a=sendonly\r\n")}}) {
    restart();
    establish();
    std::ignore = print(reoffer(offered));
    std::ignore = print(answer(answered));
    EXPECT_FALSE(over_after(99s)) << offered;
    EXPECT_TRUE(over_after(1s)) << offered;
    EXPECT_EQ(statistics().silent_timeouts, 1U) << offered;
  }
}

// Streams without SDP: rtpproxy holds by 0.0.0.0, MediaProxy by direction too.
TEST_F(CallTimeoutTest, HoldWithoutSdpHasTheSameTimeout) {
  config.timeouts.silent = 100s;
  NamedMedia audio_of_a, audio_of_b;
  audio_of_a.endpoint = *endpoint(kA, 4000);
  audio_of_b.endpoint = *endpoint(kB, 5000);
  NamedMedia by_address = audio_of_a, by_direction = audio_of_a;
  by_address.endpoint = *endpoint("0.0.0.0", 4000);
  by_direction.receives = false;
  for (const NamedMedia& held : {by_address, by_direction}) {
    restart();
    Request asked = request(Command::offer), answered = request(Command::answer);
    asked.sections = {audio_of_a};
    answered.sections = {audio_of_b};
    answered.to_tag = "B";
    std::ignore = relay_endpoints(asked);
    std::ignore = relay_endpoints(answered);
    asked.to_tag = "B";
    asked.sections = {held};
    std::ignore = relay_endpoints(asked);
    std::ignore = relay_endpoints(answered);
    EXPECT_FALSE(over_after(99s));
    EXPECT_TRUE(over_after(1s));
    EXPECT_EQ(statistics().silent_timeouts, 1U);
  }
}

TEST_F(CallTimeoutTest, FinalTimeoutEndsEvenAHeldCall) {
  config.timeouts.final = 100s;
  establish();
  std::ignore = print(reoffer(audio("0.0.0.0", 4000, "a=inactive\r\n")));
  std::ignore = print(answer(audio(kB, 5000, "a=inactive\r\n")));
  EXPECT_FALSE(over_after(99s));
  EXPECT_TRUE(over_after(1s));
  EXPECT_EQ(statistics().final_timeouts, 1U);
}

TEST_F(CallTimeoutTest, ZeroTimeoutsNeverEndACall) {
  config.timeouts.media = config.timeouts.offer = config.timeouts.silent = 0s;
  establish();
  expire_after(1000h);
  EXPECT_EQ(statistics().sessions, 1U);
}

}  // namespace
}  // namespace millrace
