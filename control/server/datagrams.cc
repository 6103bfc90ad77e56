// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/datagrams.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "control/log.h"
#include "dataplane/base/socket_address.h"
#include "dataplane/base/text.h"

namespace millrace {

namespace {

using Clock = ReplyCache::Clock;

constexpr std::size_t kMaxDatagram = 65'507;

void log_refused(const Endpoint& peer, std::string_view message, std::string_view reason) {
  log_event(Level::warning, "control-refused",
            {{"peer", peer.text()}, {"message", message}, {"reason", reason}});
}

}  // namespace

// The messages that one thread receives, then its replies, each to the sender of its request.
struct Datagrams::Batch {
  static constexpr std::size_t kRoom = 65'536;  // per datagram; untouched pages are not allocated

  std::unique_ptr<char[]> chunks = std::make_unique_for_overwrite<char[]>(kBatch * kRoom);
  std::array<SocketAddress, kBatch> senders;
  std::array<std::string, kBatch> replies;
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};

  [[nodiscard]] char* chunk(std::size_t i) const { return chunks.get() + i * kRoom; }
  void set(std::size_t i, SocketAddress& peer, socklen_t address_size, std::span<char> bytes) {
    parts[i] = {.iov_base = bytes.data(), .iov_len = bytes.size()};
    messages[i] = {};
    messages[i].msg_hdr.msg_name = peer.get();
    messages[i].msg_hdr.msg_namelen = address_size;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
};

bool Datagrams::receive() {
  static thread_local Batch batch;
  for (std::size_t i = 0; i < kTurn; ++i) {
    // A batch that is not full emptied the socket: the next datagram is a new edge.
    const std::size_t count = receive(batch);
    if (count < kBatch) return false;
  }
  return true;
}

// Number of datagrams received; kBatch also after an error, to try again.
std::size_t Datagrams::receive(Batch& batch) {
  for (std::size_t i = 0; i < kBatch; ++i) {
    batch.set(i, batch.senders[i], sizeof(SocketAddress::storage), {batch.chunk(i), Batch::kRoom});
  }
  const int count = ::recvmmsg(fd_, batch.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count < 0) return kBatch;  // a pending error of an earlier send, or a signal
  std::size_t replies = 0;
  for (std::size_t i = 0; std::cmp_less(i, count); ++i) {
    const mmsghdr& message = batch.messages[i];
    std::string& reply = batch.replies[i];
    reply.clear();
    try {
      reply = reply_to({batch.chunk(i), message.msg_len}, batch.senders[i].endpoint());
    } catch (const std::exception& error) {
      log_event(Level::error, "control-exception", {{"reason", error.what()}});
    }
    // Overwrites a message that was served: an earlier one, or this one.
    if (!reply.empty()) {
      batch.set(replies++, batch.senders[i], message.msg_hdr.msg_namelen, reply);
    }
  }
  send(batch, replies);
  return static_cast<std::size_t>(count);
}

// Replies that the kernel refuses are lost, like any datagram; the proxy retransmits.
void Datagrams::send(Batch& batch, std::size_t count) const {
  for (std::size_t done = 0; done < count;) {
    const int sent =
        ::sendmmsg(fd_, &batch.messages[done], static_cast<unsigned>(count - done), MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      log_event(Level::warning, "control-reply-lost", {{"reason", error_text(errno)}});
    }
    done += static_cast<std::size_t>(std::max(sent, 1));
  }
}

// Empty: send no reply.
std::string Datagrams::reply_to(std::string_view datagram, const Endpoint& peer) {
  const std::string_view cookie = codec_.cookie(datagram);
  if (cookie.empty()) {
    log_refused(peer, datagram, "it has no cookie");
    return {};
  }
  const Clock::time_point now = Clock::now();
  auto [state, reply] = replies_.claim(peer, cookie, now);
  if (state != ReplyCache::State::fresh) return std::move(reply);
  try {
    ServeResult answer = codec_.serve(datagram, {.handle = context_.handle,
                                                 .config = context_.config,
                                                 .max_reply = kMaxDatagram,
                                                 .peer = peer.address});
    if (!answer.refused.empty()) log_refused(peer, datagram, answer.refused);
    replies_.store(peer, cookie, now, answer.reply);
    return std::move(answer.reply);
  } catch (...) {
    replies_.forget(peer, cookie);  // otherwise retransmissions would get no reply
    throw;
  }
}

}  // namespace millrace
