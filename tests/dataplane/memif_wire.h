// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The phones' end of a shared-memory wire (net_memif) whose other end is the port of a data plane
// in the same process: frames with RTP in, frames out, ARP answered.
//
// A memif is not closed: when one end goes, the driver's interrupt thread unmaps the rings of the
// other while a worker polls them, and it keeps a handle in memory that EAL's end unmaps (DPDK
// 22.11). The process has to end with both ends open.

#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <gtest/gtest.h>
#include <rte_arp.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "dataplane/base/net.h"

namespace millrace::test {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

inline constexpr IpAddress kRelay = IpAddress::v4(198, 18, 0, 1);
inline constexpr Endpoint kPhoneA{IpAddress::v4(198, 18, 0, 10), UdpPort(4000)};
inline constexpr Endpoint kPhoneB{IpAddress::v4(198, 18, 0, 11), UdpPort(5000)};
inline constexpr std::size_t kPayload = 172;  // 20 ms of G.711 in RTP

inline bool within(Clock::duration limit, const std::function<bool()>& condition) {
  for (const auto end = Clock::now() + limit; Clock::now() < end; sched_yield()) {
    if (condition()) return true;
  }
  return false;
}

inline MacAddress mac_of(const IpAddress& address) {
  return {{2, 0, 0, 0, 0, address.bytes().back()}};
}

inline rte_ether_addr ether(const MacAddress& mac) {
  rte_ether_addr address{};
  std::ranges::copy(mac.bytes, address.addr_bytes);
  return address;
}

struct Datagram {
  MacAddress to;
  Endpoint source, destination;
  std::uint16_t sequence = 0;  // of its RTP header

  friend bool operator==(const Datagram&, const Datagram&) = default;
};

struct Frame {
  rte_ether_hdr ether;
  rte_ipv4_hdr ip;
  rte_udp_hdr udp;
  std::array<std::uint8_t, kPayload> rtp;
} __attribute__((packed, aligned(2)));

// The phones' end of the wire. It answers ARP for every address but the relay's.
class Wire {
 public:
  explicit Wire(std::uint16_t queues) : queues_(queues) {
    pool_ = rte_pktmbuf_pool_create("wire", 8192, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    const rte_eth_conf conf{};
    if (pool_ == nullptr || rte_eth_dev_get_port_by_name("net_memif1", &port_) != 0 ||
        rte_eth_dev_configure(port_, queues, queues, &conf) != 0) {
      std::abort();
    }
    for (std::uint16_t q = 0; q < queues; ++q) {
      if (rte_eth_rx_queue_setup(port_, q, 1024, 0, nullptr, pool_) != 0) std::abort();
      if (rte_eth_tx_queue_setup(port_, q, 1024, 0, nullptr) != 0) std::abort();
    }
    std::uint16_t relay_port = 0;
    if (rte_eth_dev_start(port_) != 0 ||
        rte_eth_dev_get_port_by_name("net_memif0", &relay_port) != 0 ||
        !within(10s, [&] { return is_up(port_) && is_up(relay_port); })) {
      std::abort();
    }
    rte_ether_addr address{};
    rte_eth_macaddr_get(relay_port, &address);
    std::ranges::copy(address.addr_bytes, relay_mac.bytes.begin());
  }
  ~Wire() = default;  // the process ends by _exit(): DPDK cannot close the driver's wire
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool send(const Datagram& datagram, std::uint16_t queue = 0) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    if (packet == nullptr) return false;
    auto& frame = *reinterpret_cast<Frame*>(rte_pktmbuf_append(packet, sizeof(Frame)));
    frame = {};
    frame.ether.dst_addr = ether(datagram.to);
    frame.ether.src_addr = ether(mac_of(datagram.source.address));
    frame.ether.ether_type = Be16(RTE_ETHER_TYPE_IPV4).raw();
    frame.ip.version_ihl = RTE_IPV4_VHL_DEF;
    frame.ip.total_length = Be16(sizeof(Frame) - sizeof(rte_ether_hdr)).raw();
    frame.ip.time_to_live = 64;
    frame.ip.next_proto_id = IPPROTO_UDP;
    frame.ip.src_addr = datagram.source.address.as_v4().raw();
    frame.ip.dst_addr = datagram.destination.address.as_v4().raw();
    frame.ip.hdr_checksum = rte_ipv4_cksum(&frame.ip);
    frame.udp.src_port = datagram.source.port.wire().raw();
    frame.udp.dst_port = datagram.destination.port.wire().raw();
    frame.udp.dgram_len = Be16(sizeof(rte_udp_hdr) + kPayload).raw();
    frame.rtp.fill(0xd5);
    frame.rtp[0] = 0x80;
    frame.rtp[1] = 0;
    frame.rtp[2] = static_cast<std::uint8_t>(datagram.sequence >> 8);
    frame.rtp[3] = static_cast<std::uint8_t>(datagram.sequence);
    frame.udp.dgram_cksum = rte_ipv4_udptcp_cksum(&frame.ip, &frame.udp);
    return transmit(packet, queue);
  }

  bool send_frame_of_type(std::uint16_t ethertype) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    if (packet == nullptr) return false;
    auto& header = *reinterpret_cast<rte_ether_hdr*>(rte_pktmbuf_append(packet, 60));
    header = {};
    header.dst_addr = ether(relay_mac);
    header.ether_type = Be16(ethertype).raw();
    return transmit(packet, 0);
  }

  // Receives the packets since the last call; answers ARP.
  void receive() {
    for (std::uint16_t q = 0; q < queues_; ++q) {
      std::array<rte_mbuf*, 32> packets{};
      const auto count = rte_eth_rx_burst(port_, q, packets.data(), packets.size());
      received += count;
      for (rte_mbuf* packet : std::span(packets).first(count)) {
        const auto& header = *rte_pktmbuf_mtod(packet, rte_ether_hdr*);
        if (header.ether_type == Be16(RTE_ETHER_TYPE_ARP).raw()) {
          arp(packet);
        } else {
          note(packet);
          rte_pktmbuf_free(packet);
        }
      }
    }
  }

  [[nodiscard]] std::uint16_t queues() const { return queues_; }

  MacAddress relay_mac;
  std::uint64_t received = 0;  // frames of all kinds
  std::vector<Datagram> datagrams;

 private:
  static bool is_up(std::uint16_t port) {
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  }

  bool transmit(rte_mbuf* packet, std::uint16_t queue) {
    if (rte_eth_tx_burst(port_, queue, &packet, 1) == 1) return true;
    rte_pktmbuf_free(packet);
    return false;
  }

  void note(rte_mbuf* packet) {
    ASSERT_EQ(packet->pkt_len, sizeof(Frame));
    const Frame frame = *rte_pktmbuf_mtod(packet, const Frame*);
    Frame fresh = frame;
    fresh.udp.dgram_cksum = 0;
    EXPECT_EQ(rte_ipv4_udptcp_cksum(&fresh.ip, &fresh.udp), frame.udp.dgram_cksum);
    fresh.ip.hdr_checksum = 0;
    EXPECT_EQ(rte_ipv4_cksum(&fresh.ip), frame.ip.hdr_checksum);
    EXPECT_TRUE(std::ranges::all_of(std::span(frame.rtp).subspan(4),
                                    [](std::uint8_t byte) { return byte == 0xd5; }));
    Datagram datagram;
    std::ranges::copy(frame.ether.dst_addr.addr_bytes, datagram.to.bytes.begin());
    datagram.source = {IpAddress::v4(Be32::from_raw(frame.ip.src_addr)),
                       UdpPort(Be16::from_raw(frame.udp.src_port).host())};
    datagram.destination = {IpAddress::v4(Be32::from_raw(frame.ip.dst_addr)),
                            UdpPort(Be16::from_raw(frame.udp.dst_port).host())};
    datagram.sequence = static_cast<std::uint16_t>(frame.rtp[2] << 8 | frame.rtp[3]);
    datagrams.push_back(datagram);
  }

  void arp(rte_mbuf* packet) {
    auto& header = *rte_pktmbuf_mtod(packet, rte_ether_hdr*);
    auto& arp = *rte_pktmbuf_mtod_offset(packet, rte_arp_hdr*, sizeof header);
    const auto target = IpAddress::v4(Be32::from_raw(arp.arp_data.arp_tip));
    if (target == kRelay) return rte_pktmbuf_free(packet);  // an announcement
    arp.arp_opcode = Be16(RTE_ARP_OP_REPLY).raw();
    const std::uint32_t asked = arp.arp_data.arp_tip;
    arp.arp_data.arp_tip = arp.arp_data.arp_sip;
    arp.arp_data.arp_sip = asked;
    arp.arp_data.arp_tha = arp.arp_data.arp_sha;
    arp.arp_data.arp_sha = ether(mac_of(target));
    header.dst_addr = header.src_addr;
    header.src_addr = ether(mac_of(target));
    EXPECT_TRUE(transmit(packet, 0));
  }

  std::uint16_t queues_;
  std::uint16_t port_ = 0;
  rte_mempool* pool_;
};

}  // namespace millrace::test
