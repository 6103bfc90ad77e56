// SPDX-License-Identifier: BSD-3-Clause
// Exceptions inside one request or one check: every allocation of it fails in turn.

#include <cstdint>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "tests/control/call/call_fixture.h"

namespace {

// The allocations of this thread until one fails; negative: none does.
thread_local std::int64_t left = -1;

// Makes allocation number `nth` fail, once.
class FailingAllocation {
 public:
  explicit FailingAllocation(std::int64_t nth) { left = nth; }
  ~FailingAllocation() { left = -1; }
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;

  [[nodiscard]] static bool has_failed() { return left < 0; }
};

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (left >= 0 && left-- == 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
// ASan has its own; the library's would call the one above.
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return left >= 0 && left-- == 0 ? nullptr : std::malloc(bytes);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace millrace {
namespace {

using namespace std::chrono_literals;

class CallException : public CallTest {
 protected:
  void SetUp() override {
    config.timeouts.quarantine = 0s;
    config.notify = {Notify()};  // a reader of all events
    restart();
    calls->publish_events([this](const Event& event) {
      ends += std::holds_alternative<event::End>(event.what) ? 1 : 0;
    });
  }
  void offer_call(std::string_view call) {
    Request first = offer(audio(kA, 4000));
    first.call_id = call;
    std::ignore = print(first);
  }
  // Whether allocation number `nth` of `act` was reached, and so has failed.
  template <typename Act>
  [[nodiscard]] static bool fails(std::int64_t nth, Act&& act) {
    const FailingAllocation armed(nth);
    try {
      act();
    } catch (const std::bad_alloc&) {
    }
    return FailingAllocation::has_failed();
  }
  // Checks that no earlier call is left.
  void expect_nothing_left() {
    for (int i = 0; i < 3; ++i) expire_after(200s);
    EXPECT_EQ(statistics().sessions, 0U);
    EXPECT_EQ(statistics().ports_used, 0U);
  }

  unsigned ends = 0;
};

TEST_F(CallException, FailingCallInATickDelaysNoOther) {
  std::int64_t nth = 0;
  for (bool failed = true; failed; ++nth) {
    for (const char* call : {"one", "two", "three"}) offer_call(call);
    ends = 0;
    now += 240s;
    failed = fails(nth, [&] { std::ignore = calls->expire(now); });
    EXPECT_LE(statistics().sessions, 1U) << "allocation " << nth;
    EXPECT_GE(ends, 2U) << "allocation " << nth;
    // The failed call is checked again a second later.
    expire_after(1s);
    EXPECT_EQ(statistics().sessions, 0U) << "allocation " << nth;
    EXPECT_EQ(statistics().ports_used, 0U) << "allocation " << nth;
  }
  EXPECT_GT(nth, 10);  // there was something to fail
}

TEST_F(CallException, FailedRequestLeavesNoCallBehind) {
  std::int64_t nth = 0;
  for (bool failed = true; failed; ++nth) {
    const Request first = offer(audio(kA, 4000)), second = answer(audio(kB, 5000));
    Request last = request(Command::remove);
    last.removal.delay = 0s;
    failed = false;
    for (const Request& each : {first, second, last}) {
      failed |= fails(nth, [&] { std::ignore = handle(each); });
      // The proxy tries once more.
      if (each.command != Command::remove) std::ignore = print(each);
    }
    expect_nothing_left();
  }
  EXPECT_GT(nth, 10);
}

TEST_F(CallException, EndOfAllCallsContinuesAfterAFailure) {
  std::int64_t nth = 0;
  for (bool failed = true; failed; ++nth) {
    SetUp();
    for (const char* call : {"one", "two", "three"}) offer_call(call);
    failed = fails(nth, [&] { std::ignore = calls->end_portion(); });
    if (nth > 0) {  // the first is that of the list of calls
      EXPECT_LE(statistics().sessions, 1U) << "allocation " << nth;
    }
  }
  EXPECT_GT(nth, 10);
}

}  // namespace
}  // namespace millrace
