// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Allocates the UDP ports of one interface's media addresses as even/odd pairs.
//
// RTP gets the even port and RTCP the odd one above it (RFC 3550 section 11). take() draws a pair
// uniformly from the free pairs of all addresses, or of the requested address, with the kernel's
// generator (RFC 6056: one port must not predict the next). A released pair stays in quarantine
// before it is used again, so that a late packet of the old call cannot reach the new one.
// Quarantine starts at the first advance() or take() after the release, so it is never shorter than
// configured. All operations are O(1), amortised over the pairs that leave quarantine.
// Thread-safe.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "control/config/config.h"

namespace millrace {

// RAII owner of a pair; the destructor returns it to its pool, into quarantine.
class PortPair;

class PortPool {
 public:
  using Clock = std::chrono::steady_clock;

  PortPool(const Interface& interface, std::chrono::seconds quarantine);
  ~PortPool();  // precondition: all its pairs are destroyed
  PortPool(const PortPool&) = delete;
  PortPool& operator=(const PortPool&) = delete;

  // A free pair, of the address `on` if it is set. Unset: none is free, or `on` is not in this
  // pool.
  [[nodiscard]] std::optional<PortPair> take(Clock::time_point now,
                                             const std::optional<IpAddress>& on = std::nullopt);
  // Ends the quarantine of pairs; call it once a second.
  void advance(Clock::time_point now);

  // Whether a port of `address` is in a pair that is taken.
  [[nodiscard]] bool is_taken(const IpAddress& address, UdpPort port) const;
  [[nodiscard]] std::uint64_t used() const;  // ports, not pairs
  [[nodiscard]] std::uint64_t free() const;  // neither taken nor in quarantine

 private:
  friend class PortPair;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class PortPair {
 public:
  PortPair(PortPair&& other) noexcept;
  PortPair& operator=(PortPair&& other) noexcept;
  PortPair(const PortPair&) = delete;
  PortPair& operator=(const PortPair&) = delete;
  ~PortPair();

  [[nodiscard]] LocalPort rtp() const { return rtp_; }
  [[nodiscard]] LocalPort rtcp() const { return {rtp_.address, rtp_.port.next()}; }
  [[nodiscard]] const IpAddress& address() const { return address_; }

 private:
  friend class PortPool;
  PortPair(PortPool& pool, std::uint32_t index, LocalPort rtp, const IpAddress& address)
      : pool_(&pool), index_(index), rtp_(rtp), address_(address) {}
  PortPool* pool_;       // null once moved from
  std::uint32_t index_;  // among the pool's pairs
  LocalPort rtp_;
  IpAddress address_;
};

}  // namespace millrace
