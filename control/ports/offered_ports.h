// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counts the ports of unanswered offers by the source of the offers.
//
// An offer takes ports before it is answered and keeps them for the offer timeout: any client that
// may send INVITEs can exhaust a port range with a few of them. These counts name that client. Each
// dialog has its OfferedPorts, a plain value, until its first answer or its end. A source is the
// address of the signalling; for IPv6 its /64, since one host may own all of it. Bounded: a source
// is listed while it holds ports, so there are at most as many as port pairs. Thread-safe.

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

// Ports that unanswered offers of one dialog took, and the source of the first of them.
struct OfferedPorts {
  IpAddress source;  // "::" = unknown
  std::int32_t ports = 0;

  // An offer from `source` took `pairs`; negative: it returned some.
  void add(const std::optional<IpAddress>& from, std::ptrdiff_t pairs);
  friend bool operator==(const OfferedPorts&, const OfferedPorts&) = default;
};

class OffersBySource {
 public:
  static constexpr std::size_t kMaxReported = 8;

  struct Source {
    std::optional<IpAddress> address;  // unset: offers without one
    std::uint64_t ports = 0;
  };
  struct Report {
    std::uint64_t all = 0;
    std::vector<Source> most;  // kMaxReported at most, by ports, descending
  };
  void add(const OfferedPorts& offered);
  // Precondition: add() had the same.
  void remove(const OfferedPorts& offered) noexcept;
  [[nodiscard]] Report report() const;
  [[nodiscard]] std::size_t sources() const;

 private:
  mutable std::mutex mutex_;
  std::map<IpAddress, std::int64_t> ports_;
  std::int64_t all_ = 0;
};

}  // namespace millrace
