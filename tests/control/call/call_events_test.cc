// SPDX-License-Identifier: BSD-3-Clause

// Events of a call. The `latched` event needs packets: see the smoke tests.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/notify/event.h"
#include "tests/control/call/calls_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

class CallEventsTest : public CallsTest {
 protected:
  CallEventsTest() { config.notify.emplace_back(); }  // a reader of events
  void SetUp() override { listen(); }
  void listen() {
    restart();
    calls->publish_events([this](Event event) { events.push_back(std::move(event)); });
  }

  void establish() {
    std::ignore = print(offer(audio("198.18.0.1", 4000)));
    std::ignore = print(answer(audio("198.18.0.2", 5000)));
  }
  // NOLINTNEXTLINE(bugprone-easily-swappable-parameters): in this order
  void reinvite(std::string_view offered, std::string_view answered) {
    Request again = offer(audio("198.18.0.1", 4000, offered));
    again.to_tag = "B";
    std::ignore = print(again);
    std::ignore = print(answer(audio("198.18.0.2", 5000, answered)));
  }
  [[nodiscard]] Request remove(std::chrono::seconds delay) const {
    Request result = request(Command::remove);
    result.removal.delay = delay;
    result.removal.fast = true;
    return result;
  }
  // The kinds of the published events, in order.
  [[nodiscard]] std::string kinds() const {
    constexpr std::array<std::string_view, 7> kKinds = {"start ",  "answer ",  "latched ", "hold ",
                                                        "resume ", "timeout ", "end "};
    std::string result;
    for (const Event& event : events) result += kKinds.at(event.what.index());
    return result;
  }
  [[nodiscard]] const event::End& end() const {
    return std::get<event::End>(events.at(events.size() - 1).what);
  }

  std::vector<Event> events;
};

TEST_F(CallEventsTest, DeletedCallIsRecorded) {
  establish();
  std::ignore = handle(remove(0s));
  EXPECT_EQ(kinds(), "start answer end ");
  EXPECT_EQ(events[0].from_tag, "A");
  EXPECT_EQ(events[0].to_tag, "");
  EXPECT_EQ(events[2].call_id, "call");
  EXPECT_EQ(events[2].to_tag, "B");
  EXPECT_EQ(end().reason, "deleted");
  EXPECT_FALSE(end().notify_proxy);
  ASSERT_EQ(end().report.tags.size(), 2U);
  EXPECT_EQ(end().report.tags[0].tag, "A");
  EXPECT_EQ(end().report.tags[0].sections.at(0).streams.size(), 2U);
  EXPECT_TRUE(end().report.answered);
}

TEST_F(CallEventsTest, DelayedDeleteIsRecordedWhenDue) {
  establish();
  std::ignore = handle(remove(3s));
  expire_after(2s);
  EXPECT_EQ(kinds(), "start answer ");
  expire_after(2s);
  EXPECT_EQ(kinds(), "start answer end ");
  EXPECT_EQ(events[2].from_tag, "A");
  EXPECT_FALSE(end().notify_proxy);
  EXPECT_EQ(end().report.tags.size(), 2U);
}

TEST_F(CallEventsTest, MediaTimeoutNotifiesTheProxy) {
  Request first = offer(audio("198.18.0.1", 4000));
  first.notify.socket = "unix:/run/x";
  first.notify.tag = "T1";
  first.notify.dialog_id = "7:8";
  std::ignore = print(first);
  std::ignore = print(answer(audio("198.18.0.2", 5000)));
  for (int i = 0; i < 61; ++i) expire_after(1s);
  EXPECT_EQ(kinds(), "start answer timeout end ");
  EXPECT_EQ(std::get<event::Timeout>(events[2].what).reason, "media-timeout");
  EXPECT_EQ(end().reason, "media-timeout");
  EXPECT_TRUE(end().notify_proxy);
  ASSERT_EQ(end().dialogs.size(), 1U);
  EXPECT_EQ(end().dialogs[0].from_tag, "A");
  EXPECT_EQ(end().dialogs[0].to_tag, "B");
  EXPECT_EQ(end().notify_socket, "unix:/run/x");
  EXPECT_EQ(end().notify_tag, "T1");
  EXPECT_EQ(end().dialog_id, "7:8");
  EXPECT_EQ(end().report.tags.size(), 2U);
}

TEST_F(CallEventsTest, UnansweredOfferDoesNotNotifyTheProxy) {
  std::ignore = print(offer(audio("198.18.0.1", 4000)));
  for (int i = 0; i < 241; ++i) expire_after(1s);
  EXPECT_EQ(kinds(), "start timeout end ");
  EXPECT_EQ(end().reason, "offer-timeout");
  EXPECT_TRUE(end().dialogs.empty());
}

TEST_F(CallEventsTest, HoldAndResumeArePublishedOnce) {
  establish();
  reinvite("a=sendonly\r\n", "a=recvonly\r\n");
  reinvite("a=inactive\r\n", "a=inactive\r\n");
  reinvite("", "");
  reinvite("", "");
  EXPECT_EQ(kinds(), "start answer hold resume ");
}

TEST_F(CallEventsTest, RefusedOfferPublishesNothing) {
  std::ignore = reason(offer(audio("127.0.0.1", 4000)));
  EXPECT_EQ(kinds(), "");
}

// Each portion's events leave before the next one is due.
TEST_F(CallEventsTest, ManyCallsEndInPortions) {
  const auto make = [&](std::size_t calls_now) {
    for (std::size_t i = 0; i < calls_now; ++i) {
      Request made = offer(audio("198.18.0.1", 4000));
      const std::string call_id = std::to_string(i);
      made.call_id = call_id;
      std::ignore = print(made);
    }
    events.clear();
  };
  make(Calls::kPortion + 5);
  EXPECT_TRUE(calls->expire(now += 241s));
  EXPECT_EQ(events.size(), 2 * Calls::kPortion);  // timeout and end
  EXPECT_FALSE(calls->expire(now));
  EXPECT_EQ(calls->sessions(), 0U);
  make(Calls::kPortion + 5);
  EXPECT_EQ(calls->end_portion(), 5U);
  EXPECT_EQ(events.size(), Calls::kPortion);
  EXPECT_EQ(calls->end_portion(), 0U);
}

TEST_F(CallEventsTest, StopPublishesEveryEndAndRefusesNewCalls) {
  establish();
  Request other = offer(audio("198.18.0.1", 6000));
  other.call_id = "other";
  std::ignore = print(other);
  EXPECT_EQ(calls->end_portion(), 0U);
  EXPECT_EQ(calls->sessions(), 0U);
  EXPECT_EQ(kinds(), "start answer start end end ");
  for (std::size_t i = 3; i < 5; ++i) {
    const auto& last = std::get<event::End>(events[i].what);
    EXPECT_EQ(last.reason, "forced");
    EXPECT_TRUE(last.notify_proxy);
  }
  EXPECT_EQ(reason(offer(audio("198.18.0.1", 4000))), "Parallel session limit reached");
}

TEST_F(CallEventsTest, OnlyEndsForTheProxyArePublishedWithoutReaders) {
  config.notify.clear();
  listen();
  establish();
  std::ignore = handle(remove(0s));
  EXPECT_EQ(kinds(), "");
  establish();
  for (int i = 0; i < 61; ++i) expire_after(1s);
  EXPECT_EQ(kinds(), "timeout end ");
  EXPECT_EQ(end().dialogs.size(), 1U);
}

}  // namespace
}  // namespace millrace
