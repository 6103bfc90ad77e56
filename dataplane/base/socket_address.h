// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// An Endpoint as a sockaddr, for the socket calls of the kernel.
//
// Pass get() and size to bind(), connect() and sendto(). For recvfrom() and getsockname() pass a
// default-constructed one: its size is that of the storage, the longer of the two families.

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "dataplane/base/net.h"

namespace millrace {

struct SocketAddress {
  sockaddr_in6 storage{};  // or the shorter sockaddr_in
  socklen_t size = sizeof(sockaddr_in6);

  SocketAddress() = default;
  explicit SocketAddress(const Endpoint& endpoint) {
    if (endpoint.address.is_v4()) {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = endpoint.port.wire().raw();
      v4.sin_addr.s_addr = endpoint.address.as_v4().raw();
      std::memcpy(&storage, &v4, sizeof v4);
      size = sizeof v4;
    } else {
      storage.sin6_family = AF_INET6;
      storage.sin6_port = endpoint.port.wire().raw();
      std::memcpy(&storage.sin6_addr, endpoint.address.bytes().data(), 16);
    }
  }

  [[nodiscard]] Endpoint endpoint() const {
    const UdpPort port(Be16::from_raw(storage.sin6_port).host());  // same offset in both families
    if (storage.sin6_family == AF_INET) {
      sockaddr_in v4;
      std::memcpy(&v4, &storage, sizeof v4);
      return {IpAddress::v4(Be32::from_raw(v4.sin_addr.s_addr)), port};
    }
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &storage.sin6_addr, bytes.size());
    return {IpAddress::v6(bytes), port};
  }
  [[nodiscard]] int family() const { return storage.sin6_family; }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

}  // namespace millrace
