// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The UDP ports of one interface's media addresses, handed out as even/odd pairs.
//
// RTP gets the even port and RTCP the odd one above it (RFC 3550 section 11). The next pair is
// drawn at random over all free pairs of all addresses, or of the address that is asked for, from
// the kernel's generator (RFC 6056: an attacker who sees one port learns nothing of the next), and
// a released pair rests in quarantine before it is handed out again, so that a late packet of the
// old call cannot reach the new one.
// A pair's rest is counted from the first advance() or take() after its release: it is never
// shorter than asked for. All operations are O(1), amortised over the pairs that leave quarantine.
// Thread-safe.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "control/config/config.h"

namespace millrace {

// Holds a pair; the pair goes back to its pool (into quarantine) when this goes away.
class PortPair;

class PortPool {
 public:
  using Clock = std::chrono::steady_clock;

  PortPool(const Interface& interface, std::chrono::seconds quarantine);
  ~PortPool();  // precondition: all its pairs are gone
  PortPool(const PortPool&) = delete;
  PortPool& operator=(const PortPool&) = delete;

  // A pair, of the address `on` if that is given; nothing when all are taken or resting, or `on` is
  // not of this pool.
  [[nodiscard]] std::optional<PortPair> take(Clock::time_point now,
                                             const std::optional<IpAddress>& on = std::nullopt);
  // Lets rested pairs go free; call it once a second.
  void advance(Clock::time_point now);

  [[nodiscard]] std::uint64_t used() const;  // ports, not pairs
  [[nodiscard]] std::uint64_t free() const;  // neither taken nor resting

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
