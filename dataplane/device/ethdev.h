// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The NIC ports and the packet buffers, owned by scope.
//
// An Ethdev is one DPDK port with one receive and one transmit queue for each worker, so that no
// queue is shared and no lock is needed; a device with fewer queues is refused. Received packets
// are spread by the NIC: by UDP destination port alone where it can (both sides of a call may then
// land on one core), else by addresses and ports, else as the device does by itself. Nothing may
// depend on which queue a packet comes in.
// A DeviceLock keeps other instances off a device that has a network interface or a PCI function
// below it: the kernel lets two processes open the same interface by AF_PACKET, and both would
// answer. The lock is a file in the runtime directory (LockFile), named after the PCI function or
// after the network namespace and its interface.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/lock_file.h"
#include "dataplane/base/net.h"
#include "dataplane/base/result.h"
#include "dataplane/report.h"

struct rte_mempool;

namespace millrace {

// A NIC port's number, not to be confused with a UdpPort.
enum class EthPortId : std::uint16_t {};

// Owns all packet buffers.
class Mempool {
 public:
  [[nodiscard]] static Result<Mempool> create(unsigned mbufs);
  Mempool(Mempool&& other) noexcept;
  Mempool(const Mempool&) = delete;
  Mempool& operator=(const Mempool&) = delete;
  Mempool& operator=(Mempool&&) = delete;
  ~Mempool();

  [[nodiscard]] rte_mempool* get() const { return pool_; }
  [[nodiscard]] unsigned available() const;  // free, those in the lcores' caches included
  [[nodiscard]] unsigned size() const;

 private:
  explicit Mempool(rte_mempool* pool) : pool_(pool) {}
  rte_mempool* pool_;
};

// No two processes hold the same one at a time. Needs no EAL, so that a second instance fails
// before it touches a NIC.
class DeviceLock {
 public:
  // /run/millrace; where that is another user's, that of our own user (XDG_RUNTIME_DIR).
  [[nodiscard]] static std::string runtime_directory();
  [[nodiscard]] static Result<DeviceLock> take(std::string_view device,
                                               const std::string& directory = runtime_directory());
  // Of each of `devices`, or of none.
  [[nodiscard]] static Result<std::vector<DeviceLock>> take_all(
      std::span<const std::string> devices, const std::string& directory = runtime_directory());

 private:
  DeviceLock() = default;
  explicit DeviceLock(LockFile file) : file_(std::move(file)) {}
  std::optional<LockFile> file_;  // unset: nothing to lock
};

// A running port.
class Ethdev {
 public:
  // `device` as configured; `queues` = number of workers. The pool must outlive it.
  [[nodiscard]] static Result<Ethdev> open(const std::string& device, std::uint16_t queues,
                                           const Mempool& pool);
  Ethdev(Ethdev&& other) noexcept;
  Ethdev(const Ethdev&) = delete;
  Ethdev& operator=(const Ethdev&) = delete;
  Ethdev& operator=(Ethdev&&) = delete;
  ~Ethdev();  // stops and closes it: no packet buffer is held any more

  // Frames to these groups come in too. A device that cannot choose takes all groups, or
  // everything; one that can neither has no filter.
  void set_multicast_filter(std::vector<MacAddress> groups);

  [[nodiscard]] EthPortId id() const { return id_; }
  [[nodiscard]] MacAddress mac() const;
  // The longest IP packet that leaves by it: Ethernet's 1500, or less on a kernel interface that is
  // set so. A longer one the kernel would drop after the driver has taken it.
  [[nodiscard]] std::size_t mtu() const;
  // Without link_changes. One thread at a time.
  [[nodiscard]] DeviceReport report() const;

 private:
  Ethdev(EthPortId id, std::string device) : id_(id), device_(std::move(device)) {}
  EthPortId id_;
  std::string device_;
  bool open_ = true;
};

// `device` with the arguments that `queues` queues need, where the operator gave none.
[[nodiscard]] std::string with_queues(const std::string& device, std::uint16_t queues);

}  // namespace millrace
