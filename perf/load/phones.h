// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Both phones of every call: sends their packets and measures the received ones.
//
// A stream is one direction of a call, from one phone through the relay to the other. Streams 2n
// and 2n+1 belong to call n. The SSRC of a received packet identifies its stream; the timestamp in
// the payload is its send time. A packet counts if it was sent within the measured window, whenever
// it is received, so the window's edges cause no loss. It must be received by the other party, from
// the relay port that this party sends to (RFC 4961). Otherwise it counts as misdelivered and lost.

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "perf/load/histogram.h"
#include "perf/load/schedule.h"
#include "perf/load/sequence.h"
#include "perf/load/series.h"
#include "perf/load/shape.h"
#include "perf/load/wire.h"

namespace millrace::loadgen {

// The relay's endpoints that a party sends to, from the SDP that the relay rewrote.
struct RelayEndpoints {
  Endpoint rtp, rtcp;
};

struct PhonesConfig {
  std::size_t calls = 1;  // concurrent, at most kMaxCalls
  Shape shape;
  std::chrono::milliseconds rtcp_interval{5000};  // 0: no RTCP
  bool rtcp_mux = false;
  unsigned ports = 2;  // of the wire, per party
  std::uint64_t seed = 1;
};

// One direction of all calls: the packets sent by one party.
struct Direction {
  std::uint64_t sent = 0, received = 0, duplicates = 0, reordered = 0;
  std::uint64_t rtcp_sent = 0, rtcp_received = 0;
  Histogram delay;

  [[nodiscard]] std::uint64_t lost() const { return sent - std::min(sent, received); }
};

// Counters of the packets that were sent within a window.
struct Tally {
  Stamp from = Stamp::max(), until = Stamp::max();
  std::array<Direction, 2> directions;  // by the sender
  Histogram lateness;                   // of the generator, against its own schedule
  std::uint64_t not_sent = 0;           // rejected by the generator's own kernel or device
  std::uint64_t misdelivered = 0;       // to the wrong party, or from the wrong port
  std::uint64_t unknown = 0;            // received packets that no phone sent
  std::optional<Series> series;

  [[nodiscard]] bool holds(Stamp sent) const { return sent >= from && sent < until; }
};

// Quality over the streams of one direction.
struct StreamQuality {
  double jitter_mean_us = 0, jitter_max_us = 0;  // added on the way through the relay
  double mos = 0, mos_worst = 0;
  std::size_t streams = 0;
};

class Phones {
 public:
  using Clock = Schedule::Clock;
  static constexpr std::size_t kMaxCalls = std::size_t{1} << 19;

  Phones(const PhonesConfig& config, Wire& wire, Clock::time_point now);

  // Starts both phones of the call. Packets sent from `counted` on are counted.
  void connect(std::uint32_t call, const std::array<RelayEndpoints, 2>& relay_endpoints,
               Stamp counted);
  void hang_up(std::uint32_t call);

  // Sends some of the due packets. False if none is due.
  bool send(Clock::time_point now);
  // Receives some packets. False if there are none.
  bool receive();
  // When the next packet is due.
  [[nodiscard]] Clock::time_point due() const { return rtp_.when(); }

  void begin(Stamp from, std::optional<Series> series = std::nullopt);
  void end(Stamp until) { tally_.until = until; }
  void speed_up(double factor, Clock::time_point now) { rtp_.speed_up(factor, now); }

  [[nodiscard]] Tally& tally() { return tally_; }
  [[nodiscard]] const Tally& tally() const { return tally_; }
  [[nodiscard]] StreamQuality quality(Party from) const;
  [[nodiscard]] std::size_t talking() const { return talking_; }

 private:
  struct Stream {
    RelayEndpoints to;
    Stamp counted;
    std::uint32_t ssrc = 0, timestamp = 0, packets = 0;
    std::uint16_t sequence = 0;
    std::uint16_t generation = 0;
    std::uint8_t port = 0;
    bool talking = false;

    // As received by the other phone.
    Sequence arrivals;
    std::uint32_t received = 0, reported_expected = 0, reported_received = 0;
    std::uint64_t last_report_ntp = 0;
    Stamp last_report_at;
    std::int64_t transit = 0, jitter = 0;  // nanoseconds; jitter times 16
    std::uint64_t counted_sent = 0, counted_received = 0;
    std::int64_t delay_sum = 0;
  };

  void send_rtp(std::uint32_t number);
  void send_rtcp(std::uint32_t number, Stamp now);
  void note(const Sent& sent);
  void note(const Received& packet);
  void note_rtp(const Received& packet);
  void note_rtcp(const Received& packet);
  [[nodiscard]] Stream* find(std::uint32_t ssrc, const Received& packet, std::uint32_t& number);
  [[nodiscard]] bool counts(const Stream& stream, Stamp sent) const {
    return tally_.holds(sent) && sent >= stream.counted;
  }

  PhonesConfig config_;
  Wire& wire_;
  std::vector<Stream> streams_;
  Schedule rtp_, rtcp_;
  std::uint32_t key_;  // of this run's SSRCs
  std::mt19937_64 random_;
  std::size_t talking_ = 0;  // calls
  Stamp rtcp_stamp_;         // of this round
  Tally tally_;
};

}  // namespace millrace::loadgen
