// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The [[control]] tables of the config file: where SIP proxies ask, in which protocol, and who may.

#include <string_view>
#include <vector>

#include "control/config/config.h"
#include "control/config/toml_reader.h"

namespace millrace {

// Adds the socket of one table; throws a ConfigFault, or keeps it.
void read_control(const toml::table& table, std::vector<ControlSocket>& sockets,
                  ConfigFaults& faults);

// Whether a path, be it too long, is a socket file's: absolute, and no folder's.
[[nodiscard]] bool names_socket_file(std::string_view path);

// The `mode` of a socket file, if it is given.
void read_mode(const TomlReader& reader, ControlSocket& socket);

}  // namespace millrace
