// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/flow.h"

namespace millrace {
namespace {

constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

UdpPort port_at(std::uint64_t word, unsigned shift) {
  return UdpPort(Be16::from_raw(static_cast<std::uint16_t>(word >> shift)).host());
}

Rule unpack(const RuleLine& line, std::uint64_t head) {
  Rule rule;
  rule.flags = static_cast<std::uint32_t>(head >> 32);
  const std::uint64_t ports = line.ports.load(kAcquire);
  rule.source = {load_address(line.source), port_at(ports, 0)};
  rule.destination = {load_address(line.destination), port_at(ports, 32)};
  const std::uint64_t next = line.next.load(kAcquire);
  rule.hop = {static_cast<std::uint16_t>(next), static_cast<std::uint16_t>(next >> 48)};
  rule.peer = SlotIndex(static_cast<std::uint32_t>(next >> 16));
  const std::uint64_t rewrite = line.rewrite.load(kAcquire);
  rule.udp_delta = static_cast<std::uint16_t>(~rewrite);
  rule.ip_delta = static_cast<std::uint16_t>(rewrite >> 16);
  rule.clock_rate = static_cast<std::uint32_t>(rewrite >> 32);
  return rule;
}

}  // namespace

std::uint64_t Rule::ports_word() const {
  const LocalPort out = egress().local();
  return std::uint64_t{source.port.wire().raw()} | std::uint64_t{out.port.wire().raw()} << 16 |
         std::uint64_t{destination.port.wire().raw()} << 32 |
         std::uint64_t{std::to_underlying(out.address)} << 48;
}

std::uint64_t Rule::next_word() const {
  return std::uint64_t{hop.index} | std::uint64_t{peer.value} << 16 | std::uint64_t{hop.tag} << 48;
}

std::uint64_t Rule::rewrite_word() const {
  return std::uint64_t{static_cast<std::uint16_t>(~udp_delta)} | std::uint64_t{ip_delta} << 16 |
         std::uint64_t{clock_rate} << 32;
}

std::optional<Rule> read_rule(const RuleLine& line) {
  Rule rule;
  if (!read_consistent(line, [&](std::uint64_t head) { rule = unpack(line, head); })) {
    return std::nullopt;
  }
  return rule;
}

std::optional<RuleLock> RuleLock::try_lock(RuleLine& line) {
  std::uint64_t head = line.head.load(std::memory_order_relaxed);
  if ((head & RuleLine::kReserved) != 0) return std::nullopt;
  if (!line.head.compare_exchange_strong(head, head | RuleLine::kReserved,
                                         std::memory_order_acq_rel, std::memory_order_relaxed)) {
    return std::nullopt;
  }
  return RuleLock(line, head);
}

RuleLock RuleLock::lock(RuleLine& line) {
  for (;;) {
    if (std::optional<RuleLock> taken = try_lock(line)) return std::move(*taken);
    cpu_pause();
  }
}

RuleLock::~RuleLock() {
  if (line_ != nullptr) line_->head.store(head_, kRelease);
}

Rule RuleLock::rule() const { return unpack(*line_, head_); }

void RuleLock::commit(const Rule& rule) {
  line_->head.store(head_ | RuleLine::kReserved | RuleLine::kStoring, kRelease);
  store_address(line_->source, rule.source.address);
  store_address(line_->destination, rule.destination.address);
  line_->ports.store(rule.ports_word(), kRelease);
  line_->next.store(rule.next_word(), kRelease);
  line_->rewrite.store(rule.rewrite_word(), kRelease);
  // The count is the low half of head and wraps within it.
  const auto count = static_cast<std::uint32_t>(head_) + RuleLine::kStep;
  line_->head.store(std::uint64_t{rule.flags} << 32 | count, kRelease);
  line_ = nullptr;
}

}  // namespace millrace
