// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// All slots: 65,536 for each media address, inline, for the life of the process.
//
// The local address and port of a packet are its slot's index, so there is no hash, no reference
// count and nothing to reclaim (docs/adr/0001-port-indexed-slots.md). Signalling publishes a path
// by locking both its slots, in the order of their indexes; a worker that latches tries both locks
// and leaves it to the next packet if it fails. What a worker learns of side B it writes as B's
// source and as the destination of A's slot, so that a packet never visits a second slot.
// Where only A multiplexes RTP and RTCP, its RTCP port, which nothing arrives at, keeps the rule
// for the RTCP that arrives at A's RTP port: its source is the one that is heard there, latches
// there included. The port of B's RTCP sends from A's RTP port to where A's RTP comes from.

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

// Where the slots live. `allocate` returns memory aligned to 64 bytes, or null; it is called once
// for each media address, for about 31 MB. The default is the process's own memory; the owner of
// hugepages passes theirs.
struct SlotMemory {
  void* (*allocate)(std::size_t bytes);
  void (*release)(void* memory);

  [[nodiscard]] static SlotMemory of_process();
};

// What a datagram proves of its sender.
struct Evidence {
  enum class Kind : std::uint8_t { rtp, rtcp, stun, dtls, datagram, keepalive };
  Kind kind = Kind::datagram;
  std::uint8_t payload_type = 0;  // rtp
  std::uint16_t sequence = 0;     // rtp
  std::uint32_t ssrc = 0;         // rtp; of the sender: rtcp
};

class FlowTable {
 public:
  static constexpr std::size_t kPorts = 65536;
  [[nodiscard]] static std::size_t bytes_per_address();  // of memory

  // `links` in the order of their indexes; they outlive the table. Throws std::bad_alloc.
  FlowTable(std::span<Link* const> links, std::uint64_t tsc_hz,
            SlotMemory memory = SlotMemory::of_process());
  ~FlowTable();
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  // ---- signalling: any control thread ------------------------------------------------------
  // The Dataplane functions of these names, with the time as a parameter.
  void publish(const Path& path, Tsc now);
  void withdraw(LocalPort port);
  [[nodiscard]] FlowReport read(LocalPort port, Tsc now) const;
  [[nodiscard]] std::optional<QualityReport> read_quality(LocalPort port, Tsc now) const;

  [[nodiscard]] std::uint64_t tsc_hz() const { return tsc_hz_; }

  // ---- packets: any worker -----------------------------------------------------------------
  // The slots of one media address, by UDP port.
  [[nodiscard]] Slot* slots(MediaAddressId address) const {
    return blocks_[static_cast<std::size_t>(address)].slots;
  }
  [[nodiscard]] Slot& slot(SlotIndex index) const {
    return blocks_[index.value >> 16].slots[index.value & 0xffff];
  }
  [[nodiscard]] Record& record(SlotIndex index) const {
    return blocks_[index.value >> 16].records[index.value & 0xffff];
  }
  // Of the pair of ports that the slot belongs to.
  [[nodiscard]] Quality& quality(SlotIndex index) const {
    return blocks_[index.value >> 16].qualities[(index.value & 0xffff) >> 1];
  }
  // A compound RTCP packet, well-formed and not encrypted, that was admitted at a slot.
  void note_rtcp(SlotIndex index, SlotIndex peer, std::span<const std::byte> packet,
                 std::uint32_t clock_rate, Tsc now) const;
  // The address and link of a slot: what is sent from its port leaves from there.
  struct MediaAddress {
    IpAddress address;
    std::uint16_t link = 0;
  };
  [[nodiscard]] const MediaAddress& media_address(SlotIndex index) const {
    return media_addresses_[index.value >> 16];
  }

  // A packet whose source is not the one that is heard: may it be, given what it proves? Then the
  // slot has been changed and is to be read again; else the reason why not.
  [[nodiscard]] std::optional<DropReason> latch(SlotIndex index, const Endpoint& source,
                                                const Evidence& evidence, Tsc now);
  // Whether `source` could latch at all, whatever it sends: asked before its content is looked at.
  [[nodiscard]] std::optional<DropReason> may_latch(SlotIndex index, const Endpoint& source) const;
  // The next hop stored in the slot is not usable: finds it again. The word to send with, or why
  // there is none (yet).
  [[nodiscard]] std::expected<NeighborWord, DropReason> refresh_next_hop(SlotIndex index, Tsc now);

 private:
  struct Block {
    Slot* slots;
    Record* records;
    Quality* qualities;
  };

  // The rule of `index` so far, brought in line with what signalling says of its side.
  [[nodiscard]] Rule adopt(SlotIndex index, Rule rule, const Side& side, const Side& other,
                           const Path& path);
  void follow_rtp(SlotIndex index, Rule& rule) const;
  // A slot whose source is to change, and its peer, which sends there: both locked.
  struct SideLock {
    SlotIndex index;
    RuleLock lock;
    std::optional<RuleLock> peer;
    Rule rule;
  };
  [[nodiscard]] std::optional<SideLock> try_lock(SlotIndex index) const;
  void set_source(SideLock& side, const Endpoint& source, const std::optional<NextHop>& hop) const;
  // Keeps the next hop if the address is the same.
  void set_destination(SlotIndex index, Rule& rule,
                       const std::optional<Endpoint>& destination) const;
  // Stores the next hop of `destination` if that still is where the slot sends. If another writer
  // is at it, the next packet looks again.
  void set_hop(SlotIndex index, SlotIndex peer, const Endpoint& destination, NextHop hop);
  void set_deltas(SlotIndex index, Rule& rule) const;
  void detach(SlotIndex index, SlotIndex from);
  [[nodiscard]] std::optional<Endpoint> remote_of(SlotIndex index) const;
  [[nodiscard]] bool is_active(SlotIndex index) const;
  // Why media may not go to or come from there: it is of the other family, or
  // PeerFilter::refuses().
  [[nodiscard]] std::optional<DropReason> unreachable(SlotIndex index,
                                                      const IpAddress& address) const;
  [[nodiscard]] std::optional<DropReason> judge(SlotIndex index, const Rule& rule,
                                                const Endpoint& source, const Evidence& evidence,
                                                Tsc now) const;
  [[nodiscard]] std::optional<DropReason> probation(SlotIndex index, const Endpoint& source,
                                                    const Evidence& evidence) const;
  [[nodiscard]] NeighborTable& neighbors_of(SlotIndex index) const {
    return links_[media_address(index).link]->neighbors;
  }

  std::vector<Block> blocks_;
  std::vector<MediaAddress> media_addresses_;
  std::vector<PeerFilter> filters_;  // by link
  std::vector<Link*> links_;
  std::uint64_t tsc_hz_;
  SlotMemory memory_;
};

}  // namespace millrace
