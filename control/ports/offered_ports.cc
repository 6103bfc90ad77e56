// SPDX-License-Identifier: BSD-3-Clause
#include "control/ports/offered_ports.h"

#include <algorithm>

namespace millrace {
namespace {

IpAddress host(const IpAddress& address) {
  if (address.is_v4()) return address;
  auto bytes = address.bytes();
  std::ranges::fill(bytes.begin() + bytes.size() / 2, bytes.end(), std::uint8_t{0});
  return IpAddress::v6(bytes);
}

}  // namespace

void OffersBySource::change(const IpAddress& source, std::int64_t ports) {
  const std::lock_guard lock(mutex_);
  const auto entry = ports_.try_emplace(source, 0).first;
  entry->second += ports;
  all_ += ports;
  if (entry->second == 0) ports_.erase(entry);
}

OffersBySource::Report OffersBySource::report() const {
  Report result;
  result.most.resize(kMaxReported);
  const auto more = [](const auto& a, const auto& b) { return a.ports > b.ports; };
  const std::lock_guard lock(mutex_);
  result.all = static_cast<std::uint64_t>(all_);
  for (const auto& [address, ports] : ports_) {
    const Source source{address.is_unspecified() ? std::nullopt : std::optional(address),
                        static_cast<std::uint64_t>(ports)};
    if (!more(source, result.most.back())) continue;
    result.most.back() = source;
    std::ranges::inplace_merge(result.most, result.most.end() - 1, more);
  }
  std::erase_if(result.most, [](const Source& source) { return source.ports == 0; });
  return result;
}

std::size_t OffersBySource::sources() const {
  const std::lock_guard lock(mutex_);
  return ports_.size();
}

OfferedPorts& OfferedPorts::operator=(OfferedPorts&& other) noexcept {
  if (this != &other) {
    answered();
    counts_ = std::exchange(other.counts_, nullptr);
    source_ = other.source_;
    ports_ = std::exchange(other.ports_, 0);
  }
  return *this;
}

void OfferedPorts::add(OffersBySource& counts, const std::optional<IpAddress>& source,
                       std::int64_t pairs) {
  const std::int64_t ports = std::max(2 * pairs, -ports_);
  if (ports == 0) return;
  if (ports_ == 0) source_ = host(source.value_or(IpAddress()));
  counts.change(source_, ports);
  counts_ = &counts;
  ports_ += ports;
}

void OfferedPorts::answered() {
  if (ports_ != 0) counts_->change(source_, -std::exchange(ports_, 0));
}

}  // namespace millrace
