// SPDX-License-Identifier: BSD-3-Clause
// Steps of a notifier's life over real sockets: calls with arbitrary texts end, the proxy answers
// with arbitrary datagrams, readers of the event stream come, send and go, seconds pass. Every
// request to the proxy is valid JSON, few are in flight, and an answered one is never sent again.

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include <asio/local/datagram_protocol.hpp>
#include <asio/local/stream_protocol.hpp>
#include <nlohmann/json.hpp>

#include "control/notify/notification.h"
#include "control/notify/notify.h"
#include "control/notify/notify_peers.h"
#include "tests/fuzz/check.h"

using namespace millrace;

namespace {

using asio::local::datagram_protocol;
using asio::local::stream_protocol;
using Json = nlohmann::json;

constexpr std::chrono::seconds kMaxAge{10};

// An abstract socket of this process.
std::string name(std::string_view role) {
  return std::string(1, '\0') + "millrace-fuzz-" + std::string(role) + std::to_string(::getpid());
}

template <typename Endpoint>
FileDescriptor bound(int type, const Endpoint& endpoint) {
  FileDescriptor fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  FUZZ_CHECK(::bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0);
  return fd;
}

class Life {
 public:
  explicit Life(std::string_view steps) : rest_(steps) {
    std::vector<Notify> config(2);
    config[0].type = NotifyType::kamailio;
    config[0].proxy = name("proxy");
    std::vector<FileDescriptor> sockets;
    sockets.push_back(bound(SOCK_DGRAM, replies_));
    sockets.push_back(bound(SOCK_STREAM, events_));
    FUZZ_CHECK(::listen(sockets.back().get(), 32) == 0);
    notifier_ = std::make_unique<Notifier>(io_, config, std::move(sockets), kMaxAge);
    proxy_.non_blocking(true);
  }

  void run() {
    while (!rest_.empty()) {
      step(byte());
      io_.restart();
      io_.poll();
      read_requests();
    }
  }

 private:
  [[nodiscard]] unsigned char byte() {
    if (rest_.empty()) return 0;
    const char first = rest_.front();
    rest_.remove_prefix(1);
    return static_cast<unsigned char>(first);
  }
  // A length and so many bytes.
  [[nodiscard]] std::string text() {
    const std::string result(rest_.substr(0, byte()));
    rest_.remove_prefix(std::min(rest_.size(), result.size()));
    return result;
  }

  void step(unsigned char kind) {
    switch (kind % 7) {
      case 0:
        return end_call();
      case 1:
        return reply(text());
      case 2:  // to a request that waits for it
        if (sent_.empty()) return;
        return reply("{\"id\":" + std::to_string(*sent_.begin()) + "," + text() + "}");
      case 3:
        return notifier_->tick(now_ += std::chrono::milliseconds(250) * byte());
      case 4:  // rtpproxy's client names any socket; nothing is sent there
        if (const auto parsed = TagPeer::parse(text())) FUZZ_CHECK(parsed->size() != 0);
        return;
      case 5:
        if (readers_.size() >= 8) return readers_.clear();
        readers_.emplace_back(io_).connect(events_);
        return;
      default:
        if (readers_.empty()) return;
        asio::error_code ignored;
        readers_.back().non_blocking(true);
        readers_.back().write_some(asio::buffer(text()), ignored);
    }
  }
  void end_call() {
    event::End end;
    end.reason = "media-timeout";
    end.notify_proxy = true;
    end.dialogs.resize(1 + byte() % 4);
    for (auto& dialog : end.dialogs) dialog = {.from_tag = text(), .to_tag = text()};
    Event event;
    event.call_id = text();
    event.what = std::move(end);
    notifier_->publish(std::move(event));
  }
  void reply(const std::string& datagram) {
    const auto parsed = notification::parse_reply(datagram);
    FUZZ_CHECK(!parsed || Json::accept(datagram));
    asio::error_code full;
    proxy_.send_to(asio::buffer(datagram), replies_, 0, full);
    if (!full && parsed && sent_.erase(parsed->id) != 0) answered_.insert(parsed->id);
  }
  void read_requests() {
    std::string datagram(Outbox::kMaxMessage, '\0');
    for (;;) {
      asio::error_code none;
      const std::size_t size = proxy_.receive(asio::buffer(datagram), 0, none);
      if (none) break;
      const Json request = Json::parse(datagram.substr(0, size));
      FUZZ_CHECK(request["method"] == "dlg.terminate_dlg" && request["params"].size() == 3);
      const std::uint64_t id = request["id"];
      FUZZ_CHECK(!answered_.contains(id));
      sent_.insert(id);
    }
  }

  std::string_view rest_;
  asio::io_context io_{1};
  const datagram_protocol::endpoint replies_{name("replies")};
  const stream_protocol::endpoint events_{name("events")};
  datagram_protocol::socket proxy_{io_, datagram_protocol::endpoint(name("proxy"))};
  std::vector<stream_protocol::socket> readers_;
  std::chrono::steady_clock::time_point now_ = std::chrono::steady_clock::now();
  std::set<std::uint64_t> sent_, answered_;  // ids of requests
  std::unique_ptr<Notifier> notifier_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Life({reinterpret_cast<const char*>(data), size}).run();
  return 0;
}
