// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/eal.h"

#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "dataplane/base/device.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMaxWorkers = RTE_MAX_LCORE - 1;
constexpr std::size_t kMegabyte = 1UL << 20;

cpu_set_t own_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  pthread_getaffinity_np(pthread_self(), sizeof cores, &cores);
  return cores;
}

std::string core_list(const cpu_set_t& cores) {
  std::string list;
  for (std::size_t i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &cores)) list += (list.empty() ? "" : ",") + std::to_string(i);
  }
  return list;
}

Result<void> check_core(unsigned core, const std::string& key, const cpu_set_t& allowed) {
  if (core < CPU_SETSIZE && CPU_ISSET(core, &allowed)) return {};
  const long configured = sysconf(_SC_NPROCESSORS_CONF);
  if (std::cmp_greater_equal(core, configured)) {
    return fail(key + ": core " + std::to_string(core) +
                " does not exist; this machine has cores 0-" + std::to_string(configured - 1));
  }
  return fail(key + ": this process may not run on core " + std::to_string(core) +
              "; choose among " + core_list(allowed) + " or widen its CPU set");
}

Result<void> check_cores(const DataplaneConfig& config) {
  if (config.worker_cores.empty()) return fail("worker_cores: name at least one core");
  if (config.worker_cores.size() > kMaxWorkers) {
    return fail("worker_cores: at most " + std::to_string(kMaxWorkers) + " workers");
  }
  const cpu_set_t allowed = own_cores();
  std::set<unsigned> seen;
  for (std::size_t i = 0; i < config.worker_cores.size(); ++i) {
    const std::string key = "worker_cores[" + std::to_string(i) + "]";
    const unsigned core = config.worker_cores[i];
    if (auto ok = check_core(core, key, allowed); !ok) return ok;
    if (!seen.insert(core).second) {
      return fail(key + ": core " + std::to_string(core) +
                  " is named twice; a worker needs its own");
    }
  }
  if (config.idle_sleep_us > kMaxIdleSleepUs) {
    return fail("idle_sleep_us: " + std::to_string(config.idle_sleep_us) +
                " is too long; at most " + std::to_string(kMaxIdleSleepUs) +
                ", or packets are lost while a worker naps");
  }
  return check_core(config.main_core, "main_core", allowed);
}

// The interface flags (IFF_UP ...) of a network interface, or nothing if there is none.
std::optional<short> interface_flags(std::string_view name) {
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return std::nullopt;
  name.copy(request.ifr_name, name.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  const bool found = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  close(fd);
  if (!found) return std::nullopt;
  return request.ifr_flags;
}

Result<void> check_pci(const std::string& device, const std::string& key) {
  const fs::path path = fs::path("/sys/bus/pci/devices") / pci_address(device).value_or("");
  std::error_code error;
  if (fs::exists(path, error)) return {};
  return fail("device '" + device + "': no such PCI device; see 'lspci -D' and correct " + key);
}

Result<void> check_virtual(const std::string& device, const std::string& key) {
  if (!opens_kernel_interface(device)) return {};  // net_tap makes its interface
  const std::string_view name = kernel_interface(device);
  if (name.empty()) {
    return fail("device '" + device + "': names no network interface; add ',iface=NAME' to " + key);
  }
  const auto flags = interface_flags(name);
  if (!flags) {
    return fail("device '" + device + "': no such network interface; create it or correct " + key);
  }
  if ((*flags & IFF_UP) == 0) {
    return fail("device '" + device + "': the network interface is down; run 'ip link set " +
                std::string(name) + " up'");
  }
  return {};
}

Result<void> check_devices(const DataplaneConfig& config) {
  if (config.interfaces.empty()) return fail("interfaces: name at least one");
  std::set<std::string_view> shared;  // several interfaces may be on one device
  std::set<std::string> names;
  std::set<std::string_view> owned;  // network interfaces below the devices
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    const std::string& device = config.interfaces[i].device;
    const std::string key = "interfaces[" + std::to_string(i) + "].device";
    if (!shared.insert(device).second) continue;
    if (!pci_address(device) && !device.starts_with("net_")) {
      return fail("device '" + device + "': not a DPDK device; give " + key +
                  " a PCI address as in 'lspci -D', or a driver as in 'net_af_packet0,iface=eth0'");
    }
    if (!names.insert(pci_address(device).value_or(std::string(device_name(device)))).second) {
      return fail("device '" + device +
                  "': used twice in different words; number them (net_af_packet0, "
                  "net_af_packet1), repeat them exactly to share one device, or correct " +
                  key);
    }
    const std::string_view iface = device_argument(device, "iface");
    if (!iface.empty() && !owned.insert(iface).second) {
      return fail("device '" + device + "': network interface '" + std::string(iface) +
                  "' is used twice; correct " + key);
    }
    const auto ok = pci_address(device) ? check_pci(device, key) : check_virtual(device, key);
    if (!ok) return ok;
  }
  return {};
}

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

Result<void> check_memory(const DataplaneConfig& config) {
  // Full rings must leave each lcore its cache, the bursts in its hands and the STUN that it keeps.
  constexpr std::size_t port_mbufs = 2UL * kRingSize;
  constexpr std::size_t core_mbufs = 2UL * kMempoolCache;
  const std::size_t mbufs_needed =
      config.worker_cores.size() * (devices_of(config).size() * port_mbufs + core_mbufs);
  if (config.mbufs < mbufs_needed) {
    return fail("mbufs: " + std::to_string(config.mbufs) + " packet buffers are too few for " +
                std::to_string(devices_of(config).size()) + " devices and " +
                std::to_string(config.worker_cores.size()) + " workers; at least " +
                std::to_string(mbufs_needed));
  }
  // A buffer with its headers; 24 MB for queues, rings and DPDK's own tables.
  constexpr std::size_t buffer_bytes = sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE + 128;
  const std::size_t mb_needed = config.mbufs * buffer_bytes / kMegabyte + 24;
  if (config.memory_mb < mb_needed) {
    return fail("memory_mb: " + std::to_string(config.memory_mb) + " is too small for mbufs = " +
                std::to_string(config.mbufs) + "; at least " + std::to_string(mb_needed));
  }
  if (config.hugepages && free_hugepages_mb() < config.memory_mb) {
    return fail("hugepages: " + std::to_string(free_hugepages_mb()) +
                " MB of huge pages are free, " + std::to_string(config.memory_mb) +
                " are needed (memory_mb); reserve more in "
                "/proc/sys/vm/nr_hugepages or set hugepages = false");
  }
  return {};
}

// Keeps all signals from this thread and from those it starts meanwhile, but the one by which the
// process has every thread give up its capabilities (control/process.h).
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGRTMIN);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

std::vector<std::string> devices_of(const DataplaneConfig& config) {
  std::vector<std::string> all;
  for (const InterfaceConfig& interface : config.interfaces) {
    if (std::ranges::find(all, interface.device) == all.end()) all.push_back(interface.device);
  }
  return all;
}

Result<void> check(const DataplaneConfig& config) {
  if (auto ok = check_cores(config); !ok) return ok;
  if (auto ok = check_memory(config); !ok) return ok;
  return check_devices(config);
}

std::vector<std::string> eal_arguments(const DataplaneConfig& config) {
  std::string lcores = "0@" + std::to_string(config.main_core);
  for (std::size_t i = 0; i < config.worker_cores.size(); ++i) {
    lcores +=
        "," + std::to_string(lcore_of_worker(i)) + "@" + std::to_string(config.worker_cores[i]);
  }
  std::vector<std::string> arguments{
      "millrace",        "--lcores", lcores,
      "--main-lcore",    "0",        "--no-telemetry",
      "--log-level=*:4", "-m",       std::to_string(config.memory_mb)};
  // Nothing shared, so that no second process can attach; DPDK 22.11 refuses --in-memory
  // together with --no-huge. Huge pages are in one file: a vhost end of virtio-user maps 8 at most.
  if (config.hugepages) {
    arguments.insert(arguments.end(), {"--in-memory", "--single-file-segments"});
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
  }
  arguments.emplace_back("--file-prefix=millrace-" + std::to_string(getpid()));
  bool pci = false;
  for (const std::string& device : devices_of(config)) {
    if (!pci_address(device)) continue;
    pci = true;
    arguments.insert(arguments.end(), {"-a", canonical_device(device)});
  }
  if (!pci) arguments.emplace_back("--no-pci");
  arguments.insert(arguments.end(), config.eal.begin(), config.eal.end());
  return arguments;
}

DpdkLog::DpdkLog() : stream_(open_memstream(&text_, &size_)) {
  if (stream_ != nullptr) rte_openlog_stream(stream_);
}

DpdkLog::~DpdkLog() {
  rte_openlog_stream(nullptr);
  if (stream_ != nullptr) std::fclose(stream_);
  std::free(text_);  // as open_memstream wants it
}

std::string DpdkLog::explanation() {
  if (stream_ == nullptr || std::fflush(stream_) != 0 || size_ == 0) return {};
  std::string_view text(text_, size_);
  while (text.ends_with('\n')) text.remove_suffix(1);
  constexpr std::size_t longest = 400;
  if (text.size() > longest) {
    text.remove_prefix(text.size() - longest);
    text.remove_prefix(std::min(text.size(), text.find('\n') + 1));
  }
  std::string line(text);
  for (auto end = line.find('\n'); end != line.npos; end = line.find('\n', end)) {
    line.replace(end, 1, "; ");
  }
  return " (DPDK: " + line + ")";
}

Result<Eal> Eal::start(const DataplaneConfig& config) {
  std::vector<std::string> arguments = eal_arguments(config);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  const cpu_set_t before = own_cores();
  const SignalsBlocked blocked;
  DpdkLog log;
  if (rte_eal_init(static_cast<int>(arguments.size()), argv.data()) < 0) {
    const int error = rte_errno;
    pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    std::string command;
    for (const std::string& argument : arguments) command += " " + argument;
    return fail("DPDK's environment does not start: " + std::string(rte_strerror(error)) +
                log.explanation() + "; it was started as:" + command);
  }
  cpu_set_t control = before;
  for (const unsigned core : config.worker_cores) CPU_CLR(core, &control);
  const cpu_set_t& cores = CPU_COUNT(&control) > 0 ? control : before;
  pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
  return Eal();
}

Eal::Eal(Eal&& other) noexcept : running_(std::exchange(other.running_, false)) {}

Eal::~Eal() {
  if (!running_) return;
  const std::string runtime_directory = rte_eal_get_runtime_dir();
  rte_eal_cleanup();
  // DPDK leaves it behind; its name has our process id, so nobody else uses it.
  std::error_code error;
  std::filesystem::remove_all(runtime_directory, error);
}

}  // namespace millrace
