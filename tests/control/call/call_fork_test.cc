// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "control/call/call.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

constexpr const char* kC = "198.18.0.201";

// A's INVITE goes out on two branches; B is on the first, C on the second.
class CallForkTest : public CallTest {
 protected:
  void fork() {
    first = second = offer(audio(kA, 4000));
    first.via_branch = "b1";
    second.via_branch = "b2";
    one = print(first).local();
    two = print(second).local();
  }
  [[nodiscard]] Request answer_of_b() {
    Request result = answer(audio(kB, 5000));
    result.via_branch = "b1";
    return result;
  }
  [[nodiscard]] Request answer_of_c() {
    Request result = answer(audio(kC, 6000));
    result.to_tag = "C";
    result.via_branch = "b2";
    return result;
  }
  [[nodiscard]] static Request remove(std::string_view branch) {
    Request result = request(Command::remove);
    result.via_branch = branch;
    result.removal.delay = std::chrono::seconds(0);
    return result;
  }

  Request first, second;
  LocalPort one, two;  // the ports offered to B and C
};

TEST_F(CallForkTest, BranchesHaveTheirOwnPortsAndTheLastAnswerApplies) {
  fork();
  EXPECT_NE(one, two);
  EXPECT_EQ(print(first).local(), one);
  EXPECT_EQ(statistics().ports_used, 6U);

  const Request ringing = answer_of_b();
  const LocalPort caller = print(ringing).local();
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  std::ignore = print(second);  // a repeated offer of the other branch takes nothing away
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));

  EXPECT_EQ(print(answer_of_c()).local(), caller);
  EXPECT_EQ(flow(caller).destination, endpoint(kC, 6000));
  EXPECT_FALSE(flow(one).active);
  EXPECT_EQ(flow(two).destination, endpoint(kA, 4000));

  std::ignore = print(ringing);  // and back, were it to answer after all
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_TRUE(flow(one).active);
  EXPECT_FALSE(flow(two).active);
}

TEST_F(CallForkTest, DeletedBranchLeavesTheOthers) {
  fork();
  const LocalPort caller = print(answer_of_b()).local();
  std::ignore = print(answer_of_c());
  EXPECT_TRUE(std::holds_alternative<reply::Deleted>(handle(remove("b2"))));
  EXPECT_FALSE(flow(two).active);
  EXPECT_EQ(flow(one).destination, endpoint(kA, 4000));
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 4U);
  std::ignore = handle(remove("b1"));
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallForkTest, BothTagsEndTheirDialogOnly) {
  fork();
  const LocalPort caller = print(answer_of_b()).local();
  std::ignore = print(answer_of_c());
  Request bye = request(Command::remove);
  bye.to_tag = "C";
  bye.removal.delay = std::chrono::seconds(0);
  EXPECT_EQ(std::get<reply::Deleted>(handle(bye)).warning, "");
  EXPECT_FALSE(flow(two).active);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 4U);
  // Its tag is unknown now. The last dialog ends the call, also by the callee's BYE.
  bye.from_tag = "B";
  bye.to_tag = "A";
  std::ignore = handle(bye);
  EXPECT_EQ(statistics().sessions, 0U);
}

// Branches that nobody answered, or that only rang, do not keep the call.
TEST_F(CallForkTest, LastAnsweredDialogEndsTheCall) {
  for (const unsigned ringing : {0U, 183U}) {
    fork();
    if (ringing != 0) {
      Request early = answer_of_c();
      early.sip.code = ringing;
      std::ignore = print(early);
    }
    Request taken = answer_of_b();
    taken.sip.code = 200;
    std::ignore = print(taken);
    Request bye = request(Command::remove);
    bye.to_tag = "B";
    bye.removal.delay = std::chrono::seconds(0);
    std::ignore = handle(bye);
    EXPECT_EQ(statistics().sessions, 0U) << ringing;
    EXPECT_EQ(statistics().ports_used, 0U);
  }
}

TEST_F(CallForkTest, BranchesThatEndTogetherLeaveTheMediaToTheRest) {
  fork();
  Request third = offer(audio(kA, 4000));
  third.via_branch = "b3";
  const LocalPort three = print(third).local();
  const LocalPort caller = print(answer_of_b()).local();
  std::ignore = print(answer_of_c());
  for (const char* branch : {"b2", "b3"}) {
    Request end = remove(branch);
    end.removal.delay = std::chrono::seconds(5);
    EXPECT_EQ(std::get<reply::Deleted>(handle(end)).warning, "");
  }
  EXPECT_EQ(flow(caller).destination, endpoint(kC, 6000));
  expire_after(std::chrono::seconds(5));
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(flow(one).destination, endpoint(kA, 4000));
  EXPECT_FALSE(flow(two).active);
  EXPECT_FALSE(flow(three).active);
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallForkTest, LateCancelOfABranchEndsNoOther) {
  fork();
  const LocalPort caller = print(answer_of_b()).local();
  const auto warning = [this](std::string_view branch) {
    return std::get<reply::Deleted>(handle(remove(branch))).warning;
  };
  EXPECT_EQ(warning("b2"), "");
  EXPECT_EQ(warning("b2"), "Call-ID not found or tags didn't match");
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(warning("of-the-bye"), "");  // a request of its own, and so the whole call
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallForkTest, AnswerOfAnEndedBranchTakesNoOther) {
  fork();
  const LocalPort caller = print(answer_of_b()).local();
  std::ignore = handle(remove("b2"));
  EXPECT_EQ(reason(answer_of_c()), "Invalid dialogue association");
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  // Its ports are still held: it is revived.
  Request end = remove("b1");
  end.removal.delay = std::chrono::seconds(5);
  std::ignore = print(second);
  std::ignore = handle(end);
  EXPECT_EQ(print(answer_of_b()).local(), caller);
  expire_after(std::chrono::seconds(6));
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_TRUE(flow(one).active);
}

TEST_F(CallForkTest, LateCopyOfTheAnswerRevivesNothing) {
  fork();
  Request of_b = answer_of_b(), of_c = answer_of_c();
  of_b.sip.code = of_c.sip.code = 200;
  std::ignore = print(of_b);
  const LocalPort caller = print(of_c).local();
  Request bye = request(Command::remove);
  bye.to_tag = "C";
  bye.removal.delay = std::chrono::seconds(5);
  std::ignore = handle(bye);
  EXPECT_EQ(print(of_c).local(), caller) << "within the delay it is rewritten";
  expire_after(std::chrono::seconds(5));
  EXPECT_FALSE(flow(two).active) << "and ends on time";
  of_c.via_branch = "";
  EXPECT_EQ(reason(of_c), "Invalid dialogue association");
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
}

TEST_F(CallForkTest, ProvisionalAnswerDoesNotOverrideAFinalAnswer) {
  fork();
  Request taken = answer_of_b(), ringing = answer_of_c();
  taken.sip.code = 200;
  ringing.sip.code = 183;
  const LocalPort caller = print(taken).local();
  EXPECT_EQ(print(ringing).local(), caller) << "it is rewritten";
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000)) << "but takes nothing";
  ringing.sip.code = 0;
  ringing.sip.provisional = true;
  std::ignore = print(ringing);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  taken.sip.code = 183;  // its own branch may answer again
  taken.sdp = keep(audio(kB, 5002));
  std::ignore = print(taken);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5002));
  ringing.sip.provisional = false;
  ringing.sip.code = 200;
  std::ignore = print(ringing);
  EXPECT_EQ(flow(caller).destination, endpoint(kC, 6000));
}

TEST_F(CallForkTest, ForkWithoutBranchesSharesPorts) {
  establish();
  Request other = answer(audio(kC, 6000));
  other.to_tag = "C";
  EXPECT_EQ(print(other).local(), to_a);
  EXPECT_EQ(flow(to_a).destination, endpoint(kC, 6000));
  EXPECT_EQ(statistics().ports_used, 4U);
  Request again = offer(audio(kA, 4000));
  again.to_tag = "C";
  EXPECT_EQ(print(again).local(), to_b);
}

}  // namespace
}  // namespace millrace
