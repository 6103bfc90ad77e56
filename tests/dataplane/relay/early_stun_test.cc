// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/early_stun.h"

#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

// A Binding request whose transaction is `number`.
Bytes check(std::uint8_t number) {
  Bytes out = stun();
  out.back() = std::byte{number};
  return out;
}

std::uint8_t number_of(const Sent& sent) {
  return std::to_integer<std::uint8_t>(sent.frame.back());
}

// A has offered, B has not answered.
Path offered() {
  Path path = path_ab();
  path.b.remote.reset();
  path.b.hints.clear();
  return path;
}

constexpr Tsc kSoon{kStart.ticks + kHz / 100};
constexpr Tsc kTooLate{kStart.ticks + kHz};

unsigned buffers_used() { return Buffers::kCount - rte_mempool_avail_count(&Buffers::pool()); }

TEST(EarlyStun, WaitsForTheAnswerAndIsSentOnce) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  EXPECT_TRUE(lab.relay.keeps());
  EXPECT_EQ(lab.stats.relayed.value(), 0U);
  EXPECT_TRUE(lab.send_kept(kSoon).empty());
  lab.flows.publish(path_ab(), kSoon);
  const auto sent = lab.send_kept(after_ms(20));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].link, 1U);
  EXPECT_EQ(source_of(sent[0].frame), kLocalB);
  EXPECT_EQ(destination_of(sent[0].frame), kPartyB);
  const Bytes packet(sent[0].frame.begin() + 14, sent[0].frame.end());
  EXPECT_TRUE(ipv4_checksum_ok(packet.data()));
  EXPECT_EQ(udp_checksum(packet), 0);
  EXPECT_EQ(number_of(sent[0]), 1);
  EXPECT_FALSE(lab.relay.keeps());
  EXPECT_TRUE(lab.send_kept(after_ms(30)).empty());
  EXPECT_EQ(lab.dropped(), 0U);
  EXPECT_EQ(lab.stats.relayed.value(), 1U);
  EXPECT_EQ(lab.stats.relayed_bytes.value(), sent[0].frame.size());
  const FlowReport report = lab.flows.read(kPortA, after_ms(30));
  EXPECT_EQ(report.packets, 1U);
  EXPECT_EQ(report.stun, 1U);
  EXPECT_EQ(report.forwarded, 1U);
}

TEST(EarlyStun, CrossesFamilies) {
  for (const Family a : {Family::ipv4, Family::ipv6}) {
    const Family b = a == Family::ipv4 ? Family::ipv6 : Family::ipv4;
    const Path answered = path_ab(a, b);
    Path path = answered;
    path.b.remote.reset();
    path.b.hints.clear();
    PacketLab lab;
    lab.flows.publish(path, kStart);
    EXPECT_FALSE(lab.from_a(check(1), kStart, a == Family::ipv4 ? kPartyA : kPartyA6));
    lab.flows.publish(answered, kSoon);
    const auto sent = lab.send_kept(kSoon);
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(destination_of(sent[0].frame), b == Family::ipv4 ? kPartyB : kPartyB6);
    EXPECT_EQ(udp_checksum(Bytes(sent[0].frame.begin() + 14, sent[0].frame.end())), 0);
  }
}

// B's SDP has no sendable address: B's first packet latches it.
TEST(EarlyStun, WaitsUntilTheOtherSideLatches) {
  PacketLab lab;
  Path path = path_ab();
  path.b.remote.reset();
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  ASSERT_TRUE(lab.from_b(check(9), kSoon));
  const auto sent = lab.send_kept(kSoon);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(destination_of(sent[0].frame), kPartyB);
}

TEST(EarlyStun, WaitsForTheNextHop) {
  PacketLab lab;
  Path path = path_ab();
  path.b.remote->address = IpAddress::v4(203, 0, 113, 99);
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  EXPECT_TRUE(lab.send_kept(kStart).empty());
  lab.introduce(1, path.b.remote->address, kMacGateway, kSoon);
  const auto sent = lab.send_kept(kSoon);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(destination_of(sent[0].frame), *path.b.remote);
  EXPECT_EQ(lab.dropped(), 0U);
}

TEST(EarlyStun, KeepsTheOrder) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(7)));
  EXPECT_FALSE(lab.from_a(check(3)));
  EXPECT_FALSE(lab.from_a(check(5)));
  lab.flows.publish(path_ab(), kSoon);
  const auto sent = lab.send_kept(kSoon);
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(number_of(sent[0]), 7);
  EXPECT_EQ(number_of(sent[1]), 3);
  EXPECT_EQ(number_of(sent[2]), 5);
}

TEST(EarlyStun, IsBoundedPerSlot) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  for (std::uint8_t i = 0; i < 10; ++i) EXPECT_FALSE(lab.from_a(check(i)));
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 10 - EarlyStun::kPerSlot);
  EXPECT_EQ(buffers_used(), EarlyStun::kPerSlot);
  lab.flows.publish(path_ab(), kSoon);
  EXPECT_EQ(lab.send_kept(kSoon).size(), EarlyStun::kPerSlot);
}

TEST(EarlyStun, IsBoundedPerWorker) {
  PacketLab lab;
  constexpr std::size_t kFlows = 2 * EarlyStun::kCapacity / EarlyStun::kPerSlot;
  const auto path_of = [](std::size_t i, Path path) {
    path.a.local.port = UdpPort(static_cast<std::uint16_t>(30000 + 2 * i));
    path.b.local.port = path.a.local.port;
    return path;
  };
  for (std::size_t i = 0; i < kFlows; ++i) {
    const Path path = path_of(i, offered());
    lab.flows.publish(path, kStart);
    std::vector<rte_mbuf*> rx;
    for (std::uint8_t k = 0; k < EarlyStun::kPerSlot; ++k) {
      const Endpoint to{kLocalA.address, path.a.local.port};
      rx.push_back(PacketLab::packet(ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, to, check(k)))));
    }
    EXPECT_TRUE(lab.burst(0, rx, kStart).empty());
  }
  EXPECT_EQ(buffers_used(), EarlyStun::kCapacity);
  EXPECT_EQ(lab.dropped(DropReason::no_destination), EarlyStun::kCapacity);
  for (std::size_t i = 0; i < kFlows; ++i) lab.flows.publish(path_of(i, path_ab()), kSoon);
  EXPECT_EQ(lab.send_kept(kSoon).size(), EarlyStun::kCapacity);
  EXPECT_EQ(lab.stats.relayed.value(), EarlyStun::kCapacity);
}

TEST(EarlyStun, DropsUnderTheReasonThatItWaitedFor) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  EXPECT_TRUE(lab.send_kept(Tsc{kTooLate.ticks - 1}).empty());
  EXPECT_EQ(lab.dropped(), 0U);
  EXPECT_TRUE(lab.send_kept(after_ms(1001)).empty());
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 1U);
  EXPECT_EQ(lab.dropped(), 1U);
  EXPECT_EQ(buffers_used(), 0U);
  EXPECT_EQ(lab.flows.read(kPortA, kTooLate).forwarded, 0U);
  EXPECT_EQ(lab.stats.relayed.value(), 0U);

  Path path = path_ab();
  path.b.remote->address = IpAddress::v4(203, 0, 113, 99);
  lab.flows.publish(path, after_ms(1100));
  EXPECT_FALSE(lab.from_a(check(1), after_ms(1100)));
  EXPECT_TRUE(lab.send_kept(after_ms(2100)).empty());
  EXPECT_EQ(lab.dropped(DropReason::neighbor_unresolved), 1U);
  EXPECT_EQ(lab.dropped(), 2U);
}

TEST(EarlyStun, IsRetriedOncePerMillisecond) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  EXPECT_TRUE(lab.send_kept(kStart).empty());
  lab.flows.publish(path_ab(), kStart);
  EXPECT_TRUE(lab.send_kept(Tsc{after_ms(1).ticks - 1}).empty());
  EXPECT_EQ(lab.send_kept(after_ms(1)).size(), 1U);
}

TEST(EarlyStun, IsDroppedWhenItsPortIsWithdrawn) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  EXPECT_FALSE(lab.from_a(check(2)));
  lab.flows.withdraw(kPortA);
  EXPECT_TRUE(lab.send_kept(kSoon).empty());
  EXPECT_EQ(buffers_used(), 0U);
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 2U);
  EXPECT_EQ(lab.dropped(), 2U);
}

TEST(EarlyStun, IsNotSentToTheNextCallOnThePort) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  lab.flows.withdraw(kPortA);
  lab.flows.withdraw(kPortB);
  Path path = path_ab();
  path.a.remote = Endpoint{IpAddress::v4(198, 18, 0, 11), UdpPort(4000)};
  path.a.hints = {path.a.remote->address};
  lab.flows.publish(path, kSoon);
  EXPECT_TRUE(lab.send_kept(kSoon).empty());
  EXPECT_EQ(buffers_used(), 0U);
}

TEST(EarlyStun, IsNotSentToAPartyOnHold) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(1)));
  Path path = path_ab();
  path.b.deliver = false;
  lab.flows.publish(path, kSoon);
  EXPECT_TRUE(lab.send_kept(kSoon).empty());
  EXPECT_EQ(lab.dropped(DropReason::held), 1U);
  EXPECT_EQ(lab.dropped(), 1U);
  EXPECT_EQ(buffers_used(), 0U);
}

TEST(EarlyStun, FromStrangersIsNotKept) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(check(1), kStart, {IpAddress::v4(198, 18, 0, 66), UdpPort(4000)}));
  EXPECT_FALSE(lab.from_b(check(1)));  // no path yet: dropped like a stranger's
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 2U);
  EXPECT_FALSE(lab.relay.keeps());
  EXPECT_EQ(buffers_used(), 0U);
}

TEST(EarlyStun, OtherPacketsAreNotKept) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  EXPECT_FALSE(lab.from_a(rtp({})));
  EXPECT_FALSE(lab.from_a(bytes_of({22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})));  // DTLS
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 2U);
  EXPECT_FALSE(lab.relay.keeps());
}

TEST(EarlyStun, IsFreedByTheDestructor) {
  PacketLab lab;
  lab.flows.publish(offered(), kStart);
  std::array<Link*, 2> links{&lab.link(0), &lab.link(1)};
  std::array<TxBatch, 2> tx;
  {
    Relay other(lab.flows, links, lab.host, tx, lab.stats);
    std::array<rte_mbuf*, 1> rx{
        PacketLab::packet(ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, check(1))))};
    other.burst(0, rx, kStart);
    EXPECT_TRUE(other.keeps());
    EXPECT_EQ(buffers_used(), 1U);
  }
  EXPECT_EQ(buffers_used(), 0U);
}

}  // namespace
}  // namespace millrace::test
