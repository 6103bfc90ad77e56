// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Ports that offers hold which nobody has answered yet, by where the offers came from.
//
// An offer takes ports before anybody has answered, and keeps them for the offer timeout: whoever
// may send INVITEs can drain a port range with a few of them. These counts name the sender. Each
// dialog has its OfferedPorts until its first answer or its end. A source is the address of the
// signalling; of an IPv6 address its /64, which one host may have whole.
// Bounded: a source is listed while it holds ports, so there are never more than pairs of ports.
// Thread-safe.

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

class OffersBySource {
 public:
  static constexpr std::size_t kMaxReported = 8;

  struct Source {
    std::optional<IpAddress> address;  // unset: of offers that name none
    std::uint64_t ports = 0;
  };
  struct Report {
    std::uint64_t all = 0;
    std::vector<Source> most;  // kMaxReported at most, those that hold most ports first
  };
  [[nodiscard]] Report report() const;
  [[nodiscard]] std::size_t sources() const;

 private:
  friend class OfferedPorts;
  void change(const IpAddress& source, std::int64_t ports);

  mutable std::mutex mutex_;
  std::map<IpAddress, std::int64_t> ports_;
  std::int64_t all_ = 0;
};

class OfferedPorts {
 public:
  OfferedPorts() = default;
  OfferedPorts(OfferedPorts&& other) noexcept
      : counts_(std::exchange(other.counts_, nullptr)),
        source_(other.source_),
        ports_(std::exchange(other.ports_, 0)) {}
  OfferedPorts& operator=(OfferedPorts&& other) noexcept;
  OfferedPorts(const OfferedPorts&) = delete;
  OfferedPorts& operator=(const OfferedPorts&) = delete;
  ~OfferedPorts() { answered(); }

  // An offer from `source` has taken so many more pairs; fewer than none: it has given some back.
  // All of a dialog count for the source of its first offer. `counts` must outlive it.
  void add(OffersBySource& counts, const std::optional<IpAddress>& source, std::int64_t pairs);
  void answered();

 private:
  OffersBySource* counts_ = nullptr;  // null: nothing is counted
  IpAddress source_;                  // "::" = not given
  std::int64_t ports_ = 0;
};

}  // namespace millrace
