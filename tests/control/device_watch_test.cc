// SPDX-License-Identifier: BSD-3-Clause
#include "control/device_watch.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "control/log.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The log lines of a test.
std::string logged(const std::function<void()>& act) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe(ends), 0);
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  const FileDescriptor before(::dup(STDERR_FILENO));
  ::dup2(write_end.get(), STDERR_FILENO);
  write_end.reset();
  {
    const Logging logging{Log{}};
    act();
  }
  ::dup2(before.get(), STDERR_FILENO);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = ::read(read_end.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return text;
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
  const std::string lines = logged([] { const DeviceWatch watch(report()); });
  EXPECT_THAT(lines, HasSubstr("warning numa-mismatch device=0000:3b:00.0 device-node=0 core=9 "
                               "core-node=1"));
  EXPECT_EQ(lines.find("core=2"), std::string::npos);
  EXPECT_EQ(lines.find("net_tap0"), std::string::npos) << "it is on no node";
}

TEST(DeviceWatch, LogsLossOnlyWhenItGrows) {
  DataplaneReport start = report();
  start.devices[0].imissed = 7;
  DeviceWatch watch(start);
  auto now = start.devices;
  EXPECT_EQ(logged([&] { watch.update(now); }), "");
  now[0].imissed = 10;
  now[1].oerrors = 2;
  const std::string lines = logged([&] { watch.update(now); });
  EXPECT_THAT(lines, AllOf(HasSubstr("warning device-loss device=0000:3b:00.0 imissed=3 ierrors=0 "
                                     "rx-nombuf=0 oerrors=0"),
                           HasSubstr("device=net_tap0 imissed=0 ierrors=0 rx-nombuf=0 oerrors=2")));
  EXPECT_EQ(logged([&] { watch.update(now); }), "");
  now[0].imissed = 4;  // the driver's counters were reset
  EXPECT_THAT(logged([&] { watch.update(now); }), HasSubstr("imissed=4"));
}

TEST(DeviceWatch, LogsLinkChanges) {
  const DataplaneReport start = report();
  DeviceWatch watch(start);
  auto now = start.devices;
  now[0].link_up = false;
  now[0].link_changes = 1;
  EXPECT_THAT(logged([&] { watch.update(now); }), HasSubstr("error link-down device=0000:3b:00.0"));
  EXPECT_EQ(logged([&] { watch.update(now); }), "");
  now[0].link_up = true;
  now[0].link_mbps = 25000;
  now[0].link_changes = 2;
  EXPECT_THAT(logged([&] { watch.update(now); }),
              HasSubstr("warning link-up device=0000:3b:00.0 mbps=25000"));
}

TEST(DeviceWatch, LogsALinkDownAtStart) {
  DataplaneReport start = report();
  start.devices[1].link_up = false;
  EXPECT_THAT(logged([&] { const DeviceWatch watch(start); }),
              HasSubstr("error link-down device=net_tap0"));
}

}  // namespace
}  // namespace millrace
