// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dataplane.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <numeric>

#include <gtest/gtest.h>

#include "dataplane/stats.h"
#include "tests/dataplane/memif_wire.h"
#include "tests/slowness.h"

// The whole data plane in one process: its port is one end of a shared-memory wire (net_memif),
// the test has the other end and plays the phones. EAL starts once a process, so every scenario
// runs in a child.

// DPDK is not instrumented: ThreadSanitizer misses its locks and reports false races on memory that
// DPDK clears under them. The memif driver calls none of our code.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): ThreadSanitizer's name
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:memset\nrace:librte_net_memif\n";
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

namespace millrace {
namespace {

using namespace test;
using testing::HasSubstr;

constexpr LocalPort kPortA{MediaAddressId{0}, UdpPort(30000)};
constexpr LocalPort kPortB{MediaAddressId{0}, UdpPort(30002)};
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
      {.name = "core", .device = device, .addresses = {Prefix{kRelay, 24}}});
  return config;
}

const std::string& wire_socket() {
  static const std::string path = "/tmp/millrace-dataplane-test-" + std::to_string(getpid());
  return path;
}

// The driver keeps one end of a socket name in a process, so each end spells it in its own way.
DataplaneConfig wired_config(unsigned workers) {
  const std::string common = ",id=1,socket-abstract=no,socket=";
  DataplaneConfig config = config_with("net_memif0,role=server" + common + wire_socket(), workers);
  config.eal = {"--vdev", "net_memif1,role=client" + common + "/" + wire_socket()};
  return config;
}

std::unique_ptr<Dataplane> started(const DataplaneConfig& config) {
  auto dataplane = Dataplane::start(config);
  if (!dataplane) {
    std::fprintf(stderr, "%s\n", dataplane.error().message.c_str());
    std::exit(3);  // NOLINT(concurrency-mt-unsafe): no other thread of this process runs yet
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
  EXPECT_TRUE(within(10s * kSlowness, [&] {
    const DataplaneReport report = dataplane.report();
    return report.mbufs_free == report.mbufs;
  }));
}

// Publishes the call and waits until both phones' MAC addresses are known.
void set_up(Dataplane& dataplane, Wire& wire) {
  dataplane.publish(call());
  ASSERT_TRUE(within(10s * kSlowness, [&] {
    wire.receive();
    const auto neighbors = dataplane.report().neighbors;
    return neighbors.size() == 2 && std::ranges::all_of(neighbors, [](const NeighborReport& n) {
             return n.mac.has_value();
           });
  }));
}

void relay_scenario(Dataplane& dataplane, Wire& wire) {
  const std::uint16_t workers = wire.queues();
  set_up(dataplane, wire);

  constexpr std::uint16_t kPackets = 100;
  std::vector<Datagram> expected;
  for (std::uint16_t i = 0; i < kPackets; ++i) {
    const auto queue = static_cast<std::uint16_t>(i / (kPackets / workers));
    ASSERT_TRUE(wire.send({wire.relay_mac, kPhoneA, {kRelay, kPortA.port}, i}, queue));
    expected.push_back({mac_of(kPhoneB.address), {kRelay, kPortB.port}, kPhoneB, i});
    ASSERT_TRUE(within(10s * kSlowness, [&] {
      wire.receive();
      return wire.datagrams.size() == expected.size();
    }));
  }
  EXPECT_EQ(wire.datagrams, expected);
  const FlowReport seen = dataplane.read(kPortA);
  EXPECT_TRUE(seen.active);
  EXPECT_EQ(seen.latched, kPhoneA);
  EXPECT_EQ(seen.destination, kPhoneB);
  EXPECT_EQ(seen.packets, kPackets);
  EXPECT_EQ(seen.forwarded, kPackets);
  EXPECT_EQ(seen.bytes, kPackets * kPayload);
  EXPECT_EQ(seen.lost, 0);
  EXPECT_EQ(seen.extended_highest_sequence, kPackets - 1U);
  EXPECT_FALSE(dataplane.read(kPortB).latched);

  // A stranger, a frame of an unsupported EtherType, and the call's end.
  const Endpoint stranger{IpAddress::v4(198, 18, 0, 66), kPhoneA.port};
  ASSERT_TRUE(wire.send({wire.relay_mac, stranger, {kRelay, kPortA.port}}));
  ASSERT_TRUE(wire.send_frame_of_type(0x88cc));
  const auto dropped = [&](DropReason reason) {
    return within(10s * kSlowness, [&] { return drops(dataplane.report(), reason) == 1; });
  };
  EXPECT_TRUE(dropped(DropReason::wrong_source));
  EXPECT_TRUE(dropped(DropReason::ethertype));
  dataplane.withdraw(kPortA);
  ASSERT_TRUE(wire.send({wire.relay_mac, kPhoneA, {kRelay, kPortA.port}, kPackets}));
  EXPECT_TRUE(dropped(DropReason::port_inactive));
  EXPECT_FALSE(dataplane.read(kPortA).active);

  wire.receive();
  const DataplaneReport report = dataplane.report();
  EXPECT_EQ(wire.datagrams.size(), kPackets);
  EXPECT_EQ(sum(report, &WorkerReport::relayed), kPackets);
  for (const WorkerReport& worker : report.workers) EXPECT_GE(worker.relayed, kPackets / workers);
  expect_conserved(report, wire);
  EXPECT_EQ(report.mbufs, 16384U);
  expect_all_mbufs_free(dataplane);
}

void full_queue_scenario(Dataplane& dataplane, Wire& wire) {
  set_up(dataplane, wire);
  constexpr std::uint16_t kPackets = 3000;  // not received; the queue holds 1024
  for (std::uint16_t i = 0; i < kPackets; ++i) {
    ASSERT_TRUE(within(
        10s, [&] { return wire.send({wire.relay_mac, kPhoneA, {kRelay, kPortA.port}, i}); }));
  }
  ASSERT_TRUE(within(10s * kSlowness,
                     [&] { return sum(dataplane.report(), &WorkerReport::relayed) == kPackets; }));
  ASSERT_TRUE(within(10s * kSlowness, [&] {
    wire.receive();
    return wire.received == sum(dataplane.report(), &WorkerReport::tx_packets);
  }));
  const std::uint64_t missing = kPackets - wire.datagrams.size();
  const std::uint64_t not_sent = drops(dataplane.report(), DropReason::tx_full);
  EXPECT_GE(missing, kPackets - 1024U);
  EXPECT_GE(not_sent, missing);
  EXPECT_LE(not_sent, missing + 10);  // ARP of the relay's own
  expect_conserved(dataplane.report(), wire);
  expect_all_mbufs_free(dataplane);
}

// Under a flood of frames the workers stand still at once.
void stop_scenario(unsigned idle_sleep_us) {
  DataplaneConfig config = config_with("net_null0", 1);
  config.idle_sleep_us = idle_sleep_us;
  auto dataplane = started(config);
  ASSERT_TRUE(within(10s * kSlowness,
                     [&] { return sum(dataplane->report(), &WorkerReport::rx_packets) > 10'000; }));
  const auto begin = Clock::now();
  dataplane.reset();
  EXPECT_LT(Clock::now() - begin, 1s * kSlowness);
}

void affinity_scenario() {
  const auto before = cores();
  const DataplaneConfig config = config_with("net_ring0", 1);
  const auto dataplane = started(config);
  auto expected = before;
  if (before.size() > 1) std::erase(expected, config.worker_cores[0]);
  EXPECT_EQ(cores(), expected);
}

// Exit status of the child. Prints its failures: googletest shows the child's standard error only.
int exit_status() {
  const auto& result = *testing::UnitTest::GetInstance()->current_test_info()->result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    const auto& part = result.GetTestPartResult(i);
    std::fprintf(stderr, "%s:%d: %s\n", part.file_name(), part.line_number(), part.message());
  }
  return result.Failed() ? 1 : 0;
}

[[noreturn]] void run_wired(std::uint16_t workers, void (*scenario)(Dataplane&, Wire&)) {
  const auto dataplane = started(wired_config(workers));
  Wire wire(workers);
  std::filesystem::remove(wire_socket());
  scenario(*dataplane, wire);
  _exit(exit_status());  // with the wire open, see there
}

// By then the workers have ended.
[[noreturn]] void pass() { std::exit(exit_status()); }  // NOLINT(concurrency-mt-unsafe): one thread

#define EXPECT_PASSES_IN_OWN_PROCESS(scenario) \
  EXPECT_EXIT((scenario, pass()), testing::ExitedWithCode(0), "")

#define EXPECT_PASSES_WIRED(workers, scenario) \
  EXPECT_EXIT(run_wired(workers, scenario), testing::ExitedWithCode(0), "")

TEST(DataplaneDeathTest, RelaysWithOneWorker) { EXPECT_PASSES_WIRED(1, relay_scenario); }

TEST(DataplaneDeathTest, RelaysWithTwoWorkers) {
  if (cores().size() < 2) GTEST_SKIP() << "needs two cores";
  EXPECT_PASSES_WIRED(2, relay_scenario);
}

TEST(DataplaneDeathTest, CountsPacketsThatTheTransmitQueueRefuses) {
  EXPECT_PASSES_WIRED(1, full_queue_scenario);
}

TEST(DataplaneDeathTest, StopsUnderTraffic) { EXPECT_PASSES_IN_OWN_PROCESS(stop_scenario(0)); }

TEST(DataplaneDeathTest, KeepsTheMainThreadOffTheWorkerCores) {
  EXPECT_PASSES_IN_OWN_PROCESS(affinity_scenario());
}

TEST(DataplaneDeathTest, ErrorNamesWhatTheDeviceRejects) {
  const DataplaneConfig config = config_with("net_nosuchdriver0", 1);
  EXPECT_EXIT(started(config), testing::ExitedWithCode(3),
              "device 'net_nosuchdriver0': DPDK has no driver of this name; write net_af_packet0");
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
  config.interfaces[0].gateways = {IpAddress::v4(203, 0, 113, 1)};
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
  for (const DropReasonInfo& reason : drop_reasons()) {
    EXPECT_THAT(std::string(reason.name), testing::MatchesRegex("[a-z_]+"));
    EXPECT_FALSE(reason.help.empty());
  }
  EXPECT_EQ(drop_reasons().size(), kDropReasons.size());
}

}  // namespace
}  // namespace millrace
