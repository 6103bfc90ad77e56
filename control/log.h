// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One line per event, on stderr: an event name and fields, as text (logfmt) or JSON.
//
// log_event() never blocks: it puts the line into a bounded queue that one thread drains (spdlog,
// asynchronous; a full queue drops its oldest line). A pipe or journal that stops reading costs
// lines, never calls. Each level has its own limit of lines per second, so that a flood of one
// level cannot hide another. log_tick(), once a second, resets the limits and reports the lines
// lost, also those lost to a full disk, once it accepts lines again. Values come from the network:
// control characters and quotes are escaped, a value is cut after kMaxLogValue bytes, and a field
// with an empty text is omitted. Without a Logging object (unit tests) lines are discarded.

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "control/config/config.h"

namespace millrace {

enum class Level : std::uint8_t { debug, info, warning, error };
inline constexpr std::size_t kLevels = 4;

// "debug", "info", "warning", "error".
[[nodiscard]] std::string_view level_name(Level level);

struct Field {
  // NOLINTNEXTLINE(bugprone-easily-swappable-parameters): a key and its value, {"key", value}
  Field(std::string_view name, std::string_view text) : key(name), value(text) {}
  Field(std::string_view name, std::integral auto number)
      : key(name), value(static_cast<std::int64_t>(number)) {}

  std::string_view key;  // kebab-case, a literal: never from the network
  std::variant<std::string_view, std::int64_t> value;
  bool whole = false;  // do not cut at kMaxLogValue; for texts of our own
};

// log_event(Level::info, "offer", {{"call-id", request.call_id}, {"sections", 2}});
void log_event(Level level, std::string_view event, std::initializer_list<Field> fields = {});

// Logs an unknown name from the network, once per name: proxies repeat theirs with every call.
// Logs kMaxNamesOnce names at most.
inline constexpr std::size_t kMaxNamesOnce = 256;
void log_name_once(std::string_view event, std::string_view name);

// Whether lines of this level are logged, rate limit aside. Check it before costly preparations.
[[nodiscard]] bool log_enabled(Level level);

// Once a second: resets the rate limits and logs how many lines were lost since the last call.
void log_tick();

// Enables logging for its lifetime. One at a time. Precondition of the destructor: no thread logs
// any more. It writes queued lines for up to 500 ms.
class Logging {
 public:
  explicit Logging(const Log& config);
  ~Logging();
  Logging(const Logging&) = delete;
  Logging& operator=(const Logging&) = delete;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

// ---- parts, for tests ----------------------------------------------------------------------

inline constexpr std::size_t kMaxLogValue = 256;

// One line without its newline.
[[nodiscard]] std::string format_line(LogFormat format, Level level,
                                      std::chrono::system_clock::time_point time,
                                      std::string_view event, std::span<const Field> fields);

// Rate limit: `lines` of each level between two resets.
class LineLimit {
 public:
  explicit LineLimit(std::uint32_t lines) : lines_(lines) {}

  [[nodiscard]] bool take(Level level) {
    return used_[static_cast<std::size_t>(level)].fetch_add(1, std::memory_order_relaxed) < lines_;
  }
  // Lines refused since the last reset, by level.
  [[nodiscard]] std::array<std::uint64_t, kLevels> reset();

 private:
  std::uint32_t lines_;
  std::array<std::atomic<std::uint64_t>, kLevels> used_{};
};

}  // namespace millrace
