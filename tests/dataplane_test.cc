// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dataplane.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>

#include <gtest/gtest.h>
#include <rte_arp.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "dataplane/stats.h"

// The whole data plane in one process: its port is one end of a shared-memory wire (net_memif),
// the test has the other end and plays the phones. EAL starts once a process, so every scenario
// runs in a child.

// DPDK is not instrumented: its own locks are not seen, and memory it cleans under them looks raced
// for. Nothing of ours is called from the memif driver.
// NOLINTNEXTLINE(bugprone-reserved-identifier): ThreadSanitizer's own name
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:memset\nrace:librte_net_memif\n";
}

namespace millrace {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr IpAddress kRelay = IpAddress::v4(198, 18, 0, 1);
constexpr Endpoint kPhoneA{IpAddress::v4(198, 18, 0, 10), UdpPort(4000)};
constexpr Endpoint kPhoneB{IpAddress::v4(198, 18, 0, 11), UdpPort(5000)};
constexpr LocalPort kPortA{MediaAddressId{0}, UdpPort(30000)};
constexpr LocalPort kPortB{MediaAddressId{0}, UdpPort(30002)};
constexpr std::size_t kPayload = 172;  // 20 ms of G.711 in RTP

std::vector<unsigned> cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> cores;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) cores.push_back(i);
  }
  return cores;
}

DataplaneConfig config_with(const std::string& device, unsigned workers) {
  DataplaneConfig config;
  config.main_core = cores().front();
  config.worker_cores = cores();
  std::ranges::reverse(config.worker_cores);
  config.worker_cores.resize(workers);
  config.memory_mb = 128;
  config.idle_sleep_us = 50;
  config.interfaces.push_back(
      {.name = "core", .device = device, .addresses = {Prefix{kRelay, 24}}, .gateway = {}});
  return config;
}

// The driver keeps one end of a socket name in a process, so each end spells it in its own way.
DataplaneConfig wired_config(unsigned workers) {
  const std::string socket = "millrace-dataplane-test-" + std::to_string(getpid());
  const std::string common = ",id=1,socket-abstract=no,socket=";
  DataplaneConfig config =
      config_with("net_memif0,role=server" + common + "/tmp/" + socket, workers);
  config.eal = {"--vdev", "net_memif1,role=client" + common + "/tmp//" + socket};
  return config;
}

bool within(Clock::duration limit, const std::function<bool()>& condition) {
  for (const auto end = Clock::now() + limit; Clock::now() < end; sched_yield()) {
    if (condition()) return true;
  }
  return false;
}

MacAddress mac_of(const IpAddress& address) { return {{2, 0, 0, 0, 0, address.bytes().back()}}; }

rte_ether_addr ether(const MacAddress& mac) {
  rte_ether_addr address{};
  std::ranges::copy(mac.bytes, address.addr_bytes);
  return address;
}

struct Datagram {
  MacAddress to;
  Endpoint source, destination;
  std::uint16_t sequence = 0;  // of its RTP header

  friend bool operator==(const Datagram&, const Datagram&) = default;
};

struct Frame {
  rte_ether_hdr ether;
  rte_ipv4_hdr ip;
  rte_udp_hdr udp;
  std::array<std::uint8_t, kPayload> rtp;
} __attribute__((packed, aligned(2)));

// The phones' end of the wire. It answers ARP for every address but the relay's.
class Wire {
 public:
  explicit Wire(std::uint16_t queues) : queues_(queues) {
    pool_ = rte_pktmbuf_pool_create("wire", 8192, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    const rte_eth_conf conf{};
    if (pool_ == nullptr || rte_eth_dev_get_port_by_name("net_memif1", &port_) != 0 ||
        rte_eth_dev_configure(port_, queues, queues, &conf) != 0) {
      std::abort();
    }
    for (std::uint16_t q = 0; q < queues; ++q) {
      if (rte_eth_rx_queue_setup(port_, q, 1024, 0, nullptr, pool_) != 0) std::abort();
      if (rte_eth_tx_queue_setup(port_, q, 1024, 0, nullptr) != 0) std::abort();
    }
    std::uint16_t relay_port = 0;
    if (rte_eth_dev_start(port_) != 0 ||
        rte_eth_dev_get_port_by_name("net_memif0", &relay_port) != 0 ||
        !within(10s, [&] { return is_up(port_) && is_up(relay_port); })) {
      std::abort();
    }
    rte_ether_addr address{};
    rte_eth_macaddr_get(relay_port, &address);
    std::ranges::copy(address.addr_bytes, relay_mac.bytes.begin());
  }
  ~Wire() {
    rte_eth_dev_stop(port_);
    rte_eth_dev_close(port_);
    rte_mempool_free(pool_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool send(const Datagram& datagram, std::uint16_t queue = 0) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    if (packet == nullptr) return false;
    auto& frame = *reinterpret_cast<Frame*>(rte_pktmbuf_append(packet, sizeof(Frame)));
    frame = {};
    frame.ether.dst_addr = ether(datagram.to);
    frame.ether.src_addr = ether(mac_of(datagram.source.address));
    frame.ether.ether_type = Be16(RTE_ETHER_TYPE_IPV4).raw();
    frame.ip.version_ihl = RTE_IPV4_VHL_DEF;
    frame.ip.total_length = Be16(sizeof(Frame) - sizeof(rte_ether_hdr)).raw();
    frame.ip.time_to_live = 64;
    frame.ip.next_proto_id = IPPROTO_UDP;
    frame.ip.src_addr = datagram.source.address.as_v4().raw();
    frame.ip.dst_addr = datagram.destination.address.as_v4().raw();
    frame.ip.hdr_checksum = rte_ipv4_cksum(&frame.ip);
    frame.udp.src_port = datagram.source.port.wire().raw();
    frame.udp.dst_port = datagram.destination.port.wire().raw();
    frame.udp.dgram_len = Be16(sizeof(rte_udp_hdr) + kPayload).raw();
    frame.rtp.fill(0xd5);
    frame.rtp[0] = 0x80;
    frame.rtp[1] = 0;
    frame.rtp[2] = static_cast<std::uint8_t>(datagram.sequence >> 8);
    frame.rtp[3] = static_cast<std::uint8_t>(datagram.sequence);
    frame.udp.dgram_cksum = rte_ipv4_udptcp_cksum(&frame.ip, &frame.udp);
    return transmit(packet, queue);
  }

  bool send_frame_of_type(std::uint16_t ethertype) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    if (packet == nullptr) return false;
    auto& header = *reinterpret_cast<rte_ether_hdr*>(rte_pktmbuf_append(packet, 60));
    header = {};
    header.dst_addr = ether(relay_mac);
    header.ether_type = Be16(ethertype).raw();
    return transmit(packet, 0);
  }

  // What came since the last call, ARP answered.
  void receive() {
    for (std::uint16_t q = 0; q < queues_; ++q) {
      std::array<rte_mbuf*, 32> packets;
      const auto count = rte_eth_rx_burst(port_, q, packets.data(), packets.size());
      received += count;
      for (rte_mbuf* packet : std::span(packets).first(count)) {
        const auto& header = *rte_pktmbuf_mtod(packet, rte_ether_hdr*);
        if (header.ether_type == Be16(RTE_ETHER_TYPE_ARP).raw()) {
          arp(packet);
        } else {
          note(packet);
          rte_pktmbuf_free(packet);
        }
      }
    }
  }

  MacAddress relay_mac;
  std::uint64_t received = 0;  // frames of all kinds
  std::vector<Datagram> datagrams;

 private:
  static bool is_up(std::uint16_t port) {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  }

  bool transmit(rte_mbuf* packet, std::uint16_t queue) {
    if (rte_eth_tx_burst(port_, queue, &packet, 1) == 1) return true;
    rte_pktmbuf_free(packet);
    return false;
  }

  void note(rte_mbuf* packet) {
    ASSERT_EQ(packet->pkt_len, sizeof(Frame));
    const Frame frame = *rte_pktmbuf_mtod(packet, const Frame*);
    Frame fresh = frame;
    fresh.udp.dgram_cksum = 0;
    EXPECT_EQ(rte_ipv4_udptcp_cksum(&fresh.ip, &fresh.udp), frame.udp.dgram_cksum);
    fresh.ip.hdr_checksum = 0;
    EXPECT_EQ(rte_ipv4_cksum(&fresh.ip), frame.ip.hdr_checksum);
    EXPECT_TRUE(std::ranges::all_of(std::span(frame.rtp).subspan(4),
                                    [](std::uint8_t byte) { return byte == 0xd5; }));
    Datagram datagram;
    std::ranges::copy(frame.ether.dst_addr.addr_bytes, datagram.to.bytes.begin());
    datagram.source = {IpAddress::v4(Be32::from_raw(frame.ip.src_addr)),
                       UdpPort(Be16::from_raw(frame.udp.src_port).host())};
    datagram.destination = {IpAddress::v4(Be32::from_raw(frame.ip.dst_addr)),
                            UdpPort(Be16::from_raw(frame.udp.dst_port).host())};
    datagram.sequence = static_cast<std::uint16_t>(frame.rtp[2] << 8 | frame.rtp[3]);
    datagrams.push_back(datagram);
  }

  void arp(rte_mbuf* packet) {
    auto& header = *rte_pktmbuf_mtod(packet, rte_ether_hdr*);
    auto& arp = *rte_pktmbuf_mtod_offset(packet, rte_arp_hdr*, sizeof header);
    const auto target = IpAddress::v4(Be32::from_raw(arp.arp_data.arp_tip));
    if (target == kRelay) return rte_pktmbuf_free(packet);  // an announcement
    arp.arp_opcode = Be16(RTE_ARP_OP_REPLY).raw();
    const std::uint32_t asked = arp.arp_data.arp_tip;
    arp.arp_data.arp_tip = arp.arp_data.arp_sip;
    arp.arp_data.arp_sip = asked;
    arp.arp_data.arp_tha = arp.arp_data.arp_sha;
    arp.arp_data.arp_sha = ether(mac_of(target));
    header.dst_addr = header.src_addr;
    header.src_addr = ether(mac_of(target));
    EXPECT_TRUE(transmit(packet, 0));
  }

  std::uint16_t queues_;
  std::uint16_t port_ = 0;
  rte_mempool* pool_;
};

std::unique_ptr<Dataplane> started(const DataplaneConfig& config) {
  auto dataplane = Dataplane::start(config);
  if (!dataplane) {
    std::fprintf(stderr, "%s\n", dataplane.error().message.c_str());
    std::exit(3);
  }
  return std::move(*dataplane);
}

Path call() {
  Path path;
  path.a.local = kPortA;
  path.a.remote = kPhoneA;
  path.a.hints = {kPhoneA.address};
  path.b.local = kPortB;
  path.b.remote = kPhoneB;
  path.b.hints = {kPhoneB.address};
  return path;
}

std::uint64_t sum(const DataplaneReport& report, std::uint64_t WorkerReport::* counter) {
  return std::accumulate(
      report.workers.begin(), report.workers.end(), std::uint64_t{0},
      [&](std::uint64_t total, const WorkerReport& worker) { return total + worker.*counter; });
}

std::uint64_t drops(const DataplaneReport& report, DropReason reason) {
  return std::accumulate(report.workers.begin(), report.workers.end(), std::uint64_t{0},
                         [&](std::uint64_t total, const WorkerReport& worker) {
                           return total + worker.drops.at(std::to_underlying(reason));
                         });
}

std::uint64_t all_drops(const DataplaneReport& report) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < kDropReasons.size(); ++i) {
    total += drops(report, static_cast<DropReason>(i));
  }
  return total;
}

void expect_conserved(const DataplaneReport& report, const Wire& wire) {
  const std::uint64_t not_sent = drops(report, DropReason::tx_full);
  EXPECT_EQ(sum(report, &WorkerReport::rx_packets),
            sum(report, &WorkerReport::relayed) + all_drops(report) - not_sent);
  EXPECT_EQ(sum(report, &WorkerReport::tx_packets), wire.received);
  std::uint64_t polled = 0;
  for (const WorkerReport& worker : report.workers) {
    for (std::size_t n = 0; n < worker.bursts.size(); ++n) polled += n * worker.bursts[n];
    EXPECT_GT(worker.idle_cycles, 0U);
    EXPECT_GT(worker.cycles_per_second, 0U);
  }
  EXPECT_EQ(polled, sum(report, &WorkerReport::rx_packets));
}

// A worker may hold one for a moment, for an announcement of its own.
void expect_all_mbufs_free(const Dataplane& dataplane) {
  EXPECT_TRUE(within(10s, [&] {
    const DataplaneReport report = dataplane.report();
    return report.mbufs_free == report.mbufs;
  }));
}

// Publishes the call and waits until both phones' MAC addresses are known.
void set_up(Dataplane& dataplane, Wire& wire) {
  dataplane.publish(call());
  ASSERT_TRUE(within(10s, [&] {
    wire.receive();
    const auto neighbors = dataplane.report().neighbors;
    return neighbors.size() == 2 && std::ranges::all_of(neighbors, [](const NeighborReport& n) {
             return n.mac.has_value();
           });
  }));
}

void relay_scenario(std::uint16_t workers) {
  auto dataplane = started(wired_config(workers));
  {
    Wire wire(workers);
    set_up(*dataplane, wire);

    constexpr std::uint16_t kPackets = 100;
    std::vector<Datagram> expected;
    for (std::uint16_t i = 0; i < kPackets; ++i) {
      const auto queue = static_cast<std::uint16_t>(i / (kPackets / workers));
      ASSERT_TRUE(wire.send({wire.relay_mac, kPhoneA, {kRelay, kPortA.port}, i}, queue));
      expected.push_back({mac_of(kPhoneB.address), {kRelay, kPortB.port}, kPhoneB, i});
      ASSERT_TRUE(within(10s, [&] {
        wire.receive();
        return wire.datagrams.size() == expected.size();
      }));
    }
    EXPECT_EQ(wire.datagrams, expected);
    const FlowReport seen = dataplane->read(kPortA);
    EXPECT_TRUE(seen.active);
    EXPECT_EQ(seen.latched, kPhoneA);
    EXPECT_EQ(seen.destination, kPhoneB);
    EXPECT_EQ(seen.packets, kPackets);
    EXPECT_EQ(seen.forwarded, kPackets);
    EXPECT_EQ(seen.bytes, kPackets * kPayload);
    EXPECT_EQ(seen.lost, 0);
    EXPECT_EQ(seen.extended_highest_sequence, kPackets - 1U);
    EXPECT_FALSE(dataplane->read(kPortB).latched);

    // A stranger, a frame that is not ours to understand, and the call's end.
    const Endpoint stranger{IpAddress::v4(198, 18, 0, 66), kPhoneA.port};
    ASSERT_TRUE(wire.send({wire.relay_mac, stranger, {kRelay, kPortA.port}}));
    ASSERT_TRUE(wire.send_frame_of_type(0x88cc));
    const auto dropped = [&](DropReason reason) {
      return within(10s, [&] { return drops(dataplane->report(), reason) == 1; });
    };
    EXPECT_TRUE(dropped(DropReason::wrong_source));
    EXPECT_TRUE(dropped(DropReason::ethertype));
    dataplane->withdraw(kPortA);
    ASSERT_TRUE(wire.send({wire.relay_mac, kPhoneA, {kRelay, kPortA.port}, kPackets}));
    EXPECT_TRUE(dropped(DropReason::port_inactive));
    EXPECT_FALSE(dataplane->read(kPortA).active);

    wire.receive();
    const DataplaneReport report = dataplane->report();
    EXPECT_EQ(wire.datagrams.size(), kPackets);
    EXPECT_EQ(sum(report, &WorkerReport::relayed), kPackets);
    for (const WorkerReport& worker : report.workers) EXPECT_GE(worker.relayed, kPackets / workers);
    expect_conserved(report, wire);
    EXPECT_EQ(report.mbufs, 16384U);
    expect_all_mbufs_free(*dataplane);
  }
}

void full_queue_scenario() {
  auto dataplane = started(wired_config(1));
  Wire wire(1);
  set_up(*dataplane, wire);
  constexpr std::uint16_t kPackets = 3000;  // nobody takes them from a queue of 1024
  for (std::uint16_t i = 0; i < kPackets; ++i) {
    ASSERT_TRUE(within(
        10s, [&] { return wire.send({wire.relay_mac, kPhoneA, {kRelay, kPortA.port}, i}); }));
  }
  ASSERT_TRUE(
      within(10s, [&] { return sum(dataplane->report(), &WorkerReport::relayed) == kPackets; }));
  ASSERT_TRUE(within(10s, [&] {
    wire.receive();
    return wire.received == sum(dataplane->report(), &WorkerReport::tx_packets);
  }));
  const std::uint64_t missing = kPackets - wire.datagrams.size();
  const std::uint64_t not_sent = drops(dataplane->report(), DropReason::tx_full);
  EXPECT_GE(missing, kPackets - 1024U);
  EXPECT_GE(not_sent, missing);
  EXPECT_LE(not_sent, missing + 10);  // ARP of the relay's own
  expect_conserved(dataplane->report(), wire);
  expect_all_mbufs_free(*dataplane);
}

// Under a flood of frames the workers stand still at once.
void stop_scenario(unsigned idle_sleep_us) {
  DataplaneConfig config = config_with("net_null0", 1);
  config.idle_sleep_us = idle_sleep_us;
  auto dataplane = started(config);
  ASSERT_TRUE(
      within(10s, [&] { return sum(dataplane->report(), &WorkerReport::rx_packets) > 10'000; }));
  const auto begin = Clock::now();
  dataplane.reset();
  EXPECT_LT(Clock::now() - begin, 1s);
}

void affinity_scenario() {
  const auto before = cores();
  const DataplaneConfig config = config_with("net_ring0", 1);
  const auto dataplane = started(config);
  auto expected = before;
  if (before.size() > 1) std::erase(expected, config.worker_cores[0]);
  EXPECT_EQ(cores(), expected);
}

// Ends the child; googletest shows a child's standard error, but not its failures.
[[noreturn]] void finish() {
  const auto& result = *testing::UnitTest::GetInstance()->current_test_info()->result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    const auto& part = result.GetTestPartResult(i);
    std::fprintf(stderr, "%s:%d: %s\n", part.file_name(), part.line_number(), part.message());
  }
  std::exit(result.Failed() ? 1 : 0);
}

#define EXPECT_PASSES_IN_OWN_PROCESS(scenario) \
  EXPECT_EXIT((scenario, finish()), testing::ExitedWithCode(0), "")

TEST(DataplaneDeathTest, RelaysWithOneWorker) { EXPECT_PASSES_IN_OWN_PROCESS(relay_scenario(1)); }

TEST(DataplaneDeathTest, RelaysWithTwoWorkers) {
  if (cores().size() < 2) GTEST_SKIP() << "needs two cores";
  EXPECT_PASSES_IN_OWN_PROCESS(relay_scenario(2));
}

TEST(DataplaneDeathTest, CountsWhatTheTransmitQueueDoesNotTake) {
  EXPECT_PASSES_IN_OWN_PROCESS(full_queue_scenario());
}

TEST(DataplaneDeathTest, StopsUnderTraffic) { EXPECT_PASSES_IN_OWN_PROCESS(stop_scenario(0)); }

TEST(DataplaneDeathTest, LeavesTheWorkersTheirCores) {
  EXPECT_PASSES_IN_OWN_PROCESS(affinity_scenario());
}

TEST(DataplaneDeathTest, TellsWhatADeviceRefuses) {
  DataplaneConfig config = config_with("net_nosuchdriver0", 1);
  EXPECT_EXIT(started(config), testing::ExitedWithCode(3),
              "device 'net_nosuchdriver0': cannot be opened as");
}

TEST(DataplaneDeathTest, RefusesADeviceWithTooFewQueues) {
  if (cores().size() < 2) GTEST_SKIP() << "needs two cores";
  // net_pcap has as many queues as it is given files.
  EXPECT_EXIT(started(config_with("net_pcap0,tx_pcap=/dev/null", 2)), testing::ExitedWithCode(3),
              "has 1 queue pairs for 2 workers; name at most 1 worker_cores");
}

std::string refusal(const DataplaneConfig& config) {
  const auto dataplane = Dataplane::start(config);
  return dataplane ? "started" : dataplane.error().message;
}

TEST(Dataplane, RefusesWrongAddresses) {
  DataplaneConfig config = config_with("net_null0", 1);
  config.interfaces[0].addresses.clear();
  EXPECT_EQ(refusal(config), "interface 'core': has no media address");
  config = config_with("net_null0", 1);
  config.interfaces[0].addresses.push_back(Prefix{kRelay, 16});
  EXPECT_EQ(refusal(config), "interface 'core': 198.18.0.1 is configured twice");
  config = config_with("net_null0", 1);
  config.interfaces[0].addresses[0] = Prefix{*IpAddress::parse("2001:db8::1"), 64};
  EXPECT_THAT(refusal(config), HasSubstr("2001:db8::1/64: media addresses must be IPv4"));
  config = config_with("net_null0", 1);
  config.interfaces[0].gateway = IpAddress::v4(203, 0, 113, 1);
  EXPECT_THAT(refusal(config), HasSubstr("gateway 203.0.113.1 is in none of"));
}

TEST(Dataplane, RefusesBeforeTouchingADevice) {
  DataplaneConfig config = config_with("net_af_packet0,iface=nosuch0", 1);
  EXPECT_THAT(refusal(config), HasSubstr("no such network interface"));
  config = config_with("net_null0", 1);
  config.worker_cores = {4000};
  EXPECT_THAT(refusal(config), HasSubstr("core 4000 does not exist"));
}

TEST(Dataplane, NamesEveryDropReason) {
  for (const DropReasonInfo& reason : Dataplane::drop_reasons()) {
    EXPECT_THAT(std::string(reason.name), testing::MatchesRegex("[a-z_]+"));
    EXPECT_FALSE(reason.help.empty());
  }
  EXPECT_EQ(Dataplane::drop_reasons().size(), kDropReasons.size());
}

}  // namespace
}  // namespace millrace
