// SPDX-License-Identifier: BSD-3-Clause
#include "control/leg/call_state.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

PartyMedia audio(std::uint16_t port) {
  PartyMedia media;
  media.state = PartyMedia::State::live;
  media.type = Text("audio");
  media.rtp = true;
  media.components[0] = {.address = IpAddress::v4(203, 0, 113, 5),
                         .port = UdpPort(port),
                         .known = true,
                         .routable = true};
  return media;
}

// A dialog of two new legs with these tags, one audio each.
Dialog& add_dialog(CallState& state, std::string_view a, std::string_view b) {
  Dialog dialog;
  for (const auto& [id, tag] : {std::pair{&dialog.a, a}, std::pair{&dialog.b, b}}) {
    Leg& leg = state.add_leg();
    leg.add(tag);
    leg.sections.resize(1);
    leg.sections[0].agreed = audio(4000);
    leg.sections[0].ports = {{MediaAddressId{0}, UdpPort(static_cast<std::uint16_t>(
                                                     30000 + 2 * static_cast<unsigned>(leg.id)))}};
    *id = leg.id;
  }
  state.leg(dialog.a).peer = dialog.b;
  state.leg(dialog.b).peer = dialog.a;
  return state.dialogs.emplace_back(std::move(dialog));
}

TEST(CallState, ACopyIsACallOfItsOwn) {
  CallState state;
  add_dialog(state, "a", "b");
  state.notify.ensure().tag = Text("a tag that is longer than fifteen bytes");
  state.ended.push_back({Text("branch"), Text("tag"), {}});
  CallState copy = state;
  EXPECT_EQ(copy, state);
  copy.leg(LegId{1}).sections[0].agreed.components[0].port = UdpPort(4002);
  EXPECT_NE(copy, state);
  copy = state;
  copy.notify->tag = Text("other");
  EXPECT_NE(copy, state);
  copy = state;
  copy.leg(LegId{0}).proposed.ensure().to = LegId{1};
  EXPECT_NE(copy, state);
  copy = state;
  copy.ended.clear();
  EXPECT_NE(copy, state);
}

TEST(CallState, LegsOutsideOfDialogsGoAndTheOthersKeepTheirPlaces) {
  CallState state;
  add_dialog(state, "a", "b");
  add_dialog(state, "c", "d");
  const CallState second = [&] {
    CallState alone;
    add_dialog(alone, "c", "d");
    return alone;
  }();
  state.remove_unused_legs();
  EXPECT_EQ(state.legs.size(), 4U);
  state.leg(LegId{2}).proposed.ensure().to = LegId{3};
  state.leg(LegId{3}).proposed.ensure().to = LegId{0};  // of a leg that goes
  state.dialogs.erase(state.dialogs.begin());
  state.remove_unused_legs();
  ASSERT_EQ(state.legs.size(), 2U);
  EXPECT_EQ(state.find("a"), nullptr);
  EXPECT_EQ(state.find("c")->peer, state.find("d")->id);
  EXPECT_TRUE(state.is_joined(state.dialogs[0]));
  EXPECT_EQ(state.leg(LegId{0}).proposed->to, LegId{1});
  EXPECT_FALSE(state.leg(LegId{1}).proposed);
  state.leg(LegId{0}).proposed.reset();
  for (const LegId id : {LegId{0}, LegId{1}}) {
    state.leg(id).sections[0].ports = second.leg(id).sections[0].ports;
  }
  EXPECT_EQ(state, second);
}

TEST(CallState, PrintsLegsAndDialogs) {
  CallState state;
  Dialog& dialog = add_dialog(state, "a", "b");
  dialog.answered = dialog.pending = true;
  dialog.via_branch = Text("z9hG4bK1");
  Leg& a = state.leg(dialog.a);
  a.proposed.ensure().sections.push_back(audio(4100));
  a.proposed->sections[0].sends = false;
  EXPECT_EQ(print(state),
            "0{a with 1; port 30000 audio live 203.0.113.5:4000, proposes audio live "
            "203.0.113.5:4100 silent} 1{b with 0; port 30002 audio live 203.0.113.5:4000} 0-1 "
            "z9hG4bK1 answered pending; ");
}

}  // namespace
}  // namespace millrace
