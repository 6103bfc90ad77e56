// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Measurement results as text for the terminal and as JSON with all conditions.

#include <string>

#include <nlohmann/json.hpp>

#include "perf/load/load.h"
#include "perf/load/options.h"

namespace millrace::loadgen {

using Json = nlohmann::ordered_json;

// The machine, versions, command line and every option.
[[nodiscard]] Json conditions(const Options& options);

[[nodiscard]] Json to_json(const Histogram& times);
[[nodiscard]] Json to_json(const SignallingTally& tally);
[[nodiscard]] Json to_json(const Measurement& measured);
[[nodiscard]] Json to_json(const Usage& usage, double seconds);

[[nodiscard]] std::string to_text(const Measurement& measured);
[[nodiscard]] std::string to_text(const SignallingTally& tally);

// "12.3 us", "4.56 ms".
[[nodiscard]] std::string to_text(std::chrono::nanoseconds time);

// Fails with the file's name and the reason.
[[nodiscard]] Result<void> write_json(const std::string& file, const Json& json);

}  // namespace millrace::loadgen
