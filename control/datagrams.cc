// SPDX-License-Identifier: BSD-3-Clause
#include "control/datagrams.h"

#include <sys/socket.h>

#include <asio/buffer.hpp>

#include "control/log.h"

namespace millrace {

namespace {

using asio::ip::udp;
using Clock = ReplyCache::Clock;

constexpr std::size_t kMaxDatagram = 65'507;

IpAddress from_asio(const asio::ip::address& address) {
  return address.is_v4() ? IpAddress::v4(Be32(address.to_v4().to_uint()))
                         : IpAddress::v6(address.to_v6().to_bytes());
}

void tell_refused(const Endpoint& peer, std::string_view message, std::string_view reason) {
  log_event(Level::warning, "control-refused",
            {{"peer", peer.text()}, {"message", message}, {"reason", reason}});
}

}  // namespace

Datagrams::Datagrams(asio::io_context& io, int fd, bool v4, const Codec& codec, Calls& calls)
    : socket_(io, v4 ? udp::v4() : udp::v6(), fd), codec_(codec), calls_(calls) {}

void Datagrams::receive() {
  socket_.async_receive_from(asio::buffer(datagram_), peer_,
                             [this](const asio::error_code& error, std::size_t size) {
                               if (error == asio::error::operation_aborted) return;
                               if (!error) serve(std::string_view(datagram_.data(), size));
                               receive();
                             });
}

void Datagrams::serve(std::string_view datagram) {
  const Endpoint peer{from_asio(peer_.address()), UdpPort(peer_.port())};
  const std::string_view cookie = codec_.cookie(datagram);
  if (cookie.empty()) return tell_refused(peer, datagram, "it has no cookie");
  auto [state, reply] = replies_.claim(peer, cookie, Clock::now());
  if (state == ReplyCache::State::pending) return;
  if (state == ReplyCache::State::fresh) {
    Answer answer = codec_.serve(
        datagram,
        {.calls = calls_, .now = Clock::now(), .max_reply = kMaxDatagram, .peer = peer.address});
    reply = std::move(answer.reply);
    if (!answer.refused.empty()) tell_refused(peer, datagram, answer.refused);
    replies_.store(peer, cookie, reply, Clock::now());
  }
  if (!reply.empty()) send(reply);
}

// What the kernel does not take is lost as any datagram may be; the proxy asks again.
void Datagrams::send(const std::string& reply) {
  asio::error_code error;
  socket_.send_to(asio::buffer(reply), peer_, MSG_DONTWAIT, error);
  if (error) log_event(Level::warning, "control-reply-lost", {{"reason", error.message()}});
}

}  // namespace millrace
