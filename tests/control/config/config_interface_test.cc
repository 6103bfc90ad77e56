// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_interface.h"

#include <string>

#include <gtest/gtest.h>

#include "control/config/config.h"
#include "tests/control/config/config_fixture.h"

namespace millrace {
namespace {

TEST(Config, InterfaceRequiresNameDeviceAndAddresses) {
  const std::string head = "[[interface]]\n", addresses = "addresses = ['198.18.0.5/24']\n";
  EXPECT_EQ(error_of(File{.interface = head}),
            "m.toml:3:1: [[interface]] lacks 'name'; write name = \"public\"\n"
            "m.toml:3:1: [[interface]] lacks 'device'; write device = \"0000:3b:00.0\"\n"
            "m.toml:3:1: [[interface]] lacks 'addresses'; write addresses = [\"192.0.2.1/24\"]");
  EXPECT_EQ(error_of(File{.interface = head + "name = ''\ndevice = 'net_null0'\n" + addresses}),
            "m.toml:4:8: name is empty; leave it out or fill it");
  EXPECT_EQ(
      error_of(File{.interface = head + "name = 'a'\ndevice = 'eth0'\n" + addresses}),
      "m.toml:5:10: device 'eth0' is neither a PCI address nor a DPDK virtual device; for the "
      "kernel's interface eth0 write \"net_af_packet0,iface=eth0\"");
  const auto second = [](const std::string& keys) {
    return interface_error("[[interface]]\n" + keys + "\naddresses = ['198.18.1.5/24']");
  };
  EXPECT_EQ(second("name = 'a'\ndevice = 'net_null1'"),
            "m.toml:8:8: interface name 'a' is taken; names must differ");
  EXPECT_EQ(second("name = 'b'\ndevice = 'net_null0,size=64'"),
            "m.toml:9:10: device belongs to interface 'a' already, as 'net_null0'; to share it "
            "write the same text, else choose another device (virtual ones are numbered: "
            "net_af_packet1)");
  File same_kernel_interface;
  same_kernel_interface.interface =
      "[[interface]]\nname='a'\ndevice='net_af_packet0,iface=x'\naddresses=['198.18.0.5/24']\n"
      "[[interface]]\nname='b'\ndevice='net_af_packet1,iface=x,qpairs=2'\n"
      "addresses=['198.18.1.5/24']\n";
  EXPECT_EQ(error_of(same_kernel_interface).substr(0, 13), "m.toml:9:8: d");
}

TEST(Config, InterfaceAddresses) {
  const auto with = [](const std::string& addresses) {
    return error_of(
        File{.interface =
                 "[[interface]]\nname = 'a'\ndevice = '3b:00.0'\naddresses = " + addresses + "\n"});
  };
  EXPECT_EQ(with("[]"), "m.toml:6:13: addresses is empty; write addresses = [\"192.0.2.1/24\"]");
  EXPECT_EQ(with("'192.0.2.1/24'"),
            "m.toml:6:13: addresses is a string; write an array: addresses = [\"192.0.2.1/24\"]");
  EXPECT_EQ(with("['192.0.2.1']"),
            "m.toml:6:14: address: '192.0.2.1' is not an address with its prefix length; write "
            "192.0.2.1/24");
  EXPECT_EQ(with("['198.18.0.5/24', '127.0.0.1/8']"),
            "m.toml:6:31: 127.0.0.1 cannot be a media address; write a unicast address that phones "
            "or peers can send to");
  EXPECT_EQ(with("['198.18.0.0/24']"),
            "m.toml:6:14: 198.18.0.0/24 is the network address of its network; write a host's "
            "address with the network's length, e.g. 192.0.2.1/24");
  EXPECT_EQ(with("['198.18.0.255/24']").substr(0, 60),
            "m.toml:6:14: 198.18.0.255/24 is the broadcast address of its");
  EXPECT_EQ(with("['2001:db8::/64']"),
            "m.toml:6:14: 2001:db8::/64 is the network address of its network; write a host's "
            "address with the network's length, e.g. 2001:db8::1/64");
  EXPECT_EQ(with("['fe80::5/64']").substr(0, 47),
            "m.toml:6:14: fe80::5 cannot be a media address;");
  EXPECT_EQ(with("['198.18.0.5/24', '2001:db8::5/64']"), "accepted");
  EXPECT_EQ(with("['198.18.0.5/24', '198.18.0.5/24']"),
            "m.toml:6:31: address 198.18.0.5 is already on interface 'a'; each address may occur "
            "once");
  EXPECT_EQ(with("['198.18.0.0/31']"), "accepted");  // RFC 3021
}

TEST(Config, InterfaceAliases) {
  const auto config =
      parse_config(File{.interface = "[[interface]]\nname = 'a'\ndevice = 'net_null0'\n"
                                     "aliases = ['pub', 'external']\n"
                                     "addresses = ['198.18.0.5/24']\n"}
                       .text(),
                   "m.toml");
  ASSERT_TRUE(config) << config.error().text();
  const Interface& interface = config->interfaces[0];
  EXPECT_TRUE(interface.is_named("a") && interface.is_named("pub"));
  EXPECT_TRUE(interface.is_named("external"));
  EXPECT_FALSE(interface.is_named("internal") || interface.is_named(""));
  EXPECT_EQ(interface_error("aliases = 'pub'"), "accepted");
  EXPECT_EQ(interface_error("aliases = ['pub', 'a']"),
            "m.toml:7:19: alias 'a' is the interface's own name; write it once");
  EXPECT_EQ(interface_error("aliases = ['']"),
            "m.toml:7:12: alias is empty; leave it out or fill it");
  const auto second = [](const std::string& keys) {
    return interface_error(
        "aliases = ['pub']\n[[interface]]\ndevice = 'net_null1'\n"
        "addresses = ['198.18.1.5/24']\n" +
        keys);
  };
  EXPECT_EQ(second("name = 'pub'"),
            "m.toml:11:8: interface name 'pub' is taken; names must differ");
  EXPECT_EQ(second("name = 'b'\naliases = ['c', 'a']"),
            "m.toml:12:17: interface name 'a' is taken; names must differ");
}

TEST(Config, InterfaceAddressOnTwoInterfaces) {
  EXPECT_EQ(interface_error("[[interface]]\nname = 'b'\ndevice = 'net_null1'\n"
                            "addresses = ['198.18.0.5/16']"),
            "m.toml:10:14: address 198.18.0.5 is already on interface 'a'; each address may occur "
            "once");
}

TEST(Config, InterfaceGatewayAndAdvertised) {
  EXPECT_EQ(interface_error("gateway = '198.18.1.1'"),
            "m.toml:7:11: gateway 198.18.1.1 is in none of the interface's networks; write an "
            "on-link router or correct the prefix length");
  EXPECT_EQ(interface_error("gateway = '198.18.0.5'"),
            "m.toml:7:11: gateway 198.18.0.5 is the interface's own address; write the router's");
  EXPECT_EQ(interface_error("gateway = '198.18.0.255'"),
            "m.toml:7:11: gateway 198.18.0.255 is the network or broadcast address of its network; "
            "write the router's");
  EXPECT_EQ(interface_error("gateway = 'router'"),
            "m.toml:7:11: gateway: 'router' is not an IP address; write 192.0.2.1 or 2001:db8::1");
  EXPECT_EQ(interface_error("advertised = '0.0.0.0'"),
            "m.toml:7:14: 0.0.0.0 cannot be advertised; write the public address that is "
            "translated to this interface's");
  EXPECT_EQ(interface_error("gateway = 'fe80::1'"),
            "m.toml:7:11: gateway fe80::1 is in none of the interface's networks; write an "
            "on-link router or correct the prefix length");
  EXPECT_EQ(interface_error("gateway = ['198.18.0.1', '198.18.0.2']"),
            "m.toml:7:26: gateway 198.18.0.2 is the second of its family; write one for IPv4 and "
            "one for IPv6 at most");
  EXPECT_EQ(interface_error("advertised = ['203.0.113.1', '203.0.113.2']"),
            "m.toml:7:30: advertised 203.0.113.2 is the second of its family; write one for IPv4 "
            "and one for IPv6 at most");
  EXPECT_EQ(interface_error("gateway = 7"),
            "m.toml:7:11: gateway is an integer; write an array: gateway = [\"192.0.2.254\", "
            "\"fe80::1\"]");
  EXPECT_EQ(interface_error("advertised = '2001:db8::1'"),
            "m.toml:7:14: advertised replaces exactly one address of its own family; write one "
            "[[interface]] for each translated address");
}

TEST(Config, InterfaceOfBothFamilies) {
  const auto config = parse_config(
      File{.interface = "[[interface]]\nname = 'a'\ndevice = 'net_null0'\n"
                        "addresses = ['198.18.0.5/24', '2001:db8::5/64', '2001:db8::6/64']\n"
                        "gateway = ['198.18.0.1', 'fe80::1']\n"
                        "advertised = ['203.0.113.1']\n"
                        "allow = ['198.18.0.0/16', 'private', '2001:db8::/32']\n"
                        "deny = '198.18.7.0/24'\n"}
          .text(),
      "m.toml");
  ASSERT_TRUE(config) << config.error().text();
  const InterfaceConfig& device = config->dataplane.interfaces[0];
  EXPECT_EQ(device.gateways,
            (std::vector{IpAddress::v4(198, 18, 0, 1), IpAddress::parse("fe80::1").value()}));
  const auto admits = [&](const char* text) {
    return device.peers.admits(IpAddress::parse(text).value());
  };
  EXPECT_TRUE(admits("198.18.6.1") && admits("10.1.2.3") && admits("100.64.0.1"));
  EXPECT_TRUE(admits("2001:db8::9") && admits("fd00::1"));
  EXPECT_FALSE(admits("198.18.7.1") || admits("192.0.2.1") || admits("2400::1"));
  EXPECT_EQ(interface_error("deny = ['10.0.0.0']"),
            "m.toml:7:9: deny: '10.0.0.0' is not an address with its prefix length; write "
            "192.0.2.1/24");
}

TEST(Config, PciAddressesAreNormalised) {
  const auto device = [](const std::string& text) {
    const auto config = parse_config(File{.interface = "[[interface]]\nname = 'a'\ndevice = '" +
                                                       text + "'\naddresses = ['198.18.0.5/24']\n"}
                                         .text(),
                                     "m.toml");
    return config ? config->dataplane.interfaces[0].device : config.error().text();
  };
  EXPECT_EQ(device("3B:00.0"), "0000:3b:00.0");
  EXPECT_EQ(device("0000:3b:00.0,dv_flow_en=1"), "0000:3b:00.0,dv_flow_en=1");
  EXPECT_EQ(device("3b:00.8").substr(0, 13), "m.toml:5:10: ");
}

TEST(Config, InterfacesMayShareADevice) {
  const std::string second = "[[interface]]\nname = 'b'\naddresses = ['203.0.113.5/24']\n";
  EXPECT_EQ(interface_error(second + "device = 'net_null0'"), "accepted");
}

TEST(Config, InterfacePortsAndLatching) {
  EXPECT_EQ(interface_error("ports = [30000]"),
            "m.toml:7:9: ports has 1 elements; write the lowest and the highest port: ports = "
            "[30000, 40000]");
  EXPECT_EQ(interface_error("ports = [30000, 70000]"),
            "m.toml:7:17: highest port is 70000; it must be from 1024 to 65535");
  for (const char* empty : {"[30001, 30002]", "[30000, 30000]", "[40000, 30000]"}) {
    const std::string error = interface_error(std::string("ports = ") + empty);
    EXPECT_TRUE(error.starts_with("m.toml:7:9: ports ")) << error;
    EXPECT_NE(error.find("hold no pair"), std::string::npos) << error;
  }
  EXPECT_EQ(interface_error("ports = [30000, 30001]"), "accepted");
  EXPECT_EQ(interface_error("ports = [65534, 65535]"), "accepted");
  EXPECT_EQ(
      interface_error("latching = 'strict'"),
      "m.toml:7:12: latching is 'strict'; it must be one of \"restricted\", \"open\", \"off\"");
}

}  // namespace
}  // namespace millrace
