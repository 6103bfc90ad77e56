// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "control/call.h"
#include "tests/call_fixture.h"

namespace millrace {
namespace {

TEST_F(CallTest, BranchesHaveTheirOwnPortsAndTheLastAnswerWins) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  const LocalPort one = print(first).local(), two = print(second).local();
  EXPECT_NE(one, two);
  EXPECT_EQ(print(first).local(), one);
  EXPECT_EQ(statistics().ports_used, 6U);

  Request ringing = answer(audio(kB, 5000));
  ringing.via_branch = "b1";
  const LocalPort caller = print(ringing).local();
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  std::ignore = print(second);  // a repeated offer of the other branch takes nothing away
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));

  Request taken = answer(audio("198.18.0.201", 6000));
  taken.to_tag = "C";
  taken.via_branch = "b2";
  EXPECT_EQ(print(taken).local(), caller);
  EXPECT_EQ(flow(caller).destination, endpoint("198.18.0.201", 6000));
  EXPECT_FALSE(flow(one).active);
  EXPECT_EQ(flow(two).destination, endpoint(kA, 4000));

  std::ignore = print(ringing);  // and back, were it to answer after all
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_TRUE(flow(one).active);
  EXPECT_FALSE(flow(two).active);
}

TEST_F(CallTest, DeletedBranchLeavesTheOthers) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  const LocalPort one = print(first).local(), two = print(second).local();
  Request ringing = answer(audio(kB, 5000)), taken = answer(audio("198.18.0.201", 6000));
  ringing.via_branch = "b1";
  taken.via_branch = "b2";
  taken.to_tag = "C";
  const LocalPort caller = print(ringing).local();
  std::ignore = print(taken);
  Request gone = request(Command::remove);
  gone.via_branch = "b2";
  gone.delete_delay = std::chrono::seconds(0);
  EXPECT_TRUE(std::holds_alternative<reply::Deleted>(handle(gone)));
  EXPECT_FALSE(flow(two).active);
  EXPECT_EQ(flow(one).destination, endpoint(kA, 4000));
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 4U);
  gone.via_branch = "b1";
  std::ignore = handle(gone);
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallTest, LateCancelOfABranchEndsNoOther) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  std::ignore = print(first);
  std::ignore = print(second);
  Request taken = answer(audio(kB, 5000));
  taken.via_branch = "b1";
  const LocalPort caller = print(taken).local();
  Request cancel = request(Command::remove);
  cancel.via_branch = "b2";
  cancel.delete_delay = std::chrono::seconds(0);
  EXPECT_EQ(std::get<reply::Deleted>(handle(cancel)).warning, "");
  EXPECT_EQ(std::get<reply::Deleted>(handle(cancel)).warning,
            "Call-ID not found or tags didn't match");
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  cancel.via_branch = "of-the-bye";  // a request of its own, and so the whole call
  EXPECT_EQ(std::get<reply::Deleted>(handle(cancel)).warning, "");
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallTest, ProvisionalAnswerTakesTheMediaFromNobodyWhoAnsweredFinally) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  std::ignore = print(first);
  std::ignore = print(second);
  Request taken = answer(audio(kB, 5000)), ringing = answer(audio("198.18.0.201", 6000));
  taken.via_branch = "b1";
  taken.sip_code = 200;
  ringing.via_branch = "b2";
  ringing.to_tag = "C";
  ringing.sip_code = 183;
  const LocalPort caller = print(taken).local();
  EXPECT_EQ(print(ringing).local(), caller) << "it is rewritten";
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000)) << "but takes nothing";
  ringing.sip_code = 0;
  ringing.provisional = true;
  std::ignore = print(ringing);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  taken.sip_code = 183;  // its own branch, which may well change its mind
  taken.sdp = keep(audio(kB, 5002));
  std::ignore = print(taken);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5002));
  ringing.provisional = false;
  ringing.sip_code = 200;
  std::ignore = print(ringing);
  EXPECT_EQ(flow(caller).destination, endpoint("198.18.0.201", 6000));
}

TEST_F(CallTest, ForkWithoutBranchesSharesPorts) {
  establish();
  Request other = answer(audio("198.18.0.201", 6000));
  other.to_tag = "C";
  EXPECT_EQ(print(other).local(), to_a);
  EXPECT_EQ(flow(to_a).destination, endpoint("198.18.0.201", 6000));
  EXPECT_EQ(statistics().ports_used, 4U);
  Request again = offer(audio(kA, 4000));
  again.to_tag = "C";
  EXPECT_EQ(print(again).local(), to_b);
}

}  // namespace
}  // namespace millrace
