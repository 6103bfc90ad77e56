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

void OfferedPorts::add(const std::optional<IpAddress>& from, std::ptrdiff_t pairs) {
  if (ports == 0) source = host(from.value_or(IpAddress()));
  ports = std::max(ports + 2 * static_cast<std::int32_t>(pairs), 0);
}

void OffersBySource::add(const OfferedPorts& offered) {
  if (offered.ports == 0) return;
  const std::lock_guard lock(mutex_);
  ports_[offered.source] += offered.ports;
  all_ += offered.ports;
}

void OffersBySource::remove(const OfferedPorts& offered) noexcept {
  if (offered.ports == 0) return;
  const std::lock_guard lock(mutex_);
  const auto entry = ports_.find(offered.source);
  entry->second -= offered.ports;
  all_ -= offered.ports;
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

}  // namespace millrace
