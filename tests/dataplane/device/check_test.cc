// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/check.h"

#include <gmock/gmock.h>
#include <sched.h>

#include <string>

#include <gtest/gtest.h>

#include "dataplane/device/eal.h"
#include "dataplane/flow/flow_table.h"
#include "tests/dataplane/device/config_fixture.h"

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const DataplaneConfig& config) {
  std::string text;
  for (const Error& error : check(config)) text += (text.empty() ? "" : "\n") + error.message;
  return text.empty() ? "accepted" : text;
}

std::string refused_device(const std::string& device) {
  DataplaneConfig config = valid();
  config.interfaces[0].device = device;
  return refusal(config);
}

TEST(Check, AcceptsAValidConfiguration) { EXPECT_EQ(refusal(valid()), "accepted"); }

TEST(Check, NamesANonexistentCore) {
  DataplaneConfig config = valid();
  config.worker_cores = {some_core(), 4000};
  EXPECT_THAT(refusal(config),
              AllOf(HasSubstr("worker_cores[1]"), HasSubstr("core 4000 does not exist")));
  config = valid();
  config.main_core = 4000;
  EXPECT_THAT(refusal(config), HasSubstr("main_core: core 4000"));
}

// isolcpus, which docs/operations.md recommends, removes the workers' cores from every affinity.
TEST(Check, AcceptsACoreOutsideTheAffinity) {
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "needs two cores";
  DataplaneConfig config = valid();
  cpu_set_t others = before;
  CPU_CLR(config.worker_cores[0], &others);
  ASSERT_EQ(sched_setaffinity(0, sizeof others, &others), 0);
  const std::string message = refusal(config);
  cpu_set_t after;
  sched_getaffinity(0, sizeof after, &after);
  sched_setaffinity(0, sizeof before, &before);
  EXPECT_EQ(message, "accepted");
  EXPECT_TRUE(CPU_EQUAL(&after, &others)) << "the affinity is as it was";
}

TEST(Check, RefusesNoWorkersAndACoreNamedTwice) {
  DataplaneConfig config = valid();
  config.worker_cores = {};
  EXPECT_THAT(refusal(config), HasSubstr("worker_cores: name at least one"));
  config.worker_cores = {some_core(), some_core()};
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("worker_cores[1]"), HasSubstr("twice")));
}

TEST(Check, RefusesANapLongerThanARing) {
  DataplaneConfig config = valid();
  config.idle_sleep_us = 1000;
  EXPECT_EQ(refusal(config), "accepted");
  config.idle_sleep_us = 1001;
  EXPECT_THAT(refusal(config), HasSubstr("idle_sleep_us: 1001 is too long; at most 1000"));
}

TEST(Check, SuggestedValuesSuffice) {
  DataplaneConfig config = valid();
  config.mbufs = 100;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("mbufs: 100"), HasSubstr("at least 2560")));
  config.mbufs = 2560;
  EXPECT_EQ(refusal(config), "accepted");

  config.mbufs = 100'000;
  config.memory_mb = 64;
  const std::string message = refusal(config);
  EXPECT_THAT(message, HasSubstr("memory_mb: 64 is too small for mbufs = 100000; at least "));
  config.memory_mb = static_cast<unsigned>(std::stoul(message.substr(message.rfind(' '))));
  EXPECT_EQ(refusal(config), "accepted");
}

TEST(Check, RefusesMissingHugePages) {
  DataplaneConfig config = valid();
  config.hugepages = true;
  config.memory_mb = 1'000'000'000;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("nr_hugepages"), HasSubstr("hugepages = false")));
}

TEST(Check, RefusesMoreMemoryThanIsAvailable) {
  DataplaneConfig config = valid();
  config.memory_mb = 1'000'000'000;
  EXPECT_THAT(refusal(config),
              AllOf(HasSubstr("MB of memory are available, 10000000"), HasSubstr("lower memory_mb"),
                    HasSubstr("for the flow tables of 1 media addresses")));
}

TEST(Check, CountsTheFlowTables) {
  DataplaneConfig config = valid();
  config.interfaces[0].addresses.clear();
  for (std::uint8_t net = 0; net < 200; ++net) {
    for (std::uint8_t host = 1; host < 250; ++host) {
      config.interfaces[0].addresses.push_back(Prefix{IpAddress::v4(10, 0, net, host), 8});
    }
  }
  EXPECT_THAT(refusal(config), HasSubstr("for the flow tables of 49800 media addresses"));
}

TEST(Check, FlowTablesOfIpv6TakeMore) {
  // Slots with their records and addresses, and pairs of ports.
  constexpr std::size_t kSlot = 128 + 160, kPair = 104;
  EXPECT_EQ(FlowTable::bytes_per_address(Family::ipv4), 65536 * (kSlot + 10 * 4) + 32768 * kPair);
  EXPECT_EQ(FlowTable::bytes_per_address(Family::ipv6), 65536 * (kSlot + 10 * 16) + 32768 * kPair);
  const auto megabytes = [](const Prefix& own) {
    DataplaneConfig config = valid();
    config.interfaces[0].addresses.assign(40'000, own);
    const std::string message = refusal(config);
    const std::size_t end = message.find(" for the flow tables of ");
    return std::stoul(message.substr(message.rfind(' ', end - 1)));
  };
  EXPECT_EQ(megabytes({IpAddress::v4(10, 0, 0, 1), 8}), 950'000U);
  EXPECT_EQ(megabytes({*IpAddress::parse("2001:db8::1"), 64}), 1'250'000U);
}

TEST(Check, ReportsAllFaults) {
  DataplaneConfig config = valid();
  config.worker_cores = {4000, 4001};
  config.mbufs = 1;
  config.eal = {"--help"};
  config.interfaces[0].device = "net_foo0";
  config.interfaces[0].gateways = {IpAddress::v4(203, 0, 113, 1)};
  EXPECT_THAT(refusal(config),
              AllOf(HasSubstr("worker_cores[0]"), HasSubstr("worker_cores[1]"), HasSubstr("mbufs"),
                    HasSubstr("eal: --help"), HasSubstr("net_foo0"), HasSubstr("gateway")));
}

TEST(Check, DeviceOfALoadedDriverIsAccepted) {
  DataplaneConfig config = valid();
  config.eal = {"-d", "librte_net_foo.so"};
  config.interfaces[0].device = "net_foo0";
  EXPECT_EQ(refusal(config), "accepted");
}

TEST(Check, AcceptsTheKernelDriversOfDpdk) {
  for (const char* driver : {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core"}) {
    EXPECT_TRUE(is_dpdk_driver(driver)) << driver;
  }
  for (const char* driver : {"", "ixgbe", "virtio-pci", "e1000e"}) {
    EXPECT_FALSE(is_dpdk_driver(driver)) << driver;
  }
}

TEST(Check, NamesTheDeviceAndTheRemedy) {
  EXPECT_THAT(refused_device("eth0"),
              AllOf(HasSubstr("interface 'core': device 'eth0': not a DPDK device"),
                    HasSubstr("net_af_packet0,iface=eth0")));
  EXPECT_THAT(refused_device("net_foo0"),
              AllOf(HasSubstr("DPDK has no driver of this name"), HasSubstr("net_af_packet0")));
  EXPECT_THAT(refused_device("net_af_packet0"), HasSubstr("add ',iface=NAME' to device"));
  EXPECT_THAT(refused_device("net_af_packet0,iface=nosuch0"),
              AllOf(HasSubstr("device 'net_af_packet0,iface=nosuch0': no such network interface"),
                    HasSubstr("correct device")));
  EXPECT_THAT(refused_device("net_af_xdp0,iface=much-longer-than-a-name-may-be"),
              HasSubstr("no such network interface"));
  EXPECT_THAT(refused_device("ffff:fe:1f.7"), HasSubstr("no such PCI device"));
  EXPECT_EQ(refused_device("net_af_packet0,iface=lo"), "accepted");
  EXPECT_EQ(refused_device("net_tap0,iface=made-by-driver"), "accepted");
}

TEST(Check, RefusesADeviceUsedTwice) {
  DataplaneConfig config = valid();
  config.interfaces.push_back(config.interfaces[0]);
  config.interfaces[1].addresses = {Prefix{IpAddress::v4(198, 18, 0, 2), 24}};
  EXPECT_EQ(refusal(config), "accepted") << "two interfaces on one device";
  EXPECT_EQ(devices_of(config), std::vector<std::string>{"net_null0"});
  config.interfaces[1].device = "net_null0,size=64";
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("interface 'core': device 'net_null0,size=64'"),
                                     HasSubstr("used twice")));
  config.interfaces[0].device = "net_af_packet0,iface=lo";
  config.interfaces[1].device = "net_af_packet1,iface=lo";
  EXPECT_THAT(refusal(config), HasSubstr("network interface 'lo' is used twice"));
  config.interfaces = {};
  EXPECT_THAT(refusal(config), HasSubstr("no [[interface]]"));
}

}  // namespace
}  // namespace millrace
