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
