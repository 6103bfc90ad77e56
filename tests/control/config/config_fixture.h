// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Config files in sections, and the errors of a wrong one.

#include <string>

#include "control/config/config.h"

namespace millrace {

// A valid file in sections; a test replaces any of them.
struct File {
  std::string dataplane = "[dataplane]\nworker_cores = [1]\n";  // 1-2
  std::string interface =                                       // 3-6
      "[[interface]]\nname = 'a'\ndevice = 'net_null0'\naddresses = ['198.18.0.5/24']\n";
  std::string control = "[[control]]\npath = '/run/m/ng.sock'\n";  // 7-8
  std::string rest = "";                                           // from 9
  [[nodiscard]] std::string text() const { return dataplane + interface + control + rest; }
};

inline std::string error_of(const std::string& text) {
  const auto config = parse_config(text, "m.toml");
  return config ? "accepted" : config.error().text();
}
inline std::string error_of(const File& file) { return error_of(file.text()); }
inline std::string control_error(const std::string& keys) {
  return error_of(File{.control = "[[control]]\n" + keys + "\n"});
}
inline std::string interface_error(const std::string& keys) {
  File file;
  file.interface += keys + "\n";
  return error_of(file);
}
inline std::string rest_error(const std::string& rest) {
  return error_of(File{.rest = rest + "\n"});
}
inline std::string dataplane_error(const std::string& keys) {
  return error_of(File{.dataplane = "[dataplane]\n" + keys + "\n"});
}

}  // namespace millrace
