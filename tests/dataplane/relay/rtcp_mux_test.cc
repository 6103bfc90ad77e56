// SPDX-License-Identifier: BSD-3-Clause
// One side has RTP and RTCP on one port (RFC 5761), the other one on two.

#include <atomic>
#include <random>
#include <thread>

#include "tests/dataplane/flow/latch_fixture.h"

namespace millrace::test {
namespace {

LocalPort above(LocalPort port) { return {port.address, port.port.next()}; }
Endpoint above(const Endpoint& endpoint) { return {endpoint.address, endpoint.port.next()}; }

// A sends RTCP from port 4000 to 30000, as its RTP; B from 5001 to 30003.
struct RtcpMux : testing::Test {
  PacketLab lab;
  Path path, rtcp_path;

  explicit RtcpMux(Family a = Family::ipv4, Family b = Family::ipv4) : path(path_ab(a, b)) {
    path.a.rtcp_mux = true;
    rtcp_path = path;
    rtcp_path.payload = Payload::rtcp;
    for (Side* side : {&rtcp_path.a, &rtcp_path.b}) side->local = above(side->local);
    rtcp_path.b.remote = above(*path.b.remote);
  }
  void SetUp() override { publish(); }
  void publish(Tsc now = kStart) {
    lab.flows.publish(path, now);
    lab.flows.publish(rtcp_path, now);
  }

  std::optional<Sent> send(const Endpoint& from, const Endpoint& to, const Bytes& payload,
                           Tsc now = kStart) {
    const bool a = from.address == kPartyA.address || from.address == kPartyA6.address;
    const std::uint16_t type = from.address.is_v4() ? 0x0800 : 0x86dd;
    const Bytes packet = udp(from, to, payload);
    return a ? lab.receive(0, ethernet(kMac0, kMacA, type, packet), now)
             : lab.receive(1, ethernet(kMac1, kMacB, type, packet), now);
  }
  std::optional<Sent> rtcp_of_b(Tsc now = kStart, const Endpoint& source = above(kPartyB)) {
    return send(source, above(kLocalB), rtcp(0xb), now);
  }
  FlowReport read(LocalPort port) const { return lab.flows.read(port, kStart); }
};

void expect_sent(const std::optional<Sent>& sent, std::size_t link, const Endpoint& from,
                 const Endpoint& to) {
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->link, link);
  EXPECT_EQ(source_of(sent->frame), from);
  EXPECT_EQ(destination_of(sent->frame), to);
  const Bytes packet(sent->frame.begin() + 14, sent->frame.end());
  EXPECT_EQ(udp_checksum(packet), 0);
  EXPECT_TRUE(!from.address.is_v4() || ipv4_checksum_ok(packet.data()));
}

TEST_F(RtcpMux, IsSplitOffForTheOtherSide) {
  expect_sent(lab.from_a(rtp({})), 1, kLocalB, kPartyB);
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), above(kPartyB));
  expect_sent(lab.from_a(stun()), 1, kLocalB, kPartyB);
  EXPECT_EQ(lab.dropped(), 0U);
}

TEST_F(RtcpMux, FirstPacketMayBeRtcp) {
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), above(kPartyB));
  EXPECT_EQ(read(kPortA).latched, kPartyA);
}

// A party that sends RTCP to the RTP port although no side multiplexes.
TEST_F(RtcpMux, UnaskedGoesToTheRtcpPort) {
  for (Path* each : {&path, &rtcp_path}) each->a.rtcp_mux = false;
  rtcp_path.a.remote = above(kPartyA);
  publish();
  EXPECT_FALSE(lab.from_a(rtcp(0xa))) << "latches nothing";
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 1U);
  ASSERT_TRUE(lab.from_a(rtp({})));
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), above(kPartyB));
  EXPECT_EQ(read(kPortA).forwarded, 2U);
  EXPECT_EQ(read(kPortA).expected, 1U) << "not RTP";
  // To B's latched RTCP source.
  const Endpoint behind_nat = at_port(kPartyB, 5999);
  expect_sent(rtcp_of_b(kStart, behind_nat), 0, above(kLocalA), above(kPartyA));
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), behind_nat);
  Bytes truncated = rtcp(0xa);
  truncated.pop_back();
  EXPECT_FALSE(lab.from_a(truncated));
  EXPECT_EQ(lab.dropped(DropReason::rtcp_malformed), 1U);
  expect_sent(lab.from_a(rtp({.sequence = 2})), 1, kLocalB, kPartyB);
}

TEST_F(RtcpMux, UnaskedGoesToTheRtpPortOfAMultiplexingSide) {
  for (Path* each : {&path, &rtcp_path}) {
    each->a.rtcp_mux = false;
    each->b.rtcp_mux = true;
  }
  rtcp_path.b.remote = kPartyB;
  publish();
  ASSERT_TRUE(lab.from_a(rtp({})));
  expect_sent(lab.from_a(rtcp(0xa)), 1, kLocalB, kPartyB);
}

TEST_F(RtcpMux, UnaskedIsDroppedWithoutAWay) {
  for (Path* each : {&path, &rtcp_path}) each->a.rtcp_mux = false;
  rtcp_path.b.deliver = false;
  publish();
  ASSERT_TRUE(lab.from_a(rtp({})));
  EXPECT_FALSE(lab.from_a(rtcp(0xa)));
  EXPECT_EQ(lab.dropped(DropReason::held), 1U);
  lab.flows.withdraw(above(kPortA));
  EXPECT_FALSE(lab.from_a(rtcp(0xa)));
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 1U);
  EXPECT_EQ(lab.dropped(), 2U);
}

TEST_F(RtcpMux, IsJoinedInFromTheOtherSide) {
  expect_sent(lab.from_b(rtp({})), 0, kLocalA, kPartyA);
  expect_sent(rtcp_of_b(), 0, kLocalA, kPartyA);
  EXPECT_EQ(lab.dropped(), 0U);
}

TEST_F(RtcpMux, WorksWithTheSidesSwapped) {
  lab.flows.withdraw(rtcp_path.a.local);
  lab.flows.withdraw(rtcp_path.b.local);
  for (Path* each : {&path, &rtcp_path}) std::swap(each->a.rtcp_mux, each->b.rtcp_mux);
  rtcp_path.a.remote = above(kPartyA);
  rtcp_path.b.remote = kPartyB;
  publish();
  expect_sent(lab.from_b(rtcp(0xb)), 0, above(kLocalA), above(kPartyA));
  expect_sent(send(above(kPartyA), above(kLocalA), rtcp(0xa)), 1, kLocalB, kPartyB);
  expect_sent(lab.from_a(rtp({})), 1, kLocalB, kPartyB);
}

TEST_F(RtcpMux, FollowsTheLatchOfRtp) {
  const Endpoint behind_nat = at_port(kPartyA, 4444);
  ASSERT_TRUE(lab.from_a(rtp({.sequence = 1}), kStart, behind_nat));
  expect_sent(rtcp_of_b(), 0, kLocalA, behind_nat);
  expect_sent(lab.from_a(rtcp(0xa), kStart, behind_nat), 1, above(kLocalB), above(kPartyB));
  // The NAT assigns another port: RTP relatches, RTCP follows.
  const Endpoint moved = at_port(kPartyA, 5555);
  EXPECT_FALSE(lab.from_a(rtcp(0xa), after_ms(50), moved));
  ASSERT_TRUE(lab.from_a(rtp({.sequence = 2}), after_ms(200), moved));
  expect_sent(rtcp_of_b(after_ms(200)), 0, kLocalA, moved);
  expect_sent(lab.from_a(rtcp(0xa), after_ms(200), moved), 1, above(kLocalB), above(kPartyB));
}

TEST_F(RtcpMux, IsSentToTheLatchedRtcpSourceOfTheOtherSide) {
  const Endpoint behind_nat = at_port(kPartyB, 5999);
  ASSERT_TRUE(rtcp_of_b(kStart, behind_nat));
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), behind_nat);
  expect_sent(lab.from_a(rtp({})), 1, kLocalB, kPartyB);
}

TEST_F(RtcpMux, SignallingMovesBoth) {
  ASSERT_TRUE(lab.from_a(rtp({})));
  const Endpoint moved = at_port(kPartyA, 4600);
  for (Path* each : {&path, &rtcp_path}) {
    each->a.remote = moved;
    each->a.on_publish = OnPublish::reopen;
  }
  publish();
  expect_sent(lab.from_b(rtp({})), 0, kLocalA, moved);
  expect_sent(rtcp_of_b(), 0, kLocalA, moved);
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB),
              above(kPartyB));  // accepted until RTP relatches
  ASSERT_TRUE(lab.from_a(rtp({.sequence = 2}), after_ms(1), moved));
  expect_sent(lab.from_a(rtcp(0xa), after_ms(1), moved), 1, above(kLocalB), above(kPartyB));
}

TEST_F(RtcpMux, FollowsTheSdpWithoutLatching) {
  for (Path* each : {&path, &rtcp_path}) each->a.latching = Latching::off;
  publish();
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), above(kPartyB));
  EXPECT_FALSE(lab.from_a(rtcp(0xa), kStart, at_port(kPartyA, 4444)));
  expect_sent(rtcp_of_b(), 0, kLocalA, kPartyA);
}

TEST_F(RtcpMux, FromStrangersIsDropped) {
  EXPECT_FALSE(send({IpAddress::v4(198, 18, 0, 66), UdpPort(4000)}, kLocalA, rtcp(0xa)));
  EXPECT_FALSE(rtcp_of_b(kStart, kAttacker));
  EXPECT_EQ(lab.dropped(DropReason::wrong_source) + lab.dropped(DropReason::not_local), 2U);
  EXPECT_EQ(lab.stats.relayed.value(), 0U);
}

TEST_F(RtcpMux, RtcpPortOfTheMultiplexedSideIsInactive) {
  ASSERT_TRUE(lab.from_a(rtp({})));
  for (const Bytes& payload : {rtcp(0xa), rtp({}), stun()}) {
    EXPECT_FALSE(send(kPartyA, above(kLocalA), payload));
    EXPECT_FALSE(send(above(kPartyA), above(kLocalA), payload));
  }
  EXPECT_EQ(lab.dropped(DropReason::port_inactive), 6U);
  EXPECT_EQ(lab.dropped(), 6U);
}

TEST_F(RtcpMux, IsNotSentToAPartyOnHold) {
  for (Path* each : {&path, &rtcp_path}) each->b.deliver = false;
  publish();
  EXPECT_FALSE(lab.from_a(rtcp(0xa)));
  EXPECT_EQ(lab.dropped(DropReason::held), 1U);
  EXPECT_EQ(read(kPortA).forwarded, 0U);
  expect_sent(rtcp_of_b(), 0, kLocalA, kPartyA);
}

TEST_F(RtcpMux, WaitsUntilTheOtherSideLatches) {
  rtcp_path.b.remote.reset();
  publish();
  EXPECT_FALSE(lab.from_a(rtcp(0xa)));
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 1U);
  EXPECT_EQ(read(kPortA).drops[std::to_underlying(DropReason::no_destination) - kFirstFlowReason],
            1U);
  ASSERT_TRUE(rtcp_of_b());
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), above(kPartyB));
}

TEST_F(RtcpMux, IsCountedOnTheReceivingPort) {
  ASSERT_TRUE(lab.from_a(rtp({})));
  ASSERT_TRUE(lab.from_a(rtcp(0xa)));
  ASSERT_TRUE(rtcp_of_b());
  EXPECT_EQ(read(kPortA).packets, 2U);
  EXPECT_EQ(read(kPortA).forwarded, 2U);
  EXPECT_EQ(read(kPortA).expected, 1U);
  EXPECT_EQ(read(kPortA).latched, kPartyA);
  EXPECT_EQ(read(kPortA).destination, kPartyB);
  EXPECT_EQ(read(above(kPortA)).packets, 0U);
  EXPECT_FALSE(read(above(kPortA)).latched);
  EXPECT_FALSE(read(above(kPortA)).idle);
  EXPECT_EQ(read(above(kPortB)).packets, 1U);
  EXPECT_EQ(read(above(kPortB)).latched, above(kPartyB));
  EXPECT_EQ(read(above(kPortB)).destination, kPartyA);
}

TEST_F(RtcpMux, SplitsAndJoinsAgain) {
  ASSERT_TRUE(lab.from_a(rtp({})));
  // Neither multiplexes: A's RTCP port latches anew.
  path.a.rtcp_mux = rtcp_path.a.rtcp_mux = false;
  rtcp_path.a.remote = above(kPartyA);
  publish();
  EXPECT_FALSE(read(above(kPortA)).latched);
  expect_sent(rtcp_of_b(), 0, above(kLocalA), above(kPartyA));
  const Endpoint behind_nat = at_port(kPartyA, 4444);
  expect_sent(send(behind_nat, above(kLocalA), rtcp(0xa)), 1, above(kLocalB), above(kPartyB));
  expect_sent(rtcp_of_b(), 0, above(kLocalA), behind_nat);
  // A multiplexes again.
  path.a.rtcp_mux = rtcp_path.a.rtcp_mux = true;
  rtcp_path.a.remote = kPartyA;
  publish();
  expect_sent(rtcp_of_b(), 0, kLocalA, kPartyA);
  expect_sent(lab.from_a(rtcp(0xa)), 1, above(kLocalB), above(kPartyB));
  // Both multiplex.
  path.b.rtcp_mux = true;
  lab.flows.publish(path, kStart);
  lab.flows.withdraw(rtcp_path.a.local);
  lab.flows.withdraw(rtcp_path.b.local);
  expect_sent(lab.from_a(rtcp(0xa)), 1, kLocalB, kPartyB);
  expect_sent(lab.from_b(rtcp(0xb)), 0, kLocalA, kPartyA);
  EXPECT_FALSE(rtcp_of_b());
}

// Without the RTCP path, RTCP is dropped and never sent from an RTP port.
TEST_F(RtcpMux, NeedsBothPaths) {
  lab.flows.withdraw(rtcp_path.a.local);
  EXPECT_FALSE(lab.from_a(rtcp(0xa)));
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 1U);
  EXPECT_TRUE(lab.from_a(rtp({})));
}

TEST_F(RtcpMux, LatchesBothPortsOrNone) {
  {
    const RuleLock writer = RuleLock::lock(lab.flows.slot(SlotIndex(above(kPortA))).rule);
    EXPECT_FALSE(lab.from_a(rtp({})));
    EXPECT_EQ(lab.dropped(DropReason::latch_contended), 1U);
    EXPECT_FALSE(read(kPortA).latched);
  }
  EXPECT_TRUE(lab.from_a(rtp({.sequence = 2})));
  EXPECT_TRUE(lab.from_a(rtcp(0xa)));
}

// Signalling and workers at once: in the end all ports report the same latch.
TEST_F(RtcpMux, SignallingAndWorkersAtOnce) {
  // No SDP endpoint: otherwise a moved side would be sent to at it.
  for (Path* each : {&path, &rtcp_path}) {
    each->a.remote.reset();
    each->b.remote.reset();
  }
  std::atomic<bool> stop{false};
  std::vector<std::jthread> workers;
  for (const LocalPort port : {kPortA, above(kPortB)}) {
    workers.emplace_back([&, port] {
      const Endpoint& party = port == kPortA ? kPartyA : kPartyB;
      for (std::uint16_t n = 0; !stop; ++n) {
        const Endpoint source = at_port(party, static_cast<std::uint16_t>(6000 + n % 50));
        const Evidence evidence{.kind = Evidence::Kind::stun};
        [[maybe_unused]] const auto refused =
            lab.flows.latch(SlotIndex(port), source, evidence, kStart);
      }
    });
  }
  const auto latched = [&] { return read(kPortA).latched && read(above(kPortB)).latched; };
  for (int i = 0; i < 3000 || !latched(); ++i) {
    for (Path* each : {&path, &rtcp_path}) {
      each->a.on_publish = each->b.on_publish = i % 2 == 0 ? OnPublish::reopen : OnPublish::keep;
    }
    publish();
  }
  stop = true;
  workers.clear();
  const FlowReport a = read(kPortA), b = read(above(kPortB));
  EXPECT_EQ(read(kPortB).destination, a.latched);
  EXPECT_EQ(b.destination, a.latched);
  EXPECT_EQ(read(above(kPortA)).destination, b.latched);
  expect_sent(send(*a.latched, kLocalA, rtcp(0xa)), 1, above(kLocalB), *b.latched);
  expect_sent(send(*b.latched, above(kLocalB), rtcp(0xb)), 0, kLocalA, *a.latched);
}

struct RtcpMuxAcross : RtcpMux {
  RtcpMuxAcross() : RtcpMux(Family::ipv6, Family::ipv4) {}
};

TEST_F(RtcpMuxAcross, WorksAcrossFamilies) {
  std::mt19937 random{11};
  for (int i = 0; i < 200; ++i) {
    const auto port = [&] { return UdpPort(static_cast<std::uint16_t>(1 + random() % 65'535)); };
    path.a.remote->port = port();
    rtcp_path.a.remote = path.a.remote;
    path.b.remote->port = port();
    rtcp_path.b.remote->port = port();
    for (const Path& each : {path, rtcp_path}) {
      lab.flows.withdraw(each.a.local);
      lab.flows.withdraw(each.b.local);
    }
    publish();
    expect_sent(lab.from_a(rtcp(static_cast<std::uint32_t>(random())), kStart, *path.a.remote), 1,
                above(kLocalB), *rtcp_path.b.remote);
    expect_sent(
        send(*rtcp_path.b.remote, above(kLocalB), rtcp(static_cast<std::uint32_t>(random()))), 0,
        kLocalA6, *path.a.remote);
  }
}

// A check that waited at the RTCP port when the answer moved RTCP to the RTP port.
TEST_F(RtcpMux, EarlyCheckIsNotSentFromASplitOffPort) {
  const Path joined = rtcp_path;
  for (const LocalPort port : {kPortA, kPortB}) {
    lab.flows.withdraw(port);
    lab.flows.withdraw(above(port));
  }
  rtcp_path.a.rtcp_mux = path.a.rtcp_mux = false;
  rtcp_path.b.remote.reset();
  rtcp_path.b.hints.clear();
  publish();
  EXPECT_FALSE(send(kPartyA, above(kLocalA), stun()));
  EXPECT_TRUE(lab.relay.keeps());
  rtcp_path = joined;
  path.a.rtcp_mux = true;
  publish();
  ASSERT_TRUE(lab.from_a(rtp({})));
  EXPECT_TRUE(lab.send_kept(after_ms(2)).empty());
  EXPECT_FALSE(lab.relay.keeps());
  EXPECT_EQ(lab.dropped(DropReason::port_inactive), 1U);
}

}  // namespace
}  // namespace millrace::test
