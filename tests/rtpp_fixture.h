// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The commands of rtpproxy's protocol that were captured from a proxy's module.

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace millrace {

// What a proxy's module sent, line by line: tests/data/rtpp/NAME.txt.
inline std::vector<std::string> captured(const std::string& name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else touches the environment
  const char* const data = std::getenv("TEST_DATA");
  std::ifstream file(std::string(data != nullptr ? data : "tests/data") + "/rtpp/" + name + ".txt");
  if (!file) throw std::runtime_error("no fixture " + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace millrace
