// SPDX-License-Identifier: BSD-3-Clause
#include "control/device_watch.h"

#include "control/log.h"

namespace millrace {
namespace {

// A counter below its last value was reset by the driver.
std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now >= before ? now - before : now;
}

void log_loss(const DeviceReport& before, const DeviceReport& now) {
  const std::uint64_t imissed = growth(before.imissed, now.imissed);
  const std::uint64_t ierrors = growth(before.ierrors, now.ierrors);
  const std::uint64_t rx_nombuf = growth(before.rx_nombuf, now.rx_nombuf);
  const std::uint64_t oerrors = growth(before.oerrors, now.oerrors);
  if (imissed + ierrors + rx_nombuf + oerrors == 0) return;
  log_event(Level::warning, "device-loss",
            {{"device", now.device},
             {"imissed", imissed},
             {"ierrors", ierrors},
             {"rx-nombuf", rx_nombuf},
             {"oerrors", oerrors}});
}

void log_link(const DeviceReport& now) {
  if (!now.link_up) {
    log_event(Level::error, "link-down", {{"device", now.device}});
  } else if (now.link_mbps == 0) {
    log_event(Level::warning, "link-up", {{"device", now.device}});
  } else {
    log_event(Level::warning, "link-up", {{"device", now.device}, {"mbps", now.link_mbps}});
  }
}

}  // namespace

DeviceWatch::DeviceWatch(const DataplaneReport& start) : last_(start.devices) {
  for (const DeviceReport& device : start.devices) {
    if (!device.link_up) log_link(device);
    for (const WorkerReport& worker : start.workers) {
      if (!device.node || !worker.node || *device.node == *worker.node) continue;
      // Each packet would cross the inter-socket link.
      log_event(Level::warning, "numa-mismatch",
                {{"device", device.device},
                 {"device-node", *device.node},
                 {"core", worker.core},
                 {"core-node", *worker.node}});
    }
  }
}

void DeviceWatch::update(const std::vector<DeviceReport>& now) {
  for (std::size_t i = 0; i < now.size() && i < last_.size(); ++i) {
    if (now[i].link_changes != last_[i].link_changes) log_link(now[i]);
    log_loss(last_[i], now[i]);
  }
  last_ = now;
}

}  // namespace millrace
