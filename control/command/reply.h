// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Replies to requests (request.h), before a codec prints them. A Reply owns its text.

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/command/report.h"
#include "dataplane/base/net.h"

namespace millrace {

// Failure reasons that codecs distinguish.
namespace reason {
inline constexpr std::string_view kOutOfPorts = "Ran out of ports";
inline constexpr std::string_view kUnknownCall = "Unknown call-id";
inline constexpr std::string_view kNoDialog = "Invalid dialogue association";
}  // namespace reason

namespace reply {
struct Pong {};
struct Done {  // success without data
  std::string warning = {};
};
struct Sdp {
  std::string body;
  std::string warning = {};  // unsupported options
};  // offer, answer
// Offer, answer without SDP: where to send media, as printed in SDP, in the order of
// Request::sections; port 0 = rejected.
struct Endpoints {
  std::vector<Endpoint> endpoints;
  std::string warning = {};  // for the log only: these protocols have no field for it
};
struct Query {
  CallReport call;
};
struct Deleted {
  std::optional<CallReport> call;
  std::string warning;
};
struct List {
  std::vector<std::string> call_ids;
};
struct Statistics {
  StatisticsReport report;
};
struct Summary {
  SummaryReport report;
};
struct Failure {
  std::string reason;
};  // exact texts: modules compare some
struct LoadLimit {
  std::string message;
  bool draining = false;  // no new calls until a restart
};
}  // namespace reply

using Reply = std::variant<reply::Pong, reply::Done, reply::Sdp, reply::Endpoints, reply::Query,
                           reply::Deleted, reply::List, reply::Statistics, reply::Summary,
                           reply::Failure, reply::LoadLimit>;

}  // namespace millrace
