// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Daemon set-up: signal mask, sd_notify, RLIMIT_NOFILE, privilege drop.
//
// Capabilities belong to threads, and a compromised thread can make any other thread of its process
// act for it. So drop_privileges() drops them in every thread: it sends each a real-time signal
// whose handler makes the system calls. DPDK's threads do not block that signal (eal.cc).

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/config.h"

namespace millrace {

// Blocks SIGTERM, SIGINT and SIGHUP in this thread and in threads that it starts meanwhile, for its
// lifetime. Ignores SIGPIPE permanently.
class SignalBlock {
 public:
  SignalBlock();
  ~SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;
};

// sd_notify(3) without libsystemd: "READY=1", "STATUS=...". Does nothing outside systemd.
void notify_systemd(std::string_view state);

// Raises RLIMIT_NOFILE to the hard limit, 16384 at most.
void raise_descriptor_limit();

// The capabilities needed to stop these devices, as a mask of 1 << CAP_...
//   net_af_xdp   NET_ADMIN, NET_RAW, BPF, SYS_ADMIN: to detach its program from the interface
//   net_tap      NET_ADMIN: to set the interface down
//   all others   none: only closes open sockets, VFIO groups and mappings
[[nodiscard]] std::uint64_t needed_capabilities(const std::vector<InterfaceConfig>& interfaces);

// Drops all capabilities but `kept` in every thread permanently (effective, permitted, inheritable,
// ambient and bounding set), and sets no_new_privs.
[[nodiscard]] Result<void> drop_privileges(std::uint64_t kept);

}  // namespace millrace
