// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/net.h"

#include <cstdio>

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

TEST(IpAddress, ParsesAndPrintsBothFamilies) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::1", "::"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->text(), text);
    EXPECT_EQ(IpAddress::from_words(address->words()), *address);
  }
  EXPECT_EQ(IpAddress::parse("192.0.2.1")->as_v4().host(), 0xc0000201U);
}

TEST(IpAddress, RefusesMalformedAddresses) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "[::1]", "::g", "192.0.2.1 ",
                           "2001:db8::1%eth0", "host.example"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string(100, '1')));
  EXPECT_FALSE(IpAddress::parse(std::string_view("192.0.2.1\0x", 11)));
  EXPECT_FALSE(IpAddress::parse(std::string_view("2001:db8::1\0", 12)));
}

// Addresses that an SDP must not make the relay send to, in every notation.
TEST(IpAddress, SendableRefusesEveryFormOfAForbiddenAddress) {
  for (const std::string v4 :
       {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "169.254.0.1", "169.254.169.254",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"}) {
    const auto bytes = IpAddress::parse(v4)->bytes();
    const auto hex = [&](unsigned flip) {
      char text[16];
      std::snprintf(text, sizeof text, "%02x%02x:%02x%02x", bytes[12] ^ flip, bytes[13] ^ flip,
                    bytes[14] ^ flip, bytes[15] ^ flip);
      return std::string(text);
    };
    for (const std::string& text :
         {v4, "::ffff:" + v4, "::" + v4, "::ffff:0:" + v4, "64:ff9b::" + v4, "64:ff9b:1::" + v4,
          "2002:" + hex(0) + "::1", "2001:0:c000:201:0:1:" + hex(0xff)}) {
      const auto address = IpAddress::parse(text);
      ASSERT_TRUE(address) << text;
      EXPECT_FALSE(address->is_sendable()) << text;
    }
  }
  for (const char* text : {"::", "::1", "ff02::1", "ff0e::1", "fe80::1", "febf::1", "fec0::1",
                           "fe00::1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "::192.168.0.1"}) {
    EXPECT_FALSE(IpAddress::parse(text)->is_sendable()) << text;
  }
  for (const char* text :
       {"192.0.2.1", "10.0.0.1", "100.64.1.2", "223.255.255.254", "2001:db8::1", "fd00::1",
        "2400::1", "64:ff9b::c000:201", "2002:c000:201::1", "2001:0:c000:201:0:1:3fff:fdfe"}) {
    EXPECT_TRUE(IpAddress::parse(text)->is_sendable()) << text;
  }
}

TEST(IpAddress, ExtractsTheEmbeddedIpv4Address) {
  for (const char* text :
       {"::192.0.2.1", "::ffff:0:192.0.2.1", "64:ff9b::192.0.2.1", "64:ff9b:1::192.0.2.1",
        "2002:c000:201::7", "2001:0:1:2:3:4:3fff:fdfe"}) {
    EXPECT_EQ(IpAddress::parse(text)->embedded_v4(), IpAddress::v4(192, 0, 2, 1)) << text;
  }
  for (const char* text : {"192.0.2.1", "2001:db8::192.0.2.1", "64:ff9c::192.0.2.1", "fd00::1"}) {
    EXPECT_EQ(IpAddress::parse(text)->embedded_v4(), std::nullopt) << text;
  }
}

TEST(IpAddress, RecognisesPrivateRanges) {
  for (const char* text : {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
                           "100.127.255.255", "fd12::1"}) {
    EXPECT_TRUE(IpAddress::parse(text)->is_private()) << text;
  }
  for (const char* text : {"172.32.0.1", "100.128.0.1", "198.18.0.1", "8.8.8.8", "2001:db8::1"}) {
    EXPECT_FALSE(IpAddress::parse(text)->is_private()) << text;
  }
}

// In the operator's notation, and in the order in which "private" expands.
TEST(IpAddress, PrivateNetworksByTheirNames) {
  const std::vector<std::string> names = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                          "100.64.0.0/10", "fc00::/7"};
  ASSERT_EQ(kPrivateNetworks.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(kPrivateNetworks[i].text(), names[i]);
  for (const char* text : {"9.255.255.255", "11.0.0.0", "172.15.255.255", "192.167.255.255",
                           "192.169.0.0", "100.63.255.255", "fbff::1", "fe00::1", "a00::1", "::"}) {
    EXPECT_FALSE(IpAddress::parse(text)->is_private()) << text;
  }
}

TEST(Family, PrintsAsIPv4OrIPv6) {
  EXPECT_EQ(name_of(IpAddress::v4(192, 0, 2, 1).family()), "IPv4");
  EXPECT_EQ(name_of(IpAddress().family()), "IPv6");
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

TEST(Prefix, ReservesNetworkAndBroadcastAddresses) {
  const auto reserves = [](const char* prefix, const char* address) {
    return Prefix::parse(prefix)->reserves(*IpAddress::parse(address));
  };
  for (const auto& [prefix, address] : {std::pair{"198.18.0.1/24", "198.18.0.0"},
                                        {"198.18.0.1/24", "198.18.0.255"},
                                        {"198.18.0.9/29", "198.18.0.8"},
                                        {"198.18.0.9/29", "198.18.0.15"},
                                        {"10.0.0.1/8", "10.255.255.255"},
                                        {"2001:db8::1/64", "2001:db8::"},
                                        {"2001:db8::1/61", "2001:db8::"}}) {
    EXPECT_TRUE(reserves(prefix, address)) << prefix << ' ' << address;
  }
  for (const auto& [prefix, address] : {std::pair{"198.18.0.1/24", "198.18.0.254"},
                                        {"198.18.0.1/24", "198.18.1.255"},
                                        {"198.18.0.0/31", "198.18.0.0"},
                                        {"198.18.0.0/31", "198.18.0.1"},
                                        {"198.18.0.0/32", "198.18.0.0"},
                                        {"2001:db8::1/64", "2001:db8::ffff:ffff:ffff:ffff"},
                                        {"2001:db8::/127", "2001:db8::"},
                                        {"2001:db8::1/128", "2001:db8::1"}}) {
    EXPECT_FALSE(reserves(prefix, address)) << prefix << ' ' << address;
  }
}

TEST(Prefix, NetworksOfManyAddresses) {
  std::vector<Prefix> addresses;
  for (const char* text : {"198.18.0.1/24", "198.18.0.2/24", "198.18.0.3/25", "198.18.1.1/24",
                           "2001:db8::1/64", "2001:db8::2/64"}) {
    addresses.push_back(*Prefix::parse(text));
  }
  EXPECT_EQ(networks_of(addresses),
            (std::vector{addresses[0], addresses[2], addresses[3], addresses[4]}));
  EXPECT_TRUE(networks_of({}).empty());
}

TEST(PeerPolicy, DenyOverridesAllowAndAnEmptyAllowListAllowsAll) {
  const auto policy = [](std::initializer_list<const char*> allow,
                         std::initializer_list<const char*> deny) {
    PeerPolicy made;
    for (const char* text : allow) made.allow.push_back(*Prefix::parse(text));
    for (const char* text : deny) made.deny.push_back(*Prefix::parse(text));
    return made;
  };
  const auto admits = [](const PeerPolicy& judge, const char* text) {
    return judge.admits(*IpAddress::parse(text));
  };
  EXPECT_TRUE(admits({}, "192.0.2.1"));
  EXPECT_TRUE(admits({}, "2001:db8::1"));
  const PeerPolicy deny = policy({}, {"192.0.2.0/25", "2001:db8:1::/48"});
  EXPECT_FALSE(admits(deny, "192.0.2.1"));
  EXPECT_TRUE(admits(deny, "192.0.2.129"));
  EXPECT_FALSE(admits(deny, "2001:db8:1::5"));
  EXPECT_TRUE(admits(deny, "2001:db8:2::5"));
  EXPECT_FALSE(admits(deny, "64:ff9b::192.0.2.1")) << "through a NAT64";
  EXPECT_FALSE(admits(deny, "2002:c000:201::1")) << "through 6to4";
  const PeerPolicy both = policy({"192.0.2.0/24"}, {"192.0.2.7/32"});
  EXPECT_TRUE(admits(both, "192.0.2.6"));
  EXPECT_FALSE(admits(both, "192.0.2.7"));
  EXPECT_FALSE(admits(both, "198.18.0.1"));
  EXPECT_FALSE(admits(both, "2001:db8::1")) << "not listed";
}

TEST(Endpoint, TextHasBracketsForIpv6) {
  EXPECT_EQ((Endpoint{IpAddress::v4(192, 0, 2, 1), UdpPort(4000)}.text()), "192.0.2.1:4000");
  EXPECT_EQ((Endpoint{*IpAddress::parse("2001:db8::1"), UdpPort(4000)}.text()),
            "[2001:db8::1]:4000");
}

TEST(Endpoint, RoundTripsItsText) {
  for (const char* host : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::1", "::"}) {
    for (const std::uint16_t port : std::array<std::uint16_t, 4>{1, 80, 4000, 65535}) {
      const Endpoint endpoint{*IpAddress::parse(host), UdpPort(port)};
      const auto read = Endpoint::parse(endpoint.text());
      ASSERT_TRUE(read) << endpoint.text();
      EXPECT_EQ(*read, endpoint);
    }
  }
}

// A prefix of the text is an endpoint only if just digits of the port are cut off.
TEST(Endpoint, RefusesEveryStrictPrefixButOfThePort) {
  for (const std::string whole : {"192.0.2.1:4567", "[2001:db8::1]:4567"}) {
    const std::size_t digits = whole.rfind(':') + 1;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<long>(size));
      const auto read = Endpoint::parse({exact.data(), exact.size()});
      ASSERT_EQ(read.has_value(), size > digits) << whole.substr(0, size);
      if (!read) continue;
      EXPECT_EQ(read->text(), whole.substr(0, size));
    }
  }
}

TEST(Endpoint, RefusesMalformedEndpoints) {
  for (const char* text : {"",
                           ":",
                           "[",
                           "]",
                           "[]",
                           "[]:1",
                           ":4000",
                           "4000",
                           "192.0.2.1",
                           "192.0.2.1:0",
                           "192.0.2.1:65536",
                           "192.0.2.1:-1",
                           "192.0.2.1:+1",
                           "192.0.2.1: 1",
                           "192.0.2.1:1 ",
                           "192.0.2.1:1:2",
                           "[192.0.2.1]:4000",
                           "2001:db8::1:4000",
                           "[2001:db8::1]4000",
                           "[2001:db8::1:4000",
                           "2001:db8::1]:4000",
                           "[[2001:db8::1]]:4000",
                           "[fe80::1%eth0]:4000",
                           "host.example:4000"}) {
    const auto read = Endpoint::parse(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().message, std::string("'") + text + "' is not an address with a port");
  }
}

}  // namespace
}  // namespace millrace
