// SPDX-License-Identifier: BSD-3-Clause
#include "control/ports/realm.h"

#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

namespace millrace {
namespace {

IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

class RealmTest : public testing::Test {
 protected:
  // An interface with these addresses; returns its peer policy and gateways for the test.
  InterfaceConfig& add(std::string name, const std::vector<std::string_view>& addresses) {
    Interface interface;
    InterfaceConfig device;
    device.name = interface.name = std::move(name);
    for (const std::string_view text : addresses) {
      device.addresses.push_back(*Prefix::parse(text));
      interface.addresses.push_back(device.addresses.back().address);
      interface.ids.push_back(MediaAddressId{ids_++});
    }
    config_.interfaces.push_back(std::move(interface));
    return config_.dataplane.interfaces.emplace_back(std::move(device));
  }
  // Name of the interface and family of the realm, or the error.
  [[nodiscard]] static std::string found(const Realms& realms, std::string_view name,
                                         Family family) {
    const auto realm = realms.find(name, family);
    if (!realm) return realm.error().message;
    const Realm& named = realms.at(*realm);
    return named.interface.name + ' ' + std::string(name_of(named.family));
  }
  [[nodiscard]] static std::string by_peer(const Realms& realms, std::string_view peer) {
    const auto name = realms.choose({}, ip(peer));
    return name ? std::string(*name) : name.error().message;
  }

  Config config_;
  std::uint16_t ids_ = 0;
};

TEST_F(RealmTest, IsFoundByAliases) {
  add("core", {"198.18.0.10/24"});
  add("edge", {"203.0.113.10/24", "2001:db8::10/64"});
  config_.interfaces[1].aliases = {"pub", "external"};
  const Realms realms(config_);
  EXPECT_EQ(found(realms, "pub", Family::ipv6), "edge IPv6");
  EXPECT_EQ(found(realms, "external", Family::ipv4), "edge IPv4");
  EXPECT_EQ(found(realms, "edge", Family::ipv4), "edge IPv4");
  EXPECT_EQ(found(realms, "priv", Family::ipv4),
            "Unknown interface 'priv'; configured: 'core' 'edge'");
  const RealmId core = realms.find("core", Family::ipv4).value(),
                edge = realms.find("pub", Family::ipv4).value();
  EXPECT_TRUE(realms.selects("external", edge) && realms.selects("edge", edge));
  EXPECT_FALSE(realms.selects("external", core) || realms.selects("priv", core));
}

TEST_F(RealmTest, LegacyNamesSelectTheFamily) {
  add("core", {"198.18.0.10/24"});
  add("edge", {"203.0.113.10/24", "2001:db8::10/64"});
  const Realms realms(config_);
  for (const Family family : {Family::ipv4, Family::ipv6}) {
    EXPECT_EQ(found(realms, "internal", family), "core IPv4");
    EXPECT_EQ(found(realms, "external", family), "edge IPv6");
  }
  EXPECT_EQ(found(realms, "Internal", Family::ipv4),
            "Unknown interface 'Internal'; configured: 'core' 'edge'");
}

TEST_F(RealmTest, IsChosenByThePeerThatItReaches) {
  add("core", {"198.18.0.10/24"}).peers.allow = {*Prefix::parse("198.18.0.0/24"),
                                                 *Prefix::parse("10.0.0.0/8")};
  InterfaceConfig& edge = add("edge", {"203.0.113.10/24", "2001:db8::10/64"});
  edge.gateways = {ip("203.0.113.1")};
  edge.peers.deny = {*Prefix::parse("192.168.0.0/16")};
  add("lab", {"192.0.2.10/29"}).peers.allow = {*Prefix::parse("192.0.2.0/24"),
                                               *Prefix::parse("10.7.0.0/16")};
  const Realms realms(config_);
  EXPECT_EQ(by_peer(realms, "198.18.0.77"), "core") << "on its network";
  EXPECT_EQ(by_peer(realms, "2001:db8::77"), "edge");
  EXPECT_EQ(by_peer(realms, "10.1.2.3"), "core") << "in its allow list";
  EXPECT_EQ(by_peer(realms, "10.7.2.3"), "lab") << "the longer prefix";
  EXPECT_EQ(by_peer(realms, "192.0.2.11"), "lab") << "the network before the list";
  EXPECT_EQ(by_peer(realms, "8.8.8.8"), "edge") << "behind its gateway";
  for (const std::string_view none : {"192.168.1.1", "2400::1", "127.0.0.1"}) {
    EXPECT_EQ(by_peer(realms, none),
              "No interface reaches the peer " + std::string(none) +
                  ": it is in no network and no `allow` list, and no gateway serves it; name the "
                  "interface by `direction`");
  }
  EXPECT_EQ(*realms.choose("any", ip("8.8.8.8")), "any") << "a name counts more";
  EXPECT_EQ(*realms.choose({}, {}), "");
}

}  // namespace
}  // namespace millrace
