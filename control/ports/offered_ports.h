// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counts the ports of unanswered offers by the source of the offers.
//
// An offer takes ports before it is answered and keeps them for the offer timeout: any client that
// may send INVITEs can exhaust a port range with a few of them. These counts name that client. Each
// dialog has its OfferedPorts until its first answer or its end. A source is the address of the
// signalling; for IPv6 its /64, since one host may own all of it.
// Bounded: a source is listed while it holds ports, so there are at most as many as port pairs.
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
    std::optional<IpAddress> address;  // unset: offers without one
    std::uint64_t ports = 0;
  };
  struct Report {
    std::uint64_t all = 0;
    std::vector<Source> most;  // kMaxReported at most, by ports, descending
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

  // An offer from `source` took `pairs`; negative: it returned some. All ports of a dialog count
  // for the source of its first offer. `counts` must outlive this.
  void add(OffersBySource& counts, const std::optional<IpAddress>& source, std::int64_t pairs);
  void answered();

 private:
  OffersBySource* counts_ = nullptr;  // null: nothing counted
  IpAddress source_;                  // "::" = unknown
  std::int64_t ports_ = 0;
};

}  // namespace millrace
