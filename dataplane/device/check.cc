// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/check.h"

#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <utility>

#include <rte_config.h>
#include <rte_mbuf.h>

#include "dataplane/base/device.h"
#include "dataplane/device/eal.h"
#include "dataplane/device/kernel_link.h"
#include "dataplane/flow/flow_table.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

using Errors = std::vector<Error>;

constexpr unsigned kMaxWorkers = RTE_MAX_LCORE - 1;
constexpr std::size_t kMegabyte = 1UL << 20;

// The virtual drivers of DPDK 22.11 that move packets.
constexpr auto kVirtualDrivers = std::to_array<std::string_view>(
    {"net_af_packet", "net_af_xdp", "net_bonding", "net_failsafe", "net_memif", "net_null",
     "net_pcap", "net_ring", "net_softnic", "net_tap", "net_tun", "net_vdev_netvsc", "net_vhost",
     "net_virtio_user"});

// ---- cores -----------------------------------------------------------------------------------

// Tries a core outside the process's affinity: isolcpus removes cores from the initial affinity of
// every process, but the cgroup may still allow them.
bool may_run_on(unsigned core) {
  cpu_set_t before;
  cpu_set_t one;
  CPU_ZERO(&before);
  CPU_ZERO(&one);
  pthread_getaffinity_np(pthread_self(), sizeof before, &before);
  if (CPU_ISSET(core, &before)) return true;
  CPU_SET(core, &one);
  const bool may = pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
  pthread_setaffinity_np(pthread_self(), sizeof before, &before);
  return may;
}

void check_core(unsigned core, const std::string& key, Errors& errors) {
  const long configured = sysconf(_SC_NPROCESSORS_CONF);
  if (std::cmp_greater_equal(core, configured)) {
    errors.push_back({key + ": core " + std::to_string(core) +
                      " does not exist; this machine has cores 0-" +
                      std::to_string(configured - 1)});
  } else if (core >= CPU_SETSIZE || !may_run_on(core)) {
    errors.push_back({key + ": this process may not run on core " + std::to_string(core) +
                      "; it is offline, or not in the CPU set of this cgroup"});
  }
}

void check_cores(const DataplaneConfig& config, Errors& errors) {
  if (config.worker_cores.empty()) errors.push_back({"worker_cores: name at least one core"});
  if (config.worker_cores.size() > kMaxWorkers) {
    errors.push_back({"worker_cores: at most " + std::to_string(kMaxWorkers) + " workers"});
  }
  std::set<unsigned> seen;
  for (std::size_t i = 0; i < config.worker_cores.size(); ++i) {
    const std::string key = "worker_cores[" + std::to_string(i) + "]";
    const unsigned core = config.worker_cores[i];
    check_core(core, key, errors);
    if (!seen.insert(core).second) {
      errors.push_back(
          {key + ": core " + std::to_string(core) + " is named twice; a worker needs its own"});
    }
  }
  if (config.idle_sleep_us > kMaxIdleSleepUs) {
    errors.push_back({"idle_sleep_us: " + std::to_string(config.idle_sleep_us) +
                      " is too long; at most " + std::to_string(kMaxIdleSleepUs) +
                      ", or packets are lost while a worker sleeps"});
  }
  check_core(config.main_core, "main_core", errors);
}

// ---- memory ----------------------------------------------------------------------------------

std::uint64_t read_number(const fs::path& file) {
  std::uint64_t value = 0;
  std::ifstream(file) >> value;
  return value;
}

std::uint64_t free_hugepages_mb() {
  std::uint64_t total_kb = 0;
  std::error_code error;
  for (const auto& size : fs::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    constexpr std::string_view prefix = "hugepages-";  // hugepages-2048kB
    const std::string name = size.path().filename();
    total_kb += std::strtoull(name.c_str() + prefix.size(), nullptr, 10) *
                read_number(size.path() / "free_hugepages");
  }
  return total_kb / 1024;
}

// Memory available without swapping; the maximum if /proc is missing.
std::uint64_t available_mb() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    std::uint64_t kb = 0;
    if (key == "MemAvailable:" && file >> kb) return kb / 1024;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

void check_memory(const DataplaneConfig& config, Errors& errors) {
  // With all rings full, each lcore still needs its cache, its current bursts and its early STUN.
  constexpr std::size_t port_mbufs = 2UL * kRingSize;
  constexpr std::size_t core_mbufs = 2UL * kMempoolCache;
  const std::size_t mbufs_needed =
      config.worker_cores.size() * (devices_of(config).size() * port_mbufs + core_mbufs);
  if (config.mbufs < mbufs_needed) {
    errors.push_back({"mbufs: " + std::to_string(config.mbufs) +
                      " packet buffers are too few for " +
                      std::to_string(devices_of(config).size()) + " devices and " +
                      std::to_string(config.worker_cores.size()) + " workers; at least " +
                      std::to_string(mbufs_needed)});
  }
  // Buffer size with headers, plus 24 MB for queues, rings and DPDK's own tables.
  constexpr std::size_t buffer_bytes = sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE + 128;
  const std::size_t mb_needed = config.mbufs * buffer_bytes / kMegabyte + 24;
  if (config.memory_mb < mb_needed) {
    errors.push_back({"memory_mb: " + std::to_string(config.memory_mb) +
                      " is too small for mbufs = " + std::to_string(config.mbufs) + "; at least " +
                      std::to_string(mb_needed)});
    return;
  }
  std::size_t addresses = 0;
  std::size_t flow_bytes = 0;
  for (const InterfaceConfig& interface : config.interfaces) {
    addresses += interface.addresses.size();
    for (const Prefix& own : interface.addresses) {
      flow_bytes += FlowTable::bytes_per_address(own.address.family());
    }
  }
  const std::size_t flows_mb = flow_bytes / kMegabyte;
  const std::string share = std::to_string(flows_mb) + " for the flow tables of " +
                            std::to_string(addresses) + " media addresses";
  if (config.hugepages) {
    // DPDK's heap starts at memory_mb and grows if the flow tables do not fit in.
    const std::size_t needed = std::max<std::size_t>(config.memory_mb, mb_needed + flows_mb);
    const std::uint64_t free = free_hugepages_mb();
    if (free >= needed) return;
    errors.push_back({"hugepages: " + std::to_string(free) + " MB of huge pages are free, " +
                      std::to_string(needed) + " are needed (memory_mb, with " + share +
                      "); reserve more in /proc/sys/vm/nr_hugepages or set hugepages = false"});
    return;
  }
  const std::size_t needed = config.memory_mb + flows_mb;
  const std::uint64_t available = available_mb();
  if (available >= needed) return;
  errors.push_back({"memory_mb: " + std::to_string(available) + " MB of memory are available, " +
                    std::to_string(needed) + " are needed (memory_mb, and " + share +
                    "); lower memory_mb and mbufs, or name fewer addresses"});
}

// ---- devices ---------------------------------------------------------------------------------

std::string check_pci(const std::string& device) {
  const std::string address = pci_address(device).value_or("");
  const fs::path path = fs::path("/sys/bus/pci/devices") / address;
  std::error_code error;
  if (!fs::exists(path, error)) return "no such PCI device; see 'lspci -D' and correct device";
  const std::string driver = fs::read_symlink(path / "driver", error).filename();
  if (is_dpdk_driver(driver)) return {};
  return (driver.empty() ? std::string("no kernel driver holds it")
                         : "the kernel's driver " + driver + " holds it") +
         "; bind it with 'dpdk-devbind.py -b vfio-pci " + address + "'";
}

std::string check_virtual(const std::string& device, const DataplaneConfig& config) {
  // DPDK matches drivers by name prefix. Drivers loaded by -d are unknown here.
  const bool known = std::ranges::any_of(
      kVirtualDrivers, [&](std::string_view driver) { return device.starts_with(driver); });
  const bool loads = std::ranges::any_of(
      config.eal, [](std::string_view argument) { return argument.starts_with("-d"); });
  if (!known && !loads) {
    return "DPDK has no driver of this name; write net_af_packet0, net_af_xdp0, net_memif0, "
           "net_tap0, net_vhost0 or net_virtio_user0, or a PCI address as in 'lspci -D'";
  }
  if (!opens_kernel_interface(device)) return {};  // net_tap creates its interface
  const std::string name(kernel_interface(device));
  if (name.empty()) return "names no network interface; add ',iface=NAME' to device";
  const auto link = kernel_link(name);
  if (!link) return "no such network interface; create it or correct device";
  if ((link->flags & IFF_UP) == 0) {
    return "the network interface is down; run 'ip link set " + name + " up'";
  }
  return {};
}

void check_devices(const DataplaneConfig& config, Errors& errors) {
  if (config.interfaces.empty()) errors.push_back({"no [[interface]]; write at least one"});
  std::set<std::string_view> shared;  // several interfaces may share a device
  std::set<std::string> names;
  std::set<std::string_view> owned;  // kernel interfaces of the devices
  for (const InterfaceConfig& interface : config.interfaces) {
    const std::string& device = interface.device;
    if (!shared.insert(device).second) continue;
    const auto pci = pci_address(device);
    const std::string_view iface = device_argument(device, "iface");
    std::string fault;
    if (!pci && !device.starts_with("net_")) {
      fault =
          "not a DPDK device; write a PCI address as in 'lspci -D', or a driver as in "
          "'net_af_packet0,iface=eth0'";
    } else if (!names.insert(pci.value_or(std::string(device_name(device)))).second) {
      fault =
          "used twice in different words; number them (net_af_packet0, net_af_packet1), or repeat "
          "them exactly to share one device";
    } else if (!iface.empty() && !owned.insert(iface).second) {
      fault = "network interface '" + std::string(iface) + "' is used twice; correct device";
    } else {
      fault = pci ? check_pci(device) : check_virtual(device, config);
    }
    if (fault.empty()) continue;
    errors.push_back({"interface '" + interface.name + "': device '" + device + "': " + fault});
  }
}

void check_addresses(const DataplaneConfig& config, Errors& errors) {
  std::set<IpAddress> seen;
  for (const InterfaceConfig& interface : config.interfaces) {
    const std::string place = "interface '" + interface.name + "': ";
    if (interface.addresses.empty()) errors.push_back({place + "has no media address"});
    for (const Prefix& prefix : interface.addresses) {
      if (!seen.insert(prefix.address).second) {
        errors.push_back({place + prefix.address.text() + " is configured twice"});
      }
    }
    for (const IpAddress& gateway : interface.gateways) {
      const auto on_link = [&](const Prefix& own) { return own.contains(gateway); };
      if (!gateway.is_link_local() && std::ranges::none_of(interface.addresses, on_link)) {
        errors.push_back(
            {place + "gateway " + gateway.text() + " is in none of the interface's networks"});
      }
    }
  }
}

// Refuses arguments that make EAL print and exit.
void check_eal(const DataplaneConfig& config, Errors& errors) {
  for (const std::string& argument : config.eal) {
    if (argument != "-h" && argument != "--help" && argument != "-v" && argument != "--version") {
      continue;
    }
    errors.push_back({"eal: " + argument + " is for a terminal; remove it"});
  }
}

}  // namespace

bool is_dpdk_driver(std::string_view kernel_driver) {
  // The last three share the NIC with the kernel.
  return kernel_driver.contains("vfio") || kernel_driver.contains("uio") ||
         kernel_driver == "mlx4_core" || kernel_driver == "mlx5_core" || kernel_driver == "mana";
}

Errors check(const DataplaneConfig& config) {
  Errors errors;
  check_cores(config, errors);
  check_memory(config, errors);
  check_eal(config, errors);
  check_devices(config, errors);
  check_addresses(config, errors);
  return errors;
}

}  // namespace millrace
