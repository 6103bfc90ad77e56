// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/flow.h"

namespace millrace {
namespace {

constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

UdpPort port_at(std::uint64_t word, unsigned shift) {
  return UdpPort(Be16::from_raw(static_cast<std::uint16_t>(word >> shift)).host());
}

Orders unpack(const OrdersLine& line, std::uint64_t head) {
  Orders orders;
  orders.flags = static_cast<std::uint32_t>(head >> 32);
  const std::uint64_t ports = line.ports.load(kAcquire);
  orders.source = {load_address(line.source), port_at(ports, 0)};
  orders.destination = {load_address(line.destination), port_at(ports, 32)};
  const std::uint64_t next = line.next.load(kAcquire);
  orders.hop = {static_cast<std::uint16_t>(next), static_cast<std::uint16_t>(next >> 48)};
  orders.peer = SlotIndex(static_cast<std::uint32_t>(next >> 16));
  const std::uint64_t rewrite = line.rewrite.load(kAcquire);
  orders.udp_delta = static_cast<std::uint16_t>(~rewrite);
  orders.ip_delta = static_cast<std::uint16_t>(rewrite >> 16);
  orders.clock_rate = static_cast<std::uint32_t>(rewrite >> 32);
  return orders;
}

}  // namespace

std::optional<Orders> read_orders(const OrdersLine& line) {
  Orders orders;
  if (!read_consistent(line, [&](std::uint64_t head) { orders = unpack(line, head); })) {
    return std::nullopt;
  }
  return orders;
}

std::optional<OrdersLock> OrdersLock::try_lock(OrdersLine& line) {
  std::uint64_t head = line.head.load(std::memory_order_relaxed);
  if ((head & OrdersLine::kReserved) != 0) return std::nullopt;
  if (!line.head.compare_exchange_strong(head, head | OrdersLine::kReserved,
                                         std::memory_order_acq_rel, std::memory_order_relaxed)) {
    return std::nullopt;
  }
  return OrdersLock(line, head);
}

OrdersLock OrdersLock::lock(OrdersLine& line) {
  for (;;) {
    if (std::optional<OrdersLock> held = try_lock(line)) return std::move(*held);
    cpu_pause();
  }
}

OrdersLock::~OrdersLock() {
  if (line_ != nullptr) line_->head.store(head_, kRelease);
}

Orders OrdersLock::orders() const { return unpack(*line_, head_); }

void OrdersLock::commit(const Orders& orders) {
  line_->head.store(head_ | OrdersLine::kReserved | OrdersLine::kStoring, kRelease);
  store_address(line_->source, orders.source.address);
  store_address(line_->destination, orders.destination.address);
  const LocalPort out = orders.egress().local();
  line_->ports.store(std::uint64_t{orders.source.port.wire().raw()} |
                         std::uint64_t{out.port.wire().raw()} << 16 |
                         std::uint64_t{orders.destination.port.wire().raw()} << 32 |
                         std::uint64_t{std::to_underlying(out.address)} << 48,
                     kRelease);
  line_->next.store(std::uint64_t{orders.hop.index} | std::uint64_t{orders.peer.value} << 16 |
                        std::uint64_t{orders.hop.tag} << 48,
                    kRelease);
  line_->rewrite.store(std::uint64_t{static_cast<std::uint16_t>(~orders.udp_delta)} |
                           std::uint64_t{orders.ip_delta} << 16 |
                           std::uint64_t{orders.clock_rate} << 32,
                       kRelease);
  // The count is the head's low half and wraps there.
  const auto count = static_cast<std::uint32_t>(head_) + OrdersLine::kStep;
  line_->head.store(std::uint64_t{orders.flags} << 32 | count, kRelease);
  line_ = nullptr;
}

}  // namespace millrace
