// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// RAII owners of NIC ports, packet buffers and device locks.
//
// An Ethdev is one DPDK port with one RX and one TX queue per worker, so that queues need no lock.
// A device with fewer queues is refused. RSS hashes the UDP destination port only, if the NIC can
// (both sides of a call may then share a core), else addresses and ports, else the driver's
// default. Correctness must not depend on the queue of a packet.
// A DeviceLock prevents two instances from using one PCI function or kernel interface: the kernel
// lets two processes open an interface by AF_PACKET, and both would answer. The lock is a LockFile
// in the runtime directory, named after the PCI function or after network namespace and interface.

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

// DPDK port id of a NIC.
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
  [[nodiscard]] unsigned available() const;  // free, including the lcores' caches
  [[nodiscard]] unsigned size() const;

 private:
  explicit Mempool(rte_mempool* pool) : pool_(pool) {}
  rte_mempool* pool_;
};

// At most one process holds the lock of a device. Needs no EAL, so that a second instance fails
// before it touches a NIC.
class DeviceLock {
 public:
  // /run/millrace, or $XDG_RUNTIME_DIR/millrace if that is not writable.
  [[nodiscard]] static std::string runtime_directory();
  [[nodiscard]] static Result<DeviceLock> take(std::string_view device,
                                               const std::string& directory = runtime_directory());
  // Locks all of `devices`, or none.
  [[nodiscard]] static Result<std::vector<DeviceLock>> take_all(
      std::span<const std::string> devices, const std::string& directory = runtime_directory());

 private:
  DeviceLock() = default;
  explicit DeviceLock(LockFile file) : file_(std::move(file)) {}
  std::optional<LockFile> file_;  // unset: nothing to lock
};

// A started port.
class Ethdev {
 public:
  // `device` as configured, `queues` = number of workers. Precondition: the pool outlives the port.
  [[nodiscard]] static Result<Ethdev> open(const std::string& device, std::uint16_t queues,
                                           const Mempool& pool);
  Ethdev(Ethdev&& other) noexcept;
  Ethdev(const Ethdev&) = delete;
  Ethdev& operator=(const Ethdev&) = delete;
  Ethdev& operator=(Ethdev&&) = delete;
  ~Ethdev();  // stops and closes the port, which frees its packet buffers

  // Receives frames to these groups too. Falls back to all-multicast, then to promiscuous mode. A
  // device without any of these has no filter.
  void set_multicast_filter(std::vector<MacAddress> groups);

  [[nodiscard]] EthPortId id() const { return id_; }
  [[nodiscard]] MacAddress mac() const;
  // Longest IP packet to send: 1500 bytes, or the lower MTU of a kernel interface. The kernel drops
  // longer packets after the driver has accepted them.
  [[nodiscard]] std::size_t mtu() const;
  // Without link_changes. One thread at a time.
  [[nodiscard]] DeviceReport report() const;

 private:
  Ethdev(EthPortId id, std::string device) : id_(id), device_(std::move(device)) {}
  EthPortId id_;
  std::string device_;
  bool open_ = true;
};

// `device` with the driver arguments for `queues` queues added, unless the operator set them.
[[nodiscard]] std::string with_queues(const std::string& device, std::uint16_t queues);

}  // namespace millrace
