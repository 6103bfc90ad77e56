// SPDX-License-Identifier: BSD-3-Clause
// Calls of one relay whose SDPs name each other's ports.
//
//   party A -- call 1: kPortA | kPort1 <-> kPort2 | kPortB: call 2 -- party B

#include <array>
#include <vector>

#include "dataplane/relay/nat_punch.h"
#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

constexpr LocalPort port_on(unsigned address, std::uint16_t port) {
  return {MediaAddressId{static_cast<std::uint16_t>(address)}, UdpPort(port)};
}
LocalPort above(LocalPort port) { return {port.address, port.port.next()}; }
Endpoint above(const Endpoint& endpoint) { return {endpoint.address, endpoint.port.next()}; }

Endpoint endpoint_of(LocalPort port) {
  static const std::array<IpAddress, 4> kAddresses{kLocalA.address, kLocalA6.address,
                                                   kLocalB.address, kLocalB6.address};
  return {kAddresses.at(std::to_underlying(port.address)), port.port};
}

Side party(LocalPort local, const Endpoint& remote) {
  Side side;
  side.local = local;
  side.remote = remote;
  side.hints = {remote.address};
  return side;
}
Side joined(LocalPort local, LocalPort to) { return party(local, endpoint_of(to)); }
Side party_a(Family family = Family::ipv4) {
  return family == Family::ipv4 ? party(kPortA, kPartyA) : party(kPortA6, kPartyA6);
}
Side party_b(Family family = Family::ipv4) {
  return family == Family::ipv4 ? party(kPortB, kPartyB) : party(kPortB6, kPartyB6);
}

Path path_of(const Side& a, const Side& b, Payload payload = Payload::rtp) {
  Path path;
  path.a = a;
  path.b = b;
  path.payload = payload;
  return path;
}
Path rtcp_of(Path path) {
  path.payload = Payload::rtcp;
  for (Side* side : {&path.a, &path.b}) {
    side->local = above(side->local);
    if (!side->rtcp_mux) side->remote = above(*side->remote);
  }
  return path;
}

constexpr LocalPort kPort1 = port_on(2, 31000), kPort2 = port_on(2, 31002);

struct Hairpin : testing::Test {
  PacketLab lab;
  Path call1 = path_of(party_a(), joined(kPort1, kPort2));
  Path call2 = path_of(joined(kPort2, kPort1), party_b());

  void publish() {
    lab.flows.publish(call1, kStart);
    lab.flows.publish(call2, kStart);
  }
  FlowReport read(LocalPort port) const { return lab.flows.read(port, kStart); }

  // A datagram with this TTL.
  std::vector<Sent> receive(std::size_t link, const Endpoint& from, const Endpoint& to,
                            const Bytes& payload, std::uint8_t ttl = 64) {
    Bytes packet = udp(from, to, payload);
    if (from.address.is_v4()) {
      packet[8] = std::byte{ttl};
      put16(packet, 10, 0);
      const std::uint16_t sum = checksum(std::span(packet).first(20));
      std::memcpy(packet.data() + 10, &sum, 2);
    } else {
      packet[7] = std::byte{ttl};
    }
    const std::uint16_t type = from.address.is_v4() ? 0x0800 : 0x86dd;
    const MacAddress& to_mac = link == 0 ? kMac0 : kMac1;
    const MacAddress& from_mac = link == 0 ? kMacA : kMacB;
    return lab.burst(link, {PacketLab::packet(ethernet(to_mac, from_mac, type, packet))}, kStart);
  }
  std::vector<Sent> from_a(const Bytes& payload, std::uint8_t ttl = 64) {
    return receive(0, kPartyA, kLocalA, payload, ttl);
  }
  std::vector<Sent> from_b(const Bytes& payload) { return receive(1, kPartyB, kLocalB, payload); }
  std::vector<Sent> flood_from_a(std::uint16_t count) {
    std::vector<Sent> all;
    for (std::uint16_t i = 0; i < count; ++i) {
      for (Sent& sent : from_a(rtp({.sequence = i}))) all.push_back(std::move(sent));
    }
    return all;
  }
};

unsigned ttl_of(const Sent& sent) {
  return std::to_integer<unsigned>(
      sent.frame[14 + ((sent.frame[14] >> 4) == std::byte{4} ? 8 : 7)]);
}

void expect_sent(const std::vector<Sent>& sent, std::size_t link, const Endpoint& from,
                 const Endpoint& to, const Bytes& payload) {
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].link, link);
  EXPECT_EQ(source_of(sent[0].frame), from);
  EXPECT_EQ(destination_of(sent[0].frame), to);
  const Bytes packet(sent[0].frame.begin() + 14, sent[0].frame.end());
  EXPECT_EQ(udp_checksum(packet), 0);
  EXPECT_TRUE(!from.address.is_v4() || ipv4_checksum_ok(packet.data()));
  EXPECT_TRUE(std::ranges::equal(std::span(packet).last(payload.size()), payload));
}

TEST_F(Hairpin, EachPacketOnceBothWays) {
  publish();
  for (std::uint16_t i = 1; i <= 20; ++i) {
    const Bytes to_b = rtp({.sequence = i, .ssrc = 1}), to_a = rtp({.sequence = i, .ssrc = 2});
    const auto at_b = from_a(to_b);
    expect_sent(at_b, 1, kLocalB, kPartyB, to_b);
    EXPECT_EQ(ttl_of(at_b.at(0)), 62U) << "one for each call";
    expect_sent(from_b(to_a), 0, kLocalA, kPartyA, to_a);
  }
  EXPECT_EQ(lab.dropped(), 0U);
  EXPECT_EQ(lab.stats.rx_packets.value(), 40U);
  EXPECT_EQ(lab.stats.relayed.value(), 40U) << "once a packet, whatever its passes";
  EXPECT_EQ(lab.stats.relayed_bytes.value(), 40U * (14 + 28 + 32));
  for (const LocalPort port : {kPortA, kPort1, kPort2, kPortB}) {
    const FlowReport report = read(port);
    EXPECT_EQ(report.packets, 20U);
    EXPECT_EQ(report.forwarded, 20U);
    EXPECT_EQ(report.lost, 0);
    EXPECT_EQ(report.ssrc, port == kPortA || port == kPort2 ? 1U : 2U);
  }
  EXPECT_EQ(read(kPort2).latched, endpoint_of(kPort1));
  EXPECT_EQ(read(kPort2).destination, kPartyB);
  EXPECT_EQ(read(kPortA).destination, endpoint_of(kPort2));
}

TEST_F(Hairpin, CrossesFamilies) {
  for (const Family a : {Family::ipv4, Family::ipv6}) {
    for (const Family middle : {Family::ipv4, Family::ipv6}) {
      for (const Family b : {Family::ipv4, Family::ipv6}) {
        PacketLab fresh;
        const LocalPort one = middle == Family::ipv4 ? kPort1 : port_on(3, 31000);
        const LocalPort there = middle == Family::ipv4 ? kPort2 : port_on(1, 31002);
        fresh.flows.publish(path_of(party_a(a), joined(one, there)), kStart);
        fresh.flows.publish(path_of(joined(there, one), party_b(b)), kStart);
        for (std::uint16_t i = 1; i <= 3; ++i) {
          const Bytes payload = rtp({.sequence = i});
          const auto at_b = fresh.from_a(payload, kStart, a == Family::ipv4 ? kPartyA : kPartyA6);
          ASSERT_TRUE(at_b);
          expect_sent({*at_b}, 1, b == Family::ipv4 ? kLocalB : kLocalB6,
                      b == Family::ipv4 ? kPartyB : kPartyB6, payload);
          const auto at_a = fresh.from_b(payload, kStart, b == Family::ipv4 ? kPartyB : kPartyB6);
          ASSERT_TRUE(at_a);
          expect_sent({*at_a}, 0, a == Family::ipv4 ? kLocalA : kLocalA6,
                      a == Family::ipv4 ? kPartyA : kPartyA6, payload);
        }
        EXPECT_EQ(fresh.dropped(), 0U);
      }
    }
  }
}

TEST_F(Hairpin, RtcpOnItsOwnPort) {
  publish();
  lab.flows.publish(rtcp_of(call1), kStart);
  lab.flows.publish(rtcp_of(call2), kStart);
  const Bytes report = rtcp(0xa);
  expect_sent(receive(0, above(kPartyA), above(kLocalA), report), 1, above(kLocalB), above(kPartyB),
              report);
  expect_sent(receive(1, above(kPartyB), above(kLocalB), report), 0, above(kLocalA), above(kPartyA),
              report);
  EXPECT_EQ(lab.dropped(), 0U);
}

// A and the middle multiplex RTP and RTCP, B does not.
TEST_F(Hairpin, RtcpMux) {
  call1.a.rtcp_mux = call1.b.rtcp_mux = call2.a.rtcp_mux = true;
  publish();
  lab.flows.publish(rtcp_of(call2), kStart);
  const Bytes media = rtp({}), report = rtcp(0xa);
  expect_sent(from_a(media), 1, kLocalB, kPartyB, media);
  expect_sent(from_a(report), 1, above(kLocalB), above(kPartyB), report);
  expect_sent(receive(1, above(kPartyB), above(kLocalB), report), 0, kLocalA, kPartyA, report);
  EXPECT_EQ(lab.dropped(), 0U);
}

// A call of an attacker names the port of a call that names another port.
TEST_F(Hairpin, OnlyThePortOfTheSdpIsAdmitted) {
  call1.b.local = port_on(2, 31100);
  publish();
  EXPECT_TRUE(from_a(rtp({})).empty());
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 1U);
  EXPECT_EQ(lab.dropped(), 1U);
  EXPECT_EQ(read(kPort2).packets, 0U);
  EXPECT_EQ(read(kPort2).refused, 1U);
  EXPECT_EQ(read(kPortA).forwarded, 1U);
  // Nor is the port of a call that does not name the relay, also if it latches open.
  call2.a = party(kPort2, {kPartyB.address, UdpPort(7000)});
  call2.a.hints.push_back(kLocalB.address);
  call2.a.latching = Latching::open;
  publish();
  for (std::uint16_t i = 1; i < 9; ++i) EXPECT_TRUE(from_a(rtp({.sequence = i})).empty());
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 9U);
}

TEST_F(Hairpin, ASpoofedSourceFromTheWireIsRefused) {
  for (const bool open : {false, true}) {
    call2.a.latching = open ? Latching::open : Latching::restricted;
    publish();
    for (const bool in_use : {false, true}) {
      if (in_use) {
        ASSERT_EQ(from_a(rtp({.sequence = 1})).size(), 1U);
      }
      const auto before = lab.drops();
      for (std::uint16_t i = 2; i < 6; ++i) {
        EXPECT_TRUE(
            receive(1, endpoint_of(kPort1), endpoint_of(kPort2), rtp({.sequence = i})).empty());
      }
      EXPECT_EQ(lab.verdict_since(before), "source_invalid");
      // The address that signalling came from is a hint, and is not enough either.
      call2.a.hints.push_back(kPartyB.address);
      lab.flows.publish(call2, kStart);
      EXPECT_TRUE(
          receive(1, {kPartyB.address, UdpPort(9000)}, endpoint_of(kPort2), rtp({})).empty());
      EXPECT_EQ(lab.verdict_since(before), "source_invalidwrong_source");
    }
  }
}

TEST_F(Hairpin, TimeToLiveEnds) {
  publish();
  const auto last = from_a(rtp({.sequence = 1}), 3);
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(ttl_of(last[0]), 1U);
  EXPECT_TRUE(from_a(rtp({.sequence = 2}), 2).empty());
  EXPECT_EQ(lab.dropped(DropReason::hairpin_loop), 1U);
  EXPECT_EQ(read(kPort2).packets, 1U) << "not received there, as from a wire";
  EXPECT_TRUE(from_a(rtp({.sequence = 3}), 1).empty());
  EXPECT_EQ(lab.dropped(DropReason::ttl_expired), 1U);
  EXPECT_EQ(lab.dropped(), 2U);
}

TEST_F(Hairpin, PassesAreLimited) {
  // Calls between A and B: one more than passes. Ports 31000 to 31000 + 4 * calls.
  const auto chain = [&](unsigned calls) {
    const auto port = [](unsigned n) {
      return port_on(2, static_cast<std::uint16_t>(31000 + 2 * n));
    };
    for (unsigned i = 0; i < calls; ++i) {
      lab.flows.publish(
          path_of(i == 0 ? party_a() : joined(port(2 * i), port(2 * i - 1)),
                  i + 1 == calls ? party_b() : joined(port(2 * i + 1), port(2 * i + 2))),
          kStart);
    }
  };
  chain(Relay::kMaxPasses + 1);
  EXPECT_EQ(from_a(rtp({.sequence = 1})).size(), 1U);
  EXPECT_EQ(from_b(rtp({.sequence = 1})).size(), 1U);
  EXPECT_EQ(lab.dropped(), 0U);
  chain(Relay::kMaxPasses + 2);
  EXPECT_TRUE(from_a(rtp({.sequence = 2})).empty());
  EXPECT_EQ(lab.dropped(DropReason::hairpin_loop), 1U);
  EXPECT_EQ(lab.dropped(), 1U);
}

// A's own packets come back to it, once.
TEST_F(Hairpin, APortThatNamesItselfEchoes) {
  call1.b = joined(kPort1, kPort1);
  lab.flows.publish(call1, kStart);
  const std::vector<Sent> sent = flood_from_a(10'000);
  EXPECT_EQ(sent.size(), 10'000U);
  EXPECT_EQ(destination_of(sent.back().frame), kPartyA);
  EXPECT_EQ(lab.dropped(), 0U);
  EXPECT_EQ(lab.stats.relayed.value(), 10'000U);
}

// Every port has one source, so a ring cannot be entered, and the ring through A ends at A's port.
TEST_F(Hairpin, RingsMultiplyNothing) {
  const auto port = [](unsigned n) {
    return port_on(2, static_cast<std::uint16_t>(31000 + 2 * n));
  };
  for (const unsigned calls : {1U, 2U, 3U}) {
    for (const bool through_a : {false, true}) {
      PacketLab fresh;
      const unsigned ports = 2 * calls;
      for (unsigned i = 0; i < calls; ++i) {
        Side first = joined(port(2 * i), port((2 * i + ports - 1) % ports));
        Side second = joined(port(2 * i + 1), port((2 * i + 2) % ports));
        if (through_a && i == 0) first = party(port(0), kPartyB);
        fresh.flows.publish(path_of(first, second), kStart);
      }
      if (!through_a) {
        fresh.flows.publish(path_of(party_b(), joined(port_on(2, 32000), port(0))), kStart);
      }
      std::uint64_t sent = 0;
      const Endpoint to = through_a ? endpoint_of(port(0)) : kLocalB;
      for (std::uint16_t i = 0; i < 10'000; ++i) {
        const Bytes packet = udp(kPartyB, to, rtp({.sequence = i}));
        sent += fresh.burst(1, {PacketLab::packet(ethernet(kMac1, kMacB, 0x0800, packet))}, kStart)
                    .size();
      }
      EXPECT_EQ(sent, 0U);
      EXPECT_EQ(fresh.dropped(DropReason::wrong_source), 10'000U);
      EXPECT_EQ(fresh.dropped(), 10'000U);
    }
  }
}

TEST_F(Hairpin, TheOtherCallEnds) {
  publish();
  ASSERT_EQ(from_a(rtp({.sequence = 1})).size(), 1U);
  lab.flows.withdraw(kPort2);
  EXPECT_TRUE(from_a(rtp({.sequence = 2})).empty());
  EXPECT_EQ(lab.dropped(DropReason::port_inactive), 1U);
  // A later owner of the port.
  call2.a = party(kPort2, {kPartyB.address, UdpPort(7000)});
  lab.flows.publish(call2, kStart);
  EXPECT_TRUE(from_a(rtp({.sequence = 3})).empty());
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 1U);
  EXPECT_EQ(lab.dropped(), 2U);
}

TEST_F(Hairpin, MovesToAWireAndBack) {
  publish();
  ASSERT_EQ(from_a(rtp({.sequence = 1})).size(), 1U);
  call1.b = party(kPort1, kPartyB);
  call1.b.on_publish = OnPublish::reopen;
  lab.flows.publish(call1, kStart);
  const Bytes payload = rtp({.sequence = 2});
  expect_sent(from_a(payload), 1, endpoint_of(kPort1), kPartyB, payload);
  expect_sent(receive(1, kPartyB, endpoint_of(kPort1), payload), 0, kLocalA, kPartyA, payload);
  EXPECT_TRUE(from_b(rtp({.sequence = 2})).empty()) << "call 2 still names port 1";
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 1U);
  call1.b = joined(kPort1, kPort2);
  call1.b.on_publish = OnPublish::reopen;
  lab.flows.publish(call1, kStart);
  EXPECT_EQ(from_a(rtp({.sequence = 3})).size(), 1U);
  EXPECT_EQ(from_b(rtp({.sequence = 3})).size(), 1U);
  EXPECT_EQ(lab.dropped(), 1U);
}

TEST_F(Hairpin, ForwardsOtherTraffic) {
  publish();
  ASSERT_EQ(from_a(rtp({})).size(), 1U);
  // A late packet, STUN, and RTP with an extension go on too.
  for (const Bytes& payload : {rtp({.sequence = 0}), stun(), zrtp_hello()}) {
    expect_sent(from_a(payload), 1, kLocalB, kPartyB, payload);
  }
  call2.a.blocking = Blocking::drop;
  lab.flows.publish(call2, kStart);
  EXPECT_TRUE(from_a(rtp({.sequence = 2})).empty());
  EXPECT_EQ(lab.dropped(DropReason::media_blocked), 1U);
}

TEST_F(Hairpin, EarlyStunWaitsInTheSecondCall) {
  const Side answered = call2.b;
  call2.b.remote.reset();
  call2.b.hints.clear();
  publish();
  EXPECT_TRUE(from_a(stun()).empty());
  EXPECT_TRUE(lab.relay.keeps());
  EXPECT_TRUE(lab.send_kept(after_ms(5)).empty());
  call2.b = answered;
  lab.flows.publish(call2, kStart);
  expect_sent(lab.send_kept(after_ms(10)), 1, kLocalB, kPartyB, stun());
  EXPECT_FALSE(lab.relay.keeps());
  EXPECT_EQ(lab.dropped(), 0U);
  EXPECT_EQ(lab.stats.relayed.value(), 1U);
  for (const LocalPort port : {kPortA, kPort2}) EXPECT_EQ(read(port).stun, 1U);
}

// A packet kept in the first call goes on through the second.
TEST_F(Hairpin, EarlyStunWaitsInTheFirstCall) {
  const Side named = call1.b, answered = call2.b;
  call1.b.remote.reset();
  call2.b.remote.reset();
  publish();
  EXPECT_TRUE(from_a(stun()).empty());
  call1.b = named;
  lab.flows.publish(call1, kStart);
  EXPECT_TRUE(lab.send_kept(after_ms(5)).empty()) << "waits in call 2 now";
  EXPECT_TRUE(lab.relay.keeps());
  EXPECT_EQ(read(kPort2).stun, 1U);
  call2.b = answered;
  lab.flows.publish(call2, kStart);
  expect_sent(lab.send_kept(after_ms(10)), 1, kLocalB, kPartyB, stun());
  EXPECT_EQ(lab.dropped(), 0U);
}

TEST_F(Hairpin, NeitherNatPunchNorArpGoesToAPortOfTheRelay) {
  NatPunch nat_punch(lab.flows, std::array{&lab.link(0), &lab.link(1)}, Buffers::pool());
  call1.b.nat_punch = call2.a.nat_punch = true;
  publish();
  for (const LocalPort port : {kPort1, kPort2}) nat_punch.add(SlotIndex(port));
  std::array<TxBatch, 2> tx;
  for (unsigned ms = 0; ms < 3000; ms += 2) {
    if (nat_punch.due(after_ms(ms))) nat_punch.send_due(after_ms(ms), tx, lab.stats);
  }
  EXPECT_TRUE(drain(tx).empty());
  EXPECT_EQ(lab.stats.pierced.value(), 0U);
  const NeighborTable& neighbors = lab.link(1).neighbors;
  EXPECT_TRUE(std::ranges::none_of(neighbors.report(kStart), [](const NeighborReport& each) {
    return each.address == kLocalB.address;
  }));
}

}  // namespace
}  // namespace millrace::test
