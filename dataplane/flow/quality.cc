// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/quality.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <type_traits>

#include "dataplane/wire/bytes.h"

namespace millrace {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr std::uint8_t kSenderReport = 200;
constexpr std::uint8_t kReceiverReport = 201;
constexpr std::size_t kSenderInfo = 20;
constexpr std::size_t kBlock = 24;
constexpr std::uint64_t kMicro = 1'000'000;
constexpr std::uint64_t kMaxRoundTrip = 30 * kMicro;  // a larger value is an invalid report

std::uint32_t word_at(std::span<const std::byte> bytes, std::size_t at) {
  return load_be32(bytes.data() + at);
}

std::uint64_t micros(std::uint64_t ticks, std::uint64_t tsc_hz) {
  return ticks / tsc_hz * kMicro + ticks % tsc_hz * kMicro / tsc_hz;
}

std::uint64_t mos_tenths(const Impairment& impairment) {
  return static_cast<std::uint64_t>(std::lround(mean_opinion(impairment) * 10));
}

// Round trip between relay and reporter: time since the sender report LSR was relayed, less DLSR
// (1/65536 s). 0 = unknown.
std::uint64_t leg_of(std::uint32_t lsr, std::uint32_t dlsr, const Quality& peer, Tsc now,
                     std::uint64_t tsc_hz) {
  if (lsr == 0 || peer.report_ntp.load(kRelaxed) != lsr) return 0;
  const Tsc relayed{peer.report_relayed.load(kRelaxed)};
  const std::uint64_t since = micros(elapsed(relayed, now), tsc_hz);
  const std::uint64_t waited = dlsr * kMicro >> 16;
  // On a LAN the round trip may be shorter than the drift between the two clocks.
  const std::uint64_t tolerance = waited / 128 + 1000;
  if (since + tolerance < waited || since > waited + kMaxRoundTrip) return 0;
  return since > waited ? since - waited : 1;
}

template <typename T>
void add(std::atomic<T>& sum, std::type_identity_t<T> value) {
  sum.store(sum.load(kRelaxed) + value, kRelaxed);
}

void store_sample(Quality::Sample& sample, std::uint64_t values, std::uint64_t leg_and_second) {
  sample.values.store(values, kRelaxed);
  sample.leg_and_second.store(leg_and_second, kRelaxed);
}

void restart(Quality& quality, std::uint32_t ssrc) {
  quality.subject.store(ssrc, kRelaxed);
  clear(quality.loss_sum, quality.jitter_sum, quality.legs, quality.leg_sum, quality.complete,
        quality.mos_sum, quality.round_trip_sum);
}

// A report with both legs known, in the units of QualitySample.
struct Complete {
  std::uint64_t loss, jitter, leg, trip;
};

void add_complete(Quality& own, const Complete& sample, std::uint64_t second) {
  const std::uint64_t mos = mos_tenths({.loss_percent = static_cast<double>(sample.loss),
                                        .jitter_ms = static_cast<double>(sample.jitter),
                                        .round_trip_ms = static_cast<double>(sample.trip) / 1000});
  const bool first = own.complete.load(kRelaxed) == 0;
  add(own.complete, 1);
  add(own.mos_sum, mos);
  add(own.round_trip_sum, sample.trip);
  const std::uint64_t values = mos | sample.loss << 8 | sample.jitter << 16 | sample.trip << 32;
  const std::uint64_t leg_and_second = sample.leg | second << 32;
  if (first || mos < (own.lowest.values.load(kRelaxed) & 0xff)) {
    store_sample(own.lowest, values, leg_and_second);
  }
  if (first || mos > (own.highest.values.load(kRelaxed) & 0xff)) {
    store_sample(own.highest, values, leg_and_second);
  }
}

QualitySample unpack(const Quality::Sample& sample, Tsc now, std::uint64_t tsc_hz) {
  const std::uint64_t values = sample.values.load(kRelaxed);
  const std::uint64_t leg_and_second = sample.leg_and_second.load(kRelaxed);
  const std::uint64_t second = leg_and_second >> 32;
  return {.mos_tenths = static_cast<std::uint8_t>(values),
          .loss_percent = static_cast<std::uint8_t>(values >> 8),
          .jitter_ms = static_cast<std::uint16_t>(values >> 16),
          .round_trip = std::chrono::microseconds(values >> 32),
          .leg = std::chrono::microseconds(leg_and_second & 0xffff'ffff),
          .age = std::chrono::seconds(now.ticks / tsc_hz - std::min(now.ticks / tsc_hz, second))};
}

}  // namespace

void note_reports(std::span<const std::byte> packet, Quality& own, const Quality& peer,
                  std::optional<std::uint32_t> stream, std::uint32_t clock_hz, Tsc now,
                  std::uint64_t tsc_hz) {
  // A compound packet starts with the report (section 6.1). The rest is ignored.
  const std::uint32_t head = word_at(packet, 0);
  const auto type = static_cast<std::uint8_t>(head >> 16);
  const std::size_t end = std::min(packet.size(), std::size_t{4} * ((head & 0xffff) + 1));
  std::size_t at = 8;
  if (type == kSenderReport) {
    if (end < at + kSenderInfo) return;
    own.report_ntp.store(word_at(packet, at) << 16 | word_at(packet, at + 4) >> 16, kRelaxed);
    own.report_relayed.store(now.ticks, kRelaxed);
    at += kSenderInfo;
  } else if (type != kReceiverReport) {
    return;
  }
  for (unsigned blocks = head >> 24 & 0x1f; blocks > 0 && end - at >= kBlock; --blocks) {
    if (word_at(packet, at) != stream) {
      at += kBlock;
      continue;
    }
    const std::uint64_t loss = std::uint64_t{word_at(packet, at + 4) >> 24} * 100 / 256;
    const std::uint64_t jitter = std::min<std::uint64_t>(
        std::uint64_t{word_at(packet, at + 12)} * 1000 / std::max(clock_hz, 1U), 0xffff);
    const std::uint64_t leg =
        leg_of(word_at(packet, at + 16), word_at(packet, at + 20), peer, now, tsc_hz);
    if (static_cast<std::uint32_t>(own.subject.load(kRelaxed)) != *stream) restart(own, *stream);
    own.subject.store(own.subject.load(kRelaxed) + (1ULL << 32), kRelaxed);
    add(own.loss_sum, loss);
    add(own.jitter_sum, jitter);
    if (leg == 0) return;
    add(own.legs, 1);
    add(own.leg_sum, leg);
    own.leg_last.store(static_cast<std::uint32_t>(leg), kRelaxed);
    const std::uint64_t far_leg = peer.leg_last.load(kRelaxed);
    if (far_leg == 0) return;
    add_complete(own, {loss, jitter, leg, leg + far_leg}, now.ticks / tsc_hz);
    return;
  }
}

std::optional<QualityReport> report_of(const Quality& quality, Tsc now, std::uint64_t tsc_hz) {
  const std::uint64_t subject = quality.subject.load(kRelaxed);
  const std::uint64_t samples = subject >> 32;
  if (samples == 0) return std::nullopt;
  const auto mean = [](const std::atomic<std::uint64_t>& sum, std::uint64_t of) {
    return of == 0 ? 0 : (sum.load(kRelaxed) + of / 2) / of;
  };
  const std::uint64_t complete = quality.complete.load(kRelaxed);
  QualityReport report;
  report.ssrc = static_cast<std::uint32_t>(subject);
  report.samples = samples;
  report.complete = complete;
  report.average = {
      .mos_tenths = static_cast<std::uint8_t>(mean(quality.mos_sum, complete)),
      .loss_percent = static_cast<std::uint8_t>(mean(quality.loss_sum, samples)),
      .jitter_ms = static_cast<std::uint16_t>(mean(quality.jitter_sum, samples)),
      .round_trip = std::chrono::microseconds(mean(quality.round_trip_sum, complete)),
      .leg = std::chrono::microseconds(mean(quality.leg_sum, quality.legs.load(kRelaxed))),
      .age = {}};
  if (complete == 0) return report;
  report.lowest = unpack(quality.lowest, now, tsc_hz);
  report.highest = unpack(quality.highest, now, tsc_hz);
  return report;
}

void reset(Quality& quality) {
  restart(quality, 0);
  clear(quality.report_ntp, quality.report_relayed, quality.leg_last);
}

}  // namespace millrace
