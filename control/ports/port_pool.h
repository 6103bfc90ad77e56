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

// A pair of ports of a pool, by its even one: a plain value, whoever has taken the pair.
struct PortPair {
  LocalPort even;  // port 0: no pair

  [[nodiscard]] LocalPort rtp() const { return even; }
  [[nodiscard]] LocalPort rtcp() const { return {even.address, even.port.next()}; }
  [[nodiscard]] explicit operator bool() const { return even.port != UdpPort(); }
  friend bool operator==(const PortPair&, const PortPair&) = default;
};

class PortPool {
 public:
  using Clock = std::chrono::steady_clock;

  PortPool(const Interface& interface, std::chrono::seconds quarantine);
  ~PortPool();
  PortPool(const PortPool&) = delete;
  PortPool& operator=(const PortPool&) = delete;

  // A free pair, of the address `on` if it is set. No pair: none is free, or `on` is not in this
  // pool. Whoever takes a pair must return it.
  [[nodiscard]] PortPair take(Clock::time_point now,
                              const std::optional<IpAddress>& on = std::nullopt);
  // Puts a pair that was taken into quarantine. Allocates nothing.
  void give_back(PortPair pair) noexcept;
  // Ends the quarantine of pairs; call it once a second.
  void advance(Clock::time_point now);

  // Whether a port of `address` is in a pair that is taken.
  [[nodiscard]] bool is_taken(const IpAddress& address, UdpPort port) const;
  [[nodiscard]] std::uint64_t used() const;  // ports, not pairs
  [[nodiscard]] std::uint64_t free() const;  // neither taken nor in quarantine

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
