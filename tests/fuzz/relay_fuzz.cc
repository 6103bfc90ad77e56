// SPDX-License-Identifier: BSD-3-Clause
// The whole relay (world.h): bytes become offers, answers, deletes and the rest by all three
// protocols, packets of every kind, ARP and neighbour discovery, and time. The invariants of
// World::check() hold after each step. One more is checked here: where latching is restricted, no
// packet is relayed for a source that no request named.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tests/fuzz/check.h"
#include "tests/fuzz/messages.h"
#include "tests/fuzz/world.h"

namespace millrace::fuzz {
namespace {

constexpr std::size_t kMostSteps = 128;

MacAddress mac_of(std::uint8_t last) { return {{2, 0, 0, 0, 1, last}}; }

// A party's datagram payload.
Bytes payload(Bits& bits) {
  const std::uint8_t kind = bits.byte();
  const std::array<std::uint32_t, 3> sources{0x1111, 0x2222, 0x3333};
  const std::uint32_t ssrc = sources[kind / 16 % sources.size()];
  switch (kind % 8) {
    case 0:
    case 1:
    case 2:
      return test::rtp({.sequence = bits.word(),
                        .timestamp = bits.word() * 160U,
                        .ssrc = ssrc,
                        .payload_type = static_cast<std::uint8_t>(bits.byte() % 128),
                        .payload = bits.byte() % 200U});
    case 3:
      return test::rtcp(ssrc);
    case 4: {
      Bytes report = test::rtcp(ssrc);  // and a block about another stream
      Bytes block(24, std::byte{0});
      test::put32(block, 0, sources[bits.byte() % sources.size()]);
      for (std::size_t at = 4; at < block.size(); at += 4) test::put32(block, at, bits.word());
      report[0] = std::byte{0x81};
      report[3] = std::byte{12};
      report.insert(report.begin() + 28, block.begin(), block.end());
      return report;
    }
    case 5:
      return test::stun();
    case 6:
      if (kind >= 128) return test::zrtp_hello();
      return test::bytes_of({22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0});  // DTLS
    default: {
      Bytes raw(bits.byte() % 64U);
      for (std::byte& b : raw) b = std::byte{bits.byte()};
      return raw;
    }
  }
}

// One datagram to a port that has a flow, or beside.
void send_packet(World& world, Bits& bits) {
  const std::uint8_t where = bits.byte();
  std::uint16_t id = where % 4U;
  UdpPort port(static_cast<std::uint16_t>(kFirstPort + where % kPorts));
  if (!world.active().empty()) {
    const LocalPort local = world.active()[where % world.active().size()];
    id = static_cast<std::uint16_t>(local.address);
    port = local.port;
  }
  const std::size_t link = id / 2U;
  const std::span<const Place> places = places_at(id);
  const std::uint8_t from = bits.byte();
  const IpAddress& source = places[from % places.size()].address;
  const Endpoint local{world.link(link).addresses[id % 2U].address, port};
  const UdpPort source_port(static_cast<std::uint16_t>(4000 + from / 8));
  const Bytes frame =
      test::ethernet(world.link(link).mac, mac_of(from % 8), id % 2 == 0 ? 0x0800 : 0x86dd,
                     test::udp({source, source_port}, local, payload(bits)));
  const bool may_pass = world.latching(link) == Latching::open || world.is_named(source);
  for (const Frame& sent : world.receive(link, frame)) {
    FUZZ_CHECK(may_pass || !World::is_udp(sent.bytes));
  }
}

// A frame that begins as a good one and has some bytes replaced.
void send_frame(World& world, Bits& bits) {
  const std::uint8_t kind = bits.byte();
  const std::size_t link = kind % 2U;
  const Link& to = world.link(link);
  const Place& from = places_at(2 * link + kind / 2 % 2)[0];
  const IpAddress& local = to.addresses[kind / 2 % 2].address;
  Bytes frame = test::ethernet(
      to.mac, mac_of(kind), from.address.is_v4() ? 0x0800 : 0x86dd,
      test::udp({from.address, UdpPort(4000)}, {local, UdpPort(kFirstPort)}, payload(bits)));
  for (unsigned changes = bits.byte() % 8U; changes > 0; --changes) {
    frame[bits.word() % frame.size()] = std::byte{bits.byte()};
  }
  if (kind >= 192) frame.resize(bits.word() % (frame.size() + 1));
  (void)world.receive(link, frame);
}

// ARP or ND of some neighbour, true or not.
void send_neighbor(World& world, Bits& bits) {
  const std::uint8_t kind = bits.byte();
  const std::uint16_t id = kind % 4U;
  const Link& link = world.link(id / 2U);
  const std::span<const Place> places = places_at(id);
  const std::uint8_t who = bits.byte();
  const IpAddress& sender = places[who % places.size()].next_hop;
  const MacAddress mac = mac_of(who / 8);
  const IpAddress& own = link.addresses[id % 2U].address;
  const bool asks = kind / 4 % 2 == 0;
  const IpAddress& target = kind / 8 % 4 == 0 ? sender : own;
  const bool to_us = kind / 32 % 2 == 0;
  if (id % 2 == 0) {
    const Bytes arp = test::arp(asks ? 1 : 2, mac, sender, link.mac, target);
    const MacAddress to = to_us ? link.mac : MacAddress{{255, 255, 255, 255, 255, 255}};
    (void)world.receive(id / 2U, test::ethernet(to, mac, 0x0806, arp));
    return;
  }
  const IpAddress to = to_us ? own : asks ? solicited_node_group(target) : kAllNodes;
  const Bytes message =
      test::discovery(asks ? 135 : 136, static_cast<std::uint8_t>(bits.byte() & 0xe0),
                      asks ? target : sender, test::option(asks ? 1 : 2, mac));
  (void)world.receive(id / 2U, test::ethernet(to_us ? link.mac : group_mac(to), mac, 0x86dd,
                                              test::icmp6(sender, to, message)));
}

// The hosts of the wire, as far as they exist, answer what they are asked.
void answer(World& world, std::span<const Frame> asked) {
  for (const Frame& question : asked) {
    const Link& link = world.link(question.link);
    for (const std::size_t id : {2 * question.link, 2 * question.link + 1}) {
      for (const Place& place : places_at(id)) {
        if (!place.exists || !asks_for(question.bytes, place.next_hop)) continue;
        const IpAddress& own = link.addresses[id % 2U].address;
        const Bytes packet = id % 2 == 0
                                 ? test::arp(2, mac_of(place.mac), place.next_hop, link.mac, own)
                                 : test::icmp6(place.next_hop, own,
                                               test::discovery(136, 0x60, place.next_hop,
                                                               test::option(2, mac_of(place.mac))));
        (void)world.receive(question.link, test::ethernet(link.mac, mac_of(place.mac),
                                                          id % 2 == 0 ? 0x0806 : 0x86dd, packet));
      }
    }
  }
}

void pass_time(World& world, Bits& bits) {
  constexpr std::array<int, 8> kSteps{0, 1, 20, 100, 300, 1000, 10'000, 61'000};
  const std::uint8_t how = bits.byte();
  const std::vector<Frame> sent = world.pass(std::chrono::milliseconds(kSteps[how % 8U]));
  if (how < 192) answer(world, sent);
}

void request(World& world, Bits& bits) {
  const Message message = make_message(bits);
  world.request(message.protocol, message.text, message.peer);
}

void step(World& world, Bits& bits) {
  switch (bits.byte() % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
      return request(world, bits);
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
      return send_packet(world, bits);
    case 12:
      return send_frame(world, bits);
    case 13:
      return send_neighbor(world, bits);
    default:
      return pass_time(world, bits);
  }
}

}  // namespace
}  // namespace millrace::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  fuzz::Bits bits({data, size});
  const std::uint8_t choice = bits.byte();
  constexpr std::array kLatching{Latching::restricted, Latching::restricted, Latching::open,
                                 Latching::off};
  fuzz::World world({.latching = {kLatching[choice % 4U], kLatching[choice / 4 % 4U]},
                     .quarantine = std::chrono::seconds(choice / 16 % 2U),
                     .calls = choice / 32 % 4U == 3 ? 2U : 0U});
  world.check();
  for (std::size_t i = 0; i < fuzz::kMostSteps && !bits.empty(); ++i) {
    fuzz::step(world, bits);
    world.check();
  }
  return 0;
}
