// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parses the [[control]] tables of the config file: control sockets, their protocols and peers.

#include <string_view>
#include <vector>

#include "control/config/config.h"
#include "control/config/toml_reader.h"

namespace millrace {

// Adds the socket of one table. Faults are thrown (ConfigFault) or appended to `faults`.
void read_control(const toml::table& table, std::vector<ControlSocket>& sockets,
                  ConfigFaults& faults);

// Whether a path can name a socket file: absolute, without a trailing '/'. Ignores the length.
[[nodiscard]] bool names_socket_file(std::string_view path);

// Reads `mode` of a socket file, if present.
void read_mode(const TomlReader& reader, ControlSocket& socket);

}  // namespace millrace
