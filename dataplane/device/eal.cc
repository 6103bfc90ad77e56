// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/eal.h"

#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "dataplane/base/device.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {
namespace {

cpu_set_t current_affinity() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  pthread_getaffinity_np(pthread_self(), sizeof cores, &cores);
  return cores;
}

std::string joined(const std::vector<std::string>& arguments) {
  std::string line;
  for (const std::string& argument : arguments) line += " " + argument;
  return line;
}

// Discards the output for a refused argument: EAL's usage on stdout, getopt's line on stderr.
class UsageSilenced {
 public:
  UsageSilenced() : getopt_(std::exchange(::opterr, 0)), stdout_(::dup(STDOUT_FILENO)) {
    const FileDescriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    std::fflush(stdout);
    if (stdout_.valid() && nowhere.valid()) ::dup2(nowhere.get(), STDOUT_FILENO);
  }
  ~UsageSilenced() {
    std::fflush(stdout);
    if (stdout_.valid()) ::dup2(stdout_.get(), STDOUT_FILENO);
    ::opterr = getopt_;
  }
  UsageSilenced(const UsageSilenced&) = delete;
  UsageSilenced& operator=(const UsageSilenced&) = delete;

 private:
  int getopt_;
  FileDescriptor stdout_;
};

// Blocks all signals in this thread and in threads that it starts, except SIGRTMIN: by that signal
// all threads drop their capabilities (control/process.h).
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
  // No shared files, so that no second process can attach. DPDK 22.11 refuses --in-memory together
  // with --no-huge. Huge pages are in one file: the vhost end of virtio-user maps at most 8.
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
  std::free(text_);  // required by open_memstream()
}

std::string DpdkLog::last_lines() {
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

  const cpu_set_t before = current_affinity();
  const SignalsBlocked blocked;
  DpdkLog log;
  int parsed = 0;
  {
    const UsageSilenced silenced;
    parsed = rte_eal_init(static_cast<int>(arguments.size()), argv.data());
  }
  if (parsed < 0) {
    const int error = rte_errno;
    pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    const std::string log_lines = log.last_lines();
    if (!config.eal.empty() && log_lines.contains("'command line' arguments")) {
      return fail("eal: DPDK does not take these arguments:" + joined(config.eal) +
                  "; correct or remove them (DPDK's guide, \"EAL parameters\")");
    }
    return fail("DPDK's environment does not start: " + std::string(rte_strerror(error)) +
                log_lines + "; it was started as:" + joined(arguments));
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
  // DPDK does not remove it. Its name contains our pid, so no other process uses it.
  std::error_code error;
  std::filesystem::remove_all(runtime_directory, error);
}

}  // namespace millrace
