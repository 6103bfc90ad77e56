// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The [[control]] tables of the config file: where SIP proxies ask, in which protocol, and who may.

#include <vector>

#include "control/config.h"
#include "control/toml_reader.h"

namespace millrace {

// Adds the socket of one table; throws ConfigFault.
void read_control(const toml::table& table, std::vector<ControlSocket>& sockets);

// The `mode` of a socket file, if it is given.
void read_mode(const TomlReader& reader, ControlSocket& socket);

}  // namespace millrace
