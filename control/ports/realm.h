// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Realms: one for each interface and address family.
//
// A party of a call is attached to one realm: its ports come from there, and whether an address of
// its SDP can be reached is judged from there. A call names its realms by RealmId.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "control/config/config.h"
#include "control/ports/offered_ports.h"
#include "control/ports/port_pool.h"
#include "dataplane/path.h"

namespace millrace {

struct Realm {
  Realm(const Interface& settings, const InterfaceConfig& device, Family family,
        std::chrono::seconds quarantine);

  [[nodiscard]] bool on_link(const IpAddress& address) const;
  // Whether media may be exchanged with it: a unicast host address that the peer policy admits.
  [[nodiscard]] bool admits(const IpAddress& address) const;
  // Whether it is the network or broadcast address of a network of the realm.
  [[nodiscard]] bool reserves(const IpAddress& address) const;
  // Address to print in SDP for a port on `local`.
  [[nodiscard]] const IpAddress& advertised(const IpAddress& local) const;
  // The media address of a port of the realm.
  [[nodiscard]] const IpAddress& address_of(LocalPort port) const;
  // A port of the realm as printed in SDP.
  [[nodiscard]] Endpoint printed(LocalPort port) const;
  // How well the realm reaches a peer: by a network of its own, by an entry of its `allow` list, by
  // its gateway, in this order, and by the longest prefix. 0: not at all.
  [[nodiscard]] unsigned reach(const IpAddress& peer) const;

  Interface interface;  // addresses of this family only
  std::vector<Prefix> networks;
  PeerPolicy peers;
  bool has_gateway;  // of this family
  Family family;
  PortPool pool;
};

// Index of a realm, in the order of the configuration, IPv4 first.
enum class RealmId : std::uint8_t {};

class Realms {
 public:
  explicit Realms(const Config& config);

  // The realm of `family` of the interface `name`; name empty: of the first interface with one.
  // Unless configured, "internal" and "external" are the IPv4 and the IPv6 realm of the first
  // interface with one (rtpengine's legacy).
  [[nodiscard]] Result<RealmId> find(std::string_view name, Family family) const;
  // `name` if given, else the name of the interface that reaches `peer` best; empty if neither is
  // given.
  [[nodiscard]] Result<std::string_view> choose(std::string_view name,
                                                const std::optional<IpAddress>& peer) const;
  // Whether find() selects `realm` by this name.
  [[nodiscard]] bool selects(std::string_view name, RealmId realm) const;
  // The realm that has this media address.
  [[nodiscard]] std::optional<RealmId> find_by_address(const IpAddress& address) const;
  [[nodiscard]] Realm& at(RealmId realm) const { return *realms_[static_cast<std::size_t>(realm)]; }
  // A media address of ours, or one that stands for it in SDP; also inside an IPv6 address.
  [[nodiscard]] bool is_own(const IpAddress& address) const;

  // The port of a call that `endpoint` of an SDP names, by its media address; nothing if no call
  // has that port.
  [[nodiscard]] std::optional<Endpoint> find_taken(const Endpoint& endpoint) const;

  // Ends the quarantine of ports; call it once a second.
  void advance(PortPool::Clock::time_point now);
  [[nodiscard]] OffersBySource& offers() const { return *offers_; }
  [[nodiscard]] std::uint64_t ports_used() const;
  [[nodiscard]] std::uint64_t ports_free() const;

 private:
  std::vector<std::unique_ptr<Realm>> realms_;  // in configuration order, IPv4 first
  std::vector<IpAddress> own_;                  // media and advertised addresses, sorted
  std::unique_ptr<OffersBySource> offers_ = std::make_unique<OffersBySource>();
};

}  // namespace millrace
