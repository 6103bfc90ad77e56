// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The command line of millrace. Options override the config file.

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

// Why the program ends now: --help or --version (status 0), or a wrong command line.
struct EarlyExit {
  int status = 0;
  std::string output;  // for stdout
  std::string error;   // for stderr
};

// `version`: text for --version.
[[nodiscard]] std::expected<Options, EarlyExit> parse_options(int argc, const char* const* argv,
                                                              const std::string& version);

void apply(const Options& options, Config& config);

}  // namespace millrace
