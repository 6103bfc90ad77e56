// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/socket_address.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "dataplane/base/file_descriptor.h"

namespace millrace {
namespace {

TEST(SocketAddress, KeepsEndpointsOfBothFamilies) {
  for (const char* text : {"192.0.2.1:4000", "[2001:db8::1]:65535"}) {
    const Endpoint endpoint = Endpoint::parse(text).value();
    const SocketAddress address(endpoint);
    EXPECT_EQ(address.endpoint(), endpoint) << text;
    EXPECT_EQ(address.family(), endpoint.address.is_v4() ? AF_INET : AF_INET6);
    EXPECT_EQ(address.size, endpoint.address.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  }
}

TEST(SocketAddress, IsWhatTheKernelReadsAndWrites) {
  const SocketAddress own(Endpoint{IpAddress::v4(127, 0, 0, 1), UdpPort(0)});
  const FileDescriptor fd(::socket(own.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(fd.get(), own.get(), own.size), 0);
  SocketAddress bound;
  ASSERT_EQ(::getsockname(fd.get(), bound.get(), &bound.size), 0);
  EXPECT_EQ(bound.size, sizeof(sockaddr_in));
  EXPECT_EQ(bound.endpoint().address, own.endpoint().address);
  EXPECT_NE(bound.endpoint().port.number(), 0);
}

}  // namespace
}  // namespace millrace
