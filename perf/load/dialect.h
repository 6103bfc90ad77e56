// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Control protocols of SIP proxies as a table of functions: encodes requests, decodes replies.
//
// A call is signalled as by a proxy's module: offer from the caller, answer from the callee,
// delete. Over UDP a request is preceded by a cookie, which the reply repeats. exchanges.h handles
// the cookies.

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

// Signalling parameters common to all calls.
struct Signals {
  Shape shape;
  bool rtcp_mux = false;
  std::vector<std::string> directions;  // relay interfaces towards caller and callee
};

struct Ask {
  Verb verb = Verb::ping;
  std::string_view call_id = {}, from_tag = {}, to_tag = {};
  Endpoint sdp_endpoint = {};  // media endpoint in the sender's SDP
  IpAddress source = {};       // source address of the SIP message
  const Signals* signals = nullptr;
  bool delimited = false;  // more requests follow on the same stream
};

struct Dialect {
  std::string_view name;
  std::string (*encode)(const Ask& ask);
  // Finds the end of the first reply in a stream.
  Extent (*frame)(std::string_view input);
  // The relay's endpoints in the reply to an offer or answer; nothing for other requests. An error
  // is the relay's error reply.
  Result<std::optional<RelayEndpoints>> (*decode)(Verb verb, std::string_view reply);
};

[[nodiscard]] const Dialect& ng_dialect();
[[nodiscard]] const Dialect& rtpproxy_dialect();
[[nodiscard]] const Dialect& mediaproxy_dialect();

// Cycles and packets of Millrace's workers so far, from the reply to ng's `statistics`. Nothing if
// the relay does not report them.
struct WorkerCycles {
  std::uint64_t busy = 0, relayed = 0;
  std::uint64_t per_second = 0;
};
[[nodiscard]] std::optional<WorkerCycles> worker_cycles(std::string_view reply);

}  // namespace millrace::loadgen
