// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Transport of the phones' packets: kernel sockets (kernel_wire.h) or DPDK devices (device_wire.h).
//
// Each party has a few ports, shared by all its phones: an even one for RTP and the odd one above
// for RTCP. The caller claims up to kBurst packets, writes them in place, then flushes them.
// flush() writes the send time into each packet just before it is sent. receive() returns packets
// with receiving port, source and the receive time of kernel or device.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "dataplane/base/net.h"

namespace millrace::loadgen {

using Stamp = std::chrono::system_clock::time_point;

inline constexpr std::size_t kBurst = 32;

enum class Party : std::uint8_t { caller, callee };
[[nodiscard]] constexpr std::size_t index(Party party) { return static_cast<std::size_t>(party); }
[[nodiscard]] constexpr Party other(Party party) {
  return party == Party::caller ? Party::callee : Party::caller;
}

// One of a side's ports.
struct WirePort {
  Party party = Party::caller;
  std::uint8_t number = 0;
  bool rtcp = false;
};

inline constexpr std::size_t kNoStamp = SIZE_MAX;

struct Outgoing {
  WirePort from;
  const Endpoint* to;        // must live until the flush
  std::size_t size;          // of the datagram
  std::size_t stamp;         // offset of the send time, or kNoStamp for RTCP
  std::uint32_t stream = 0;  // returned in Sent
};

struct Sent {
  std::uint32_t stream;
  bool rtcp;
  bool done;  // false: kernel or device rejected it
  Stamp at;
};

struct Received {
  WirePort on;
  Endpoint from;
  std::span<const std::byte> datagram;
  Stamp at;
};

class Wire {
 public:
  Wire() = default;
  virtual ~Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // The datagram to fill: `packet.size` bytes with stale contents.
  [[nodiscard]] virtual std::byte* claim(const Outgoing& packet) = 0;
  // Sends the claimed packets and returns their results. Valid until the next claim.
  [[nodiscard]] virtual std::span<const Sent> flush() = 0;
  // Some received packets, or none if there are no more. Valid until the next call.
  [[nodiscard]] virtual std::span<const Received> receive() = 0;

  // The endpoint of a port as seen by the relay.
  [[nodiscard]] virtual Endpoint endpoint(WirePort port) const = 0;
  // The reason if packets could not be sent, else empty.
  [[nodiscard]] virtual std::string trouble() const = 0;
};

// Writes and reads the timestamp in a packet.
inline void write_stamp(std::byte* to, Stamp stamp) {
  const std::int64_t count = stamp.time_since_epoch().count();
  std::memcpy(to, &count, sizeof count);
}
[[nodiscard]] inline Stamp read_stamp(const std::byte* from) {
  std::int64_t count = 0;
  std::memcpy(&count, from, sizeof count);
  return Stamp(Stamp::duration(count));
}

}  // namespace millrace::loadgen
