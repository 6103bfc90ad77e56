// SPDX-License-Identifier: BSD-3-Clause
// Round-trip time of requests on a UNIX socket: a complete server in this process, and for
// comparison an echo server on the same kind of socket. Requests of the same size alternate.
//
// Each request has a new connection, as from the proxies' modules, or the connection is kept.
// Client and servers share one core or have two. On two, waking the other core takes most of the
// time. The relay's share is the time above the echo server's: p50_above_ns and p99_above_ns.

#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "control/protocol/ng/bencode.h"
#include "control/server/listener.h"
#include "control/server/server.h"
#include "dataplane/base/file_descriptor.h"
#include "perf/control_bench.h"
#include "tests/temporary_directory.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Pins the calling thread and the threads that it starts later.
void run_on(std::size_t first_core, std::size_t cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (std::size_t i = 0; i < cores; ++i) CPU_SET(first_core + i, &set);
  static_cast<void>(::sched_setaffinity(0, sizeof set, &set));
}

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(path.native(), address.sun_path);
  return address;
}

// Echo server: sends back the data of each recv() until the client closes.
class Echo {
 public:
  explicit Echo(const std::filesystem::path& path)
      : listening_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = address_of(path);
    if (::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
            0 ||
        ::listen(listening_.get(), 16) != 0) {
      throw std::system_error(errno, std::generic_category(), "echo server");
    }
    thread_ = std::jthread([this] {
      std::vector<char> buffer(65536);
      for (;;) {
        const FileDescriptor client(::accept(listening_.get(), nullptr, nullptr));
        if (!client.valid()) return;
        for (;;) {
          const ssize_t n = ::recv(client.get(), buffer.data(), buffer.size(), 0);
          if (n <= 0) break;
          static_cast<void>(
              ::send(client.get(), buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL));
        }
      }
    });
  }
  ~Echo() { ::shutdown(listening_.get(), SHUT_RDWR); }
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

 private:
  FileDescriptor listening_;
  std::jthread thread_;
};

class Relay {
 public:
  explicit Relay(const std::filesystem::path& path)
      : calls_(bench::config(), bench::dataplane()), listeners_(listen_on(path)) {
    if (auto ok = server_.start(); !ok) throw std::runtime_error(ok.error().message);
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { server_.run(); });
  }
  ~Relay() { server_.stop(); }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

 private:
  static std::vector<Listener> listen_on(const std::filesystem::path& path) {
    ControlSocket socket;
    socket.path = path;
    auto listener = Listener::bind(socket);
    if (!listener) throw std::runtime_error(listener.error().message);
    std::vector<Listener> listeners;
    listeners.push_back(std::move(*listener));
    return listeners;
  }

  Calls calls_;
  std::vector<Listener> listeners_;
  Server server_{listeners_, bench::config(), [this](const Request& asked) {
                   return calls_.handle(asked, Calls::Clock::now());
                 }};
  std::vector<std::jthread> threads_;
};

class Client {
 public:
  Client(const std::filesystem::path& path, bool kept) : address_(address_of(path)), kept_(kept) {}

  // Returns the round-trip time. reply() returns the reply.
  std::chrono::nanoseconds ask(std::string_view request) {
    const auto begin = Clock::now();
    if (!socket_.valid()) {
      socket_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) !=
          0) {
        throw std::system_error(errno, std::generic_category(), "connect");
      }
    }
    static_cast<void>(::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL));
    size_ = ::recv(socket_.get(), buffer_.data(), buffer_.size(), 0);
    const auto time = Clock::now() - begin;
    if (!kept_) socket_ = FileDescriptor();
    return time;
  }
  [[nodiscard]] std::string_view reply() const {
    return {buffer_.data(), static_cast<std::size_t>(std::max<ssize_t>(size_, 0))};
  }

 private:
  sockaddr_un address_;
  bool kept_;
  FileDescriptor socket_;
  std::array<char, 65536> buffer_{};
  ssize_t size_ = 0;
};

class Delays {
 public:
  void add(std::chrono::nanoseconds delay) { all_.push_back(static_cast<double>(delay.count())); }
  [[nodiscard]] double quantile(double q) {
    if (all_.empty()) return 0;
    const auto at = static_cast<std::size_t>(q * static_cast<double>(all_.size() - 1));
    std::ranges::nth_element(all_, all_.begin() + static_cast<std::ptrdiff_t>(at));
    return all_[at];
  }

 private:
  std::vector<double> all_;
};

std::string request(std::string_view command, const std::string& id) {
  bencode::Writer out;
  out.dictionary();
  if (command == "offer") out.entry("sdp", bench::kOfferSdp);
  if (command != "ping") {
    out.entry("call-id", id);
    out.entry("from-tag", bench::kFromTag);
  }
  out.entry("command", command);
  out.end();
  return std::move(out).take();
}

// Each offer makes a call, which is deleted, untimed, before the next one.
void round_trip(benchmark::State& state, std::string_view command, bool kept) {
  const auto cores = static_cast<std::size_t>(state.range(0));
  const std::size_t core = std::thread::hardware_concurrency() - cores;
  static_cast<void>(bench::dataplane());
  run_on(core, cores);
  const TemporaryDirectory folder;
  const Relay relay(folder / "relay");
  const Echo echo(folder / "echo");
  Client to_relay(folder / "relay", kept), to_echo(folder / "echo", kept);
  Client cleaner(folder / "relay", true);
  Delays relayed, echoed;
  std::uint64_t number = 0;
  for ([[maybe_unused]] auto _ : state) {
    const std::string id = bench::call_id(number++);
    const std::string text = request(command, id);
    echoed.add(to_echo.ask(text));
    const auto delay = to_relay.ask(text);
    relayed.add(delay);
    state.SetIterationTime(std::chrono::duration<double>(delay).count());
    if (to_relay.reply().find("6:result") == std::string_view::npos) {
      return state.SkipWithError("no reply");
    }
    if (command == "offer") cleaner.ask(request("delete", id));
  }
  state.counters["p50_above_ns"] = relayed.quantile(0.5) - echoed.quantile(0.5);
  state.counters["p99_above_ns"] = relayed.quantile(0.99) - echoed.quantile(0.99);
  state.counters["echo_p50_ns"] = echoed.quantile(0.5);
  run_on(0, std::thread::hardware_concurrency());
}
BENCHMARK_CAPTURE(round_trip, ping_connect, "ping", false)
    ->ArgName("cores")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime();
BENCHMARK_CAPTURE(round_trip, ping_kept, "ping", true)
    ->ArgName("cores")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime();
BENCHMARK_CAPTURE(round_trip, offer_connect, "offer", false)
    ->ArgName("cores")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime();
BENCHMARK_CAPTURE(round_trip, offer_kept, "offer", true)
    ->ArgName("cores")
    ->Arg(1)
    ->Arg(2)
    ->UseManualTime();

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::bench::run(argc, argv); }
