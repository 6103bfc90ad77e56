// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/device_wire.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/device/check.h"
#include "dataplane/device/eal.h"
#include "dataplane/device/ethdev.h"
#include "dataplane/host/host.h"
#include "dataplane/host/link.h"
#include "dataplane/relay/rewrite.h"
#include "dataplane/wire/datagram.h"
#include "dataplane/wire/ether.h"
#include "dataplane/wire/frame.h"

namespace millrace::loadgen {
namespace {

constexpr unsigned kMbufs = 16384;
constexpr unsigned kMemory = 128;  // MB

Tsc tsc_now() { return Tsc{rte_rdtsc()}; }

DataplaneConfig as_dataplane(const DeviceWireConfig& config) {
  const unsigned core = config.cpu < 0 ? 0 : static_cast<unsigned>(config.cpu);
  DataplaneConfig dataplane;
  // EAL requires a worker core. Its thread sleeps; the thread that opens the wire does all work.
  dataplane.worker_cores = {core};
  dataplane.main_core = core;
  dataplane.hugepages = config.hugepages;
  dataplane.memory_mb = kMemory;
  dataplane.mbufs = kMbufs;
  const std::array<std::string, 2> names = {"caller", "callee"};
  for (std::size_t i = 0; i < config.sides.size(); ++i) {
    const DeviceSide& side = config.sides[i];
    InterfaceConfig interface{.name = names[i], .device = side.device, .addresses = {side.address}};
    if (side.gateway) interface.gateways = {*side.gateway};
    dataplane.interfaces.push_back(std::move(interface));
  }
  return dataplane;
}

}  // namespace

// Members are destroyed in reverse order: EAL goes last.
struct DeviceWire::Impl {
  struct Waiting {
    rte_mbuf* packet;
    Outgoing of;
    Endpoint to;
  };

  Impl(DeviceWireConfig wanted, std::vector<DeviceLock> held, Eal environment, Mempool buffers)
      : config(std::move(wanted)),
        locks(std::move(held)),
        eal(std::move(environment)),
        pool(std::move(buffers)) {}
  ~Impl() {
    if (!arrived.empty()) {
      rte_pktmbuf_free_bulk(arrived.data(), static_cast<unsigned>(arrived.size()));
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  [[nodiscard]] Result<void> open_ports(const DataplaneConfig& dataplane);
  [[nodiscard]] std::optional<MacAddress> next_hop(Link& link, const IpAddress& to);
  [[nodiscard]] Endpoint endpoint(WirePort port) const;
  [[nodiscard]] bool address(const Waiting& waiting);
  void send(std::size_t nic);
  void send_own();
  [[nodiscard]] std::optional<Received> parse(std::size_t nic, rte_mbuf* packet, Stamp now);
  [[nodiscard]] std::optional<WirePort> port_of(const IpAddress& address, std::uint16_t port) const;

  DeviceWireConfig config;
  std::vector<DeviceLock> locks;
  Eal eal;
  Mempool pool;
  std::vector<Ethdev> ports;
  std::vector<std::unique_ptr<Link>> links;  // one per party
  std::vector<Link*> link_list;              // the same
  WorkerStats stats;
  std::unique_ptr<Host> host;
  std::vector<TxBatch> own;  // packets of the host, one batch per NIC
  std::array<std::map<IpAddress, NextHop>, 2> hops;

  std::vector<Waiting> waiting;
  std::vector<Sent> sent;
  std::vector<rte_mbuf*> burst;             // of one NIC
  std::vector<std::size_t> burst_sent;      // index in `sent` of each packet of `burst`
  std::array<std::byte, 2048> no_packet{};  // written to if mbufs run out
  std::vector<rte_mbuf*> arrived;           // mbufs that `received` points into
  std::vector<Received> received;
  std::size_t turn = 0;
  bool unresolved = false;
};

Result<std::unique_ptr<DeviceWire>> DeviceWire::open(const DeviceWireConfig& config) {
  const DataplaneConfig dataplane = as_dataplane(config);
  if (const auto faults = check(dataplane); !faults.empty()) {
    return std::unexpected(faults.front());
  }
  auto locks = DeviceLock::take_all(devices_of(dataplane));
  if (!locks) return std::unexpected(locks.error());
  auto eal = Eal::start(dataplane);
  if (!eal) return std::unexpected(eal.error());
  auto pool = Mempool::create(kMbufs);
  if (!pool) return std::unexpected(pool.error());
  auto impl = std::make_unique<Impl>(config, std::move(*locks), std::move(*eal), std::move(*pool));
  if (auto ok = impl->open_ports(dataplane); !ok) return std::unexpected(ok.error());
  return std::unique_ptr<DeviceWire>(new DeviceWire(std::move(impl)));
}

DeviceWire::DeviceWire(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DeviceWire::~DeviceWire() = default;

Result<void> DeviceWire::Impl::open_ports(const DataplaneConfig& dataplane) {
  const std::uint64_t tsc_hz = rte_get_tsc_hz();
  const std::vector<std::string> devices = devices_of(dataplane);
  for (const std::string& device : devices) {
    auto port = Ethdev::open(device, 1, pool);
    if (!port) return std::unexpected(port.error());
    std::vector<MacAddress> groups;
    for (const DeviceSide& side : config.sides) {
      if (side.device != device || side.address.address.is_v4()) continue;
      groups.push_back(group_mac(solicited_node_group(side.address.address)));
    }
    if (!groups.empty()) port->set_multicast_filter(groups);
    ports.push_back(std::move(*port));
  }
  for (const InterfaceConfig& interface : dataplane.interfaces) {
    const auto nic =
        static_cast<std::size_t>(std::ranges::find(devices, interface.device) - devices.begin());
    links.push_back(std::make_unique<Link>(nic, ports[nic].mac(), interface.addresses,
                                           MediaAddressId{}, interface.gateways, tsc_hz));
    link_list.push_back(links.back().get());
  }
  host = std::make_unique<Host>(link_list, *pool.get(), stats, tsc_hz);
  own.resize(ports.size());
  return {};
}

Endpoint DeviceWire::Impl::endpoint(WirePort port) const {
  const DeviceSide& side = config.sides[index(port.party)];
  return {side.address.address, UdpPort(static_cast<std::uint16_t>(
                                    side.first.number() + 2 * port.number + (port.rtcp ? 1 : 0)))};
}

Endpoint DeviceWire::endpoint(WirePort port) const { return impl_->endpoint(port); }

std::string DeviceWire::trouble() const {
  if (!impl_->unresolved) return {};
  return "the relay's addresses, or the gateway, do not answer ARP or Neighbor Solicitations; are "
         "both ends of the device up, and in one network?";
}

std::byte* DeviceWire::claim(const Outgoing& packet) {
  rte_mbuf* const buffer = rte_pktmbuf_alloc(impl_->pool.get());
  impl_->waiting.push_back({buffer, packet, *packet.to});
  if (buffer == nullptr) return impl_->no_packet.data();
  const Family family = impl_->config.sides[index(packet.from.party)].address.address.family();
  set_length(*buffer, udp_headers(family) + packet.size);
  return rte_pktmbuf_mtod(buffer, std::byte*) + udp_headers(family);
}

// The MAC address to send to, or nothing while it is being resolved.
std::optional<MacAddress> DeviceWire::Impl::next_hop(Link& link, const IpAddress& to) {
  const std::size_t party = &link == link_list[0] ? 0 : 1;
  auto known = hops[party].find(to);
  for (int tries = 0; tries < 2; ++tries) {
    if (known != hops[party].end()) {
      const NeighborWord word = link.neighbors.word(known->second.index);
      if (word.matches(known->second)) return word.mac();
      const HopState state = link.neighbors.lookup(known->second);
      if (state == HopState::reachable) {
        return link.neighbors.word(known->second.index).mac();
      }
      if (state == HopState::waiting) return std::nullopt;
    }
    const auto hop = link.neighbors.resolve(to, tsc_now());
    if (!hop) return std::nullopt;
    known = hops[party].insert_or_assign(to, *hop).first;
  }
  return std::nullopt;
}

bool DeviceWire::Impl::address(const Waiting& each) {
  Link& link = *links[index(each.of.from.party)];
  const auto mac = next_hop(link, each.to.address);
  unresolved = !mac;
  if (!mac) return false;
  write_datagram(rte_pktmbuf_mtod(each.packet, std::byte*), {link.mac, *mac},
                 endpoint(each.of.from), each.to, each.of.size);
  return true;
}

std::span<const Sent> DeviceWire::flush() {
  Impl& impl = *impl_;
  impl.sent.clear();
  for (std::size_t nic = 0; nic < impl.ports.size(); ++nic) impl.send(nic);
  impl.waiting.clear();
  return impl.sent;
}

void DeviceWire::Impl::send(std::size_t nic) {
  burst.clear();
  burst_sent.clear();
  const Stamp now = std::chrono::system_clock::now();
  for (const Waiting& each : waiting) {
    if (links[index(each.of.from.party)]->nic != nic) continue;
    const bool rtcp = each.of.stamp == kNoStamp;
    sent.push_back({each.of.stream, rtcp, false, now});
    if (each.packet == nullptr) continue;
    const Family family = config.sides[index(each.of.from.party)].address.address.family();
    if (!rtcp) {
      write_stamp(rte_pktmbuf_mtod(each.packet, std::byte*) + udp_headers(family) + each.of.stamp,
                  now);
    }
    if (each.to.address.family() != family || !address(each)) {
      rte_pktmbuf_free(each.packet);
      continue;
    }
    burst.push_back(each.packet);
    burst_sent.push_back(sent.size() - 1);
  }
  if (burst.empty()) return;
  const std::uint16_t done = rte_eth_tx_burst(std::to_underlying(ports[nic].id()), 0, burst.data(),
                                              static_cast<std::uint16_t>(burst.size()));
  for (std::size_t i = 0; i < done; ++i) sent[burst_sent[i]].done = true;
  if (done < burst.size()) {
    rte_pktmbuf_free_bulk(burst.data() + done, static_cast<unsigned>(burst.size() - done));
  }
}

void DeviceWire::Impl::send_own() {
  for (std::size_t nic = 0; nic < ports.size(); ++nic) {
    TxBatch& batch = own[nic];
    if (batch.count == 0) continue;
    const std::uint16_t done =
        rte_eth_tx_burst(std::to_underlying(ports[nic].id()), 0, batch.packets.data(),
                         static_cast<std::uint16_t>(batch.count));
    if (done < batch.count) rte_pktmbuf_free_bulk(batch.packets.data() + done, batch.count - done);
    batch.clear();
  }
}

std::optional<WirePort> DeviceWire::Impl::port_of(const IpAddress& address,
                                                  std::uint16_t port) const {
  for (const Party party : {Party::caller, Party::callee}) {
    const DeviceSide& side = config.sides[index(party)];
    const unsigned offset = port - unsigned{side.first.number()};
    if (address != side.address.address || offset >= 2 * this->config.ports) continue;
    return WirePort{party, static_cast<std::uint8_t>(offset / 2), offset % 2 != 0};
  }
  return std::nullopt;
}

// Returns a datagram to one of our ports. Passes other frames to the host, or drops them.
std::optional<Received> DeviceWire::Impl::parse(std::size_t nic, rte_mbuf* packet, Stamp now) {
  const std::byte* const frame = rte_pktmbuf_mtod(packet, const std::byte*);
  const FrameClass kind = packet->nb_segs == 1
                              ? classify({frame, packet->data_len}, ports[nic].mac().word(), false)
                              : FrameClass(DropReason::frame_truncated);
  if (kind.kind == FrameKind::udp || kind.kind == FrameKind::udp6) {
    const std::byte* const ip = frame + kEtherSize;
    const Family family = family_of(ip);
    const std::byte* const udp = ip + ip_size(family);
    const IpAddress to = family == Family::ipv4
                             ? IpAddress::v4(Be32::from_raw(load<std::uint32_t>(ip + 16)))
                             : IpAddress::v6(load<std::array<std::uint8_t, 16>>(ip + 24));
    const auto on = port_of(to, load_be16(udp + 2));
    if (on) {
      return Received{.on = *on,
                      .from = source_of(ip),
                      .datagram = {udp + kUdpSize, load_be16(udp + 4) - kUdpSize},
                      .at = now};
    }
  } else if (kind.kind != FrameKind::drop) {
    if (!host->receive(nic, kind.kind, *packet, tsc_now(), own[nic])) return std::nullopt;
  }
  rte_pktmbuf_free(packet);
  return std::nullopt;
}

std::span<const Received> DeviceWire::receive() {
  Impl& impl = *impl_;
  if (!impl.arrived.empty()) {
    rte_pktmbuf_free_bulk(impl.arrived.data(), static_cast<unsigned>(impl.arrived.size()));
    impl.arrived.clear();
  }
  impl.received.clear();
  impl.host->housekeep(tsc_now(), impl.own);
  for (std::size_t i = 0; i < impl.ports.size() && impl.received.empty(); ++i) {
    impl.turn = (impl.turn + 1) % impl.ports.size();
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): rx fills it
    std::array<rte_mbuf*, kBurst> packets;
    const std::uint16_t count = rte_eth_rx_burst(std::to_underlying(impl.ports[impl.turn].id()), 0,
                                                 packets.data(), packets.size());
    if (count == 0) continue;
    const Stamp now = std::chrono::system_clock::now();
    for (rte_mbuf* const packet : std::span(packets).first(count)) {
      if (auto datagram = impl.parse(impl.turn, packet, now)) {
        impl.received.push_back(*datagram);
        impl.arrived.push_back(packet);
      }
    }
  }
  impl.send_own();
  return impl.received;
}

}  // namespace millrace::loadgen
