// SPDX-License-Identifier: BSD-3-Clause
#include "control/ports/realm.h"

#include <algorithm>
#include <string>

namespace millrace {
namespace {

Interface of_family(const Interface& all, Family family) {
  Interface result = all;
  std::erase_if(result.advertised, [&](const IpAddress& a) { return a.family() != family; });
  result.addresses.clear();
  result.ids.clear();
  for (std::size_t i = 0; i < all.addresses.size(); ++i) {
    if (all.addresses[i].family() != family) continue;
    result.addresses.push_back(all.addresses[i]);
    result.ids.push_back(all.ids[i]);
  }
  return result;
}

}  // namespace

Realm::Realm(const Interface& settings, const InterfaceConfig& device, Family which,
             std::chrono::seconds quarantine)
    : interface(of_family(settings, which)),
      networks(networks_of(device.addresses)),
      peers(device.peers),
      has_gateway(std::ranges::count(device.gateways, which, &IpAddress::family) != 0),
      family(which),
      pool(interface, quarantine) {}

bool Realm::on_link(const IpAddress& address) const {
  return std::ranges::any_of(networks, [&](const Prefix& p) { return p.contains(address); });
}

bool Realm::admits(const IpAddress& address) const {
  return address.is_sendable() && !reserves(address) && peers.admits(address);
}

bool Realm::reserves(const IpAddress& address) const {
  return std::ranges::any_of(networks, [&](const Prefix& p) { return p.reserves(address); });
}

unsigned Realm::reach(const IpAddress& peer) const {
  constexpr unsigned kOnLink = 512, kAllowed = 256, kGateway = 1;  // above any prefix length
  if (peer.family() != family || !admits(peer)) return 0;
  const auto longest = [&](const std::vector<Prefix>& prefixes, unsigned base) {
    unsigned best = 0;
    for (const Prefix& prefix : prefixes) {
      if (prefix.contains(peer)) best = std::max(best, base + prefix.length);
    }
    return best;
  };
  return std::max(
      {longest(networks, kOnLink), longest(peers.allow, kAllowed), has_gateway ? kGateway : 0U});
}

const IpAddress& Realm::advertised(const IpAddress& local) const {
  return interface.advertised.empty() ? local : interface.advertised.front();
}

const IpAddress& Realm::address_of(LocalPort port) const {
  const auto at = std::ranges::find(interface.ids, port.address) - interface.ids.begin();
  return interface.addresses[static_cast<std::size_t>(at)];
}

Endpoint Realm::printed(LocalPort port) const { return {advertised(address_of(port)), port.port}; }

Realms::Realms(const Config& config) {
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    for (const Family family : {Family::ipv4, Family::ipv6}) {
      auto realm = std::make_unique<Realm>(config.interfaces[i], config.dataplane.interfaces.at(i),
                                           family, config.timeouts.quarantine);
      const Interface& interface = realm->interface;
      if (interface.addresses.empty()) continue;
      own_.insert(own_.end(), interface.addresses.begin(), interface.addresses.end());
      own_.insert(own_.end(), interface.advertised.begin(), interface.advertised.end());
      realms_.push_back(std::move(realm));
    }
  }
  std::ranges::sort(own_, {}, &IpAddress::words);
}

Result<RealmId> Realms::find(std::string_view name, Family family) const {
  const auto has_name = [&](const auto& realm) {
    return name.empty() || realm->interface.is_named(name);
  };
  for (std::size_t i = 0; i < realms_.size(); ++i) {
    if (has_name(realms_[i]) && realms_[i]->family == family) return static_cast<RealmId>(i);
  }
  if (name.empty() || std::ranges::any_of(realms_, has_name)) {
    return fail((name.empty() ? "No interface" : "Interface '" + std::string(name) + "'") +
                " has " + (name.empty() ? "an " : "no ") + std::string(name_of(family)) +
                " media address");
  }
  if (name == "internal") return find({}, Family::ipv4);
  if (name == "external") return find({}, Family::ipv6);
  std::string names;
  for (const auto& realm : realms_) {
    if (!names.ends_with("'" + realm->interface.name + "'")) {
      names += " '" + realm->interface.name + "'";
    }
  }
  return fail("Unknown interface '" + std::string(name.substr(0, 64)) + "'; configured:" + names);
}

Result<std::string_view> Realms::choose(std::string_view name,
                                        const std::optional<IpAddress>& peer) const {
  if (!name.empty() || !peer) return name;
  const Realm* best = nullptr;
  for (const auto& realm : realms_) {
    if (realm->reach(*peer) > (best != nullptr ? best->reach(*peer) : 0)) best = realm.get();
  }
  if (best != nullptr) return best->interface.name;
  return fail("No interface reaches the peer " + peer->text() +
              ": it is in no network and no `allow` list, and no gateway serves it; name the "
              "interface by `direction`");
}

bool Realms::selects(std::string_view name, RealmId realm) const {
  const auto found = find(name, at(realm).family);
  return found && *found == realm;
}

std::optional<RealmId> Realms::find_by_address(const IpAddress& address) const {
  for (std::size_t i = 0; i < realms_.size(); ++i) {
    const auto& own = realms_[i]->interface.addresses;
    if (std::ranges::find(own, address) != own.end()) return static_cast<RealmId>(i);
  }
  return std::nullopt;
}

bool Realms::is_own(const IpAddress& address) const {
  const auto has = [&](const IpAddress& each) {
    return std::ranges::binary_search(own_, each.words(), {}, &IpAddress::words);
  };
  if (has(address)) return true;
  const std::optional<IpAddress> inside = address.embedded_v4();
  return inside && has(*inside);
}

std::optional<Endpoint> Realms::find_taken(const Endpoint& endpoint) const {
  for (const auto& realm : realms_) {
    for (const IpAddress& local : realm->interface.addresses) {
      const bool named = local == endpoint.address || realm->advertised(local) == endpoint.address;
      if (named && realm->pool.is_taken(local, endpoint.port)) {
        return Endpoint{local, endpoint.port};
      }
    }
  }
  return std::nullopt;
}

void Realms::advance(PortPool::Clock::time_point now) {
  for (const auto& realm : realms_) realm->pool.advance(now);
}

std::uint64_t Realms::ports_used() const {
  std::uint64_t sum = 0;
  for (const auto& realm : realms_) sum += realm->pool.used();
  return sum;
}

std::uint64_t Realms::ports_free() const {
  std::uint64_t sum = 0;
  for (const auto& realm : realms_) sum += realm->pool.free();
  return sum;
}

}  // namespace millrace
