// SPDX-License-Identifier: BSD-3-Clause
#include "control/log.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>

#include "dataplane/base/text.h"

namespace millrace {

namespace {

constexpr std::size_t kQueuedLines = 8192;
constexpr std::array<std::string_view, kLevels> kNames = {"debug", "info", "warning", "error"};
// The priorities that journald reads from the start of a line (sd-daemon(3)).
constexpr std::array<std::string_view, kLevels> kPriorities = {"<7>", "<6>", "<4>", "<3>"};

// Writes complete lines to stderr while it polls writable. A writable pipe takes a line (PIPE_BUF)
// without blocking, so that the logging thread can always be stopped.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  // Limits all further waiting to 500 ms in total.
  void set_deadline() {
    deadline_.store((std::chrono::steady_clock::now() + std::chrono::milliseconds(500))
                        .time_since_epoch()
                        .count());
  }
  // Lines lost since the last call; 0 while writing still fails, since the report would be lost
  // too.
  [[nodiscard]] std::uint64_t lost() { return failing_ ? 0 : lost_.exchange(0); }

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    std::string line(torn_ ? "\n" : "");
    line.append(msg.payload.begin(), msg.payload.end());
    line += '\n';
    std::string_view rest = line;
    while (!rest.empty() && writable()) {
      const ssize_t n = ::write(STDERR_FILENO, rest.data(), rest.size());
      if (n < 0 && errno != EINTR && errno != EAGAIN) break;  // a full disk, a closed pipe
      if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
    }
    failing_ = !rest.empty();
    if (rest.size() < line.size()) torn_ = failing_;
    if (failing_) lost_.fetch_add(1);
  }
  void flush_() override {}

 private:
  [[nodiscard]] bool writable() const {
    for (;;) {
      const auto deadline = deadline_.load();
      const bool late =
          deadline != 0 && std::chrono::steady_clock::now().time_since_epoch().count() >= deadline;
      pollfd stream{STDERR_FILENO, POLLOUT, 0};
      if (::poll(&stream, 1, late ? 0 : 50) > 0) return (stream.revents & POLLOUT) != 0;
      if (late) return false;
    }
  }
  std::atomic<std::chrono::steady_clock::rep> deadline_{0};  // 0: none
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<bool> failing_{false};  // the last line was not written
  bool torn_ = false;                 // the stream ends with a partial line
};

// JOURNAL_STREAM holds device and inode of the stream to journald (systemd.exec(5)).
bool stderr_is_journal() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status{};
  return stream != nullptr && ::fstat(STDERR_FILENO, &status) == 0 &&
         stream == fmt::format("{}:{}", status.st_dev, status.st_ino);
}

void append_text(std::string& line, std::string_view value) {
  const bool bare = !value.empty() && std::ranges::all_of(value, [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
  if (bare) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c >= ' ' && c < 0x7f) {
      line += c;
    } else {  // non-ASCII too: terminals interpret C1 controls
      fmt::format_to(std::back_inserter(line), "\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  line += '"';
}

void append_json(std::string& line, std::string_view value) {
  // ASCII only; bytes that are not UTF-8 become U+FFFD.
  line += nlohmann::json(value).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

struct Logging::State {
  explicit State(const Log& config) : format(config.format), limit(config.lines_per_second) {
    const auto* const name = std::ranges::find(kNames, config.level);
    lowest = name == kNames.end() ? Level::info : static_cast<Level>(name - kNames.begin());
    logger.set_pattern("%v");
    logger.set_level(spdlog::level::trace);
  }

  LogFormat format;
  Level lowest = Level::info;
  bool journal = stderr_is_journal();
  LineLimit limit;
  std::size_t overruns = 0;  // of the queue, as last reported
  std::mutex names_mutex;
  std::set<std::string, std::less<>> names;  // logged by log_name_once()
  std::shared_ptr<StderrSink> sink = std::make_shared<StderrSink>();
  std::shared_ptr<spdlog::details::thread_pool> pool =
      std::make_shared<spdlog::details::thread_pool>(kQueuedLines, 1);
  // async_logger calls shared_from_this() for each line.
  std::shared_ptr<spdlog::async_logger> owner = std::make_shared<spdlog::async_logger>(
      "millrace", sink, pool, spdlog::async_overflow_policy::overrun_oldest);
  spdlog::async_logger& logger = *owner;
};

namespace {
std::atomic<Logging::State*> current{nullptr};
}  // namespace

Logging::Logging(const Log& config) : state_(std::make_unique<State>(config)) {
  current.store(state_.get(), std::memory_order_release);
}

Logging::~Logging() {
  current.store(nullptr, std::memory_order_release);
  state_->sink->set_deadline();
  state_->pool.reset();  // ends the log thread, which has a reference to the logger for each line
}

std::string_view level_name(Level level) { return kNames[static_cast<std::size_t>(level)]; }

bool log_enabled(Level level) {
  const Logging::State* state = current.load(std::memory_order_acquire);
  return state != nullptr && level >= state->lowest;
}

void log_event(Level level, std::string_view event, std::initializer_list<Field> fields) {
  Logging::State* state = current.load(std::memory_order_acquire);
  if (state == nullptr || level < state->lowest || !state->limit.take(level)) return;
  std::string line;
  if (state->journal) line = kPriorities[static_cast<std::size_t>(level)];
  line += format_line(state->format, level, std::chrono::system_clock::now(), event, fields);
  state->logger.log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

void log_name_once(std::string_view event, std::string_view name) {
  Logging::State* state = current.load(std::memory_order_acquire);
  if (state == nullptr || Level::info < state->lowest) return;
  {
    const std::lock_guard lock(state->names_mutex);
    if (state->names.size() >= kMaxNamesOnce || !state->names.emplace(name).second) return;
  }
  log_event(Level::info, event, {{"name", name}});
}

void log_tick() {
  Logging::State* state = current.load(std::memory_order_acquire);
  if (state == nullptr) return;
  const auto refused = state->limit.reset();
  const std::size_t overruns = state->pool->overrun_counter();
  const std::uint64_t queue = overruns - state->overruns;
  const std::uint64_t unwritten = state->sink->lost();
  state->overruns = overruns;
  if (queue == 0 && unwritten == 0 && std::ranges::all_of(refused, [](auto n) { return n == 0; }))
    return;
  log_event(Level::warning, "log-lines-lost",
            {{"debug", refused[0]},
             {"info", refused[1]},
             {"warning", refused[2]},
             {"error", refused[3]},
             {"queue-full", queue},
             {"not-written", unwritten}});
}

std::array<std::uint64_t, kLevels> LineLimit::reset() {
  std::array<std::uint64_t, kLevels> refused{};
  for (std::size_t i = 0; i < kLevels; ++i) {
    const std::uint64_t used = used_[i].exchange(0, std::memory_order_relaxed);
    refused[i] = used > lines_ ? used - lines_ : 0;
  }
  return refused;
}

std::string format_line(LogFormat format, Level level, std::chrono::system_clock::time_point time,
                        std::string_view event, std::span<const Field> fields) {
  const std::string stamp = utc_text(time);
  const bool json = format == LogFormat::json;
  std::string line = json ? fmt::format(R"({{"time":"{}","level":"{}","event":"{}")", stamp,
                                        level_name(level), event)
                          : fmt::format("{} {} {}", stamp, level_name(level), event);
  for (const Field& field : fields) {
    const auto* number = std::get_if<std::int64_t>(&field.value);
    if (number == nullptr && std::get<std::string_view>(field.value).empty()) continue;
    if (json) {
      fmt::format_to(std::back_inserter(line), ",\"{}\":", field.key);
    } else {
      fmt::format_to(std::back_inserter(line), " {}=", field.key);
    }
    if (number != nullptr) {
      fmt::format_to(std::back_inserter(line), "{}", *number);
      continue;
    }
    std::string_view text = std::get<std::string_view>(field.value);
    std::string cut;
    if (text.size() > kMaxLogValue && !field.whole) {
      cut = std::string(text.substr(0, kMaxLogValue)) + "...";
      text = cut;
    }
    json ? append_json(line, text) : append_text(line, text);
  }
  if (json) line += '}';
  return line;
}

}  // namespace millrace
