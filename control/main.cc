// SPDX-License-Identifier: BSD-3-Clause

// millrace, the relay daemon. Start-up order: the config file, the sockets of [[control]] and
// [[notify]], the data plane with its NICs, so that cheap failures come first. run() owns all
// objects and destroys them in reverse order: control side, calls, log, NICs, sockets.

#include <fcntl.h>
#include <malloc.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdio>
#include <span>
#include <string>
#include <thread>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <fmt/format.h>

#include "control/call/calls.h"
#include "control/config/config.h"
#include "control/device_watch.h"
#include "control/housekeeping.h"
#include "control/log.h"
#include "control/notify/notify.h"
#include "control/options.h"
#include "control/process.h"
#include "control/server/listener.h"
#include "control/server/server.h"
#include "control/version.h"
#include "dataplane/dataplane.h"

namespace millrace {
namespace {

constexpr int kExitStart = 1;
constexpr int kControlThreads = 2;

// Reports why the start failed, in the configured log format. Returns `status`.
int fail_start(int status, LogFormat format, std::string_view message) {
  if (format == LogFormat::text) {
    fmt::print(stderr, "millrace: {}\n", message);
    return status;
  }
  Field reason("reason", message);
  reason.whole = true;
  fmt::print(stderr, "{}\n",
             format_line(format, Level::error, std::chrono::system_clock::now(), "start-failed",
                         std::span(&reason, 1)));
  return status;
}
int fail_start(int status, LogFormat format, const std::vector<std::string>& messages) {
  for (const std::string& message : messages) fail_start(status, format, message);
  return status;
}

// Runs the control side until a signal, or until a drain has no calls left.
class Control {
 public:
  Control(const std::vector<Listener>& listeners, const Config& config, Calls& calls,
          const Dataplane& dataplane)
      : dataplane_(dataplane),
        calls_(calls),
        flush_timeout_(config.timeouts.notify),
        server_(listeners, config, [&calls](const Request& request) {
          return calls.handle(request, Calls::Clock::now());
        }) {}

  [[nodiscard]] Result<void> start(const std::vector<Notify>& config,
                                   std::vector<FileDescriptor> sockets) {
    notifier_ = std::make_unique<Notifier>(io_, config, std::move(sockets), flush_timeout_);
    calls_.publish_events([this](Event event) { notifier_->publish(std::move(event)); });
    if (auto started = server_.start(); !started) return started;
    wait_for_signal();
    housekeeping_.start();
    return {};
  }
  void run() {
    std::vector<std::jthread> threads;
    threads.reserve(kControlThreads);
    for (int i = 0; i < kControlThreads; ++i) threads.emplace_back([this] { server_.run(); });
    run_event_loop();
    server_.stop();
  }

 private:
  // Logs exceptions of handlers and goes on: live calls must not end.
  void run_event_loop() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        log_event(Level::error, "control-exception", {{"reason", error.what()}});
      }
    }
  }
  void wait_for_signal() {
    signals_.async_wait([this](const asio::error_code& error, int signal) {
      if (error) return;
      wait_for_signal();
      if (signal == SIGHUP) return drain();
      if (stopping_) return io_.stop();  // second signal: do not wait for peers
      log_event(Level::info, "stopping", {{"signal", signal == SIGTERM ? "TERM" : "INT"}});
      stop();
    });
  }
  void drain() {
    draining_ = true;
    calls_.drain();
    notify_systemd("STATUS=draining");
  }
  void stop_if_drained() {
    if (!draining_ || stopping_) return;
    if (const std::size_t calls = calls_.sessions(); calls > 0) {
      notify_systemd(fmt::format("STATUS=draining: calls left: {}", calls));
      return;
    }
    log_event(Level::info, "stopping", {{"reason", "drained"}});
    stop();
  }
  void stop() {
    stopping_ = true;
    end_calls(std::chrono::steady_clock::now() + flush_timeout_);
  }
  // Ends calls in portions, paced by the notification queues of proxies and readers.
  void end_calls(std::chrono::steady_clock::time_point until) {
    const bool late = std::chrono::steady_clock::now() > until;
    const std::uint64_t left = late ? calls_.sessions() : calls_.end_portion();
    if (!late && left != 0) return notifier_->wait_for_room(until, [=, this] { end_calls(until); });
    if (left != 0) log_event(Level::error, "calls-not-notified", {{"calls", left}});
    notifier_->flush(until, [this] { io_.stop(); });
  }
  // In portions: the notifier's queue drains between two of them.
  void expire_calls() {
    if (calls_.expire(Calls::Clock::now())) asio::post(io_, [this] { expire_calls(); });
  }

  const Dataplane& dataplane_;
  Calls& calls_;
  const std::chrono::seconds flush_timeout_;
  DeviceWatch devices_{dataplane_.report()};
  asio::io_context io_{1};
  Server server_;
  std::unique_ptr<Notifier> notifier_;
  asio::signal_set signals_{io_, SIGTERM, SIGINT, SIGHUP};
  bool draining_ = false;
  bool stopping_ = false;
  // The watchdog is last: a step that hangs ends the process, one that throws does not.
  Housekeeping housekeeping_{
      io_,
      std::chrono::seconds(1),
      {{"calls", [this] { expire_calls(); }},
       {"server", [this] { server_.expire(Server::Clock::now()); }},
       {"notifier", [this] { notifier_->tick(std::chrono::steady_clock::now()); }},
       {"devices", [this] { devices_.update(dataplane_.devices()); }},
       {"log", [] { log_tick(); }},
       {"drain", [this] { stop_if_drained(); }},
       {"watchdog", [] { notify_systemd("WATCHDOG=1"); }}}};
};

void report_ready(const Config& config, const std::vector<Listener>& listeners) {
  for (const InterfaceConfig& interface : config.dataplane.interfaces) {
    std::string addresses;
    for (const Prefix& prefix : interface.addresses) {
      addresses += (addresses.empty() ? "" : ",") + prefix.text();
    }
    log_event(Level::info, "interface",
              {{"name", interface.name}, {"device", interface.device}, {"addresses", addresses}});
  }
  for (const Listener& listener : listeners) {
    log_event(Level::info, "control-socket", {{"socket", listener.name()}});
  }
  log_event(Level::info, "ready",
            {{"version", MILLRACE_VERSION},
             {"workers", config.dataplane.worker_cores.size()},
             {"interfaces", config.interfaces.size()},
             {"control-sockets", listeners.size()}});
  notify_systemd("READY=1\nSTATUS=relaying");
}

// Duplicates the descriptors: each Listener keeps its own, and with it the socket file.
Result<std::vector<FileDescriptor>> notification_sockets(const std::vector<Notify>& config,
                                                         const std::vector<Listener>& bound) {
  std::vector<FileDescriptor> sockets;
  for (std::size_t i = 0; i < config.size(); ++i) {
    if (config[i].type == NotifyType::events) {
      if (auto listening = bound[i].listen(); !listening) {
        return std::unexpected(std::move(listening.error()));
      }
    }
    sockets.emplace_back(::fcntl(bound[i].fd(), F_DUPFD_CLOEXEC, 0));
    if (!sockets.back().valid()) return fail("no file descriptor for a notification socket");
  }
  return sockets;
}

std::vector<std::string> dataplane_errors(const Config& config) {
  std::vector<std::string> errors;
  for (Error& error : Dataplane::check(config.dataplane))
    errors.push_back(std::move(error.message));
  return errors;
}

int run(const Config& config) {
  auto blocked = std::make_unique<SignalBlock>();  // workers inherit it
  raise_descriptor_limit();
  std::vector<Listener> listeners;
  for (const ControlSocket& socket : config.control) {
    auto listener = Listener::bind(socket);
    if (!listener) return fail_start(kExitStart, config.log.format, listener.error().message);
    listeners.push_back(std::move(*listener));
  }
  std::vector<Listener> notifying;
  for (const Notify& notify : config.notify) {
    const int type = notify.type == NotifyType::events ? SOCK_STREAM : SOCK_DGRAM;
    auto listener = Listener::bind(notify.own, type);
    if (!listener) return fail_start(kExitStart, config.log.format, listener.error().message);
    notifying.push_back(std::move(*listener));
  }
  // After the sockets: with another instance running, "in use by process N" is the better error
  // than the memory that it has taken.
  if (const auto errors = dataplane_errors(config); !errors.empty()) {
    return fail_start(kExitStart, config.log.format, errors);
  }
  const auto dataplane = Dataplane::start(config.dataplane);
  if (!dataplane) return fail_start(kExitStart, config.log.format, dataplane.error().message);

  const Logging logging(config.log);
  if (auto dropped = drop_privileges(needed_capabilities(config.dataplane.interfaces)); !dropped) {
    // Not fatal. The line names the reason.
    log_event(Level::warning, "capabilities-kept", {{"reason", dropped.error().message}});
  }
  Calls calls(config, **dataplane);
  auto sockets = notification_sockets(config.notify, notifying);
  if (!sockets) return fail_start(kExitStart, config.log.format, sockets.error().message);
  Control control(listeners, config, calls, **dataplane);
  // From here on proxies can connect and expect replies.
  if (auto started = control.start(config.notify, std::move(*sockets)); !started) {
    return fail_start(kExitStart, config.log.format, started.error().message);
  }
  report_ready(config, listeners);
  blocked.reset();
  control.run();
  notify_systemd("STOPPING=1");
  return 0;
}

// Checks the configuration against this machine, without side effects.
std::vector<std::string> machine_errors(const Config& config) {
  std::vector<std::string> errors = dataplane_errors(config);
  const auto check = [&](const ControlSocket& socket) {
    if (auto checked = Listener::check(socket); !checked) errors.push_back(checked.error().message);
  };
  for (const ControlSocket& socket : config.control) check(socket);
  for (const Notify& notify : config.notify) check(notify.own);
  return errors;
}

// One malloc arena for all threads, since calls are created, changed and freed by different ones.
// It grows by 1 MiB at a time: a thread's own arena would grow page by page, by system calls.
void share_heap() {
  // NOLINTBEGIN(concurrency-mt-unsafe): there is no other thread yet
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TOP_PAD, 1 << 20);
  // NOLINTEND(concurrency-mt-unsafe)
}

int start(int argc, char** argv) {
  const auto options = parse_options(argc, argv, version_text("millrace"));
  if (!options) {
    fmt::print("{}", options.error().output);
    fmt::print(stderr, "{}", options.error().error);
    return options.error().status;
  }
  auto config = read_config(options->config);
  if (!config) {
    const LogFormat format = options->log_format.value_or(config.error().format);
    return fail_start(kExitConfiguration, options->check ? LogFormat::text : format,
                      config.error().messages);
  }
  apply(*options, *config);
  if (options->check) {
    if (const auto errors = machine_errors(*config); !errors.empty()) {
      return fail_start(kExitConfiguration, LogFormat::text, errors);
    }
    fmt::print("{}: configuration OK\n", options->config.string());
    return 0;
  }
  try {
    return run(*config);
  } catch (const std::exception& error) {
    return fail_start(kExitStart, config->log.format, error.what());
  }
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  millrace::share_heap();
  try {
    return millrace::start(argc, argv);
  } catch (const std::exception& error) {
    return millrace::fail_start(millrace::kExitStart, millrace::LogFormat::text, error.what());
  }
}
