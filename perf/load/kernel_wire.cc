// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/kernel_wire.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

#include "dataplane/base/socket_address.h"
#include "dataplane/base/text.h"

namespace millrace::loadgen {
namespace {

constexpr std::size_t kRoom = 2048;       // bytes per datagram
constexpr int kReceiveBuffer = 64 << 20;  // 250 ms at 400 kpps, by the kernel's accounting
constexpr int kSendBuffer = 4 << 20;
constexpr unsigned kRtcpEvery = 16;  // every 16th poll reads RTCP first

// The kernel's receive timestamp of a datagram.
Stamp stamp_of(msghdr& header) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec time{};
    std::memcpy(&time, CMSG_DATA(c), sizeof time);
    return Stamp(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
  return std::chrono::system_clock::now();
}

}  // namespace

// A socket and the packets pending for its flush.
struct KernelWire::Socket {
  FileDescriptor fd;
  WirePort port;
  Endpoint endpoint;
  std::size_t waiting = 0;
  std::array<mmsghdr, kBurst> headers{};
  std::array<iovec, kBurst> vectors{};
  std::array<SocketAddress, kBurst> destinations{};
  std::array<std::size_t, kBurst> stamps{};
  std::array<std::uint32_t, kBurst> streams{};
  std::vector<std::byte> bytes = std::vector<std::byte>(kBurst * kRoom, std::byte{0xd5});
};

struct KernelWire::Inbox {
  std::array<mmsghdr, kBurst> headers{};
  std::array<iovec, kBurst> vectors{};
  std::array<SocketAddress, kBurst> sources{};
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(timespec))> bytes;
  };
  std::array<Control, kBurst> controls{};
  std::vector<std::byte> bytes = std::vector<std::byte>(kBurst * kRoom);
  std::array<Received, kBurst> received{};
};

KernelWire::KernelWire(const KernelWireConfig& config)
    : config_(config), inbox_(std::make_unique<Inbox>()) {
  for (std::size_t i = 0; i < kBurst; ++i) {
    inbox_->vectors[i] = {inbox_->bytes.data() + i * kRoom, kRoom};
    msghdr& header = inbox_->headers[i].msg_hdr;
    header.msg_name = inbox_->sources[i].get();
    header.msg_iov = &inbox_->vectors[i];
    header.msg_iovlen = 1;
    header.msg_control = inbox_->controls[i].bytes.data();
  }
  sent_.reserve(kBurst);
}

KernelWire::~KernelWire() = default;

Result<std::unique_ptr<KernelWire>> KernelWire::open(const KernelWireConfig& config) {
  std::unique_ptr<KernelWire> wire(new KernelWire(config));
  for (const bool rtcp : {false, true}) {
    if (rtcp && !config.rtcp_ports) break;
    for (const Party party : {Party::caller, Party::callee}) {
      for (unsigned i = 0; i < config.ports; ++i) {
        const auto bound = wire->bind({party, static_cast<std::uint8_t>(i), rtcp});
        if (!bound) return std::unexpected(bound.error());
      }
    }
    if (!rtcp) wire->rtp_sockets_ = wire->sockets_.size();
  }
  return wire;
}

Result<void> KernelWire::bind(WirePort port) {
  auto socket = std::make_unique<Socket>();
  socket->port = port;
  socket->endpoint = endpoint(port);
  const SocketAddress own(socket->endpoint);
  socket->fd.reset(::socket(own.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = socket->fd.get();
  if (fd < 0) return fail("no UDP socket: " + error_text(errno));
  if (::bind(fd, own.get(), own.size) != 0) {
    return fail(
        "cannot bind " + socket->endpoint.text() + ": " + error_text(errno) +
        "; give --caller and --callee addresses of this host with free ports from there on");
  }
  constexpr int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  // SO_RCVBUFFORCE requires root. Fall back to the limit of rmem_max.
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) != 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
  for (std::size_t i = 0; i < kBurst; ++i) {
    socket->vectors[i].iov_base = socket->bytes.data() + i * kRoom;
    msghdr& header = socket->headers[i].msg_hdr;
    header.msg_name = socket->destinations[i].get();
    header.msg_iov = &socket->vectors[i];
    header.msg_iovlen = 1;
  }
  sockets_.push_back(std::move(socket));
  return {};
}

KernelWire::Socket& KernelWire::socket(WirePort port) {
  const std::size_t of_party = index(port.party) * config_.ports + port.number;
  return *sockets_[(port.rtcp ? rtp_sockets_ : 0) + of_party];
}

Endpoint KernelWire::endpoint(WirePort port) const {
  Endpoint endpoint = config_.first[index(port.party)];
  endpoint.port = UdpPort(
      static_cast<std::uint16_t>(endpoint.port.number() + 2 * port.number + (port.rtcp ? 1 : 0)));
  return endpoint;
}

std::byte* KernelWire::claim(const Outgoing& packet) {
  Socket& from = socket(packet.from);
  if (from.waiting == 0) filled_.push_back(&from);
  const std::size_t i = from.waiting++;
  from.destinations[i] = SocketAddress(*packet.to);
  from.headers[i].msg_hdr.msg_namelen = from.destinations[i].size;
  from.vectors[i].iov_len = packet.size;
  from.stamps[i] = packet.stamp;
  from.streams[i] = packet.stream;
  return from.bytes.data() + i * kRoom;
}

std::span<const Sent> KernelWire::flush() {
  sent_.clear();
  for (Socket* const from : filled_) send(*from);
  filled_.clear();
  return sent_;
}

void KernelWire::send(Socket& from) {
  const Stamp now = std::chrono::system_clock::now();
  for (std::size_t i = 0; i < from.waiting; ++i) {
    if (from.stamps[i] != kNoStamp) {
      write_stamp(from.bytes.data() + i * kRoom + from.stamps[i], now);
    }
  }
  std::size_t done = 0;
  while (done < from.waiting) {
    const int n = ::sendmmsg(from.fd.get(), &from.headers[done],
                             static_cast<unsigned>(from.waiting - done), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  if (done < from.waiting && errno != EAGAIN && errno != ENOBUFS && trouble_.empty()) {
    trouble_ = "cannot send from " + from.endpoint.text() + " to " +
               from.destinations[done].endpoint().text() + ": " + error_text(errno);
  }
  for (std::size_t i = 0; i < from.waiting; ++i) {
    sent_.push_back({from.streams[i], from.stamps[i] == kNoStamp, i < done, now});
  }
  from.waiting = 0;
}

std::span<const Received> KernelWire::receive() {
  if (++polls_ % kRtcpEvery == 0) {
    const auto received = receive(rtp_sockets_, sockets_.size());
    if (!received.empty()) return received;
  }
  return receive(0, rtp_sockets_);
}

// Receives from the next of these sockets that has packets.
std::span<const Received> KernelWire::receive(std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    const auto received = receive(*sockets_[begin + ++turn_ % (end - begin)]);
    if (!received.empty()) return received;
  }
  return {};
}

std::span<const Received> KernelWire::receive(Socket& on) {
  for (std::size_t i = 0; i < kBurst; ++i) {
    inbox_->headers[i].msg_hdr.msg_namelen = sizeof(SocketAddress::storage);
    inbox_->headers[i].msg_hdr.msg_controllen = sizeof(Inbox::Control);
  }
  const int n = ::recvmmsg(on.fd.get(), inbox_->headers.data(), kBurst, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < n; ++i) {
    const auto k = static_cast<std::size_t>(i);
    inbox_->received[k] = {
        .on = on.port,
        .from = inbox_->sources[k].endpoint(),
        .datagram = {inbox_->bytes.data() + k * kRoom, inbox_->headers[k].msg_len},
        .at = stamp_of(inbox_->headers[k].msg_hdr)};
  }
  return std::span(inbox_->received).first(n > 0 ? static_cast<std::size_t>(n) : 0);
}

}  // namespace millrace::loadgen
