// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The commands of rtpproxy's protocol that were captured from a proxy's module.

#include <sstream>
#include <string>
#include <vector>

#include "tests/data.h"

namespace millrace {

// Lines sent by a proxy's module: tests/data/rtpp/NAME.txt.
inline std::vector<std::string> captured(const std::string& name) {
  std::istringstream file(read_data("rtpp/" + name + ".txt"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace millrace
