// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How a SIP proxy speaks to its media relay: requests to bytes, replies to what they tell.
//
// A call is signalled as a proxy's module does it: an offer from the caller, an answer from the
// callee, and its removal. Each protocol is a row of functions. On datagrams a request is preceded
// by a cookie, which the reply repeats; that is left to exchanges.h.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/protocol/extent.h"
#include "dataplane/base/net.h"
#include "perf/load/phones.h"
#include "perf/load/shape.h"

namespace millrace::loadgen {

enum class Verb : std::uint8_t { ping, offer, answer, remove, statistics };
inline constexpr std::array<std::string_view, 5> kVerbNames = {"ping", "offer", "answer", "delete",
                                                               "statistics"};
[[nodiscard]] constexpr std::string_view name(Verb verb) {
  return kVerbNames.at(static_cast<std::size_t>(verb));
}

// What is the same for all calls.
struct Signals {
  Shape shape;
  bool rtcp_mux = false;
  std::vector<std::string> directions;  // interfaces of the relay, the caller's and the callee's
};

struct Ask {
  Verb verb = Verb::ping;
  std::string_view call_id = {}, from_tag = {}, to_tag = {};
  Endpoint said = {};     // where the sender of the SDP listens, as it says
  IpAddress source = {};  // where its SIP message comes from
  const Signals* signals = nullptr;
  bool delimited = false;  // more follows on the same stream
};

struct Dialect {
  std::string_view name;
  std::string (*encode)(const Ask& ask);
  // Where the reply at the front of a stream ends.
  Extent (*frame)(std::string_view input);
  // What an offer or an answer tells its reader; nothing for others. An error is the relay's.
  Result<std::optional<Told>> (*decode)(Verb verb, std::string_view reply);
};

[[nodiscard]] const Dialect& ng_dialect();
[[nodiscard]] const Dialect& rtpproxy_dialect();
[[nodiscard]] const Dialect& mediaproxy_dialect();

// What Millrace's workers have done so far, by the reply to ng's `statistics`; nothing: the relay
// does not tell.
struct WorkerCycles {
  std::uint64_t busy = 0, relayed = 0;
  std::uint64_t per_second = 0;
};
[[nodiscard]] std::optional<WorkerCycles> worker_cycles(std::string_view reply);

}  // namespace millrace::loadgen
