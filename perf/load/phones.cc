// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/phones.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "dataplane/flow/quality.h"
#include "dataplane/wire/rtp.h"
#include "perf/load/rtcp.h"

namespace millrace::loadgen {
namespace {

constexpr unsigned kStreamBits = 20;
constexpr std::uint32_t kStreamMask = (1U << kStreamBits) - 1;
static_assert(2 * Phones::kMaxCalls == std::size_t{1} << kStreamBits);

// The caller's stream. The callee's is the next one.
constexpr std::size_t first_stream(std::uint32_t call) { return std::size_t{2} * call; }

Party sender_of(std::uint32_t stream) { return (stream & 1) == 0 ? Party::caller : Party::callee; }

std::size_t streams_with_rtcp(const PhonesConfig& config) {
  return config.rtcp_interval.count() == 0 ? 0 : 2 * config.calls;
}

}  // namespace

Phones::Phones(const PhonesConfig& config, Wire& wire, Clock::time_point now)
    : config_(config),
      wire_(wire),
      streams_(2 * config.calls),
      rtp_(2 * config.calls, config.shape.interval, config.seed, now),
      rtcp_(streams_with_rtcp(config), std::max(config.rtcp_interval, std::chrono::milliseconds(1)),
            config.seed + 1, now),
      key_(std::random_device{}()),
      random_(config.seed + 2) {}

void Phones::connect(std::uint32_t call, const std::array<RelayEndpoints, 2>& relay_endpoints,
                     Stamp counted) {
  for (const Party party : {Party::caller, Party::callee}) {
    const auto number = static_cast<std::uint32_t>(first_stream(call) + index(party));
    Stream& stream = streams_[number];
    const auto generation = static_cast<std::uint16_t>(stream.generation + 1);
    stream = Stream();
    stream.generation = generation;
    stream.ssrc = key_ ^ (std::uint32_t{generation} << kStreamBits | number);
    stream.to = relay_endpoints[index(party)];
    stream.counted = counted;
    stream.sequence = static_cast<std::uint16_t>(random_());
    stream.timestamp = static_cast<std::uint32_t>(random_());
    stream.port = static_cast<std::uint8_t>(call % config_.ports);
    stream.talking = true;
  }
  ++talking_;
}

void Phones::hang_up(std::uint32_t call) {
  const std::size_t first = first_stream(call);
  if (!streams_[first].talking) return;
  streams_[first].talking = streams_[first + 1].talking = false;
  --talking_;
}

bool Phones::send(Clock::time_point now) {
  std::size_t claimed = 0;
  // RTCP first: late RTP would fill every burst.
  rtcp_stamp_ = std::chrono::system_clock::now();
  while (claimed < kBurst) {
    const auto due = rtcp_.next(now);
    if (!due) break;
    if (!streams_[due->stream].talking) continue;
    send_rtcp(due->stream, rtcp_stamp_);
    ++claimed;
  }
  while (claimed < kBurst) {
    const auto due = rtp_.next(now);
    if (!due) break;
    if (!streams_[due->stream].talking) continue;
    send_rtp(due->stream);
    if (tally_.from != Stamp::max()) tally_.lateness.add(now - due->at);
    ++claimed;
  }
  if (claimed == 0) return false;
  for (const Sent& sent : wire_.flush()) note(sent);
  return true;
}

void Phones::send_rtp(std::uint32_t number) {
  Stream& stream = streams_[number];
  std::byte* const packet = wire_.claim({.from = {sender_of(number), stream.port, false},
                                         .to = &stream.to.rtp,
                                         .size = kRtpHeader + config_.shape.payload,
                                         .stamp = kRtpHeader,
                                         .stream = number});
  const bool first = stream.packets++ == 0;
  RtpHeader header;
  header.flags = std::byte{0x80};
  header.type = static_cast<std::byte>(config_.shape.payload_type | (first ? 0x80 : 0));
  header.sequence = Be16(stream.sequence++);
  header.timestamp = Be32(stream.timestamp);
  header.ssrc = Be32(stream.ssrc);
  std::memcpy(packet, &header, sizeof header);
  stream.timestamp += config_.shape.ticks();
}

void Phones::send_rtcp(std::uint32_t number, Stamp now) {
  Stream& own = streams_[number];
  Stream& reverse = streams_[number ^ 1];
  SenderReport report;
  report.ssrc = own.ssrc;
  report.ntp = ntp_time(now);
  report.timestamp = own.timestamp;
  report.packets = own.packets;
  report.bytes = own.packets * static_cast<std::uint32_t>(config_.shape.payload);
  report.peer_ssrc = reverse.ssrc;
  const std::uint32_t expected = reverse.arrivals.expected();
  const std::uint32_t expected_since = expected - reverse.reported_expected;
  const std::uint32_t received_since = reverse.received - reverse.reported_received;
  if (expected_since > received_since) {
    report.fraction_lost = static_cast<std::uint8_t>(
        (std::uint64_t{expected_since - received_since} << 8) / std::max(expected_since + 1, 1U));
  }
  reverse.reported_expected = expected;
  reverse.reported_received = reverse.received;
  report.lost = expected > reverse.received ? expected - reverse.received : 0;
  report.highest = reverse.arrivals.highest();
  report.jitter = static_cast<std::uint32_t>(
      reverse.jitter / 16 * static_cast<std::int64_t>(config_.shape.clock_hz) / 1'000'000'000);
  if (reverse.last_report_ntp != 0) {
    report.last_report = static_cast<std::uint32_t>(reverse.last_report_ntp >> 16);
    report.since_last_report =
        static_cast<std::uint32_t>(((now - reverse.last_report_at).count() << 16) / 1'000'000'000);
  }
  std::byte* const packet = wire_.claim({.from = {sender_of(number), own.port, !config_.rtcp_mux},
                                         .to = config_.rtcp_mux ? &own.to.rtp : &own.to.rtcp,
                                         .size = kRtcpSize,
                                         .stamp = kNoStamp,
                                         .stream = number});
  write_report(std::span<std::byte, kRtcpSize>(packet, kRtcpSize), report);
}

void Phones::note(const Sent& sent) {
  Stream& stream = streams_[sent.stream];
  // RTCP: rounded to NTP precision, as the receiver computes it.
  const Stamp at = sent.rtcp ? stamp_of_ntp(ntp_time(rtcp_stamp_)) : sent.at;
  if (!counts(stream, at)) return;
  Direction& direction = tally_.directions[index(sender_of(sent.stream))];
  if (!sent.done) {
    ++tally_.not_sent;
  } else if (sent.rtcp) {
    ++direction.rtcp_sent;
  } else {
    ++direction.sent;
    ++stream.counted_sent;
    if (tally_.series) tally_.series->note_sent(at, 1);
  }
}

bool Phones::receive() {
  const auto received = wire_.receive();
  for (const Received& each : received) note(each);
  return !received.empty();
}

void Phones::note(const Received& packet) {
  if (packet.datagram.size() < kRtpHeader + kStampSize) {
    ++tally_.unknown;
  } else if (is_rtcp_type(packet.datagram[1])) {
    note_rtcp(packet);
  } else {
    note_rtp(packet);
  }
}

// The stream of a packet received from and by the right party, or null.
Phones::Stream* Phones::find(std::uint32_t ssrc, const Received& packet, std::uint32_t& number) {
  number = (ssrc ^ key_) & kStreamMask;
  if (number >= streams_.size() || streams_[number].ssrc != ssrc) {
    ++tally_.unknown;
    return nullptr;
  }
  const RelayEndpoints& reversed = streams_[number ^ 1].to;
  if (packet.on.party == sender_of(number) ||
      packet.from != (packet.on.rtcp ? reversed.rtcp : reversed.rtp)) {
    ++tally_.misdelivered;
    return nullptr;
  }
  return &streams_[number];
}

void Phones::note_rtp(const Received& packet) {
  const RtpFields fields = RtpFields::read(packet.datagram.data());
  std::uint32_t number = 0;
  Stream* const stream = find(fields.ssrc, packet, number);
  if (stream == nullptr) return;
  const Stamp sent = read_stamp(packet.datagram.data() + kRtpHeader);
  const auto delay = packet.at - sent;
  const Arrival arrival = stream->arrivals.note(fields.sequence);
  if (arrival != Arrival::duplicate) {
    // RFC 3550 section 6.4.1, with the actual send time in place of the RTP timestamp. This
    // excludes the jitter of the sender.
    if (stream->received++ > 0) {
      const std::int64_t change = std::abs(delay.count() - stream->transit);
      stream->jitter += change - (stream->jitter + 8) / 16;
    }
    stream->transit = delay.count();
  }
  if (!counts(*stream, sent)) return;
  Direction& direction = tally_.directions[index(sender_of(number))];
  if (arrival == Arrival::duplicate) {
    ++direction.duplicates;
    return;
  }
  if (arrival == Arrival::reordered) ++direction.reordered;
  ++direction.received;
  ++stream->counted_received;
  stream->delay_sum += delay.count();
  direction.delay.add(delay);
  if (tally_.series) tally_.series->note_received(sent, delay);
}

void Phones::note_rtcp(const Received& packet) {
  const auto report = read_report(packet.datagram);
  if (!report) {
    ++tally_.unknown;
    return;
  }
  std::uint32_t number = 0;
  Stream* const stream = find(report->ssrc, packet, number);
  if (stream == nullptr) return;
  stream->last_report_ntp = report->ntp;
  stream->last_report_at = packet.at;
  if (counts(*stream, stamp_of_ntp(report->ntp))) {
    ++tally_.directions[index(sender_of(number))].rtcp_received;
  }
}

void Phones::begin(Stamp from, std::optional<Series> series) {
  tally_ = Tally();
  tally_.from = from;
  tally_.series = std::move(series);
  for (Stream& stream : streams_) {
    stream.jitter = 0;
    stream.counted_sent = stream.counted_received = 0;
    stream.delay_sum = 0;
  }
}

StreamQuality Phones::quality(Party from) const {
  StreamQuality quality;
  quality.mos_worst = 5;
  for (std::size_t i = index(from); i < streams_.size(); i += 2) {
    const Stream& stream = streams_[i];
    if (stream.counted_sent == 0) continue;
    ++quality.streams;
    const double jitter_us = static_cast<double>(stream.jitter) / 16 / 1000;
    const auto sent = static_cast<double>(stream.counted_sent);
    const auto received = static_cast<double>(stream.counted_received);
    const double delay_ms =
        received > 0 ? static_cast<double>(stream.delay_sum) / received / 1e6 : 0;
    const double mos = mean_opinion({.loss_percent = std::max(1 - received / sent, 0.0) * 100,
                                     .jitter_ms = jitter_us / 1000,
                                     .round_trip_ms = 2 * delay_ms});
    quality.jitter_mean_us += jitter_us;
    quality.jitter_max_us = std::max(quality.jitter_max_us, jitter_us);
    quality.mos += mos;
    quality.mos_worst = std::min(quality.mos_worst, mos);
  }
  if (quality.streams == 0) return {};
  quality.jitter_mean_us /= static_cast<double>(quality.streams);
  quality.mos /= static_cast<double>(quality.streams);
  return quality;
}

}  // namespace millrace::loadgen
