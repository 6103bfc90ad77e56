// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dataplane.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_version.h>

#include "dataplane/device/check.h"
#include "dataplane/device/eal.h"
#include "dataplane/device/ethdev.h"
#include "dataplane/device/worker.h"
#include "dataplane/flow/flow_table.h"
#include "dataplane/host/link.h"
#include "dataplane/relay/nat_punch.h"
#include "dataplane/stats.h"
#include "dataplane/version.h"

namespace millrace {
namespace {

Tsc tsc_now() { return Tsc{rte_rdtsc()}; }

std::optional<unsigned> node_of(int socket) {
  return socket < 0 ? std::nullopt : std::optional(static_cast<unsigned>(socket));
}

// MAC groups of neighbour discovery: the solicited-node groups of the IPv6 addresses of a device,
// and all nodes, for unsolicited advertisements.
std::vector<MacAddress> discovery_groups(const DataplaneConfig& config, const std::string& device) {
  std::vector<MacAddress> groups;
  for (const InterfaceConfig& interface : config.interfaces) {
    for (const Prefix& own : interface.addresses) {
      if (interface.device != device || own.address.is_v4()) continue;
      groups.push_back(group_mac(solicited_node_group(own.address)));
    }
  }
  if (!groups.empty()) groups.push_back(group_mac(kAllNodes));
  return groups;
}

SlotMemory hugepage_memory() {
  return {.allocate = [](std::size_t bytes) { return rte_zmalloc("flows", bytes, 64); },
          .release = rte_free};
}

WorkerReport worker_report(const WorkerStats& stats, unsigned core, std::uint64_t tsc_hz) {
  WorkerReport report;
  report.core = core;
  report.rx_packets = stats.rx_packets.value();
  report.rx_bytes = stats.rx_bytes.value();
  report.tx_packets = stats.tx_packets.value();
  report.tx_bytes = stats.tx_bytes.value();
  report.relayed = stats.relayed.value();
  report.relayed_bytes = stats.relayed_bytes.value();
  report.pierced = stats.pierced.value();
  report.busy_cycles = stats.busy_cycles.value();
  report.idle_cycles = stats.idle_cycles.value();
  report.cycles_per_second = tsc_hz;
  std::ranges::transform(stats.bursts, report.bursts.begin(), &Counter::value);
  for (const Counter& drop : stats.drops) report.drops.push_back(drop.value());
  return report;
}

}  // namespace

struct LinkHistory {
  bool up = false;
  std::uint64_t changes = 0;
};

// Members are destroyed in reverse order: workers stop first, EAL last.
struct Dataplane::Impl {
  Impl(DataplaneConfig configuration, std::vector<DeviceLock> held, Eal environment,
       Mempool buffers)
      : config(std::move(configuration)),
        locks(std::move(held)),
        eal(std::move(environment)),
        pool(std::move(buffers)) {}
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<void> open_ports();
  Result<void> make_flows();
  Result<void> launch_workers();

  DataplaneConfig config;
  std::vector<DeviceLock> locks;
  Eal eal;
  Mempool pool;
  std::uint64_t tsc_hz = rte_get_tsc_hz();
  std::vector<Ethdev> ports;
  // Serialises reads of the NIC counters: drivers sum them up without a lock.
  mutable std::mutex devices_mutex;
  mutable std::vector<LinkHistory> link_histories;  // by port
  std::vector<std::unique_ptr<Link>> links;
  std::vector<Link*> link_list;  // pointers to `links`
  std::unique_ptr<FlowTable> flows;
  std::unique_ptr<NatPunch> nat_punch;
  std::atomic<bool> stop{false};
  std::deque<Worker> workers;
};

Result<void> Dataplane::Impl::open_ports() {
  const auto queues = static_cast<std::uint16_t>(config.worker_cores.size());
  std::uint16_t first_address = 0;
  const std::vector<std::string> devices = devices_of(config);
  for (const std::string& device : devices) {
    auto port = Ethdev::open(device, queues, pool);
    if (!port) return std::unexpected(port.error());
    const auto groups = discovery_groups(config, device);
    if (!groups.empty()) port->set_multicast_filter(groups);
    link_histories.push_back({.up = port->report().link_up});
    ports.push_back(std::move(*port));
  }
  for (const InterfaceConfig& interface : config.interfaces) {
    const auto nic =
        static_cast<std::size_t>(std::ranges::find(devices, interface.device) - devices.begin());
    links.push_back(std::make_unique<Link>(nic, ports[nic].mac(), interface.addresses,
                                           MediaAddressId{first_address}, interface.gateways,
                                           tsc_hz, interface.peers));
    links.back()->mtu = ports[nic].mtu();
    links.back()->relatch_after = interface.relatch_after;
    link_list.push_back(links.back().get());
    first_address = static_cast<std::uint16_t>(first_address + interface.addresses.size());
  }
  return {};
}

Result<void> Dataplane::Impl::make_flows() {
  try {
    flows = config.hugepages ? std::make_unique<FlowTable>(link_list, tsc_hz, hugepage_memory())
                             : std::make_unique<FlowTable>(link_list, tsc_hz);
  } catch (const std::bad_alloc&) {
    return fail(
        "no memory for the flow table, 24 MiB for each IPv4 and 32 for each IPv6 media address; "
        "configure fewer "
        "addresses, or reserve more memory (hugepages: /proc/sys/vm/nr_hugepages)");
  }
  nat_punch = std::make_unique<NatPunch>(*flows, link_list, *pool.get());
  return {};
}

Result<void> Dataplane::Impl::launch_workers() {
  std::vector<EthPortId> ids;
  ids.reserve(ports.size());
  for (const Ethdev& port : ports) ids.push_back(port.id());
  for (std::size_t i = 0; i < config.worker_cores.size(); ++i) {
    const Worker::Config worker_config{.queue = static_cast<std::uint16_t>(i),
                                       .max_sleep = std::chrono::microseconds(config.idle_sleep_us),
                                       .housekeeping = i == 0};
    Worker& worker = workers.emplace_back(worker_config, ids, link_list, *flows, *nat_punch,
                                          *pool.get(), stop, tsc_hz);
    if (!worker.launch(lcore_of_worker(i))) {
      return fail("worker_cores[" + std::to_string(i) + "]: the worker on core " +
                  std::to_string(config.worker_cores[i]) + " does not start");
    }
  }
  return {};
}

Dataplane::Impl::~Impl() { stop.store(true, std::memory_order_relaxed); }

Result<std::unique_ptr<Dataplane>> Dataplane::start(const DataplaneConfig& config) {
  if (const auto errors = check(config); !errors.empty()) return std::unexpected(errors.front());
  auto locks = DeviceLock::take_all(devices_of(config));
  if (!locks) return std::unexpected(locks.error());
  auto eal = Eal::start(config);
  if (!eal) return std::unexpected(eal.error());
  auto pool = Mempool::create(config.mbufs);
  if (!pool) return std::unexpected(pool.error());
  auto impl = std::make_unique<Impl>(config, std::move(*locks), std::move(*eal), std::move(*pool));
  if (auto ok = impl->open_ports(); !ok) return std::unexpected(ok.error());
  if (auto ok = impl->make_flows(); !ok) return std::unexpected(ok.error());
  if (auto ok = impl->launch_workers(); !ok) return std::unexpected(ok.error());
  return std::unique_ptr<Dataplane>(new Dataplane(std::move(impl)));
}

std::vector<Error> Dataplane::check(const DataplaneConfig& config) {
  return millrace::check(config);
}

Dataplane::Dataplane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Dataplane::~Dataplane() = default;

void Dataplane::publish(const Path& path) {
  impl_->flows->publish(path, tsc_now());
  for (const Side* side : {&path.a, &path.b}) {
    if (side->nat_punch) impl_->nat_punch->add(SlotIndex(side->local));
  }
}
void Dataplane::withdraw(LocalPort port) { impl_->flows->withdraw(port); }
FlowReport Dataplane::read(LocalPort port) const { return impl_->flows->read(port, tsc_now()); }
std::optional<QualityReport> Dataplane::read_quality(LocalPort port) const {
  return impl_->flows->read_quality(port, tsc_now());
}

DataplaneReport Dataplane::report() const {
  DataplaneReport report;
  for (std::size_t i = 0; i < impl_->workers.size(); ++i) {
    report.workers.push_back(
        worker_report(impl_->workers[i].stats(), impl_->config.worker_cores[i], impl_->tsc_hz));
    report.workers.back().node =
        node_of(static_cast<int>(rte_lcore_to_socket_id(lcore_of_worker(i))));
  }
  const Tsc now = tsc_now();
  for (std::size_t i = 0; i < impl_->links.size(); ++i) {
    for (NeighborReport& neighbor : impl_->links[i]->neighbors.report(now)) {
      neighbor.interface = impl_->config.interfaces[i].name;
      report.neighbors.push_back(std::move(neighbor));
    }
  }
  report.devices = devices();
  report.mbufs_free = impl_->pool.available();
  report.mbufs = impl_->pool.size();
  return report;
}

std::vector<DeviceReport> Dataplane::devices() const {
  const std::lock_guard lock(impl_->devices_mutex);
  std::vector<DeviceReport> reports;
  for (std::size_t i = 0; i < impl_->ports.size(); ++i) {
    DeviceReport& report = reports.emplace_back(impl_->ports[i].report());
    LinkHistory& history = impl_->link_histories[i];
    if (std::exchange(history.up, report.link_up) != report.link_up) ++history.changes;
    report.link_changes = history.changes;
  }
  return reports;
}

std::string_view dpdk_version() { return rte_version(); }

}  // namespace millrace
