// SPDX-License-Identifier: BSD-3-Clause
#include "control/datagrams.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "control/log.h"

namespace millrace {

namespace {

using Clock = ReplyCache::Clock;

constexpr std::size_t kMaxDatagram = 65'507;

thread_local std::array<char, 65536> chunk;  // what was received last

// Who sent a datagram.
union Sender {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

Endpoint endpoint_of(const Sender& sender) {
  if (sender.any.sa_family == AF_INET) {
    return {IpAddress::v4(Be32::from_raw(sender.v4.sin_addr.s_addr)),
            UdpPort(Be16::from_raw(sender.v4.sin_port).host())};
  }
  return {IpAddress::v6(std::to_array(sender.v6.sin6_addr.s6_addr)),
          UdpPort(Be16::from_raw(sender.v6.sin6_port).host())};
}

void tell_refused(const Endpoint& peer, std::string_view message, std::string_view reason) {
  log_event(Level::warning, "control-refused",
            {{"peer", peer.text()}, {"message", message}, {"reason", reason}});
}

}  // namespace

bool Datagrams::receive() {
  for (int i = 0; i < kTurn; ++i) {
    Sender sender{};
    socklen_t size = sizeof sender;
    const ssize_t n = ::recvfrom(fd_, chunk.data(), chunk.size(), MSG_DONTWAIT, &sender.any, &size);
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) continue;  // what was sent before could not be delivered, or a signal came
    std::string reply;
    try {
      reply = reply_to({chunk.data(), static_cast<std::size_t>(n)}, endpoint_of(sender));
    } catch (const std::exception& error) {
      log_event(Level::error, "control-exception", {{"reason", error.what()}});
    }
    // What the kernel does not take is lost as any datagram may be; the proxy asks again.
    if (!reply.empty() &&
        ::sendto(fd_, reply.data(), reply.size(), MSG_DONTWAIT, &sender.any, size) < 0) {
      log_event(Level::warning, "control-reply-lost",
                {{"reason", std::generic_category().message(errno)}});
    }
  }
  return true;
}

// Empty: none is to be sent.
std::string Datagrams::reply_to(std::string_view datagram, const Endpoint& peer) {
  const std::string_view cookie = codec_.cookie(datagram);
  if (cookie.empty()) {
    tell_refused(peer, datagram, "it has no cookie");
    return {};
  }
  const Clock::time_point now = Clock::now();
  auto [state, reply] = replies_.claim(peer, cookie, now);
  if (state != ReplyCache::State::fresh) return std::move(reply);
  Answer answer = codec_.serve(
      datagram, {.calls = calls_, .now = now, .max_reply = kMaxDatagram, .peer = peer.address});
  if (!answer.refused.empty()) tell_refused(peer, datagram, answer.refused);
  replies_.store(peer, cookie, answer.reply, now);
  return std::move(answer.reply);
}

}  // namespace millrace
