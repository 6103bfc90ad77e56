// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/flows.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "control/change/change.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

// The effects of a change of the state of a real call.
class FlowsTest : public CallTest {
 protected:
  [[nodiscard]] CallState answered_call() {
    const CallContext context{config.timeouts, config.limits, realms};
    CallState state;
    for (const Request& asked : {offer(audio(kA, 4000)), answer(audio(kB, 5000))}) {
      Change change(state, context, {});
      const auto session = sdp::parse(asked.sdp);
      EXPECT_TRUE(asked.command == Command::offer ? change.offer(asked, *session)
                                                  : change.answer(asked, *session));
      state = *change.take();
    }
    return state;
  }
  // "L.C" of each flow: leg and component.
  [[nodiscard]] static std::multiset<std::string> names(const SmallVector<Flow, 4>& flows) {
    std::multiset<std::string> result;
    for (const Flow& flow : flows) {
      result.insert(std::to_string(static_cast<unsigned>(flow.leg)) + "." +
                    std::to_string(flow.component));
    }
    return result;
  }
  [[nodiscard]] Effects to(const CallState& after) const { return effects(before, after, realms); }

  const Realms realms{config};
  const CallState before = answered_call();
};

TEST_F(FlowsTest, TheSameStateIsPublishedAgainAndNothingEnds) {
  const Effects same = to(before);
  EXPECT_TRUE(same.withdrawn.empty());
  EXPECT_TRUE(same.returned.empty());
  ASSERT_EQ(same.published.size(), 2U);
  EXPECT_EQ(same.published[0].payload, Payload::rtp);
  EXPECT_EQ(same.published[1].payload, Payload::rtcp);
  EXPECT_EQ(same.published[0].a.local, before.legs[0].ports(0).rtp());
  EXPECT_EQ(same.published[1].b.local, before.legs[1].ports(0).rtcp());
}

TEST_F(FlowsTest, AFirstStateIsPublishedWhole) {
  const Effects first = effects(CallState(), before, realms);
  EXPECT_TRUE(first.withdrawn.empty());
  EXPECT_EQ(first.published.size(), 2U);
}

TEST_F(FlowsTest, RtcpLeavesItsPortsWhenBothMultiplex) {
  CallState after = before;
  after.dialogs[0].mux[0].a = after.dialogs[0].mux[0].b = true;
  const Effects effects = to(after);
  EXPECT_EQ(names(effects.withdrawn), (std::multiset<std::string>{"0.1", "1.1"}));
  EXPECT_EQ(effects.published.size(), 1U);
  EXPECT_TRUE(effects.returned.empty());
}

TEST_F(FlowsTest, AnEndedDialogReturnsItsPorts) {
  CallState after = before;
  after.dialogs.clear();
  const Effects effects = to(after);
  EXPECT_EQ(names(effects.withdrawn), (std::multiset<std::string>{"0.0", "0.1", "1.0", "1.1"}));
  EXPECT_TRUE(effects.published.empty());
  ASSERT_EQ(effects.returned.size(), 2U);
  EXPECT_NE(effects.returned[0].ports, effects.returned[1].ports);
}

TEST_F(FlowsTest, ALegThatMovesToOtherPortsGivesUpItsOwn) {
  CallState after = before;
  PortPair& ports = after.legs[1].sections[0].ports;
  ports.even.port = UdpPort(static_cast<std::uint16_t>(ports.even.port.number() + 2));
  const Effects effects = to(after);
  EXPECT_EQ(names(effects.withdrawn), (std::multiset<std::string>{"1.0", "1.1"}));
  ASSERT_EQ(effects.returned.size(), 1U);
  EXPECT_EQ(effects.returned[0].ports, before.legs[1].ports(0));
}

// The branches of one offer have the same ports: they return with the last branch.
TEST_F(FlowsTest, PortsOfABranchStayWhileAnotherHasThem) {
  CallState after = before;
  Leg& branch = after.add_leg();
  branch.sections = after.legs[1].sections;
  Dialog dialog = after.dialogs[0];
  dialog.b = branch.id;
  after.dialogs.push_back(dialog);
  after.legs[0].peer = branch.id;
  branch.peer = LegId{0};
  after.legs[1].peer = kNoLeg;
  Effects effects = to(after);
  EXPECT_EQ(names(effects.withdrawn), (std::multiset<std::string>{"1.0", "1.1"}));
  EXPECT_TRUE(effects.returned.empty());
  after.dialogs.erase(after.dialogs.begin());
  EXPECT_TRUE(to(after).returned.empty());
  after.dialogs.clear();
  EXPECT_EQ(to(after).returned.size(), 2U);
}

TEST_F(FlowsTest, WhatWasSignalledIsPublishedOnce) {
  CallState state = before;
  state.legs[0].sections[0].agreed.components[0].moved = true;
  EXPECT_EQ(effects(before, state, realms).published[0].a.on_publish, OnPublish::reopen);
  mark_published(state);
  const Effects later = effects(before, state, realms);
  EXPECT_EQ(later.published[0].a.on_publish, OnPublish::keep);
  EXPECT_EQ(later.published[0].b.on_publish, OnPublish::keep);
}

}  // namespace
}  // namespace millrace
