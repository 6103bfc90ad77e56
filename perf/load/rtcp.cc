// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/rtcp.h"

#include <chrono>
#include <cstring>

#include "dataplane/base/net.h"

namespace millrace::loadgen {
namespace {

constexpr std::uint64_t kNtpEpoch = 2'208'988'800;  // 1900 to 1970, seconds
constexpr std::uint64_t kNano = 1'000'000'000;
constexpr std::uint32_t kSenderReportHead = 0x81c8'000c;  // one block, 13 words
constexpr std::uint32_t kSourceDescriptionHead = 0x81ca'0003;
constexpr std::array<char, 8> kCname = {1, 4, 'l', 'o', 'a', 'd', 0, 0};

void put(std::byte*& at, std::uint32_t word) {
  const std::uint32_t raw = Be32(word).raw();
  std::memcpy(at, &raw, sizeof raw);
  at += sizeof raw;
}

std::uint32_t get(const std::byte*& at) {
  std::uint32_t raw = 0;
  std::memcpy(&raw, at, sizeof raw);
  at += sizeof raw;
  return Be32::from_raw(raw).host();
}

}  // namespace

std::uint64_t ntp_time(Stamp stamp) {
  const auto since = static_cast<std::uint64_t>(stamp.time_since_epoch().count());
  return (since / kNano + kNtpEpoch) << 32 | ((since % kNano) << 32) / kNano;
}

Stamp stamp_of_ntp(std::uint64_t ntp) {
  const std::uint64_t seconds = (ntp >> 32) - kNtpEpoch;
  // Rounds up, because ntp_time() rounds down.
  const std::uint64_t nanos = ((ntp & 0xffff'ffff) * kNano + 0xffff'ffff) >> 32;
  return Stamp(std::chrono::nanoseconds(seconds * kNano + nanos));
}

void write_report(std::span<std::byte, kRtcpSize> to, const SenderReport& report) {
  std::byte* at = to.data();
  put(at, kSenderReportHead);
  put(at, report.ssrc);
  put(at, static_cast<std::uint32_t>(report.ntp >> 32));
  put(at, static_cast<std::uint32_t>(report.ntp));
  put(at, report.timestamp);
  put(at, report.packets);
  put(at, report.bytes);
  put(at, report.peer_ssrc);
  put(at, std::uint32_t{report.fraction_lost} << 24 | (report.lost & 0xff'ffff));
  put(at, report.highest);
  put(at, report.jitter);
  put(at, report.last_report);
  put(at, report.since_last_report);
  put(at, kSourceDescriptionHead);
  put(at, report.ssrc);
  std::memcpy(at, kCname.data(), kCname.size());
}

std::optional<SenderReport> read_report(std::span<const std::byte> datagram) {
  if (datagram.size() != kRtcpSize) return std::nullopt;
  const std::byte* at = datagram.data();
  if (get(at) != kSenderReportHead) return std::nullopt;
  SenderReport report;
  report.ssrc = get(at);
  report.ntp = std::uint64_t{get(at)} << 32;
  report.ntp |= get(at);
  report.timestamp = get(at);
  report.packets = get(at);
  report.bytes = get(at);
  return report;
}

}  // namespace millrace::loadgen
