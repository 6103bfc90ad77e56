// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One line per event, on stderr: an event name and fields, as text (logfmt) or JSON.
//
// log_event() never blocks its caller: the line goes into a bounded queue which one thread empties
// (spdlog, asynchronous; a full queue loses its oldest line). A pipe or journal that stops reading
// therefore costs lines, never a call. Each level has a budget of lines a second, so that a flood
// of one level cannot hide another; log_tick(), once a second, refills the budgets and reports what
// was lost, also to a full disk once that takes lines again. Values come from the network: control
// characters and quotes are escaped, a value is cut after kMaxLogValue bytes, and a field without
// text is left out. While no Logging object lives, lines go nowhere (unit tests).

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
  Field(std::string_view name, std::string_view text) : key(name), value(text) {}
  Field(std::string_view name, std::integral auto number)
      : key(name), value(static_cast<std::int64_t>(number)) {}

  std::string_view key;  // ours: kebab-case, never from the network
  std::variant<std::string_view, std::int64_t> value;
  bool whole = false;  // a text of our own, longer than kMaxLogValue: not cut
};

// log_event(Level::info, "offer", {{"call-id", request.call_id}, {"sections", 2}});
void log_event(Level level, std::string_view event, std::initializer_list<Field> fields = {});

// Tells of a name from the network that means nothing here, once for each name: proxies repeat
// theirs with every call. After kMaxNamesOnce names it is silent.
inline constexpr std::size_t kMaxNamesOnce = 256;
void log_name_once(std::string_view event, std::string_view name);

// True if a line of this level would be written, budget aside: ask before costly preparations.
[[nodiscard]] bool log_enabled(Level level);

// Once a second: refills the budgets and logs how many lines were lost since the last call.
void log_tick();

// Switches logging on for its lifetime. At most one at a time; threads that log must have ended
// before it goes. Lines still queued are written first, within half a second.
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

// So many lines of each level between two refills.
class LineBudget {
 public:
  explicit LineBudget(std::uint32_t lines) : lines_(lines) {}

  [[nodiscard]] bool take(Level level) {
    return used_[static_cast<std::size_t>(level)].fetch_add(1, std::memory_order_relaxed) < lines_;
  }
  // What was refused since the last refill, by level.
  [[nodiscard]] std::array<std::uint64_t, kLevels> refill();

 private:
  std::uint32_t lines_;
  std::array<std::atomic<std::uint64_t>, kLevels> used_{};
};

}  // namespace millrace
