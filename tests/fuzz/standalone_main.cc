// SPDX-License-Identifier: BSD-3-Clause
// Replays files, or all files of folders, through a fuzz target built without libFuzzer. Each input
// is a heap block of its exact size, so that AddressSanitizer sees the first byte read past it.
// Arguments that start with '-' are libFuzzer's and are ignored.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

bool replay(const fs::path& path) {
  const std::size_t size = fs::file_size(path);
  const std::unique_ptr<char[]> bytes(new char[size]);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.get(), static_cast<std::streamsize>(size))) {
    std::fprintf(stderr, "%s: cannot read it\n", path.c_str());
    return false;
  }
  std::printf("%s (%zu bytes)\n", path.c_str(), size);
  std::fflush(stdout);
  return LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.get()), size) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<fs::path> inputs;
  for (int i = 1; i < argc; ++i) {
    const fs::path path = argv[i];
    if (argv[i][0] == '-') continue;
    if (!fs::is_directory(path)) {
      inputs.push_back(path);
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) inputs.push_back(entry.path());
    }
  }
  if (inputs.empty()) {
    std::fprintf(stderr, "no inputs; usage: %s FILE|FOLDER...\n", argv[0]);
    return 1;
  }
  std::ranges::sort(inputs);
  return std::ranges::all_of(inputs, replay) ? 0 : 1;
}
