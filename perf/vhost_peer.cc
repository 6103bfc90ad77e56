// SPDX-License-Identifier: BSD-3-Clause
// Traffic generator: all parties of many calls behind one vhost-user port, at full rate. Measures
// a forwarder on the other end, the relay or testpmd.
//
//   vhost_peer SOCKET SECONDS < flows
//
// Reads one line per flow: the party's endpoint, then the relay's endpoint that it sends to. Waits
// until a forwarder connects, answers its ARP requests for any address, then sends RTP (G.711,
// 20 ms, 214-byte frames) of the flows in random order, 32 packets at a time, whenever the ring has
// room. Prints a line every 100 ms: microseconds, packets sent, packets received. Packets are built
// once. Only sequence number and timestamp are rewritten, because the port copies what it sends.

#include <charconv>
#include <chrono>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <rte_arp.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>

#include "dataplane/base/text.h"
#include "dataplane/device/ethdev.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/frame.h"
#include "dataplane/wire/rtp.h"
#include "perf/environment.h"

namespace millrace::perf {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBurst = 32;
constexpr std::size_t kPrepared = 8192;
constexpr std::size_t kPayload = 172;
constexpr MacAddress kMac{{2, 0, 0, 0, 0, 9}};
constexpr std::chrono::milliseconds kPeriod{100};
// The first packets start ARP and latching: one burst per interval until packets come back.
constexpr std::chrono::milliseconds kWarmUpInterval{1};

struct Flow {
  Endpoint party;
  Endpoint relay;
  std::uint16_t sequence = 0;
};

std::vector<Flow> read_flows() {
  std::vector<Flow> flows;
  for (std::string party, relay; std::cin >> party >> relay;) {
    const auto from = Endpoint::parse(party);
    const auto to = Endpoint::parse(relay);
    if (!from || !to) {
      throw std::runtime_error("flow " + std::to_string(flows.size() + 1) +
                               ": give two endpoints, as in '100.64.0.1:5000 10.0.0.1:10000'");
    }
    flows.push_back({*from, *to});
  }
  if (flows.empty()) throw std::runtime_error("no flows on standard input");
  return flows;
}

// A packet that is sent repeatedly, and its flow.
struct Prepared {
  rte_mbuf* packet;
  Flow* flow;
};

void write_headers(rte_mbuf& packet, const Flow& flow) {
  auto* const at = reinterpret_cast<std::byte*>(
      rte_pktmbuf_append(&packet, static_cast<std::uint16_t>(kUdpHeaders + kPayload)));
  rte_ether_hdr ether{};
  std::ranges::fill(ether.dst_addr.addr_bytes, std::uint8_t{0xff});  // until ARP is resolved
  std::ranges::copy(kMac.bytes, ether.src_addr.addr_bytes);
  ether.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
  rte_ipv4_hdr ip{};
  ip.version_ihl = RTE_IPV4_VHL_DEF;
  ip.total_length = rte_cpu_to_be_16(kIpv4Size + kUdpSize + kPayload);
  ip.time_to_live = 60;
  ip.next_proto_id = IPPROTO_UDP;
  ip.src_addr = flow.party.address.as_v4().raw();
  ip.dst_addr = flow.relay.address.as_v4().raw();
  ip.hdr_checksum = ipv4_checksum(reinterpret_cast<const std::byte*>(&ip));
  const rte_udp_hdr udp{flow.party.port.wire().raw(), flow.relay.port.wire().raw(),
                        rte_cpu_to_be_16(kUdpSize + kPayload), 0x1234};
  std::memcpy(at, &ether, sizeof ether);
  std::memcpy(at + kEtherSize, &ip, sizeof ip);
  std::memcpy(at + kEtherSize + kIpv4Size, &udp, sizeof udp);
}

class Peer {
 public:
  Peer(const Ethdev& port, std::vector<Flow> flows)
      : port_(std::to_underlying(port.id())), flows_(std::move(flows)) {
    std::minstd_rand random{1};
    rte_mempool& pool = make_pool(kPrepared);
    for (std::size_t i = 0; i < kPrepared; ++i) {
      Flow& flow = flows_[i < flows_.size() ? i : random() % flows_.size()];
      rte_mbuf* const packet = rte_pktmbuf_alloc(&pool);
      if (packet == nullptr) throw std::runtime_error("no memory for packets");
      write_headers(*packet, flow);
      prepared_.push_back({packet, &flow});
    }
    std::ranges::shuffle(prepared_, random);
  }

  void run(std::chrono::seconds duration) {
    rte_eth_link link{};
    while (rte_eth_link_get_nowait(port_, &link) == 0 && link.link_status == 0) rte_delay_ms(1);
    const Clock::time_point end = Clock::now() + duration;
    Clock::time_point reported = Clock::now();
    Clock::time_point next_warm_up = reported;
    for (unsigned round = 0; reported < end; ++round) {
      receive();
      if (back_ > kPrepared || next_warm_up <= Clock::now()) {
        send();
        next_warm_up += kWarmUpInterval;
      }
      if (round % 64 != 0) continue;
      const Clock::time_point now = Clock::now();
      if (now - reported < kPeriod) continue;
      const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(now - reported);
      std::cout << taken.count() << ' ' << sent_ - reported_sent_ << ' ' << back_ - reported_back_
                << '\n'
                << std::flush;
      reported = now, reported_sent_ = sent_, reported_back_ = back_;
    }
  }

 private:
  void send() {
    if (next_ + kBurst > prepared_.size()) next_ = 0;
    std::array<rte_mbuf*, kBurst> burst{};
    for (std::size_t i = 0; i < kBurst; ++i) {
      const Prepared& each = prepared_[next_ + i];
      burst[i] = each.packet;
      rte_mbuf_refcnt_set(each.packet, 2);  // TX frees one reference
      const std::uint16_t sequence = each.flow->sequence++;
      const RtpHeader rtp{std::byte{0x80}, std::byte{0}, Be16(sequence), Be32(sequence * 160U),
                          Be32(0x1234)};
      std::memcpy(rte_pktmbuf_mtod_offset(each.packet, void*, kUdpHeaders), &rtp, sizeof rtp);
    }
    for (std::uint16_t done = 0; done < kBurst;) {
      const std::uint16_t now = rte_eth_tx_burst(port_, 0, burst.data() + done, kBurst - done);
      sent_ += now;
      done = static_cast<std::uint16_t>(done + now);
      if (done < kBurst) receive();  // avoids a deadlock of two full rings
      if (now == 0 && ++refused_ > kPatience) break;
      if (now > 0) refused_ = 0;
    }
    next_ += kBurst;
  }

  void receive() {
    std::array<rte_mbuf*, kBurst> burst{};
    const std::uint16_t count = rte_eth_rx_burst(port_, 0, burst.data(), kBurst);
    for (std::uint16_t i = 0; i < count; ++i) {
      const auto* const ether = rte_pktmbuf_mtod(burst[i], const rte_ether_hdr*);
      if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP)) [[unlikely]] {
        answer(*burst[i]);
        continue;
      }
      back_ += ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) ? 1 : 0;
      rte_pktmbuf_free(burst[i]);
    }
  }

  // The requester is the relay: sets its MAC as destination of all packets.
  void answer(rte_mbuf& packet) {
    auto& ether = *rte_pktmbuf_mtod(&packet, rte_ether_hdr*);
    auto& arp = *rte_pktmbuf_mtod_offset(&packet, rte_arp_hdr*, kEtherSize);
    for (const Prepared& each : prepared_) {
      rte_pktmbuf_mtod(each.packet, rte_ether_hdr*)->dst_addr = arp.arp_data.arp_sha;
    }
    ether.dst_addr = arp.arp_data.arp_sha;
    std::ranges::copy(kMac.bytes, ether.src_addr.addr_bytes);
    arp.arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
    const std::uint32_t asked = arp.arp_data.arp_tip;
    arp.arp_data.arp_tip = arp.arp_data.arp_sip;
    arp.arp_data.arp_sip = asked;
    arp.arp_data.arp_tha = arp.arp_data.arp_sha;
    std::ranges::copy(kMac.bytes, arp.arp_data.arp_sha.addr_bytes);
    rte_mbuf* reply = &packet;
    if (rte_eth_tx_burst(port_, 0, &reply, 1) == 0) rte_pktmbuf_free(reply);
  }

  static constexpr unsigned kPatience = 1'000'000;
  std::uint16_t port_;
  std::vector<Flow> flows_;
  std::vector<Prepared> prepared_;
  std::size_t next_ = 0;
  unsigned refused_ = 0;
  std::uint64_t sent_ = 0, back_ = 0;
  std::uint64_t reported_sent_ = 0, reported_back_ = 0;
};

int run(const std::string& socket, const std::string& seconds) {
  const auto duration = decimal<unsigned>(seconds);
  if (!duration) throw std::runtime_error("'" + seconds + "' is not a number of seconds");
  start_eal();
  const auto pool = Mempool::create(8192);
  if (!pool) throw std::runtime_error(pool.error().message);
  const auto port = Ethdev::open("net_vhost0,iface=" + socket, 1, *pool);
  if (!port) throw std::runtime_error(port.error().message);
  Peer peer(*port, read_flows());
  peer.run(std::chrono::seconds(*duration));
  return 0;
}

}  // namespace
}  // namespace millrace::perf

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: vhost_peer SOCKET SECONDS < flows\n";
    return 2;
  }
  try {
    return millrace::perf::run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::cerr << "vhost_peer: " << error.what() << '\n';
    return 1;
  }
}
