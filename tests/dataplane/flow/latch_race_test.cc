// SPDX-License-Identifier: BSD-3-Clause
// Signalling and workers at one slot.

#include <atomic>
#include <thread>
#include <vector>

#include "tests/dataplane/flow/latch_fixture.h"

namespace millrace::test {
namespace {

TEST_F(Latch, BusySlotHasItsDropReason) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  Slot& slot = lab.flows.slot(SlotIndex(kPortA));
  {
    const RuleLock writer = RuleLock::lock(slot.rule);
    slot.rule.head |= RuleLine::kStoring;
    EXPECT_FALSE(lab.from_a(rtp({})));
    EXPECT_EQ(lab.dropped(DropReason::slot_busy), 1U);
    EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), after_ms(200), at_port(kPartyB, 5001)));
    EXPECT_EQ(lab.dropped(DropReason::latch_contended), 1U) << "the peer's slot is being written";
  }
  EXPECT_TRUE(lab.from_a(rtp({})));
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 3}), after_ms(200), at_port(kPartyB, 5001)));
}

// Signalling and two workers on one path at once: every read returns one of the valid states.
TEST_F(Latch, SignallingAndWorkersAtOnce) {
  publish();
  std::atomic<bool> stop{false};
  std::vector<std::jthread> workers;
  for (std::uint16_t w = 0; w < 2; ++w) {
    workers.emplace_back([&, w] {
      const SlotIndex index(w == 0 ? kPortA : kPortB);
      const Endpoint& party = w == 0 ? kPartyA : kPartyB;
      for (std::uint16_t n = 0; !stop; ++n) {
        const Evidence evidence{.kind = Evidence::Kind::stun};
        const Endpoint source = at_port(party, static_cast<std::uint16_t>(6000 + n % 50));
        [[maybe_unused]] const auto refused = lab.flows.latch(index, source, evidence, kStart);
        [[maybe_unused]] const auto hop = lab.flows.refresh_next_hop(index, kStart);
      }
    });
  }
  for (int i = 0; i < 3000; ++i) {
    path.a.on_publish = path.b.on_publish = i % 2 == 0 ? OnPublish::reopen : OnPublish::keep;
    lab.flows.publish(path, kStart);
    const FlowReport seen = a();
    if (seen.destination) {
      EXPECT_EQ(seen.destination->address, kPartyB.address);
    }
    if (i % 100 == 99) lab.flows.withdraw(kPortB);
  }
  stop = true;
  workers.clear();
  path.a.on_publish = path.b.on_publish = OnPublish::keep;
  lab.flows.publish(path, kStart);
  EXPECT_EQ(a().destination, b().latched) << "both slots agree";
}

}  // namespace
}  // namespace millrace::test
