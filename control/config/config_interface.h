// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parses the [[interface]] tables of the config file. Interfaces may share a device, if they name
// it by the same text; each address belongs to one interface only.

#include <map>
#include <string>

#include "control/config/config.h"
#include "control/config/toml_reader.h"
#include "dataplane/base/net.h"

namespace millrace {

// Appends one interface to both lists of `config`. `owner_of` maps all addresses so far to their
// interfaces. Faults are appended to `faults`.
void read_interface(const toml::table& table, Config& config,
                    std::map<IpAddress, std::string>& owner_of, ConfigFaults& faults);

}  // namespace millrace
