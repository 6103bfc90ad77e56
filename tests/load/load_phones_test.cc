// SPDX-License-Identifier: BSD-3-Clause
// The phones on a simulated wire that can lose, duplicate and misdirect packets.
#include <cstring>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "dataplane/wire/rtp.h"
#include "perf/load/phones.h"
#include "perf/load/rtcp.h"

namespace millrace::loadgen {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// The relay's ports: 1000 + 10 * call towards the caller, 2000 + 10 * call towards the callee.
Endpoint relay_port(Party party, std::uint32_t call, bool rtcp) {
  const unsigned base = party == Party::caller ? 1000 : 2000;
  return {IpAddress::v4(198, 18, 0, 2),
          UdpPort(static_cast<std::uint16_t>(base + 10 * call + (rtcp ? 1 : 0)))};
}

struct Packet {
  WirePort from;
  Endpoint to;
  std::vector<std::byte> bytes;
  std::size_t stamp;
  std::uint32_t stream;
};

class LabWire : public Wire {
 public:
  std::byte* claim(const Outgoing& packet) override {
    waiting.push_back({packet.from, *packet.to, std::vector<std::byte>(packet.size), packet.stamp,
                       packet.stream});
    return waiting.back().bytes.data();
  }
  std::span<const Sent> flush() override {
    sent_.clear();
    const Stamp now = std::chrono::system_clock::now();
    for (Packet& packet : waiting) {
      const bool rtcp = packet.stamp == kNoStamp;
      if (!rtcp) write_stamp(packet.bytes.data() + packet.stamp, now);
      sent_.push_back({packet.stream, rtcp, true, now});
      relay(packet, now);
    }
    waiting.clear();
    return sent_;
  }
  std::span<const Received> receive() override {
    given_ = std::move(arrived);
    packets_given_ = std::move(packets_);
    arrived.clear();
    packets_.clear();
    return given_;
  }
  [[nodiscard]] Endpoint endpoint(WirePort) const override { return {}; }
  [[nodiscard]] std::string trouble() const override { return {}; }

  void arrive(const Packet& packet, Party to, const Endpoint& from, Stamp at) {
    packets_.push_back(std::make_unique<std::vector<std::byte>>(packet.bytes));
    arrived.push_back({{to, packet.from.number, packet.from.rtcp}, from, *packets_.back(), at});
  }
  // Forwards as a relay does; a test may replace it.
  void pass(const Packet& packet, Stamp at) {
    const Party to = other(packet.from.party);
    const unsigned port = packet.to.port.number();
    const auto call = static_cast<std::uint32_t>(port % 1000 / 10);
    arrive(packet, to, relay_port(to, call, packet.from.rtcp), at);
  }

  std::function<void(const Packet&, Stamp)> relay = [this](const Packet& packet, Stamp now) {
    pass(packet, now + microseconds(50));
  };
  std::vector<Packet> waiting;
  std::vector<Received> arrived;

 private:
  std::vector<Sent> sent_;
  std::vector<Received> given_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> packets_, packets_given_;
};

struct LoadPhones : ::testing::Test {
  static constexpr std::size_t kCalls = 3;
  LabWire wire;
  Schedule::Clock::time_point start;
  Phones phones{
      {.calls = kCalls, .shape = kShapes[0], .rtcp_interval = milliseconds(100)}, wire, start};

  LoadPhones() {
    for (std::uint32_t call = 0; call < kCalls; ++call) connect(call);
    phones.begin(Stamp::min());
  }
  void connect(std::uint32_t call, Stamp counted = Stamp::min()) {
    std::array<RelayEndpoints, 2> relay_endpoints;
    for (const Party party : {Party::caller, Party::callee}) {
      relay_endpoints[index(party)] = {relay_port(party, call, false),
                                       relay_port(party, call, true)};
    }
    phones.connect(call, relay_endpoints, counted);
  }
  // All that happens in the first so many milliseconds.
  void play(int until_ms) {
    const auto now = start + milliseconds(until_ms);
    while (phones.send(now)) {
    }
    while (phones.receive()) {
    }
  }
  [[nodiscard]] const Direction& from(Party party) {
    return phones.tally().directions[index(party)];
  }
};

TEST_F(LoadPhones, EveryPacketReachesTheOtherPartyOnce) {
  play(1000);
  for (const Party party : {Party::caller, Party::callee}) {
    EXPECT_EQ(from(party).sent, kCalls * 50);
    EXPECT_EQ(from(party).received, kCalls * 50);
    EXPECT_EQ(from(party).duplicates + from(party).reordered, 0);
    EXPECT_EQ(from(party).rtcp_sent, kCalls * 10);
    EXPECT_EQ(from(party).rtcp_received, kCalls * 10);
    EXPECT_EQ(from(party).delay.largest(), microseconds(50));
    const StreamQuality quality = phones.quality(party);
    EXPECT_EQ(quality.streams, kCalls);
    EXPECT_EQ(quality.jitter_max_us, 0);
    EXPECT_NEAR(quality.mos, 4.4, 0.05);
  }
  EXPECT_EQ(phones.tally().unknown + phones.tally().misdelivered, 0);
  EXPECT_EQ(phones.tally().lateness.count(), kCalls * 100);
}

TEST_F(LoadPhones, PacketsDroppedByTheRelayCountAsLost) {
  int number = 0;
  wire.relay = [&](const Packet& packet, Stamp now) {
    const bool drop = !packet.from.rtcp && packet.from.party == Party::caller && ++number % 10 == 0;
    if (!drop) wire.pass(packet, now);
  };
  play(2000);
  EXPECT_EQ(from(Party::caller).sent, 300);
  EXPECT_EQ(from(Party::caller).lost(), 30);
  EXPECT_EQ(from(Party::callee).lost(), 0);
  EXPECT_LT(phones.quality(Party::caller).mos, phones.quality(Party::callee).mos);
}

TEST_F(LoadPhones, DuplicateAndReorderedPacketsAreCountedApart) {
  std::vector<Packet> held;
  int number = 0;
  wire.relay = [&](const Packet& packet, Stamp now) {
    if (packet.from.rtcp) return;
    ++number;
    if (number % 50 == 1) {
      held.push_back(packet);
      return;
    }
    wire.pass(packet, now);
    if (number % 50 == 7) wire.pass(packet, now);
    if (number % 50 == 20) wire.pass(held.back(), now);
  };
  play(1000);  // 300 packets: six of each kind
  EXPECT_EQ(from(Party::caller).received + from(Party::callee).received, 300);
  EXPECT_EQ(from(Party::caller).duplicates + from(Party::callee).duplicates, 6);
  EXPECT_EQ(from(Party::caller).reordered + from(Party::callee).reordered, 6);
}

TEST_F(LoadPhones, PacketsFromAWrongPortOrToAWrongPartyAreNotReceived) {
  int number = 0;
  wire.relay = [&](const Packet& packet, Stamp now) {
    if (packet.from.rtcp) return;
    if (++number == 1) {
      wire.arrive(packet, other(packet.from.party), relay_port(Party::caller, 9, false), now);
    } else if (number == 2) {
      wire.arrive(packet, packet.from.party, packet.to, now);
    } else {
      wire.pass(packet, now);
    }
  };
  play(200);
  EXPECT_EQ(phones.tally().misdelivered, 2);
  EXPECT_EQ(from(Party::caller).lost() + from(Party::callee).lost(), 2);
}

TEST_F(LoadPhones, PacketsOutsideTheCallsCountAsUnknown) {
  Packet stranger{{Party::caller, 0, false}, {}, std::vector<std::byte>(172), 0, 0};
  wire.arrive(stranger, Party::callee, relay_port(Party::callee, 0, false), Stamp());
  stranger.bytes.resize(5);
  wire.arrive(stranger, Party::callee, relay_port(Party::callee, 0, false), Stamp());
  EXPECT_TRUE(phones.receive());
  EXPECT_EQ(phones.tally().unknown, 2);
}

TEST_F(LoadPhones, OnlyPacketsSentWithinTheWindowCount) {
  play(100);
  phones.begin(std::chrono::system_clock::now());
  play(200);
  const std::uint64_t sent = from(Party::caller).sent;
  EXPECT_EQ(sent, kCalls * 5);
  phones.end(std::chrono::system_clock::now());
  play(300);
  EXPECT_EQ(from(Party::caller).sent, sent);
  EXPECT_EQ(from(Party::caller).received, sent);
}

TEST_F(LoadPhones, PacketsOfAnEndedCallDoNotCountForItsSuccessor) {
  std::vector<Packet> late;
  wire.relay = [&](const Packet& packet, Stamp) {
    if (packet.stream == 0 && !packet.from.rtcp) late.push_back(packet);
  };
  play(100);
  EXPECT_EQ(phones.talking(), kCalls);
  phones.hang_up(0);
  phones.hang_up(0);
  EXPECT_EQ(phones.talking(), kCalls - 1);
  const std::size_t sent = late.size();
  play(200);
  EXPECT_EQ(late.size(), sent);
  connect(0);
  wire.pass(late.back(), Stamp());
  EXPECT_TRUE(phones.receive());
  EXPECT_EQ(phones.tally().unknown, 1) << "of the call before";
}

TEST_F(LoadPhones, FloodSendsTheSameCallsFaster) {
  play(1000);
  phones.begin(Stamp::min());
  phones.speed_up(4, start + milliseconds(1000));
  play(2000);
  EXPECT_NEAR(static_cast<double>(from(Party::caller).sent), kCalls * 200, kCalls * 2);
  phones.begin(Stamp::min());
  phones.speed_up(0.25, start + milliseconds(2000));
  play(3000);
  EXPECT_NEAR(static_cast<double>(from(Party::caller).sent), kCalls * 50, kCalls * 2);
}

TEST_F(LoadPhones, SeriesCountsPacketsPerStep) {
  const Stamp now = std::chrono::system_clock::now();
  phones.begin(now, Series(now, std::chrono::hours(1)));
  play(1000);
  phones.tally().series->close();
  const auto& steps = phones.tally().series->steps();
  ASSERT_EQ(steps.size(), 1);
  EXPECT_EQ(steps[0].sent, kCalls * 100);
  EXPECT_EQ(steps[0].received, kCalls * 100);
  EXPECT_EQ(steps[0].delay_max, microseconds(50));
  EXPECT_EQ(steps[0].delay_p50, microseconds(50));
}

TEST(LoadRtcp, ReportsAreWellFormedAndReadBack) {
  const Stamp now = std::chrono::system_clock::now();
  const SenderReport report{.ssrc = 0x01020304,
                            .ntp = ntp_time(now),
                            .timestamp = 5,
                            .packets = 6,
                            .bytes = 7,
                            .peer_ssrc = 8,
                            .fraction_lost = 9,
                            .lost = 10,
                            .highest = 11,
                            .jitter = 12,
                            .last_report = 13,
                            .since_last_report = 14};
  std::array<std::byte, kRtcpSize> bytes{};
  write_report(bytes, report);
  EXPECT_TRUE(parse_rtcp(bytes, false).has_value());
  const auto read = read_report(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->ssrc, report.ssrc);
  EXPECT_EQ(read->ntp, report.ntp);
  EXPECT_EQ(read->packets, 6);
  EXPECT_EQ(stamp_of_ntp(read->ntp), now);
  EXPECT_FALSE(read_report(std::span(bytes).first(kRtcpSize - 4)).has_value());
}

}  // namespace
}  // namespace millrace::loadgen
