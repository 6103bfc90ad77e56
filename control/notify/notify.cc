// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notify.h"

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
constexpr auto kPollPause = std::chrono::milliseconds(10);
using Clock = std::chrono::steady_clock;
}  // namespace

struct Notifier::Impl {
  Impl(asio::io_context& io, std::chrono::seconds age)
      : max_age(age), strand(asio::make_strand(io)), poll_timer(strand) {}

  void deliver(const Event& event);
  void notify_tag(const Event& event, const event::End& end);
  void advance(Clock::time_point now);
  void log_losses();
  [[nodiscard]] bool empty();
  [[nodiscard]] bool has_room();
  void abandon();
  void poll(bool (Impl::*done)(), Clock::time_point until, const std::function<void()>& then);
  template <typename Visit>
  void each_outbox(Visit visit) {
    for (ProxyPeer& peer : proxies) visit(peer.outbox());
    for (auto& [name, peer] : tags) visit(peer.outbox());
  }

  const std::chrono::seconds max_age;
  asio::any_io_executor strand;
  std::atomic<std::uint32_t> pending = 0;
  std::atomic<std::uint64_t> overflowed = 0;
  // Used on the strand only.
  std::list<ProxyPeer> proxies;
  std::list<EventStream> streams;
  std::map<std::string, TagPeer, std::less<>> tags;
  asio::steady_timer poll_timer;
};

Notifier::Notifier(asio::io_context& io, const std::vector<Notify>& config,
                   std::vector<FileDescriptor> sockets, std::chrono::seconds max_age)
    : impl_(std::make_unique<Impl>(io, max_age)) {
  for (std::size_t i = 0; i < config.size(); ++i) {
    if (config[i].type == NotifyType::events) {
      impl_->streams.emplace_back(impl_->strand, std::move(sockets.at(i)));
    } else {
      impl_->proxies.emplace_back(impl_->strand, config[i], max_age, std::move(sockets.at(i)));
    }
  }
}

Notifier::~Notifier() = default;

void Notifier::publish(Event event) {
  if (impl_->pending.fetch_add(1) >= kMaxPending) {
    --impl_->pending;
    ++impl_->overflowed;
    return;
  }
  asio::post(impl_->strand, [impl = impl_.get(), posted = std::move(event)] {
    --impl->pending;
    impl->deliver(posted);
  });
}

void Notifier::Impl::deliver(const Event& event) {
  if (!streams.empty()) {
    const auto line = std::make_shared<const std::string>(notification::line(event));
    for (EventStream& stream : streams) stream.publish(line);
  }
  const auto* end = std::get_if<event::End>(&event.what);
  if (end == nullptr || !end->notify_proxy) return;
  for (ProxyPeer& proxy : proxies) proxy.notify(event, *end);
  if (!end->notify_socket.empty()) notify_tag(event, *end);
}

void Notifier::Impl::notify_tag(const Event& event, const event::End& end) {
  const auto log_lost = [&](std::string_view reason) {
    log_event(Level::warning, "notification-lost",
              {{"peer", end.notify_socket}, {"call-id", event.call_id}, {"reason", reason}});
  };
  auto line = notification::rtpproxy(end.notify_tag);
  if (!line) return log_lost("the tag contains a line end");
  auto peer = tags.find(end.notify_socket);
  if (peer == tags.end()) {
    auto endpoint = TagPeer::parse(end.notify_socket);
    if (!endpoint) return log_lost(endpoint.error().message);
    if (tags.size() >= kMaxTagPeers) return log_lost("too many sockets");
    peer = tags.try_emplace(end.notify_socket, strand, end.notify_socket, std::move(*endpoint),
                            max_age)
               .first;
  }
  peer->second.notify(event.call_id, std::move(*line));
}

void Notifier::tick(Clock::time_point now) {
  asio::post(impl_->strand, [impl = impl_.get(), now] { impl->advance(now); });
}

void Notifier::Impl::advance(Clock::time_point now) {
  for (ProxyPeer& proxy : proxies) proxy.advance(now);
  for (auto& [name, peer] : tags) peer.advance(now);
  log_losses();
  std::erase_if(tags, [](const auto& tag) { return tag.second.idle(); });
}

void Notifier::Impl::log_losses() {
  if (const std::uint64_t events = overflowed.exchange(0); events != 0) {
    log_event(Level::error, "events-lost", {{"events", events}});
  }
  each_outbox([](Outbox& outbox) {
    if (const std::uint64_t lost = outbox.take_lost(); lost != 0) {
      log_event(Level::error, "notifications-lost", {{"peer", outbox.peer()}, {"calls", lost}});
    }
  });
}

void Notifier::wait_for_room(Clock::time_point until, std::function<void()> then) {
  asio::post(impl_->strand, [impl = impl_.get(), until, then = std::move(then)] {
    impl->poll(&Impl::has_room, until, then);
  });
}

void Notifier::flush(Clock::time_point until, std::function<void()> then) {
  asio::post(impl_->strand, [impl = impl_.get(), until, then = std::move(then)] {
    impl->poll(&Impl::empty, until, [impl, then] {
      impl->abandon();
      then();
    });
  });
}

bool Notifier::Impl::has_room() {
  const auto now = Clock::now();
  bool all = pending < kMaxPending / 2 && std::ranges::none_of(streams, &EventStream::congested);
  each_outbox([&](const Outbox& outbox) { all = all && !outbox.congested(now); });
  return all;
}

bool Notifier::Impl::empty() {
  bool all = pending == 0;
  each_outbox([&](const Outbox& outbox) { all = all && outbox.empty(); });
  return all && std::ranges::all_of(streams, &EventStream::empty);
}

void Notifier::Impl::abandon() {
  each_outbox([](Outbox& outbox) { outbox.abandon(); });
  for (EventStream& stream : streams) stream.abandon();
  log_losses();
}

void Notifier::Impl::poll(bool (Impl::*done)(), Clock::time_point until,
                          const std::function<void()>& then) {
  if ((this->*done)() || Clock::now() >= until) return then();
  poll_timer.expires_after(kPollPause);
  poll_timer.async_wait([this, done, until, then](const asio::error_code& error) {
    if (!error) poll(done, until, then);
  });
}

}  // namespace millrace
