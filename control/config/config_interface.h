// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The tables [[interface]] of the config file: the realms. Several may be on one device, if they
// name it in the same words; an address is on one of them only.

#include <map>
#include <string>

#include "control/config/config.h"
#include "control/config/toml_reader.h"
#include "dataplane/base/net.h"

namespace millrace {

// Appends one interface to both of `config`'s lists; `owner_of` knows all addresses so far. Faults
// are kept.
void read_interface(const toml::table& table, Config& config,
                    std::map<IpAddress, std::string>& owner_of, ConfigFaults& faults);

}  // namespace millrace
