// SPDX-License-Identifier: BSD-3-Clause
// Frames from Ethernet to UDP: what is called a datagram has its headers and
// lengths where the relay will read them. What is called neighbour discovery
// goes on to the host, which answers within the packet's buffer with a checksum
// that is right.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>

#include "dataplane/host/host.h"
#include "dataplane/host/link.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/frame.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;

// The address of the link, which the seeds solicit.
const Prefix kAddress{IpAddress::parse("2001:db8:a::1").value(), 64};

void answer(std::span<const std::byte> frame) {
  static Link link(0, MacAddress{{2, 0, 0, 0, 0, 1}}, {kAddress}, MediaAddressId{0}, {},
                   1'000'000'000);
  static const std::array<Link*, 1> links{&link};
  static WorkerStats stats;
  alignas(64) static std::array<std::byte, RTE_MBUF_DEFAULT_DATAROOM> room;
  if (frame.size() > room.size()) return;
  std::ranges::copy(frame, room.begin());
  rte_mbuf packet{};
  packet.buf_addr = room.data();
  packet.buf_len = static_cast<std::uint16_t>(room.size());
  packet.data_len = static_cast<std::uint16_t>(frame.size());
  packet.pkt_len = packet.data_len;
  packet.nb_segs = 1;
  // The pool is for what the host sends of its own, which is nothing here.
  static rte_mempool pool{};
  Host host(links, pool, stats, 1'000'000'000);
  TxBatch tx;
  const auto reason = host.receive(0, FrameKind::icmp6, packet, Tsc{1}, tx);
  FUZZ_CHECK(reason.has_value() == (tx.count == 0));
  if (reason) return;
  const std::span<const std::byte> reply(room.data(), packet.data_len);
  const std::uint16_t length = load_be16(reply.data() + 18);
  FUZZ_CHECK(reply.size() == kEtherSize + kIpv6Size + length);
  const std::uint64_t sum = std::uint64_t{ones_sum(reply.subspan(22, 32))} + Be16(length).raw() +
                            Be16(58).raw() + ones_sum(reply.subspan(54, length));
  FUZZ_CHECK(fold(sum) == 0xffff);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto frame = std::as_bytes(std::span(data, size));
  const std::uint64_t own = MacAddress{{2, 0, 0, 0, 0, 1}}.word();
  const FrameClass strict = classify(frame, own, false);
  const FrameClass trusting = classify(frame, own, true);
  // A verified checksum can only let more through.
  if (strict.kind != FrameKind::drop) FUZZ_CHECK(strict == trusting);
  if (trusting.kind == FrameKind::arp) FUZZ_CHECK(size >= kUdpHeaders);
  if (trusting.kind == FrameKind::udp || trusting.kind == FrameKind::icmp) {
    FUZZ_CHECK(size >= kUdpHeaders);
    const std::size_t total = load_be16(frame.data() + 16);
    FUZZ_CHECK(total >= kIpv4Size + kUdpSize && kEtherSize + total <= size);
    FUZZ_CHECK(data[14] == 0x45 && data[0] == 2);
    if (trusting.kind == FrameKind::udp) {
      FUZZ_CHECK(load_be16(frame.data() + 38) + kIpv4Size == total);
      FUZZ_CHECK(data[22] > 1);
    }
  }
  if (trusting.kind == FrameKind::udp6 || trusting.kind == FrameKind::icmp6) {
    FUZZ_CHECK(size >= kUdp6Headers);
    const std::size_t length = load_be16(frame.data() + 18);
    FUZZ_CHECK(length >= kUdpSize && kEtherSize + kIpv6Size + length <= size);
    FUZZ_CHECK(data[14] >> 4 == 6 && strict == trusting);
    if (trusting.kind == FrameKind::udp6) {
      FUZZ_CHECK(data[0] == 2 && data[21] > 1);
      FUZZ_CHECK(load_be16(frame.data() + 58) == length && load_be16(frame.data() + 60) != 0);
    } else {
      answer(frame);
    }
  }
  if (strict.kind == FrameKind::udp) {
    FUZZ_CHECK(ones_sum(frame.subspan(kEtherSize, kIpv4Size)) == 0xffff);
  }
  return 0;
}
