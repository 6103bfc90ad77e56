// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parses the [[notify]] tables of the config file: peers to notify of call events.

#include <vector>

#include "control/config/config.h"
#include "control/config/toml_reader.h"

namespace millrace {

// Adds the peer of one table. Faults are thrown (ConfigFault) or appended to `faults`.
void read_notify(const toml::table& table, std::vector<Notify>& all, ConfigFaults& faults);

}  // namespace millrace
