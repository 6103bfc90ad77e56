// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Both phones of every call: what they send, and what each of them hears of the other.
//
// A stream is one direction of a call, from one phone through the relay to the other; streams 2n
// and 2n+1 are those of call n. Its SSRC tells a received packet's stream, and the stamp in the
// payload when it left. A packet counts when it left within the window that is measured, whenever
// it arrives, so nothing is lost at the edges. It must arrive at the other party, and from where
// that party sends to (RFC 4961): else it counts as misdelivered, and as lost.

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

// Where a party is to send, by the SDP that the relay had it told.
struct Told {
  Endpoint rtp, rtcp;
};

struct PhonesConfig {
  std::size_t calls = 1;  // at a time, at most kMaxCalls
  Shape shape;
  std::chrono::milliseconds rtcp_interval{5000};  // 0: no RTCP
  bool rtcp_mux = false;
  unsigned ports = 2;  // of the wire, a party
  std::uint64_t seed = 1;
};

// One direction of all calls, the one from `Party`.
struct Direction {
  std::uint64_t sent = 0, received = 0, duplicates = 0, reordered = 0;
  std::uint64_t rtcp_sent = 0, rtcp_received = 0;
  Histogram delay;

  [[nodiscard]] std::uint64_t lost() const { return sent - std::min(sent, received); }
};

// What was measured of the packets that were sent within a window.
struct Tally {
  Stamp from = Stamp::max(), until = Stamp::max();
  std::array<Direction, 2> directions;  // by the sender
  Histogram lateness;                   // of the generator, against its own schedule
  std::uint64_t not_sent = 0;           // what the generator's own kernel or device did not take
  std::uint64_t misdelivered = 0;       // to the wrong party, or from the wrong port
  std::uint64_t unknown = 0;            // packets that nobody of ours has sent
  std::optional<Series> series;

  [[nodiscard]] bool holds(Stamp sent) const { return sent >= from && sent < until; }
};

// How the streams of one direction fared, each by itself.
struct StreamQuality {
  double jitter_mean_us = 0, jitter_max_us = 0;  // that the way through the relay adds
  double mos = 0, mos_worst = 0;
  std::size_t streams = 0;
};

class Phones {
 public:
  using Clock = Schedule::Clock;
  static constexpr std::size_t kMaxCalls = std::size_t{1} << 19;

  Phones(const PhonesConfig& config, Wire& wire, Clock::time_point now);

  // The call's phones talk from now on, and hear each other; what they send from `counted` on
  // counts.
  void connect(std::uint32_t call, const std::array<Told, 2>& told, Stamp counted);
  void hang_up(std::uint32_t call);

  // Sends some of what is due; false: nothing is.
  bool send(Clock::time_point now);
  // Takes in some of what has arrived; false: nothing has.
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
    Told to;
    Stamp counted;
    std::uint32_t ssrc = 0, timestamp = 0, packets = 0;
    std::uint16_t sequence = 0;
    std::uint16_t generation = 0;
    std::uint8_t port = 0;
    bool talking = false;

    // As the other phone hears it.
    Sequence heard;
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
  void note(const Heard& heard);
  void note_rtp(const Heard& heard);
  void note_rtcp(const Heard& heard);
  [[nodiscard]] Stream* find(std::uint32_t ssrc, const Heard& heard, std::uint32_t& number);
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
