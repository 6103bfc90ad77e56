// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay.h"

#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/packet_lab.h"

namespace millrace::test {
namespace {

// ---- single packets, as data -----------------------------------------------------------------

struct Fixture {
  std::string description;
  std::string flow = {};
  std::string verdict = {};
  Bytes in = {};
  Bytes out = {};
};

Bytes from_hex(const std::string& text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return out;
}

std::vector<Fixture> read_fixtures() {
  const char* const folder = std::getenv("TEST_DATA");
  std::ifstream file(std::string(folder == nullptr ? "tests/data" : folder) + "/relay_packets.txt");
  std::vector<Fixture> all;
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    const std::string key = line.substr(0, colon);
    const std::string value = colon == std::string::npos ? "" : line.substr(colon + 2);
    if (line.starts_with("# ")) all.push_back({.description = line.substr(2)});
    if (key == "flow") all.back().flow = value;
    if (key == "verdict") all.back().verdict = value;
    if (key == "in") all.back().in = from_hex(value);
    if (key == "out") all.back().out = from_hex(value);
  }
  std::erase_if(all, [](const Fixture& f) { return f.in.empty(); });
  return all;
}

void publish(PacketLab& lab, const std::string& flow) {
  Path path = path_ab();
  std::istringstream words(flow);
  for (std::string word; words >> word;) {
    if (word == "none") return;
    if (word == "rtcp") path.payload = Payload::rtcp;
    if (word == "opaque") path.payload = Payload::opaque;
    if (word == "mux") path.rtcp_mux = true;
    if (word == "encrypted") path.encrypted = true;
    if (word == "held") path.b.deliver = false;
    if (word == "unanswered") path.b.remote.reset();
    if (word.starts_with("dscp=")) path.dscp = static_cast<std::uint8_t>(std::stoi(word.substr(5)));
  }
  lab.flows.publish(path, kStart);
  // A is latched, by what its path takes.
  if (path.payload == Payload::rtcp) {
    (void)lab.from_a(rtcp(0x11223344));
  } else {
    (void)lab.from_a(rtp({.sequence = 0, .timestamp = 0}));
  }
  ASSERT_EQ(lab.flows.read(kPortA, kStart).latched, kPartyA);
}

TEST(Relay, Fixtures) {
  const std::vector<Fixture> fixtures = read_fixtures();
  ASSERT_GE(fixtures.size(), 80U);
  for (const Fixture& fixture : fixtures) {
    SCOPED_TRACE(fixture.description);
    PacketLab lab;
    publish(lab, fixture.flow);
    const auto before = lab.drops();
    const std::optional<Sent> sent = lab.receive(0, fixture.in);
    EXPECT_EQ(lab.verdict_since(before), fixture.verdict);
    EXPECT_EQ(sent.has_value(), fixture.verdict == "relayed");
    if (sent) {
      EXPECT_EQ(sent->link, 1U);
      EXPECT_EQ(sent->frame, fixture.out);
    }
  }
}

TEST(Relay, EveryStrictPrefixOfAFrameIsDropped) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  for (const Bytes& payload : {rtp({}), rtcp(1), stun(), Bytes{}}) {
    const Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, payload));
    for (std::size_t n = 0; n < frame.size(); ++n) {
      const std::uint64_t dropped = lab.dropped();
      EXPECT_FALSE(
          lab.receive(0, Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(n))));
      EXPECT_EQ(lab.dropped(), dropped + 1);
    }
  }
}

// ---- bursts ----------------------------------------------------------------------------------

TEST(Relay, ForwardsBothWaysFromTheFirstPacketOn) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  const Bytes payload = rtp({});
  const auto to_b = lab.from_a(payload);
  ASSERT_TRUE(to_b);
  EXPECT_EQ(to_b->link, 1U);
  EXPECT_EQ(source_of(to_b->frame), kLocalB);
  EXPECT_EQ(destination_of(to_b->frame), kPartyB);
  const auto to_a = lab.from_b(payload);
  ASSERT_TRUE(to_a);
  EXPECT_EQ(to_a->link, 0U);
  EXPECT_EQ(source_of(to_a->frame), kLocalA);
  EXPECT_EQ(destination_of(to_a->frame), kPartyA);
  EXPECT_EQ(lab.stats.relayed.value(), 2U);
  EXPECT_EQ(lab.dropped(), 0U);
}

TEST(Relay, MixedBurstKeepsOrderAndCountsEverything) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  std::vector<rte_mbuf*> rx;
  std::uint64_t bytes = 0;
  for (std::uint16_t i = 0; i < Relay::kBurst; ++i) {
    Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({.sequence = i})));
    if (i % 4 == 1) frame[0] = std::byte{0x04};  // not ours
    if (i % 4 == 2) put16(frame, 36, 1);         // no flow there, no checksum
    if (i % 4 == 3) frame.resize(30);
    bytes += frame.size();
    rx.push_back(PacketLab::packet(frame));
  }
  const std::vector<Sent> sent = lab.burst(0, rx, kStart);
  ASSERT_EQ(sent.size(), 8U);
  for (std::size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(get16(sent[i].frame, 44), 4 * i);
  EXPECT_EQ(lab.stats.rx_packets.value(), 32U);
  EXPECT_EQ(lab.stats.rx_bytes.value(), bytes);
  EXPECT_EQ(lab.stats.relayed.value(), 8U);
  EXPECT_EQ(lab.dropped(DropReason::wrong_mac), 8U);
  EXPECT_EQ(lab.dropped(DropReason::port_inactive), 8U);
  EXPECT_EQ(lab.dropped(DropReason::frame_truncated), 8U);
}

TEST(Relay, EmptyBurstIsNothing) {
  PacketLab lab;
  EXPECT_TRUE(lab.burst(0, {}, kStart).empty());
  EXPECT_EQ(lab.stats.rx_packets.value(), 0U);
}

TEST(Relay, PacketsOfSeveralSegmentsAreNamed) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  rte_mbuf* const head =
      PacketLab::packet(ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({}))));
  ASSERT_EQ(rte_pktmbuf_chain(head, PacketLab::packet(Bytes(10))), 0);
  EXPECT_TRUE(lab.burst(0, {head}, kStart).empty());
  EXPECT_EQ(lab.dropped(DropReason::multi_segment), 1U);
}

TEST(Relay, TheNicsWordOnTheChecksumIsTaken) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({})));
  frame[24] ^= std::byte{1};
  for (const std::uint64_t flag :
       {RTE_MBUF_F_RX_IP_CKSUM_BAD, RTE_MBUF_F_RX_IP_CKSUM_NONE, RTE_MBUF_F_RX_IP_CKSUM_GOOD}) {
    rte_mbuf* const packet = PacketLab::packet(frame);
    packet->ol_flags |= flag;
    const auto sent = lab.burst(0, {packet}, kStart);
    EXPECT_EQ(sent.size(), flag == RTE_MBUF_F_RX_IP_CKSUM_GOOD ? 1U : 0U);
    for (const Sent& s : sent) {
      EXPECT_FALSE(ipv4_checksum_ok(s.frame.data() + 14)) << "corruption stays visible";
    }
  }
  EXPECT_EQ(lab.dropped(DropReason::ip_checksum), 2U);
}

TEST(Relay, DamagedPayloadStaysVisible) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({})));
  frame.back() ^= std::byte{0x10};
  const auto sent = lab.receive(0, frame);
  ASSERT_TRUE(sent);
  EXPECT_NE(udp_checksum(Bytes(sent->frame.begin() + 14, sent->frame.end())), 0);
}

TEST(Relay, ChecksumsAreRightForRandomEndpointsAndPayloads) {
  std::mt19937 random{6};
  PacketLab lab;
  lab.introduce(0, IpAddress::v4(198, 18, 0, 254), kMacGateway);
  for (int i = 0; i < 2000; ++i) {
    Path path = path_ab();
    const auto port = [&] { return UdpPort(static_cast<std::uint16_t>(1 + random() % 65'535)); };
    path.a.remote = Endpoint{IpAddress::v4(Be32(0x64400000 + random() % 0x400000)), port()};
    path.a.hints = {path.a.remote->address};
    path.b.remote->port = port();
    path.dscp = random() % 2 == 0 ? std::optional<std::uint8_t>(random() % 64) : std::nullopt;
    lab.flows.withdraw(kPortA);
    lab.flows.withdraw(kPortB);
    lab.flows.publish(path, kStart);
    Bytes payload =
        rtp({.sequence = static_cast<std::uint16_t>(random()), .payload = random() % 300});
    for (std::size_t k = 12; k < payload.size(); ++k) payload[k] = static_cast<std::byte>(random());
    for (int leg = 0; leg < 2; ++leg) {
      const auto sent = leg == 0 ? lab.from_a(payload, kStart, *path.a.remote)
                                 : lab.from_b(payload, kStart, *path.b.remote);
      ASSERT_TRUE(sent);
      const Bytes packet(sent->frame.begin() + 14, sent->frame.end());
      ASSERT_TRUE(ipv4_checksum_ok(packet.data()));
      ASSERT_EQ(udp_checksum(packet), 0);
      ASSERT_TRUE(std::equal(payload.begin(), payload.end(), packet.begin() + 28));
    }
  }
}

// ---- statistics ------------------------------------------------------------------------------

TEST(Relay, ReportsWhatAFlowHasSeen) {
  PacketLab lab;
  Path path = path_ab();
  path.rtcp_mux = true;
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(lab.flows.read(kPortA, kStart).idle);
  for (std::uint16_t i = 0; i < 10; ++i) {
    if (i == 4 || i == 5) continue;  // lost on the way
    const Rtp packet{.sequence = static_cast<std::uint16_t>(65'533 + i),
                     .timestamp = i * 160U,
                     .payload_type = 9,
                     .payload = 160};
    ASSERT_TRUE(lab.from_a(rtp(packet), after_ms(20U * i)));
  }
  ASSERT_TRUE(lab.from_a(rtcp(0x11223344), after_ms(190)));
  EXPECT_FALSE(lab.from_a(bytes_of({0x80}), after_ms(195)));
  EXPECT_FALSE(lab.from_a(rtp({}), after_ms(195), {kPartyA.address, UdpPort(1)}));
  const FlowReport report = lab.flows.read(kPortA, after_ms(290));
  EXPECT_TRUE(report.active);
  EXPECT_EQ(report.latched, kPartyA);
  EXPECT_EQ(report.destination, kPartyB);
  EXPECT_EQ(report.packets, 9U);
  EXPECT_EQ(report.bytes, 8U * 172 + 40);
  EXPECT_EQ(report.forwarded, 9U);
  EXPECT_EQ(report.refused, 1U);
  EXPECT_EQ(report.malformed, 1U);
  ASSERT_TRUE(report.idle);
  EXPECT_EQ(std::chrono::round<std::chrono::milliseconds>(*report.idle).count(), 100);
  EXPECT_EQ(report.ssrc, 0x11223344U);
  EXPECT_EQ(report.extended_highest_sequence, 65'542U);
  EXPECT_EQ(report.expected, 10U);
  EXPECT_EQ(report.lost, 2);
  EXPECT_LE(report.jitter, 1U);
  EXPECT_EQ(report.payload_type, 9);
  EXPECT_EQ(lab.flows.read(kPortB, kStart).packets, 0U);
}

TEST(Relay, RtcpAndStunAreNotInTheRtpSequence) {
  PacketLab lab;
  Path path = path_ab();
  path.rtcp_mux = true;
  lab.flows.publish(path, kStart);
  ASSERT_TRUE(lab.from_a(stun()));
  EXPECT_FALSE(lab.flows.read(kPortA, kStart).ssrc);
  for (std::uint16_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(lab.from_a(rtp({.sequence = i})));
    ASSERT_TRUE(lab.from_a(rtcp(0x99)));
    ASSERT_TRUE(lab.from_a(stun()));
  }
  const FlowReport report = lab.flows.read(kPortA, kStart);
  EXPECT_EQ(report.ssrc, 0x11223344U);
  EXPECT_EQ(report.expected, 5U);
  EXPECT_EQ(report.lost, 0);
  EXPECT_EQ(report.packets, 16U);
}

TEST(Relay, DropTableIsOne) {
  for (std::size_t i = 0; i < kDropReasons.size(); ++i) {
    EXPECT_FALSE(kDropReasons[i].name.empty());
    EXPECT_GT(kDropReasons[i].help.size(), 10U);
    for (std::size_t k = 0; k < i; ++k) EXPECT_NE(kDropReasons[i].name, kDropReasons[k].name);
  }
  EXPECT_EQ(kDropReasons[std::to_underlying(DropReason::tx_full)].name, "tx_full");
}

}  // namespace
}  // namespace millrace::test
