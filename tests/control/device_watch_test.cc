// SPDX-License-Identifier: BSD-3-Clause
#include "control/device_watch.h"

#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "control/log.h"
#include "tests/captured_stderr.h"

namespace millrace {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;

// The lines that `act` logs.
std::vector<std::string> logged(const std::function<void()>& act) {
  const CapturedStderr captured;
  {
    const Logging logging{Log{}};
    act();
  }
  return captured.lines();
}

DataplaneReport report() {
  DataplaneReport report;
  report.workers.resize(2);
  report.workers[0].core = 2;
  report.workers[0].node = 0;
  report.workers[1].core = 9;
  report.workers[1].node = 1;
  report.devices.push_back({.device = "0000:3b:00.0", .node = 0, .link_up = true});
  report.devices.push_back({.device = "net_tap0", .link_up = true});
  return report;
}

TEST(DeviceWatch, WarnsAboutAWorkerOnAnotherNode) {
  // Not about core 2, on the device's node, nor about net_tap0, which has no node.
  EXPECT_THAT(
      logged([] { const DeviceWatch watch(report()); }),
      ElementsAre(EndsWith(" warning numa-mismatch device=0000:3b:00.0 device-node=0 core=9 "
                           "core-node=1")));
}

TEST(DeviceWatch, LogsLossOnlyWhenItGrows) {
  DataplaneReport start = report();
  start.devices[0].imissed = 7;
  DeviceWatch watch(start);
  auto now = start.devices;
  EXPECT_THAT(logged([&] { watch.update(now); }), IsEmpty());
  now[0].imissed = 10;
  now[1].oerrors = 2;
  EXPECT_THAT(logged([&] { watch.update(now); }),
              ElementsAre(EndsWith(" warning device-loss device=0000:3b:00.0 imissed=3 ierrors=0 "
                                   "rx-nombuf=0 oerrors=0"),
                          EndsWith(" warning device-loss device=net_tap0 imissed=0 ierrors=0 "
                                   "rx-nombuf=0 oerrors=2")));
  EXPECT_THAT(logged([&] { watch.update(now); }), IsEmpty());
  now[0].imissed = 4;  // the driver's counters were reset
  EXPECT_THAT(logged([&] { watch.update(now); }),
              ElementsAre(EndsWith(" warning device-loss device=0000:3b:00.0 imissed=4 ierrors=0 "
                                   "rx-nombuf=0 oerrors=0")));
}

TEST(DeviceWatch, LogsLinkChanges) {
  const DataplaneReport start = report();
  DeviceWatch watch(start);
  auto now = start.devices;
  now[0].link_up = false;
  now[0].link_changes = 1;
  EXPECT_THAT(logged([&] { watch.update(now); }),
              ElementsAre(EndsWith(" error link-down device=0000:3b:00.0")));
  EXPECT_THAT(logged([&] { watch.update(now); }), IsEmpty());
  now[0].link_up = true;
  now[0].link_mbps = 25000;
  now[0].link_changes = 2;
  EXPECT_THAT(logged([&] { watch.update(now); }),
              ElementsAre(EndsWith(" warning link-up device=0000:3b:00.0 mbps=25000")));
}

TEST(DeviceWatch, LogsALinkDownAtStart) {
  DataplaneReport start = report();
  start.devices[1].link_up = false;
  start.workers.clear();
  EXPECT_THAT(logged([&] { const DeviceWatch watch(start); }),
              ElementsAre(EndsWith(" error link-down device=net_tap0")));
}

}  // namespace
}  // namespace millrace
