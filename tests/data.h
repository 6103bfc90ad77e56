// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The fixtures in tests/data: meson names that folder in TEST_DATA; a test that is run by hand from
// the top finds it too.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace millrace {

inline std::filesystem::path data_folder() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the environment never changes
  const char* const folder = std::getenv("TEST_DATA");
  return folder != nullptr ? folder : "tests/data";
}

// The file's bytes; its name is from that folder.
inline std::string read_data(const std::filesystem::path& name) {
  const std::filesystem::path path = data_folder() / name;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error("no fixture " + path.string() + "; run from the top or set TEST_DATA");
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace millrace
