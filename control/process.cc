// SPDX-License-Identifier: BSD-3-Clause
#include "control/process.h"

#include <dirent.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>

#include "dataplane/base/file_descriptor.h"

namespace millrace {

namespace {

sigset_t blocked_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }

// ---- signal handler, run in each thread: system calls and atomics only -----------------------

std::atomic<std::uint64_t> keep{0};
std::atomic<unsigned> threads_done{0};
std::atomic<unsigned> threads_failed{0};

bool drop_in_this_thread() {
  const std::uint64_t kept = keep.load();
  // Fails without CAP_SETPCAP. Then the other sets hold nothing that could be regained.
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    if ((kept & bit(capability)) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  if (::syscall(SYS_capget, &header, sets) != 0) return false;
  for (int word = 0; word < 2; ++word) {
    const auto mask = static_cast<std::uint32_t>(kept >> (32 * word));
    sets[word].permitted &= mask;
    sets[word].effective &= mask;
    sets[word].inheritable = 0;
  }
  return ::syscall(SYS_capset, &header, sets) == 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

extern "C" void on_drop_signal(int /*signal*/) {
  const int error = errno;
  if (!drop_in_this_thread()) threads_failed.fetch_add(1);
  threads_done.fetch_add(1);
  errno = error;
}

std::vector<pid_t> threads_of_process() {
  std::vector<pid_t> threads;
  DIR* directory = ::opendir("/proc/self/task");
  if (directory == nullptr) return threads;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is local
  while (const dirent* entry = ::readdir(directory)) {
    if (const pid_t thread = std::atoi(entry->d_name); thread > 0) threads.push_back(thread);
  }
  ::closedir(directory);
  return threads;
}

}  // namespace

SignalBlock::SignalBlock() {
  ::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = blocked_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

SignalBlock::~SignalBlock() {
  const sigset_t set = blocked_signals();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void notify_systemd(std::string_view state) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  const std::string_view name = path == nullptr ? "" : path;
  if (name.empty() || name.size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::ranges::copy(name, address.sun_path);
  if (name.front() == '@') address.sun_path[0] = '\0';  // abstract
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return;
  ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
           reinterpret_cast<const sockaddr*>(&address), size);
}

void raise_descriptor_limit() {
  constexpr rlim_t kDescriptors = 16'384;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kDescriptors) return;
  limit.rlim_cur = std::min(limit.rlim_max, kDescriptors);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t needed_capabilities(const std::vector<InterfaceConfig>& interfaces) {
  std::uint64_t needed = 0;
  for (const InterfaceConfig& interface : interfaces) {
    const std::string_view device = interface.device;
    if (device.starts_with("net_af_xdp")) {
      needed |= bit(CAP_NET_ADMIN) | bit(CAP_NET_RAW) | bit(CAP_BPF) | bit(CAP_SYS_ADMIN);
    } else if (device.starts_with("net_tap")) {
      needed |= bit(CAP_NET_ADMIN);
    }
  }
  return needed;
}

Result<void> drop_privileges(std::uint64_t kept) {
  keep = kept;
  threads_done = 0;
  threads_failed = 0;
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = on_drop_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGRTMIN, &action, &before);

  unsigned signalled = 0;
  for (const pid_t thread : threads_of_process()) {
    if (::syscall(SYS_tgkill, ::getpid(), thread, SIGRTMIN) == 0) ++signalled;
  }
  for (int wait = 0; wait < 1000 && threads_done < signalled; ++wait) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (threads_done < signalled) {  // keep the handler for late threads
    return fail(fmt::format("{} of {} threads did not give up their capabilities in time",
                            signalled - threads_done, signalled));
  }
  ::sigaction(SIGRTMIN, &before, nullptr);
  if (signalled == 0 || threads_failed > 0) {
    return fail(fmt::format("{} of {} threads could not give up their capabilities",
                            threads_failed.load(), signalled));
  }
  return {};
}

}  // namespace millrace
