// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/relay.h"

#include <random>
#include <sstream>

#include "tests/data.h"
#include "tests/dataplane/packet_lab.h"

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
  std::istringstream file(read_data("relay_packets.txt"));
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
  const bool a6 = flow.find(" a6") != std::string::npos;
  const bool b6 = flow.find(" b6") != std::string::npos;
  Path path = path_ab(a6 ? Family::ipv6 : Family::ipv4, b6 ? Family::ipv6 : Family::ipv4);
  std::istringstream words(flow);
  for (std::string word; words >> word;) {
    if (word == "none") return;
    if (word == "rtcp") path.payload = Payload::rtcp;
    if (word == "opaque") path.payload = Payload::opaque;
    if (word == "mux") path.a.rtcp_mux = path.b.rtcp_mux = true;
    if (word == "encrypted") path.encrypted = true;
    if (word == "held") path.b.deliver = false;
    if (word == "unanswered") path.b.remote.reset();
    if (word.starts_with("dscp=")) path.dscp = static_cast<std::uint8_t>(std::stoi(word.substr(5)));
  }
  lab.flows.publish(path, kStart);
  // A is latched, by what its path takes.
  const Endpoint party = a6 ? kPartyA6 : kPartyA;
  if (path.payload == Payload::rtcp) {
    (void)lab.from_a(rtcp(0x11223344), kStart, party);
  } else {
    (void)lab.from_a(rtp({.sequence = 0, .timestamp = 0}), kStart, party);
  }
  ASSERT_EQ(lab.flows.read(path.a.local, kStart).latched, party);
}

TEST(Relay, ForwardsTheFixturesAsRecorded) {
  const std::vector<Fixture> fixtures = read_fixtures();
  ASSERT_GE(fixtures.size(), 140U);
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

void expect_prefixes_dropped(PacketLab& lab, const Bytes& frame) {
  for (std::size_t n = 0; n < frame.size(); ++n) {
    const std::uint64_t dropped = lab.dropped();
    EXPECT_FALSE(lab.receive(0, std::span(frame).first(n))) << n;
    EXPECT_EQ(lab.dropped(), dropped + 1) << n;
  }
}

TEST(Relay, EveryStrictPrefixOfAFrameIsDropped) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  for (const Bytes& payload : {rtp({}), rtcp(1), stun(), Bytes{}}) {
    expect_prefixes_dropped(lab, ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, payload)));
  }
}

// ---- forwarding ------------------------------------------------------------------------------

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

TEST(Relay, ChecksumVerdictOfTheNicIsTrusted) {
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

TEST(Relay, DamagedPayloadKeepsAWrongChecksum) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({})));
  frame.back() ^= std::byte{0x10};
  const auto sent = lab.receive(0, frame);
  ASSERT_TRUE(sent);
  EXPECT_NE(udp_checksum(Bytes(sent->frame.begin() + 14, sent->frame.end())), 0);
}

UdpPort random_port(std::mt19937& random) {
  return UdpPort(static_cast<std::uint16_t>(1 + random() % 65'535));
}

Bytes random_rtp(std::mt19937& random) {
  Bytes packet = rtp({.sequence = static_cast<std::uint16_t>(random()), .payload = random() % 300});
  for (std::size_t k = 12; k < packet.size(); ++k) packet[k] = static_cast<std::byte>(random());
  return packet;
}

TEST(Relay, ChecksumsAreRightForRandomEndpointsAndPayloads) {
  std::mt19937 random{6};
  PacketLab lab;
  lab.introduce(0, IpAddress::v4(198, 18, 0, 254), kMacGateway);
  for (int i = 0; i < 2000; ++i) {
    Path path = path_ab();
    const auto port = [&] { return random_port(random); };
    path.a.remote = Endpoint{IpAddress::v4(Be32(0x64400000 + random() % 0x400000)), port()};
    path.a.hints = {path.a.remote->address};
    path.b.remote->port = port();
    path.dscp = random() % 2 == 0 ? std::optional<std::uint8_t>(random() % 64) : std::nullopt;
    lab.flows.withdraw(kPortA);
    lab.flows.withdraw(kPortB);
    lab.flows.publish(path, kStart);
    const Bytes payload = random_rtp(random);
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

TEST(Relay, EveryStrictPrefixOfAnIpv6FrameIsDropped) {
  PacketLab lab;
  lab.flows.publish(path_ab(Family::ipv6, Family::ipv4), kStart);
  expect_prefixes_dropped(lab, ethernet(kMac0, kMacA, 0x86dd, udp(kPartyA6, kLocalA6, rtp({}))));
}

// Both directions between any two families; oversized datagrams are tested separately.
TEST(Relay, ChecksumsAreRightAcrossFamilies) {
  std::mt19937 random{7};
  PacketLab lab;
  lab.introduce(0, IpAddress::v4(198, 18, 0, 254), kMacGateway);
  lab.introduce(0, kRouterA6, kMacGateway);
  for (int i = 0; i < 3000; ++i) {
    const Family a = i % 2 == 0 ? Family::ipv4 : Family::ipv6;
    const Family b = i / 2 % 2 == 0 ? Family::ipv4 : Family::ipv6;
    Path path = path_ab(a, b);
    const auto port = [&] { return random_port(random); };
    std::array<std::uint8_t, 16> bytes{0x24};
    for (std::size_t k = 1; k < 16; ++k) bytes[k] = static_cast<std::uint8_t>(random());
    path.a.remote =
        Endpoint{a == Family::ipv6 ? IpAddress::v6(bytes)
                                   : IpAddress::v4(Be32(0x64400000 + random() % 0x400000)),
                 port()};
    path.a.hints = {path.a.remote->address};
    path.b.remote->port = port();
    path.dscp = random() % 3 == 0 ? std::optional<std::uint8_t>(random() % 64) : std::nullopt;
    lab.flows.publish(path, kStart);
    const Bytes payload = random_rtp(random);
    for (int leg = 0; leg < 2; ++leg) {
      const auto sent = leg == 0 ? lab.from_a(payload, kStart, *path.a.remote)
                                 : lab.from_b(payload, kStart, *path.b.remote);
      ASSERT_TRUE(sent) << i << ' ' << leg;
      const bool v4 = (leg == 0 ? b : a) == Family::ipv4;
      EXPECT_EQ(destination_of(sent->frame), leg == 0 ? *path.b.remote : *path.a.remote);
      ASSERT_EQ(get16(sent->frame, 12), v4 ? 0x0800 : 0x86dd);
      const Bytes packet(sent->frame.begin() + 14, sent->frame.end());
      ASSERT_TRUE(!v4 || ipv4_checksum_ok(packet.data()));
      ASSERT_EQ(v4 ? get16(packet, 2) : get16(packet, 4) + 40U, packet.size());
      ASSERT_EQ(udp_checksum(packet), 0);
      ASSERT_NE(get16(packet, v4 ? 26 : 46), 0);
      ASSERT_TRUE(std::equal(payload.begin(), payload.end(),
                             packet.end() - static_cast<std::ptrdiff_t>(payload.size())));
    }
    lab.flows.withdraw(path.a.local);
    lab.flows.withdraw(path.b.local);
  }
}

TEST(Relay, DamageKeepsAWrongChecksumAcrossFamilies) {
  for (const Family a : {Family::ipv4, Family::ipv6}) {
    PacketLab lab;
    lab.flows.publish(path_ab(a, a == Family::ipv4 ? Family::ipv6 : Family::ipv4), kStart);
    const bool v4 = a == Family::ipv4;
    Bytes frame = ethernet(kMac0, kMacA, v4 ? 0x0800 : 0x86dd,
                           v4 ? udp(kPartyA, kLocalA, rtp({})) : udp(kPartyA6, kLocalA6, rtp({})));
    frame.back() ^= std::byte{0x10};
    const auto sent = lab.receive(0, frame);
    ASSERT_TRUE(sent);
    EXPECT_NE(udp_checksum(Bytes(sent->frame.begin() + 14, sent->frame.end())), 0);
  }
}

TEST(Relay, MbufWithoutHeadroomIsDropped) {
  PacketLab lab;
  lab.flows.publish(path_ab(Family::ipv4, Family::ipv6), kStart);
  const Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({})));
  ASSERT_TRUE(lab.receive(0, frame));
  rte_mbuf* const packet = rte_pktmbuf_alloc(&Buffers::pool());
  ASSERT_TRUE(packet);
  packet->data_off = 19;
  std::ranges::copy(frame, reinterpret_cast<std::byte*>(rte_pktmbuf_append(
                               packet, static_cast<std::uint16_t>(frame.size()))));
  EXPECT_TRUE(lab.burst(0, {packet}, kStart).empty());
  EXPECT_EQ(lab.dropped(DropReason::mtu_exceeded), 1U);
  EXPECT_EQ(lab.flows.read(kPortA, kStart).forwarded, 1U);
}

// ---- MTU -------------------------------------------------------------------------------------

// RTP over IPv4 or IPv6 in an IP packet of that length.
Bytes packet_of(Family family, std::size_t length, std::uint16_t sequence = 1) {
  const bool v4 = family == Family::ipv4;
  const Bytes media = rtp({.sequence = sequence, .payload = length - (v4 ? 20 : 40) - 8 - 12});
  return ethernet(kMac0, kMacA, v4 ? 0x0800 : 0x86dd,
                  v4 ? udp(kPartyA, kLocalA, media) : udp(kPartyA6, kLocalA6, media));
}

// The kernel reassembles fragments below AF_PACKET, so datagrams arrive that no network takes.
TEST(Relay, DatagramsThatExceedTheMtuAreDroppedAndNotSent) {
  for (const Family family : {Family::ipv4, Family::ipv6}) {
    PacketLab lab;
    lab.flows.publish(path_ab(family, family), kStart);
    const LocalPort port = family == Family::ipv4 ? kPortA : kPortA6;
    std::uint16_t sequence = 0;
    for (const std::size_t length : {200U, 1500U, 1501U, 1712U, 1500U}) {
      const bool fits = length <= 1500;
      const auto sent = lab.receive(0, packet_of(family, length, ++sequence));
      EXPECT_EQ(sent.has_value(), fits) << length;
      EXPECT_TRUE(!sent || sent->frame.size() == 14 + length);
    }
    EXPECT_EQ(lab.dropped(DropReason::mtu_exceeded), 2U);
    EXPECT_EQ(lab.stats.relayed.value(), 3U);
    EXPECT_EQ(lab.flows.read(port, kStart).forwarded, 3U);
  }
}

TEST(Relay, MtuCountsTheNewHeaderAcrossFamilies) {
  PacketLab lab;
  lab.flows.publish(path_ab(Family::ipv4, Family::ipv6), kStart);
  EXPECT_TRUE(lab.receive(0, packet_of(Family::ipv4, 1480)));
  EXPECT_FALSE(lab.receive(0, packet_of(Family::ipv4, 1481, 2)));
  EXPECT_EQ(lab.dropped(DropReason::mtu_exceeded), 1U);
  lab.flows.publish(path_ab(Family::ipv6, Family::ipv4), kStart);
  EXPECT_TRUE(lab.receive(0, packet_of(Family::ipv6, 1500)));
  EXPECT_TRUE(lab.receive(0, packet_of(Family::ipv6, 1520, 2))) << "1500 bytes leave";
  EXPECT_FALSE(lab.receive(0, packet_of(Family::ipv6, 1521, 3)));
  EXPECT_EQ(lab.dropped(DropReason::mtu_exceeded), 2U);
}

TEST(Relay, MtuOfTheEgressNetworkApplies) {
  PacketLab narrow({1500, 1400});
  narrow.flows.publish(path_ab(), kStart);
  EXPECT_TRUE(narrow.receive(0, packet_of(Family::ipv4, 1400)));
  EXPECT_FALSE(narrow.receive(0, packet_of(Family::ipv4, 1401, 2)));
  EXPECT_EQ(narrow.dropped(DropReason::mtu_exceeded), 1U);

  PacketLab wide({1400, 1500});
  wide.flows.publish(path_ab(), kStart);
  EXPECT_TRUE(wide.receive(0, packet_of(Family::ipv4, 1500))) << "it came, and it can leave";
  EXPECT_EQ(wide.dropped(DropReason::mtu_exceeded), 0U);
}

// ---- statistics ------------------------------------------------------------------------------

TEST(Relay, ReportsThePacketsOfAFlow) {
  PacketLab lab;
  Path path = path_ab();
  path.a.rtcp_mux = path.b.rtcp_mux = true;
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(lab.flows.read(kPortA, kStart).idle);
  for (std::uint16_t i = 0; i < 10; ++i) {
    if (i == 4 || i == 5) continue;  // lost on the way
    const Rtp packet{.sequence = static_cast<std::uint16_t>(65'533 + i),
                     .timestamp = i * 160U,
                     .payload_type = 9,
                     .payload = 160};
    ASSERT_TRUE(lab.from_a(rtp(packet), after_ms(std::uint64_t{20} * i)));
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

// Every packet of an event comes by the slow path: the usual one counts the jitter.
TEST(Relay, EventsAreNotInTheJitter) {
  PacketLab lab;
  Path path = path_ab();
  path.a.event_types.set(101);
  lab.flows.publish(path, kStart);
  for (std::uint16_t i = 0; i < 200; ++i) {
    const bool event = i % 50 >= 25;
    const Rtp packet{.sequence = i,
                     .timestamp = (event ? i / 25U * 25U : i) * 160U,
                     .payload_type = static_cast<std::uint8_t>(event ? 101 : 0)};
    ASSERT_TRUE(lab.from_a(rtp(packet), after_ms(std::uint64_t{20} * i)));
  }
  const FlowReport report = lab.flows.read(kPortA, after_ms(4000));
  EXPECT_LE(report.jitter, 1U);
  EXPECT_EQ(report.lost, 0);
  EXPECT_EQ(report.payload_type, 101);
}

TEST(Relay, RtcpAndStunAreNotInTheRtpSequence) {
  PacketLab lab;
  Path path = path_ab();
  path.a.rtcp_mux = path.b.rtcp_mux = true;
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

TEST(Relay, DropReasonsHaveUniqueNamesAndHelp) {
  for (std::size_t i = 0; i < kDropReasons.size(); ++i) {
    EXPECT_FALSE(kDropReasons[i].name.empty());
    EXPECT_GT(kDropReasons[i].help.size(), 10U);
    for (std::size_t k = 0; k < i; ++k) EXPECT_NE(kDropReasons[i].name, kDropReasons[k].name);
  }
  EXPECT_EQ(kDropReasons[std::to_underlying(DropReason::tx_full)].name, "tx_full");
}

TEST(Relay, UnspecifiedDestinationIsNotLocal) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  const Endpoint unspecified{IpAddress::v4(0, 0, 0, 0), kLocalA.port};
  EXPECT_FALSE(lab.receive(0, ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, unspecified, rtp({})))));
  const Endpoint unspecified6{IpAddress::parse("::").value(), kLocalA.port};
  EXPECT_FALSE(
      lab.receive(0, ethernet(kMac0, kMacA, 0x86dd, udp(kPartyA6, unspecified6, rtp({})))));
  EXPECT_EQ(lab.dropped(DropReason::not_local), 2U);
}

}  // namespace
}  // namespace millrace::test
