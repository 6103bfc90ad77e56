// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The command line of millrace. What is also in the config file overrides it.

#include <expected>
#include <filesystem>
#include <optional>
#include <string>

#include "control/config/config.h"

namespace millrace {

inline constexpr int kExitConfiguration = 2;  // command line or config file is wrong

struct Options {
  std::filesystem::path config = "/etc/millrace/millrace.toml";
  bool check = false;  // validate the config file and exit
  std::optional<LogFormat> log_format;
  std::optional<std::string> log_level;
};

// The program ends here: after --help and --version (status 0), or because the line is wrong.
struct Exit {
  int status = 0;
  std::string output;  // for stdout
  std::string error;   // for stderr
};

// `version`: what --version prints.
[[nodiscard]] std::expected<Options, Exit> parse_options(int argc, const char* const* argv,
                                                         const std::string& version);

void apply(const Options& options, Config& config);

}  // namespace millrace
