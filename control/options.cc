// SPDX-License-Identifier: BSD-3-Clause
#include "control/options.h"

#include <sstream>

#include <CLI/CLI.hpp>

namespace millrace {

std::expected<Options, EarlyExit> parse_options(int argc, const char* const* argv,
                                                const std::string& version) {
  Options options;
  std::string log_format;
  std::string log_level;
  CLI::App app(
      "Millrace, a kernel-bypass media relay for SIP proxies.\n"
      "SIGTERM, SIGINT: stop now. SIGHUP: drain (no new calls), then exit with the last call.\n"
      "Exit status: 0 stopped by a signal, 1 start failed, 2 wrong command line or config file.",
      "millrace");
  app.set_version_flag("--version", version, "Print version and build, and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.add_option("-c,--config", options.config,
                 "Config file, TOML (default: /etc/millrace/millrace.toml)")
      ->type_name("FILE");
  app.add_flag(
      "--check", options.check,
      "Check the config file and this machine (cores, memory, devices, users), change nothing, "
      "and exit: 0 OK, 2 errors (default: off)");
  app.add_option("--log-format", log_format,
                 "Format of log lines on stderr; overrides log.format (default: text)")
      ->type_name("text|json")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--log-level", log_level,
                 "Lowest level to log; overrides log.level (default: info)")
      ->type_name("debug|info|warning|error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream output;
    std::ostringstream errors;
    const int status = app.exit(error, output, errors) == 0 ? 0 : kExitConfiguration;
    return std::unexpected(EarlyExit{status, output.str(), errors.str()});
  }
  if (!log_format.empty()) {
    options.log_format = log_format == "json" ? LogFormat::json : LogFormat::text;
  }
  if (!log_level.empty()) options.log_level = log_level;
  return options;
}

void apply(const Options& options, Config& config) {
  if (options.log_format) config.log.format = *options.log_format;
  if (options.log_level) config.log.level = *options.log_level;
}

}  // namespace millrace
