// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The [[notify]] tables of the config file: who is told what happens to calls.

#include <vector>

#include "control/config/config.h"
#include "control/config/toml_reader.h"

namespace millrace {

// Adds what one table says; throws ConfigFault.
void read_notify(const toml::table& table, std::vector<Notify>& all);

}  // namespace millrace
