// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/ethdev.h"

#include <linux/capability.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <utility>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dataplane/base/device.h"
#include "dataplane/device/eal.h"
#include "dataplane/device/kernel_link.h"

namespace millrace {
namespace {

std::unexpected<Error> device_failure(const std::string& device, std::string_view what, int error,
                                      DpdkLog& log) {
  std::string message = "device '" + device + "': " + std::string(what);
  // DPDK returns -1 for an unknown reason: it is not EPERM.
  if (error != 0 && error != -1)
    message += std::string(": ") + rte_strerror(error < 0 ? -error : error);
  return fail(message + log.last_lines());
}

bool has_capability(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  if (::syscall(SYS_capget, &header, sets) != 0) return true;  // unknown
  return (sets[capability / 32].effective >> (capability % 32) & 1) != 0;
}

unsigned number_of(std::string_view device, std::string_view key, unsigned otherwise) {
  const std::string_view text = device_argument(device, key);
  unsigned value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The capability or limit that this process lacks to open a kernel interface, with the remedy;
// empty: none. Checked after a failure, since drivers return no reason.
std::string missing_capability(std::string_view device) {
  if (!opens_kernel_interface(device)) return {};
  const bool xdp = device.starts_with("net_af_xdp");
  std::string lacking;
  const auto need = [&](bool needed, int capability, std::string_view name) {
    if (!needed || has_capability(capability)) return;
    lacking += (lacking.empty() ? "" : " and ") + std::string(name);
  };
  need(true, CAP_NET_RAW, "CAP_NET_RAW");
  need(xdp, CAP_NET_ADMIN, "CAP_NET_ADMIN");
  need(xdp && !has_capability(CAP_SYS_ADMIN), CAP_BPF, "CAP_BPF");
  if (!lacking.empty()) {
    return std::string(xdp ? "AF_XDP" : "AF_PACKET") + " needs " + lacking +
           ", which this process lacks; start as root, or give it in AmbientCapabilities= and "
           "CapabilityBoundingSet= of the unit";
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::uint64_t ring = std::uint64_t{number_of(device, "framesz", 2048)} *
                             number_of(device, "framecnt", 512) * number_of(device, "qpairs", 1);
  if (xdp || has_capability(CAP_IPC_LOCK) || limit.rlim_cur >= 2 * ring) return {};
  return "its rings are " + std::to_string(2 * ring >> 10) +
         " KiB of locked memory, and this process may lock " +
         std::to_string(limit.rlim_cur >> 10) +
         " KiB; set LimitMEMLOCK=infinity in the unit ('ulimit -l unlimited' in a shell)";
}

// The port of a device. Creates it for a virtual device; EAL has created those of PCI devices.
Result<std::uint16_t> probe(const std::string& device, std::uint16_t queues, DpdkLog& log) {
  const std::string name(device_name(canonical_device(device)));
  if (!pci_address(device)) {
    const std::string complete = with_queues(device, queues);
    const int error = rte_dev_probe(("vdev:" + complete).c_str());
    if (error != 0) {
      if (const std::string reason = missing_capability(complete); !reason.empty()) {
        return fail("device '" + device + "': " + reason);
      }
      return device_failure(device, "cannot be opened as '" + complete + "'", error, log);
    }
  }
  std::uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) == 0) return id;
  if (pci_address(device)) {
    return fail("device '" + device +
                "': no DPDK driver took it; bind it with 'dpdk-devbind.py -b "
                "vfio-pci " +
                name + "' and see that no other program uses it");
  }
  return device_failure(device, "has no port after it was opened", 0, log);
}

// The best RSS hash fields that the NIC offers; 0: the driver's default.
std::uint64_t hash_fields(std::uint64_t offered) {
  constexpr std::uint64_t udp = RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP;
  if ((offered & RTE_ETH_RSS_L4_DST_ONLY) != 0 && (offered & udp) != 0) {
    return (offered & udp) | RTE_ETH_RSS_L4_DST_ONLY;
  }
  return offered & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
}

Result<void> configure(const std::string& device, std::uint16_t id, std::uint16_t queues,
                       const Mempool& pool, DpdkLog& log) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id, &info); error != 0) {
    return device_failure(device, "does not report its capabilities", error, log);
  }
  const unsigned most = std::min(info.max_rx_queues, info.max_tx_queues);
  if (most < queues) {
    return fail("device '" + device + "': has " + std::to_string(most) + " queue pairs for " +
                std::to_string(queues) + " workers; name at most " + std::to_string(most) +
                " worker_cores or use a device with more queues");
  }
  rte_eth_conf conf{};  // MTU: Ethernet's 1500
  if (queues > 1) conf.rx_adv_conf.rss_conf.rss_hf = hash_fields(info.flow_type_rss_offloads);
  if (conf.rx_adv_conf.rss_conf.rss_hf != 0) conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  if (const int error = rte_eth_dev_configure(id, queues, queues, &conf); error != 0) {
    return device_failure(device, "cannot be configured", error, log);
  }
  std::uint16_t rx_ring = kRingSize;
  std::uint16_t tx_ring = kRingSize;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx_ring, &tx_ring); error != 0) {
    return device_failure(device, "refuses its ring sizes", error, log);
  }
  const int node = rte_eth_dev_socket_id(id);
  const auto socket = static_cast<unsigned>(node < 0 ? SOCKET_ID_ANY : node);
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    int error = rte_eth_rx_queue_setup(id, queue, rx_ring, socket, nullptr, pool.get());
    if (error == 0) error = rte_eth_tx_queue_setup(id, queue, tx_ring, socket, nullptr);
    if (error != 0) {
      return device_failure(device, "queue " + std::to_string(queue) + " cannot be set up", error,
                            log);
    }
  }
  if (const int error = rte_eth_dev_start(id); error != 0) {
    return device_failure(device, "does not start", error, log);
  }
  return {};
}

// Lock name: PCI function, or interface with its network namespace; empty: nothing to lock.
std::string lock_name(std::string_view device) {
  if (auto address = pci_address(device)) return std::move(*address);
  const std::string iface(device_argument(device, "iface"));
  if (iface.empty() || iface.contains('/')) return {};  // no valid interface name
  struct stat space{};
  if (::stat("/proc/self/ns/net", &space) != 0) return iface;
  return std::to_string(space.st_ino) + "-" + iface;
}

}  // namespace

Result<Mempool> Mempool::create(unsigned mbufs) {
  rte_mempool* pool =
      rte_pktmbuf_pool_create("packets", mbufs, kMempoolCache, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                              static_cast<int>(rte_socket_id()));
  if (pool == nullptr) {
    return fail("mbufs: no memory for " + std::to_string(mbufs) + " packet buffers (" +
                rte_strerror(rte_errno) + "); raise memory_mb or lower mbufs");
  }
  return Mempool(pool);
}

Mempool::Mempool(Mempool&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}
Mempool::~Mempool() { rte_mempool_free(pool_); }
unsigned Mempool::available() const { return rte_mempool_avail_count(pool_); }
unsigned Mempool::size() const { return pool_->size; }

std::string DeviceLock::runtime_directory() {
  constexpr const char* kSystem = "/run/millrace";
  if (::geteuid() == 0 || ::access(kSystem, W_OK) == 0) return kSystem;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no thread changes the environment
  const char* own = std::getenv("XDG_RUNTIME_DIR");  // private to this user
  return own == nullptr ? std::string(kSystem) : std::string(own) + "/millrace";
}

Result<DeviceLock> DeviceLock::take(std::string_view device, const std::string& directory) {
  std::string owned = lock_name(device);
  if (owned.empty()) return DeviceLock();
  const std::string path = directory + "/device-" + owned + ".lock";
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail("device '" + std::string(device) + "': cannot be locked: " + directory + ": " +
                rte_strerror(errno) + "; create it for the user that millrace runs as");
  }
  auto file = LockFile::take(path);
  if (file) return DeviceLock(std::move(*file));
  if (file.error().error == 0) {
    const pid_t holder = file.error().holder;
    const std::string who = holder > 0 ? " (process " + std::to_string(holder) + ")" : "";
    return fail("device '" + std::string(device) + "': another millrace" + who +
                " uses it; stop that one, or see who holds " + path + " with 'lsof'");
  }
  return fail("device '" + std::string(device) + "': cannot be locked: " + path + ": " +
              rte_strerror(file.error().error) +
              "; run as the owner of that directory, or remove a file that another user left");
}

Result<std::vector<DeviceLock>> DeviceLock::take_all(std::span<const std::string> devices,
                                                     const std::string& directory) {
  std::vector<DeviceLock> locks;
  for (const std::string& device : devices) {
    auto lock = take(device, directory);
    if (!lock) return std::unexpected(lock.error());
    locks.push_back(std::move(*lock));
  }
  return locks;
}

Result<Ethdev> Ethdev::open(const std::string& device, std::uint16_t queues, const Mempool& pool) {
  DpdkLog log;
  const auto id = probe(device, queues, log);
  if (!id) return std::unexpected(id.error());
  Ethdev ethdev(EthPortId{*id}, device);
  if (auto ok = configure(device, *id, queues, pool, log); !ok) return std::unexpected(ok.error());
  return ethdev;
}

Ethdev::Ethdev(Ethdev&& other) noexcept
    : id_(other.id_), device_(std::move(other.device_)), open_(std::exchange(other.open_, false)) {}

Ethdev::~Ethdev() {
  if (!open_) return;
  rte_eth_dev_stop(std::to_underlying(id_));
  rte_eth_dev_close(std::to_underlying(id_));
}

void Ethdev::set_multicast_filter(std::vector<MacAddress> groups) {
  std::ranges::sort(groups);
  groups.erase(std::ranges::unique(groups).begin(), groups.end());
  std::vector<rte_ether_addr> list;
  for (const MacAddress& group : groups) {
    std::ranges::copy(group.bytes, list.emplace_back().addr_bytes);
  }
  const std::uint16_t id = std::to_underlying(id_);
  if (rte_eth_dev_set_mc_addr_list(id, list.data(), static_cast<std::uint32_t>(list.size())) != 0 &&
      rte_eth_allmulticast_enable(id) != 0) {
    rte_eth_promiscuous_enable(id);
  }
}

MacAddress Ethdev::mac() const {
  rte_ether_addr address{};
  rte_eth_macaddr_get(std::to_underlying(id_), &address);
  return {std::to_array(address.addr_bytes)};
}

std::size_t Ethdev::mtu() const {
  const auto link = kernel_link(std::string(kernel_interface(device_)));
  return std::min<std::size_t>(RTE_ETHER_MTU, link ? link->mtu : RTE_ETHER_MTU);
}

DeviceReport Ethdev::report() const {
  const std::uint16_t id = std::to_underlying(id_);
  DeviceReport report{.device = device_};
  if (const int node = rte_eth_dev_socket_id(id); node >= 0) {
    report.node = static_cast<unsigned>(node);
  }
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id, &stats) == 0) {
    report.imissed = stats.imissed;
    report.ierrors = stats.ierrors;
    report.rx_nombuf = stats.rx_nombuf;
    report.oerrors = stats.oerrors;
  }
  if (const std::string_view name = kernel_interface(device_); !name.empty()) {
    const auto link = kernel_link(std::string(name));
    report.link_up = link && (link->flags & IFF_UP) != 0 && (link->flags & IFF_RUNNING) != 0;
    return report;
  }
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(id, &link) == 0) {
    report.link_up = link.link_status == RTE_ETH_LINK_UP;
    if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN) report.link_mbps = link.link_speed;
  }
  return report;
}

std::string with_queues(const std::string& device, std::uint16_t queues) {
  std::string complete = device;
  const auto add = [&](std::string_view key, unsigned value) {
    if (!device_argument(device, key).empty()) return;
    complete += "," + std::string(key) + "=" + std::to_string(value);
  };
  if (device.starts_with("net_af_packet")) {
    // The driver's default of 512 frames lasts 100 ms at 5,000 packets/s. A worker that shares its
    // core with the kernel may be preempted for longer.
    add("framecnt", 4096);
    if (queues > 1) add("qpairs", queues);
  }
  if (device.starts_with("net_af_xdp")) {
    add("busy_budget", 0);  // on veth, busy polling costs more than it saves
    if (queues > 1) add("queue_count", queues);
  }
  return complete;
}

}  // namespace millrace
