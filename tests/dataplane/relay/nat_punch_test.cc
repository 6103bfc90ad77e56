// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/nat_punch.h"

#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

constexpr LocalPort kRtcpA{MediaAddressId{0}, UdpPort(30001)};
constexpr LocalPort kRtcpB{MediaAddressId{2}, UdpPort(30003)};

// The part of the housekeeping worker that sends NAT punches.
class Bench {
 public:
  Bench() : links_{&lab.link(0), &lab.link(1)}, nat_punch_(lab.flows, links_, Buffers::pool()) {}

  // Publishes as the data plane does.
  void publish(const Path& path, Tsc now = kStart) {
    lab.flows.publish(path, now);
    for (const Side* side : {&path.a, &path.b}) {
      if (side->nat_punch) nat_punch_.add(SlotIndex(side->local));
    }
  }
  void add(LocalPort port) { nat_punch_.add(SlotIndex(port)); }
  [[nodiscard]] bool due(Tsc now) const { return nat_punch_.due(now); }

  std::vector<Sent> send_due(Tsc now) {
    nat_punch_.send_due(now, tx_, lab.stats);
    return drain(tx_);
  }
  // Packets sent from `first` to `last`, polled once per millisecond as by the worker's loop.
  std::multimap<std::uint64_t, Sent> run(std::uint64_t first, std::uint64_t last) {
    std::multimap<std::uint64_t, Sent> all;
    for (std::uint64_t ms = first; ms <= last; ++ms) {
      if (!due(after_ms(ms))) continue;
      for (Sent& sent : send_due(after_ms(ms))) all.emplace(ms, std::move(sent));
    }
    return all;
  }
  [[nodiscard]] std::uint64_t counted() const { return lab.stats.pierced.value(); }

  PacketLab lab;

 private:
  std::array<Link*, 2> links_;
  NatPunch nat_punch_;
  std::array<TxBatch, 2> tx_;
};

// A has offered with `pierce-NAT`, B has not answered.
Path offered(Family family = Family::ipv4) {
  Path path = path_ab(family, Family::ipv4);
  path.a.nat_punch = true;
  path.b.remote.reset();
  path.b.hints.clear();
  return path;
}

Path of_rtcp(Path path) {
  path.payload = Payload::rtcp;
  for (Side* side : {&path.a, &path.b}) {
    side->local.port = UdpPort(static_cast<std::uint16_t>(side->local.port.number() + 1));
    if (side->remote) {
      side->remote->port = UdpPort(static_cast<std::uint16_t>(side->remote->port.number() + 1));
    }
  }
  return path;
}

Bytes rtp_header(std::uint8_t type, std::uint16_t sequence) {
  return rtp({.sequence = sequence, .timestamp = 0, .ssrc = 0, .payload_type = type, .payload = 0});
}

// An IP packet without identification, with this type of service.
Bytes atomic(Bytes packet, std::uint8_t service = 0) {
  packet[1] = std::byte{service};
  put16(packet, 4, 0);
  put16(packet, 10, 0);
  const std::uint16_t sum = checksum(std::span(packet).first(20));
  std::memcpy(packet.data() + 10, &sum, 2);
  return packet;
}

constexpr std::uint64_t kWhole = 8;  // ms, one scan of all ports

TEST(NatPunch, SendsAnEmptyRtpPacketToTheSdpsAddress) {
  Bench bench;
  bench.publish(offered());
  const auto sent = bench.run(0, kWhole);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent.begin()->second.link, 0U);
  EXPECT_EQ(sent.begin()->second.frame,
            ethernet(kMacA, kMac0, 0x0800, atomic(udp(kLocalA, kPartyA, rtp_header(127, 0)))));
  EXPECT_EQ(bench.counted(), 1U);
  EXPECT_EQ(bench.lab.dropped(), 0U);
  EXPECT_EQ(bench.lab.stats.relayed.value(), 0U);
}

TEST(NatPunch, SendsOverIpv6) {
  Bench bench;
  bench.publish(offered(Family::ipv6));
  const auto sent = bench.run(0, kWhole);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent.begin()->second.frame,
            ethernet(kMacA, kMac0, 0x86dd, udp(kLocalA6, kPartyA6, rtp_header(127, 0))));
}

TEST(NatPunch, PunchesTowardsTheAnswererToo) {
  Bench bench;
  Path path = path_ab(Family::ipv4, Family::ipv6);
  path.b.nat_punch = true;
  bench.publish(path);
  const auto sent = bench.run(0, kWhole);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent.begin()->second.link, 1U);
  EXPECT_EQ(source_of(sent.begin()->second.frame), kLocalB6);
  EXPECT_EQ(destination_of(sent.begin()->second.frame), kPartyB6);
}

TEST(NatPunch, SendsAReceiverReportToTheRtcpPort) {
  Bench bench;
  bench.publish(of_rtcp(offered()));
  const auto sent = bench.run(0, kWhole);
  ASSERT_EQ(sent.size(), 1U);
  const Endpoint from{kLocalA.address, kRtcpA.port};
  const Endpoint to{kPartyA.address, UdpPort(4001)};
  EXPECT_EQ(sent.begin()->second.frame,
            ethernet(kMacA, kMac0, 0x0800,
                     atomic(udp(from, to, bytes_of({0x80, 201, 0, 1, 0, 0, 0, 0})))));
}

// A multiplexing party receives RTCP at its RTP port only.
TEST(NatPunch, SendsNothingToAnUnusedRtcpPort) {
  Bench bench;
  Path path = path_ab();
  path.a.nat_punch = path.b.nat_punch = true;
  path.a.rtcp_mux = true;
  bench.publish(path);
  bench.publish(of_rtcp(path));
  std::vector<Endpoint> from;
  for (const auto& [ms, sent] : bench.run(0, kWhole)) from.push_back(source_of(sent.frame));
  std::ranges::sort(from, {}, [](const Endpoint& e) { return e.text(); });
  EXPECT_EQ(from, (std::vector<Endpoint>{kLocalA, kLocalB, {kLocalB.address, kRtcpB.port}}));
}

TEST(NatPunch, SendsNothingForOpaqueMedia) {
  Bench bench;
  Path path = offered();
  path.payload = Payload::opaque;
  bench.publish(path);
  EXPECT_TRUE(bench.run(0, 100).empty());
}

TEST(NatPunch, UsesAPayloadTypeThatIsNotNegotiated) {
  const auto type_with = [](const std::bitset<128>& negotiated) {
    Bench bench;
    Path path = offered();
    path.a.payload_types = negotiated;
    bench.publish(path);
    const auto sent = bench.run(0, kWhole);
    return std::to_integer<unsigned>(sent.begin()->second.frame.at(43));
  };
  std::bitset<128> types;
  types.set(0).set(101);
  EXPECT_EQ(type_with(types), 127U);
  types.set(127).set(126);
  EXPECT_EQ(type_with(types), 125U);
  for (std::size_t type = 97; type < 128; ++type) types.set(type);
  EXPECT_EQ(type_with(types), 96U);
  types.set(96);
  EXPECT_EQ(type_with(types), 127U);
}

TEST(NatPunch, HasTheDscpOfItsMedia) {
  Bench bench;
  Path path = offered();
  path.dscp = 46;
  bench.publish(path);
  const auto sent = bench.run(0, kWhole);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(
      sent.begin()->second.frame,
      ethernet(kMacA, kMac0, 0x0800, atomic(udp(kLocalA, kPartyA, rtp_header(127, 0)), 46 << 2)));
}

TEST(NatPunch, SendsEightPacketsAtDoublingIntervals) {
  Bench bench;
  bench.publish(offered());
  std::vector<std::uint64_t> times;
  std::uint16_t sequence = 0;
  for (const auto& [ms, sent] : bench.run(0, 20'000)) {
    times.push_back(ms);
    EXPECT_EQ(get16(sent.frame, 44), sequence++);
  }
  ASSERT_EQ(times.size(), NatPunch::kAttempts);
  EXPECT_LE(times[0], kWhole);
  std::uint64_t pause = 20;
  for (std::size_t i = 1; i < times.size(); ++i, pause *= 2) {
    EXPECT_GE(times[i] - times[i - 1], pause) << i;
    EXPECT_LE(times[i] - times[i - 1], pause + kWhole) << i;
  }
  EXPECT_FALSE(bench.due(after_ms(30'000)));
}

TEST(NatPunch, RestartsOnlyAfterItsEnd) {
  Bench bench;
  bench.publish(offered());
  std::size_t count = 0;
  for (std::uint64_t ms = 0; ms < 2000; ++ms) {
    bench.publish(offered(), after_ms(ms));  // retransmissions
    count += bench.run(ms, ms).size();
  }
  EXPECT_EQ(count, 7U);
  EXPECT_EQ(bench.run(2000, 10'000).size(), 1U);
  bench.publish(path_ab(), after_ms(10'000));  // an answer without the flag
  EXPECT_TRUE(bench.run(10'000, 20'000).empty());
  bench.publish(offered(), after_ms(20'000));
  EXPECT_EQ(bench.run(20'000, 30'000).size(), NatPunch::kAttempts);
}

TEST(NatPunch, EndsWithTheFirstAcceptedPacket) {
  Bench bench;
  bench.publish(offered());
  EXPECT_EQ(bench.run(0, 100).size(), 3U);
  EXPECT_FALSE(bench.lab.from_a(rtp({.payload_type = 8}), after_ms(100), kPartyB));  // a stranger
  EXPECT_EQ(bench.run(101, 200).size(), 1U);
  EXPECT_TRUE(bench.lab.flows.read(kPortA, after_ms(200)).nat_punch);
  EXPECT_FALSE(bench.lab.from_a(rtp({}), after_ms(200)));  // no destination yet, but accepted
  EXPECT_FALSE(bench.lab.flows.read(kPortA, after_ms(200)).nat_punch);
  EXPECT_TRUE(bench.run(201, 20'000).empty());
  EXPECT_FALSE(bench.due(after_ms(30'000)));
  bench.publish(offered(), after_ms(20'000));
  EXPECT_FALSE(bench.due(after_ms(30'000)));
}

TEST(NatPunch, PacketOnEitherPortOfThePairEndsBoth) {
  Bench bench;
  Path path = path_ab();
  path.a.nat_punch = true;
  bench.publish(path);
  bench.publish(of_rtcp(path));
  EXPECT_EQ(bench.run(0, kWhole).size(), 2U);
  ASSERT_TRUE(bench.lab.from_a(rtp({}), after_ms(9)));
  EXPECT_TRUE(bench.run(10, 20'000).empty());
}

TEST(NatPunch, SendsNothingAfterWithdraw) {
  Bench bench;
  bench.publish(offered());
  EXPECT_EQ(bench.run(0, kWhole).size(), 1U);
  bench.lab.flows.withdraw(kPortA);
  EXPECT_TRUE(bench.run(9, 10'000).empty());
  EXPECT_FALSE(bench.due(after_ms(30'000)));

  // Nor if another call, which does not want it, gets the port at once.
  bench.publish(offered(), after_ms(10'000));
  bench.lab.flows.withdraw(kPortA);
  bench.publish(path_ab(), after_ms(10'000));
  EXPECT_TRUE(bench.run(10'000, 20'000).empty());
}

TEST(NatPunch, SendsNothingToAPartyOnHold) {
  Bench bench;
  Path path = offered();
  path.a.deliver = false;
  bench.publish(path);
  EXPECT_TRUE(bench.run(0, 100).empty());
  bench.publish(offered(), after_ms(100));
  const auto sent = bench.run(100, 20'000);
  ASSERT_EQ(sent.size(), NatPunch::kAttempts - 3);  // turns that were passed over do not come again
  EXPECT_EQ(destination_of(sent.begin()->second.frame), kPartyA);
}

TEST(NatPunch, SendsNothingToUnsendableAddresses) {
  Bench bench;
  for (const char* address : {"127.0.0.1", "224.0.0.5", "169.254.1.1", "0.0.0.0", "198.18.0.1",
                              "203.0.113.1", "198.18.0.255"}) {
    Path path = offered();
    path.a.remote = Endpoint{IpAddress::parse(address).value(), UdpPort(4000)};
    bench.publish(path);
    EXPECT_TRUE(bench.run(0, 10'000).empty()) << address;
  }
}

TEST(NatPunch, FollowsTheParty) {
  Bench bench;
  bench.publish(offered());
  EXPECT_EQ(bench.run(0, kWhole).size(), 1U);
  Path moved = offered();
  moved.a.remote->port = UdpPort(4444);
  bench.publish(moved, after_ms(9));
  const auto sent = bench.run(9, 40);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(destination_of(sent.begin()->second.frame).port.number(), 4444U);
}

TEST(NatPunch, WaitsForTheNextHop) {
  Bench bench;
  const IpAddress phone = IpAddress::v4(198, 18, 0, 77);
  const MacAddress mac{{0x02, 0, 0, 0, 0, 0x77}};
  Path path = offered();
  path.a.remote->address = phone;
  bench.publish(path);
  EXPECT_TRUE(bench.run(0, 50).empty());
  const auto requests = bench.lab.housekeep(after_ms(50));
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(get16(requests[0].frame, 12), 0x0806);
  ASSERT_TRUE(bench.lab.link(0).neighbors.learn(phone, mac, after_ms(55)));
  const auto sent = bench.run(55, 100);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent.begin()->second.frame,
            ethernet(mac, kMac0, 0x0800,
                     atomic(udp(kLocalA, {phone, kPartyA.port}, rtp_header(127, 2)))));
  EXPECT_EQ(bench.lab.dropped(), 0U);
  EXPECT_EQ(bench.counted(), 1U);
}

TEST(NatPunch, CountsAMissingMbuf) {
  Bench bench;
  bench.publish(offered());
  std::vector<rte_mbuf*> taken(Buffers::kCount);
  ASSERT_EQ(rte_pktmbuf_alloc_bulk(&Buffers::pool(), taken.data(), Buffers::kCount), 0);
  EXPECT_TRUE(bench.run(0, kWhole).empty());
  EXPECT_EQ(bench.lab.dropped(DropReason::no_buffer), 1U);
  rte_pktmbuf_free_bulk(taken.data(), Buffers::kCount);
  EXPECT_EQ(bench.run(9, 40).size(), 1U);
}

// More offers than table entries: the packets sent are bounded, the rest is counted.
TEST(NatPunch, FloodOfOffersIsBounded) {
  Bench bench;
  constexpr std::uint16_t kOffers = 10'000;
  for (std::uint16_t i = 0; i < kOffers; ++i) {
    Path path = path_ab();
    path.a.nat_punch = path.b.nat_punch = true;
    path.a.local.port = path.b.local.port = UdpPort(static_cast<std::uint16_t>(10'000 + 2 * i));
    bench.publish(path);
  }
  std::map<std::string, unsigned> ports;
  std::size_t total = 0;
  for (std::uint64_t ms = 0; ms < 20'000 && bench.due(after_ms(ms)); ++ms) {
    const auto sent = bench.send_due(after_ms(ms));
    ASSERT_LE(sent.size(), NatPunch::kMaxPerRound);
    for (const Sent& each : sent) ++ports[source_of(each.frame).text()];
    total += sent.size();
  }
  const std::uint64_t refused = bench.lab.dropped(DropReason::pierce_full);
  EXPECT_GE(ports.size(), NatPunch::kCapacity * 9 / 10);
  EXPECT_EQ(ports.size() + refused, 2U * kOffers);
  EXPECT_EQ(total, ports.size() * NatPunch::kAttempts);
  EXPECT_EQ(bench.counted(), total);
  EXPECT_EQ(bench.lab.dropped(), refused);
  EXPECT_FALSE(bench.due(after_ms(30'000)));  // and there is room again
  bench.publish(offered(), after_ms(30'000));
  EXPECT_EQ(bench.run(30'000, 40'000).size(), NatPunch::kAttempts);
}

TEST(NatPunch, ControlThreadsAddWhileTheWorkerPolls) {
  Bench bench;
  constexpr unsigned kThreads = 3, kEach = 200;
  std::atomic<unsigned> running{kThreads};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < kEach; ++i) {
        Path path = offered();
        path.a.local.port = path.b.local.port =
            UdpPort(static_cast<std::uint16_t>(10'000 + 2 * (t * kEach + i)));
        bench.publish(path);
      }
      --running;
    });
  }
  std::map<std::string, unsigned> ports;
  for (std::uint64_t ms = 0; running > 0 || bench.due(after_ms(ms)); ++ms) {
    for (const Sent& sent : bench.send_due(after_ms(ms))) ++ports[source_of(sent.frame).text()];
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ports.size(), kThreads * kEach);
  for (const auto& [port, packets] : ports) EXPECT_EQ(packets, NatPunch::kAttempts) << port;
  EXPECT_EQ(bench.lab.dropped(DropReason::pierce_full), 0U);
}

}  // namespace
}  // namespace millrace::test
