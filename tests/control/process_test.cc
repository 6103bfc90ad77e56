// SPDX-License-Identifier: BSD-3-Clause
#include "control/process.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "dataplane/base/file_descriptor.h"
#include "tests/temporary_directory.h"

namespace millrace {
namespace {

std::vector<InterfaceConfig> devices(std::initializer_list<const char*> names) {
  std::vector<InterfaceConfig> interfaces;
  for (const char* name : names) interfaces.emplace_back().device = name;
  return interfaces;
}

TEST(Process, KeepsCapabilitiesOnlyForDevicesThatNeedThemToStop) {
  EXPECT_EQ(needed_capabilities(devices({"0000:3b:00.0", "net_af_packet0,iface=a", "net_null0"})),
            0U);
  EXPECT_EQ(needed_capabilities(devices({"net_tap0"})), 1ULL << CAP_NET_ADMIN);
  EXPECT_EQ(needed_capabilities(devices({"net_tap0", "net_af_xdp0,iface=a"})),
            1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW | 1ULL << CAP_BPF | 1ULL << CAP_SYS_ADMIN);
}

// Every thread's line `key` of /proc/self/task/*/status equals `value`.
bool all_threads_have(const std::string& key, const std::string& value) {
  int threads = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with(key + ":")) continue;
      if (line != key + ":\t" + value) return false;
      ++threads;
    }
  }
  return threads >= 2;
}

// In a child: dropped privileges cannot be regained.
[[noreturn]] void drop_and_look(std::uint64_t kept) {
  std::atomic<bool> done = false;
  const std::jthread other([&] {
    sigset_t most;  // as DPDK's threads
    sigfillset(&most);
    sigdelset(&most, SIGRTMIN);
    pthread_sigmask(SIG_SETMASK, &most, nullptr);
    done.wait(false);
  });
  const auto dropped = drop_privileges(kept);
  const std::string left = fmt::format("{:016x}", ::getuid() == 0 ? kept : 0);
  const bool good =
      dropped && all_threads_have("CapEff", left) && all_threads_have("CapPrm", left) &&
      all_threads_have("CapInh", "0000000000000000") && all_threads_have("NoNewPrivs", "1") &&
      (::getuid() != 0 || all_threads_have("CapBnd", left));
  std::_Exit(good ? 0 : 1);
}

TEST(ProcessDeathTest, EveryThreadDropsItsPrivileges) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer's own thread takes no signal";
#endif
  EXPECT_EXIT(drop_and_look(0), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(drop_and_look(1ULL << CAP_CHOWN), testing::ExitedWithCode(0), "");
}

TEST(Process, NotifiesSystemdOverItsSocket) {
  const TemporaryDirectory directory;
  const std::string path = directory / "notify";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(path, address.sun_path);
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  ASSERT_TRUE(socket.valid());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  // NOLINTBEGIN(concurrency-mt-unsafe): one thread
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  notify_systemd("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  // NOLINTEND(concurrency-mt-unsafe)
  notify_systemd("not sent");
  std::array<char, 64> buffer{};
  ASSERT_EQ(::recv(socket.get(), buffer.data(), buffer.size(), 0), 7);
  EXPECT_STREQ(buffer.data(), "READY=1");
  EXPECT_LT(::recv(socket.get(), buffer.data(), buffer.size(), 0), 0);
}

TEST(Process, BlockedSignalsArePendingUntilReleased) {
  {
    const SignalBlock blocked;
    ::raise(SIGHUP);
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGHUP), 1);
    ::signal(SIGHUP, SIG_IGN);  // discards it
  }
  ::signal(SIGHUP, SIG_DFL);
}

TEST(Process, RaisesTheDescriptorLimitUpToTheHardLimit) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  raise_descriptor_limit();
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, std::min<rlim_t>(before.rlim_max, 16'384));
}

}  // namespace
}  // namespace millrace
