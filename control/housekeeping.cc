// SPDX-License-Identifier: BSD-3-Clause
#include "control/housekeeping.h"

#include <exception>

#include "control/log.h"

namespace millrace {

void Housekeeping::schedule_tick() {
  timer_.expires_after(period_);
  timer_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    schedule_tick();
    for (const Step& step : steps_) {
      try {
        step.run();
      } catch (const std::exception& failure) {
        log_event(Level::error, "housekeeping-failed",
                  {{"step", step.name}, {"reason", failure.what()}});
      }
    }
  });
}

}  // namespace millrace
