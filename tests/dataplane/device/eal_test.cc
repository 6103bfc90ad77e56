// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/eal.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

unsigned some_core() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  unsigned core = 0;
  while (CPU_ISSET(core, &cores) == 0) ++core;
  return core;
}

DataplaneConfig valid() {
  DataplaneConfig config;
  config.worker_cores = {some_core()};
  config.main_core = some_core();
  config.interfaces.push_back({.name = "core",
                               .device = "net_null0",
                               .addresses = {Prefix{IpAddress::v4(198, 18, 0, 1), 24}}});
  return config;
}

std::string refusal(const DataplaneConfig& config) {
  const auto checked = check(config);
  return checked ? "accepted" : checked.error().message;
}

std::string refused_device(const std::string& device) {
  DataplaneConfig config = valid();
  config.interfaces[0].device = device;
  return refusal(config);
}

TEST(Check, AcceptsAValidConfiguration) { EXPECT_EQ(refusal(valid()), "accepted"); }

TEST(Check, NamesTheCoreThatDoesNotExist) {
  DataplaneConfig config = valid();
  config.worker_cores = {some_core(), 4000};
  EXPECT_THAT(refusal(config),
              AllOf(HasSubstr("worker_cores[1]"), HasSubstr("core 4000 does not exist")));
  config = valid();
  config.main_core = 4000;
  EXPECT_THAT(refusal(config), HasSubstr("main_core: core 4000"));
}

TEST(Check, RefusesACoreOutsideTheCpuSet) {
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "needs two cores";
  DataplaneConfig config = valid();
  cpu_set_t others = before;
  CPU_CLR(config.worker_cores[0], &others);
  ASSERT_EQ(sched_setaffinity(0, sizeof others, &others), 0);
  const std::string message = refusal(config);
  sched_setaffinity(0, sizeof before, &before);
  EXPECT_THAT(message, AllOf(HasSubstr("worker_cores[0]"), HasSubstr("may not run on core")));
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

TEST(Check, ToldFiguresAreEnough) {
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

TEST(Check, RefusesHugePagesThatAreNotThere) {
  DataplaneConfig config = valid();
  config.hugepages = true;
  config.memory_mb = 1'000'000'000;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("nr_hugepages"), HasSubstr("hugepages = false")));
}

TEST(Check, NamesTheDeviceAndTheRemedy) {
  EXPECT_THAT(refused_device("eth0"),
              AllOf(HasSubstr("device 'eth0': not a DPDK device"),
                    HasSubstr("interfaces[0].device"), HasSubstr("net_af_packet0,iface=eth0")));
  EXPECT_THAT(refused_device("net_af_packet0"), HasSubstr("add ',iface=NAME'"));
  EXPECT_THAT(refused_device("net_af_packet0,iface=nosuch0"),
              AllOf(HasSubstr("device 'net_af_packet0,iface=nosuch0': no such network interface"),
                    HasSubstr("interfaces[0].device")));
  EXPECT_THAT(refused_device("net_af_xdp0,iface=much-longer-than-a-name-may-be"),
              HasSubstr("no such network interface"));
  EXPECT_THAT(refused_device("ffff:fe:1f.7"), HasSubstr("no such PCI device"));
  EXPECT_EQ(refused_device("net_af_packet0,iface=lo"), "accepted");
  EXPECT_EQ(refused_device("net_tap0,iface=made-by-driver"), "accepted");
}

TEST(Check, RefusesADeviceUsedTwice) {
  DataplaneConfig config = valid();
  config.interfaces.push_back(config.interfaces[0]);
  EXPECT_EQ(refusal(config), "accepted") << "two interfaces on one device";
  EXPECT_EQ(devices_of(config), std::vector<std::string>{"net_null0"});
  config.interfaces[1].device = "net_null0,size=64";
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("used twice"), HasSubstr("interfaces[1].device")));
  config.interfaces[0].device = "net_af_packet0,iface=lo";
  config.interfaces[1].device = "net_af_packet1,iface=lo";
  EXPECT_THAT(refusal(config), HasSubstr("network interface 'lo' is used twice"));
  config.interfaces = {};
  EXPECT_THAT(refusal(config), HasSubstr("interfaces: name at least one"));
}

TEST(EalArguments, MapWorkersToLcoresFromOne) {
  DataplaneConfig config = valid();
  config.main_core = 3;
  config.worker_cores = {5, 200};
  EXPECT_THAT(eal_arguments(config), IsSupersetOf({"--lcores", "0@3,1@5,2@200"}));
}

TEST(EalArguments, ShareNothing) {
  DataplaneConfig config = valid();
  EXPECT_THAT(eal_arguments(config), IsSupersetOf({"--no-huge", "--no-shconf", "--no-telemetry"}));
  EXPECT_THAT(eal_arguments(config), Not(Contains("--in-memory")));
  config.hugepages = true;
  EXPECT_THAT(eal_arguments(config),
              AllOf(Contains("--in-memory"), Contains("--single-file-segments")));
  EXPECT_THAT(eal_arguments(config), Not(Contains("--no-huge")));
  EXPECT_THAT(eal_arguments(config),
              Contains("--file-prefix=millrace-" + std::to_string(getpid())));
}

TEST(EalArguments, AllowOnlyTheConfiguredPciDevices) {
  DataplaneConfig config = valid();
  EXPECT_THAT(eal_arguments(config), Contains("--no-pci"));
  config.interfaces[0].device = "0000:3b:00.0";
  EXPECT_THAT(eal_arguments(config), IsSupersetOf({"-a", "0000:3b:00.0"}));
  config.interfaces[0].device = "3B:00.0,dv_flow_en=1";
  EXPECT_THAT(eal_arguments(config), IsSupersetOf({"-a", "0000:3b:00.0,dv_flow_en=1"}));
  EXPECT_THAT(eal_arguments(config), Not(Contains("--no-pci")));
}

TEST(EalArguments, EndWithTheOperatorsOwn) {
  DataplaneConfig config = valid();
  config.eal = {"--iova-mode", "va"};
  const auto arguments = eal_arguments(config);
  EXPECT_EQ(arguments[arguments.size() - 2], "--iova-mode");
  EXPECT_EQ(arguments.back(), "va");
}

}  // namespace
}  // namespace millrace
