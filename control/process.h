// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a daemon owes the system it runs on: signals kept for the thread that waits for them, a word
// to systemd, descriptors enough, and no privilege longer than it is needed.
//
// Capabilities belong to threads, and what one thread of a process may do, any other can be made to
// do for it. So drop_privileges() has every thread give them up: each is sent a real-time signal
// whose handler makes the system calls. DPDK's threads leave that one signal open (eal.cc).

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/config.h"

namespace millrace {

// Keeps SIGTERM, SIGINT and SIGHUP pending in this thread and those that it starts meanwhile;
// SIGPIPE is ignored for good.
class SignalsHeld {
 public:
  SignalsHeld();
  ~SignalsHeld();
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
};

// sd_notify(3) without libsystemd: "READY=1", "STATUS=...". Does nothing outside systemd.
void notify_systemd(std::string_view state);

// As many descriptors as the hard limit allows, up to 16384.
void raise_descriptor_limit();

// The capabilities that stopping these devices still needs, as a mask of 1 << CAP_...
//   net_af_xdp   NET_ADMIN, NET_RAW, BPF, SYS_ADMIN: to take its program off the interface
//   net_tap      NET_ADMIN: to set the interface down
//   all others   none: their sockets, VFIO groups and mappings are open and only get closed
[[nodiscard]] std::uint64_t needed_capabilities(const std::vector<InterfaceConfig>& interfaces);

// Takes all capabilities but `kept` from every thread for good (effective, permitted, inheritable,
// ambient and bounding set), and sets no_new_privs.
[[nodiscard]] Result<void> drop_privileges(std::uint64_t kept);

}  // namespace millrace
