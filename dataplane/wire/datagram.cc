// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/datagram.h"

#include <algorithm>
#include <cstdint>

#include "dataplane/wire/bytes.h"
#include "dataplane/wire/ether.h"
#include "dataplane/wire/frame.h"

namespace millrace {

std::size_t write_datagram(std::byte* frame, const Macs& macs, const Endpoint& from,
                           const Endpoint& to, std::size_t payload) {
  const Family family = from.address.family();
  const bool v4 = family == Family::ipv4;
  const auto length = static_cast<std::uint16_t>(kUdpSize + payload);
  store(frame, rte_ether_hdr{to_ether(macs.to), to_ether(macs.from),
                             v4 ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6)});
  std::byte* const ip = frame + kEtherSize;
  std::byte* const udp = ip + ip_size(family);
  rte_udp_hdr datagram{from.port.wire().raw(), to.port.wire().raw(), Be16(length).raw(), 0};
  store(udp, datagram);
  if (v4) {
    rte_ipv4_hdr header{};
    header.version_ihl = 0x45;
    header.total_length = Be16(static_cast<std::uint16_t>(kIpv4Size + length)).raw();
    header.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
    header.time_to_live = kOwnTtl;
    header.next_proto_id = IPPROTO_UDP;
    header.src_addr = from.address.as_v4().raw();
    header.dst_addr = to.address.as_v4().raw();
    header.hdr_checksum = rte_ipv4_cksum(&header);
    store(ip, header);
    datagram.dgram_cksum = rte_ipv4_udptcp_cksum(&header, udp);
  } else {
    rte_ipv6_hdr header{};
    header.vtc_flow = RTE_BE32(0x6000'0000);
    header.payload_len = Be16(length).raw();
    header.proto = IPPROTO_UDP;
    header.hop_limits = kOwnTtl;
    std::ranges::copy(from.address.bytes(), header.src_addr);
    std::ranges::copy(to.address.bytes(), header.dst_addr);
    store(ip, header);
    datagram.dgram_cksum = rte_ipv6_udptcp_cksum(&header, udp);
  }
  store(udp, datagram);
  return kEtherSize + ip_size(family) + length;
}

}  // namespace millrace
