// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notify.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <map>
#include <string>
#include <utility>

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include "control/log.h"
#include "control/notify/event_stream.h"
#include "control/notify/notification.h"
#include "control/notify/notify_peers.h"

namespace millrace {

namespace {
constexpr auto kFlushLook = std::chrono::milliseconds(10);
}

struct Notifier::Impl {
  explicit Impl(asio::io_context& io) : strand(asio::make_strand(io)), flush_timer(strand) {}

  void pass_on(const Event& event);
  void tell_tag(const Event& event, const event::End& end);
  void lose(const Event& event, std::string_view peer, std::string_view reason);
  void tell_lost();
  [[nodiscard]] bool empty();
  void look_again(std::chrono::steady_clock::time_point until, std::function<void()> then);
  template <typename Visit>
  void each_outbox(Visit visit) {
    for (ProxyPeer& peer : proxies) visit(peer.outbox());
    for (auto& [name, peer] : tags) visit(peer.outbox());
  }

  asio::any_io_executor strand;
  std::atomic<std::uint32_t> pending = 0;
  std::atomic<std::uint64_t> overflowed = 0;
  // From here on: on the strand.
  std::list<ProxyPeer> proxies;
  std::list<EventStream> streams;
  std::map<std::string, TagPeer, std::less<>> tags;
  asio::steady_timer flush_timer;
};

Notifier::Notifier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Notifier::~Notifier() = default;

Result<std::unique_ptr<Notifier>> Notifier::start(asio::io_context& io,
                                                  const std::vector<Notify>& config,
                                                  const std::vector<Listener>& sockets) {
  auto impl = std::make_unique<Impl>(io);
  for (std::size_t i = 0; i < config.size(); ++i) {
    const bool stream = config[i].type == NotifyType::events;
    if (stream) {
      if (auto listening = sockets.at(i).listen(); !listening) {
        return std::unexpected(std::move(listening.error()));
      }
    }
    const int fd = ::fcntl(sockets.at(i).fd(), F_DUPFD_CLOEXEC, 0);  // asio closes its own
    if (stream) {
      impl->streams.emplace_back(impl->strand, fd);
    } else {
      impl->proxies.emplace_back(impl->strand, config[i], fd);
    }
  }
  return std::unique_ptr<Notifier>(new Notifier(std::move(impl)));
}

void Notifier::tell(Event event) {
  if (impl_->pending.fetch_add(1) >= kMaxPending) {
    --impl_->pending;
    ++impl_->overflowed;
    return;
  }
  asio::post(impl_->strand, [impl = impl_.get(), told = std::move(event)] {
    --impl->pending;
    impl->pass_on(told);
  });
}

void Notifier::Impl::pass_on(const Event& event) {
  if (!streams.empty()) {
    const auto line = std::make_shared<const std::string>(notification::line(event));
    for (EventStream& stream : streams) stream.publish(line);
  }
  const auto* end = std::get_if<event::End>(&event.what);
  if (end == nullptr || !end->untold) return;
  for (ProxyPeer& proxy : proxies) proxy.tell(event, *end);
  if (!end->notify_socket.empty()) tell_tag(event, *end);
}

void Notifier::Impl::tell_tag(const Event& event, const event::End& end) {
  auto line = notification::rtpproxy(end.notify_tag);
  if (!line) return lose(event, end.notify_socket, "the tag holds a line end");
  auto peer = tags.find(end.notify_socket);
  if (peer == tags.end()) {
    auto endpoint = TagPeer::parse(end.notify_socket);
    if (!endpoint) return lose(event, end.notify_socket, endpoint.error().message);
    if (tags.size() >= kMaxTagPeers) return lose(event, end.notify_socket, "too many sockets");
    peer =
        tags.try_emplace(end.notify_socket, strand, end.notify_socket, std::move(*endpoint)).first;
  }
  peer->second.tell(event.call_id, std::move(*line));
}

void Notifier::Impl::lose(const Event& event, std::string_view peer, std::string_view reason) {
  log_event(Level::warning, "notification-lost",
            {{"peer", peer}, {"call-id", event.call_id}, {"reason", reason}});
}

void Notifier::tick(std::chrono::steady_clock::time_point now) {
  asio::post(impl_->strand, [impl = impl_.get(), now] {
    impl->tell_lost();
    std::erase_if(impl->tags, [&](const auto& tag) { return tag.second.is_idle(now); });
  });
}

void Notifier::Impl::tell_lost() {
  if (const std::uint64_t events = overflowed.exchange(0); events != 0) {
    log_event(Level::error, "events-lost", {{"events", events}});
  }
  each_outbox([](Outbox& outbox) {
    if (const std::uint64_t lost = outbox.take_lost(); lost != 0) {
      log_event(Level::error, "notifications-lost", {{"peer", outbox.peer()}, {"calls", lost}});
    }
  });
}

void Notifier::flush(std::chrono::milliseconds patience, std::function<void()> then) {
  const auto until = std::chrono::steady_clock::now() + patience;
  asio::post(impl_->strand, [impl = impl_.get(), until, then = std::move(then)]() mutable {
    impl->look_again(until, std::move(then));
  });
}

bool Notifier::Impl::empty() {
  bool all = pending == 0;
  each_outbox([&](const Outbox& outbox) { all = all && outbox.empty(); });
  return all && std::ranges::all_of(streams, &EventStream::empty);
}

void Notifier::Impl::look_again(std::chrono::steady_clock::time_point until,
                                std::function<void()> then) {
  if (empty() || std::chrono::steady_clock::now() >= until) return then();
  flush_timer.expires_after(kFlushLook);
  flush_timer.async_wait([this, until, then = std::move(then)](const asio::error_code& error) {
    if (!error) look_again(until, then);
  });
}

}  // namespace millrace
