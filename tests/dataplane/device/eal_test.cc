// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/eal.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/dataplane/device/config_fixture.h"

namespace millrace {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::IsSupersetOf;
using testing::Not;

TEST(EalArguments, MapWorkersToLcoresFromOne) {
  DataplaneConfig config = valid();
  config.main_core = 3;
  config.worker_cores = {5, 200};
  EXPECT_THAT(eal_arguments(config), IsSupersetOf({"--lcores", "0@3,1@5,2@200"}));
}

TEST(EalArguments, DisableSharedState) {
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

TEST(EalArguments, EndWithTheArgumentsOfTheOperator) {
  DataplaneConfig config = valid();
  config.eal = {"--iova-mode", "va"};
  const auto arguments = eal_arguments(config);
  EXPECT_EQ(arguments[arguments.size() - 2], "--iova-mode");
  EXPECT_EQ(arguments.back(), "va");
}

}  // namespace
}  // namespace millrace
