// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What carries the phones' packets: kernel sockets (kernel_wire.h) or DPDK devices (device_wire.h).
//
// Each side of the calls has a few ports of its own, which all its phones share: an even one for
// RTP and the odd one above for RTCP. A round of sending claims packets, which are written in
// place, and then flushes them; the time of sending is written into each at the last moment. A
// round claims at most kBurst packets. Receiving tells where a packet came in, from where, and when
// the kernel or the device had it.

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
  const Endpoint* to;        // lives until the flush
  std::size_t size;          // of the datagram
  std::size_t stamp;         // where the time of sending goes, or kNoStamp: it is RTCP
  std::uint32_t stream = 0;  // handed back with Sent
};

struct Sent {
  std::uint32_t stream;
  bool rtcp;
  bool done;  // false: neither kernel nor device took it
  Stamp at;
};

struct Heard {
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

  // The datagram to fill, `packet.size` bytes that hold what an earlier packet left there.
  [[nodiscard]] virtual std::byte* claim(const Outgoing& packet) = 0;
  // What became of the packets claimed; valid until the next claim.
  [[nodiscard]] virtual std::span<const Sent> flush() = 0;
  // Some of what has come in; valid until the next call. None: nothing more for now.
  [[nodiscard]] virtual std::span<const Heard> receive() = 0;

  // What a side's port is, as others see it.
  [[nodiscard]] virtual Endpoint endpoint(WirePort port) const = 0;
  // Why packets could not be sent at all, if there was anything of that kind.
  [[nodiscard]] virtual std::string trouble() const = 0;
};

// The stamp as it is in a packet, and back.
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
