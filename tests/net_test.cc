// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/net.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Be16, KeepsNetworkOrderInMemory) {
  const Be16 value(0x1234);
  const auto bytes = std::bit_cast<std::array<std::uint8_t, 2>>(value);
  EXPECT_EQ(bytes[0], 0x12);
  EXPECT_EQ(bytes[1], 0x34);
  EXPECT_EQ(value.host(), 0x1234);
}

TEST(IpAddress, ReadsAndWritesBothFamilies) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::1", "::"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->text(), text);
    EXPECT_EQ(IpAddress::from_words(address->words()), *address);
  }
  EXPECT_EQ(IpAddress::parse("192.0.2.1")->as_v4().host(), 0xc0000201U);
}

TEST(IpAddress, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "[::1]", "::g", "192.0.2.1 ",
                           "2001:db8::1%eth0", "host.example"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string(100, '1')));
}

// The list of security-and-standards: what an SDP must not make a relay send to.
TEST(IpAddress, SendableRefusesEveryFormOfAForbiddenAddress) {
  for (const char* text :
       {"0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.169.254", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::127.0.0.1",
        "2002:7f00:1::", "64:ff9b::7f00:1", "ff02::1", "fe80::1", "2002:a9fe:a9fe::1"}) {
    EXPECT_FALSE(IpAddress::parse(text)->is_sendable()) << text;
  }
  for (const char* text : {"192.0.2.1", "10.0.0.1", "100.64.1.2", "2001:db8::1", "fd00::1",
                           "64:ff9b::c000:201", "2002:c000:201::1"}) {
    EXPECT_TRUE(IpAddress::parse(text)->is_sendable()) << text;
  }
}

TEST(IpAddress, PrivateRanges) {
  for (const char* text : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
                           "100.127.255.255", "fd12::1"}) {
    EXPECT_TRUE(IpAddress::parse(text)->is_private()) << text;
  }
  for (const char* text : {"172.32.0.1", "100.128.0.1", "198.18.0.1", "8.8.8.8", "2001:db8::1"}) {
    EXPECT_FALSE(IpAddress::parse(text)->is_private()) << text;
  }
}

TEST(Prefix, ContainsItsOwnFamilyOnly) {
  const auto net = Prefix::parse("198.18.0.1/24");
  ASSERT_TRUE(net);
  EXPECT_TRUE(net->contains(IpAddress::v4(198, 18, 0, 200)));
  EXPECT_FALSE(net->contains(IpAddress::v4(198, 18, 1, 1)));
  EXPECT_FALSE(net->contains(*IpAddress::parse("2001:db8::1")));
  EXPECT_TRUE(Prefix::parse("0.0.0.0/0")->contains(IpAddress::v4(8, 8, 8, 8)));
  EXPECT_TRUE(Prefix::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:7fff::1")));
  EXPECT_FALSE(Prefix::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:8000::1")));
  for (const char* text : {"198.18.0.1", "198.18.0.1/", "198.18.0.1/33", "198.18.0.1/-1", "x/8",
                           "::/129", "1.2.3.4/24x"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(Endpoint, TextHasBracketsForIpv6) {
  EXPECT_EQ((Endpoint{IpAddress::v4(192, 0, 2, 1), UdpPort(4000)}.text()), "192.0.2.1:4000");
  EXPECT_EQ((Endpoint{*IpAddress::parse("2001:db8::1"), UdpPort(4000)}.text()),
            "[2001:db8::1]:4000");
}

}  // namespace
}  // namespace millrace
