// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// All slots: 65,536 per media address, inline, for the life of the process.
//
// The local address and port of a packet index its slot, so there is no hash, no reference count
// and no reclamation (docs/adr/0001-port-indexed-slots.md). Signalling publishes a path by locking
// both slots in index order. A worker that latches tries both locks and leaves the latch to the
// next packet if one is held. It stores the latched address of side B as B's source and as the
// destination of A's slot, so that a packet visits only one slot.
// If only A multiplexes RTP and RTCP, the slot of A's RTCP port, which receives no packets, holds
// the rule for RTCP received on A's RTP port. Its source is that of the RTP port, and latches with
// it. RTCP from B is sent from A's RTP port to the source of A's RTP.
// A side whose remote is another port of the relay (hairpin) does not latch: its source is exactly
// that port, and only packets that the relay sends from there match it (kInside). A packet from a
// wire that claims such a source is refused as a local address is everywhere.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/flow/flow.h"
#include "dataplane/flow/peer_filter.h"
#include "dataplane/flow/quality.h"
#include "dataplane/host/link.h"
#include "dataplane/path.h"
#include "dataplane/report.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"

namespace millrace {

// Allocator of the slots. `allocate` returns memory aligned to 64 bytes, or null. It is called once
// per media address, for 23 MB (IPv4) or 31 MB (IPv6). The default is process memory; the owner of
// hugepages passes its own functions.
struct SlotMemory {
  void* (*allocate)(std::size_t bytes);
  void (*release)(void* memory);

  [[nodiscard]] static SlotMemory of_process();
};

// Properties of a datagram that decide whether its source may latch.
struct Evidence {
  enum class Kind : std::uint8_t { rtp, rtcp, stun, dtls, zrtp, datagram, keepalive };
  Kind kind = Kind::datagram;
  std::uint8_t payload_type = 0;  // rtp
  std::uint16_t sequence = 0;     // rtp
  std::uint32_t ssrc = 0;         // rtp, or the sender's in rtcp
};

// Notes in `ports` the source that the side has left for its proposed place, if it is a hint's.
void keep_former(PartyAddresses addresses, const std::optional<Endpoint>& former,
                 RecordPorts& ports);

class FlowTable {
 public:
  static constexpr std::size_t kPorts = 65536;
  [[nodiscard]] static std::size_t bytes_per_address(Family family);

  // `links` in index order. Precondition: they outlive the table. Throws std::bad_alloc.
  FlowTable(std::span<Link* const> links, std::uint64_t tsc_hz,
            SlotMemory memory = SlotMemory::of_process());
  ~FlowTable();
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  // ---- signalling: any control thread ------------------------------------------------------
  // As in Dataplane, with the time as a parameter.
  void publish(const Path& path, Tsc now);
  void withdraw(LocalPort port);
  [[nodiscard]] FlowReport read(LocalPort port, Tsc now) const;
  [[nodiscard]] std::optional<QualityReport> read_quality(LocalPort port, Tsc now) const;

  [[nodiscard]] std::uint64_t tsc_hz() const { return tsc_hz_; }

  // ---- packets: any worker -----------------------------------------------------------------
  // The slots of one media address, indexed by UDP port.
  [[nodiscard]] Slot* slots(MediaAddressId address) const {
    return blocks_[static_cast<std::size_t>(address)].slots;
  }
  [[nodiscard]] Slot& slot(SlotIndex index) const {
    return blocks_[index.value >> 16].slots[index.value & 0xffff];
  }
  [[nodiscard]] Record& record(SlotIndex index) const {
    return blocks_[index.value >> 16].records[index.value & 0xffff];
  }
  [[nodiscard]] PartyAddresses addresses(SlotIndex index) const {
    const Block& block = blocks_[index.value >> 16];
    const std::size_t words = PartyAddresses::kCount * PartyAddresses::words_of(block.family);
    return {block.addresses + (index.value & 0xffff) * words, block.family};
  }
  // Quality of the slot's pair of ports.
  [[nodiscard]] Quality& quality(SlotIndex index) const {
    return blocks_[index.value >> 16].qualities[(index.value & 0xffff) >> 1];
  }
  // Updates the quality by an admitted, well-formed, unencrypted compound RTCP packet.
  void note_rtcp(SlotIndex index, SlotIndex peer, std::span<const std::byte> packet,
                 std::uint32_t clock_rate, Tsc now) const;
  // The media address that `address` is; nothing if it is not local.
  [[nodiscard]] std::optional<MediaAddressId> find_own(const IpAddress& address) const;
  // A local address and the index of its link.
  struct MediaAddress {
    IpAddress address;
    std::uint16_t link = 0;
  };
  [[nodiscard]] const MediaAddress& media_address(SlotIndex index) const {
    return media_addresses_[index.value >> 16];
  }

  // Tries to latch `source`, which is not the slot's source. Nothing: latched, so read the slot
  // again. Otherwise the drop reason.
  [[nodiscard]] std::optional<DropReason> latch(SlotIndex index, const Endpoint& source,
                                                const Evidence& evidence, Tsc now);
  // Checks `source` before the packet is parsed. Drop reason, or nothing if it may latch.
  [[nodiscard]] std::optional<DropReason> may_latch(SlotIndex index, const Endpoint& source) const;
  // The rule to forward RTCP by that `source` sent to the RTP port `index` without rtcp-mux: that
  // of the RTCP port, with the checksum deltas of this packet. Nothing if a writer holds it too
  // long.
  [[nodiscard]] std::optional<Rule> rtcp_rule(SlotIndex index, const Endpoint& source) const;
  // A keepalive of `source` (RFC 6263), which is no media and is dropped. If the side has neither
  // latched nor sent a keepalive, and the source is a hint, the side is sent to there until it
  // latches: a NAT has opened this path.
  void open_provisionally(SlotIndex index, const Endpoint& source, Tsc now);
  // Resolves the slot's next hop again after its stored one became unusable. Returns the neighbor
  // word to send with, or the drop reason.
  [[nodiscard]] std::expected<NeighborWord, DropReason> refresh_next_hop(SlotIndex index, Tsc now);

 private:
  struct Block {
    Slot* slots;
    Record* records;
    Quality* qualities;
    PartyAddresses::Word* addresses;
    Family family;
  };

  // Updates the rule of `index` and its record by the signalled side.
  [[nodiscard]] Rule apply_side(SlotIndex index, Rule rule, const Side& side, const Side& other,
                                const Path& path, Tsc now);
  [[nodiscard]] RecordPorts apply_hints(SlotIndex index, const Side& side);
  // OnPublish::renew, for a latched side.
  void renew(SlotIndex index, const Rule& rule, Tsc now);
  void copy_rtp_source(SlotIndex index, Rule& rule) const;
  // A locked slot whose source is to change, and its locked peer, whose destination follows.
  struct SideLock {
    SlotIndex index;
    RuleLock lock;
    std::optional<RuleLock> peer;
    Rule rule;
  };
  [[nodiscard]] std::optional<SideLock> try_lock(SlotIndex index) const;
  // `state`: kSource and kLatched, or kProvisional.
  void set_source(SideLock& side, const Endpoint& source, std::uint32_t state,
                  const std::optional<NextHop>& hop) const;
  // set_source() of the slot and of the one that its RTCP is split off to. `refuses(rule)` is
  // called under the lock.
  template <typename Refuses>
  [[nodiscard]] std::optional<DropReason> move_source(SlotIndex index, const Endpoint& source,
                                                      std::uint32_t state, Tsc now,
                                                      Refuses&& refuses);
  // Keeps the next hop if the address does not change.
  void set_destination(SlotIndex index, Rule& rule,
                       const std::optional<Endpoint>& destination) const;
  // Stores the next hop of `destination` unless the line's peer or destination has changed. If the
  // line is locked, the next packet tries again.
  static void set_hop(RuleLine& line, SlotIndex peer, const Endpoint& destination, NextHop hop);
  void set_deltas(SlotIndex index, Rule& rule) const;
  // Clears the peer of `line` if that is still `peer`: its packets have no destination then.
  static void detach(RuleLine& line, SlotIndex peer);
  [[nodiscard]] std::optional<Endpoint> remote_of(SlotIndex index) const;
  [[nodiscard]] bool is_active(SlotIndex index) const;
  // Whether `remote` of a side at `index` is another port of the relay.
  [[nodiscard]] bool is_inside(SlotIndex index, const IpAddress& remote) const;
  // Drop reason for media to or from `address`: wrong family, or PeerFilter::refuses().
  [[nodiscard]] std::optional<DropReason> unreachable(SlotIndex index,
                                                      const IpAddress& address) const;
  [[nodiscard]] std::optional<DropReason> check_source(SlotIndex index, const Rule& rule,
                                                       const Endpoint& source,
                                                       const Evidence& evidence, Tsc now) const;
  [[nodiscard]] std::optional<DropReason> probation(SlotIndex index, const Rule& rule,
                                                    const Endpoint& source,
                                                    const Evidence& evidence) const;
  [[nodiscard]] bool may_relatch(SlotIndex index, const Rule& rule, const Endpoint& source,
                                 const Evidence& evidence, Tsc now) const;
  [[nodiscard]] bool follows_rtp(SlotIndex index, const Rule& rule, const Evidence& evidence) const;
  [[nodiscard]] NeighborTable& neighbors_of(SlotIndex index) const {
    return links_[media_address(index).link]->neighbors;
  }

  std::vector<Block> blocks_;
  std::vector<MediaAddress> media_addresses_;
  struct OwnAddress {
    std::array<std::uint64_t, 2> words;  // IpAddress::words()
    MediaAddressId id;
  };
  std::vector<OwnAddress> own_;      // sorted
  std::vector<PeerFilter> filters_;  // by link
  std::vector<Link*> links_;
  std::uint64_t tsc_hz_;
  SlotMemory memory_;
};

}  // namespace millrace
