// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/rtpp/rtpp.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "dataplane/base/text.h"

namespace millrace::rtpp {
namespace {

using State = Extent::State;

// Reply of V, and the supported extensions. Not supported: re-packetization 20071116, copying
// 20071218 and 20250523, connect time 20140617, stopping a recording 20200226, the longest interval
// 20230424.
constexpr std::string_view kVersion = "20040107";
constexpr std::array<std::string_view, 17> kFeatures = {
    kVersion,
    "20050322",  // many streams
    "20060704",  // VF
    "20080403",  // Q
    "20081102",  // codecs in U and L
    "20081224",  // notification of timeouts
    "20090810",  // R: the interface that reaches an address
    "20140323",  // load
    "20141004",  // G
    "20150330",  // Un, Ln: a new port
    "20150420",  // names of counters in Q
    "20150617",  // %%CC_SELF%%
    "20191015",  // &&
    "20230205",  // rtpa_nlost
    "20230314",  // Q && D
    "20260306",  // L{label}
    "20260308",  // U && L
};

// Calls listed by I, and calls removed per pass of X.
constexpr std::uint32_t kListed = 100;
constexpr std::uint32_t kRemovedAtOnce = 1024;

Request about(millrace::Command command, std::uint32_t limit = 0) {
  Request request;
  request.command = command;
  request.list_limit = limit;
  return request;
}

std::vector<std::string> list(const ServeContext& context, const Request& request) {
  Reply reply = context.handle(request);
  auto* const found = std::get_if<reply::List>(&reply);
  return found != nullptr ? std::move(found->call_ids) : std::vector<std::string>();
}

// Without delay and without a report: D has no field for either.
bool remove(Request request, const ServeContext& context) {
  request.command = millrace::Command::remove;
  request.removal.delay = std::chrono::seconds(0);
  request.removal.fast = true;
  const Reply reply = context.handle(request);
  const auto* const deleted = std::get_if<reply::Deleted>(&reply);
  return deleted != nullptr && deleted->warning.empty();
}

// Removes all calls of this protocol, weak ones too. Calls of other protocols have no claim.
void remove_all(const ServeContext& context) {
  Request ours = about(millrace::Command::list, kRemovedAtOnce);
  ours.claim = Claim::strong;
  for (bool some = true; some;) {
    some = false;
    for (const std::string& id : list(context, ours)) {
      Request request = about(millrace::Command::remove);
      request.call_id = id;
      some |= remove(request, context);
    }
  }
}

StatisticsReport statistics(const ServeContext& context) {
  Reply reply = context.handle(about(millrace::Command::statistics));
  auto* const found = std::get_if<reply::Statistics>(&reply);
  return found != nullptr ? std::move(found->report) : StatisticsReport();
}

using Text = std::expected<std::string, Refusal>;

std::expected<CallReport, Refusal> find(const Command& command, const ServeContext& context) {
  Request request = command.request;
  request.command = millrace::Command::query;
  Reply reply = context.handle(request);
  auto* const found = std::get_if<reply::Query>(&reply);
  if (found == nullptr) return std::unexpected(Refusal::unknown_session);
  return std::move(found->call);
}

Text query(const Command& command, const ServeContext& context) {
  const auto call = find(command, context);
  if (!call) return std::unexpected(call.error());
  return print_query(command, *call);
}

// Playback, recording and copies, which this relay does not do. The error of an unknown session
// takes precedence.
Text decline(const Command& command, Refusal refusal, const ServeContext& context) {
  const auto call = find(command, context);
  return std::unexpected(call ? refusal : call.error());
}

// Nothing plays, so this always succeeds for a known session.
Text stop_playing(const Command& command, const ServeContext& context) {
  const auto call = find(command, context);
  if (!call) return std::unexpected(call.error());
  return "0";
}

Text carry_out(const Command& command, const ServeContext& context) {
  switch (command.verb) {
    case Verb::version:
      return std::string(kVersion);
    case Verb::feature:
      return std::string(has_feature(command.names[0]) ? "1" : "0");
    case Verb::update:
    case Verb::lookup:
      return print_port(context.handle(command.request), command);
    case Verb::remove:
      if (!remove(command.request, context)) return std::unexpected(Refusal::unknown_session);
      return "0";
    case Verb::query:
      return query(command, context);
    case Verb::info:
      return print_info(command, statistics(context),
                        command.brief ? std::vector<std::string>()
                                      : list(context, about(millrace::Command::list, kListed)));
    case Verb::statistics:
      return print_statistics(command, statistics(context));
    case Verb::remove_all:
      remove_all(context);
      return "0";
    case Verb::play:
      return decline(command, Refusal::player, context);
    case Verb::stop_play:
      return stop_playing(command, context);
    case Verb::record:
    case Verb::stop_record:  // rtpproxy's reply where nothing is recorded
      return std::unexpected(Refusal::unknown_session);
    case Verb::copy:
      return decline(command, Refusal::copy, context);
    case Verb::set:
      return "0";
  }
  return std::unexpected(Refusal::unknown_command);
}

bool succeeded(const Text& done) { return done && *done != "0" && !done->starts_with('E'); }

// Executes sub-commands up to the first failure and returns their part of the reply. As in
// rtpproxy, a success without text prints "0" only if a sub-command with text follows.
std::string carry_out_subcommands(const Command& command, const ServeContext& context) {
  std::string text, pending;
  for (const Command& next : command.then) {
    const Text done = carry_out(next, context);
    if (done && next.verb != Verb::lookup) {
      pending += " && 0";
      continue;
    }
    text += std::exchange(pending, {}) + " && " + (succeeded(done) ? *done : "-1");
    if (!succeeded(done)) break;
  }
  return text;
}

}  // namespace

Extent frame(std::string_view input, bool first) {
  const std::size_t newline = input.substr(0, kMaxCommand).find('\n');
  if (newline != std::string_view::npos) return {State::complete, newline + 1};
  if (input.size() > kMaxCommand) return {State::malformed};
  return first ? Extent{State::complete, input.size()} : Extent{State::incomplete};
}

bool has_feature(std::string_view date) {
  return std::ranges::find(kFeatures, date) != kFeatures.end();
}

ServeResult serve(std::string_view message, const ServeContext& context) {
  const bool by_datagram = context.peer.has_value();
  const std::string_view name = by_datagram ? cookie(message) : std::string_view();
  const std::string prefix = name.empty() ? std::string() : std::string(name) + ' ';
  std::string_view text = message;
  if (by_datagram) text.remove_prefix(text.find(name) + name.size());

  const auto command = parse(text, context.config, context.peer);
  Text done = command ? carry_out(*command, context) : std::unexpected(command.error());
  const bool may_be_long =
      command && (command->verb == Verb::info || command->verb == Verb::statistics);
  if (done && !may_be_long && prefix.size() + done->size() + 1 > kMaxReply) {
    done = std::unexpected(Refusal::reply_too_big);
  }
  if (succeeded(done) && command) *done += carry_out_subcommands(*command, context);
  return {.reply = prefix + (done ? *done : print(done.error())) + '\n',
          .close = !by_datagram && !message.ends_with('\n'),
          .refused = command ? "" : print(command.error())};
}

std::string refuse(std::string_view) { return print(Refusal::empty) + '\n'; }

std::string_view cookie(std::string_view datagram) {
  datagram.remove_prefix(std::min(datagram.find_first_not_of(kSpace), datagram.size()));
  datagram = datagram.substr(0, datagram.find_first_of(kSpace));
  return datagram.size() <= kMaxCookie ? datagram : std::string_view();
}

}  // namespace millrace::rtpp
