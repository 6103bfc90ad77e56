// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/signalling.h"

#include <unistd.h>

#include <chrono>

namespace millrace::loadgen {

Signalling::Signalling(Exchanges exchanges, const Dialect& dialect, Signals signals,
                       Parties parties, std::size_t calls)
    : exchanges_(std::move(exchanges)),
      dialect_(&dialect),
      signals_(std::move(signals)),
      parties_(std::move(parties)),
      calls_(calls + 1),
      prefix_("load-" + std::to_string(::getpid()) + '-' +
              std::to_string(std::chrono::system_clock::now().time_since_epoch().count()) + '-') {}

void Signalling::offer(std::uint32_t call) {
  const std::string serial = std::to_string(serial_++);
  calls_[call] = {.id = prefix_ + serial + "@load.millrace",
                  .from_tag = "f" + serial,
                  .to_tag = "t" + serial,
                  .relay_endpoints = {}};
  ++tally_.offered;
  offers_.push_back({Verb::offer, call});
}

void Signalling::remove(std::uint32_t call) { urgent_.push_back({Verb::remove, call}); }

std::span<const Signalling::Event> Signalling::poll(std::chrono::milliseconds wait) {
  const auto send_waiting = [this] {
    while (exchanges_.has_room() && !(urgent_.empty() && offers_.empty())) {
      std::deque<Work>& queue = urgent_.empty() ? offers_ : urgent_;
      const Work work = queue.front();
      queue.pop_front();
      send(work);
    }
  };
  send_waiting();
  if (exchanges_.outstanding() > 0) {
    for (const Exchanges::Done& done : exchanges_.poll(wait)) take(done);
    send_waiting();
  }
  given_ = std::move(events_);
  events_.clear();
  return given_;
}

void Signalling::send(const Work& work) {
  Call& call = calls_[work.call];
  call.asked = work.verb;
  const auto sender = work.verb == Verb::answer ? Party::callee : Party::caller;
  const auto& endpoints = parties_.sdp_endpoints[index(sender)];
  exchanges_.send(work.call,
                  dialect_->encode({.verb = work.verb,
                                    .call_id = call.id,
                                    .from_tag = call.from_tag,
                                    .to_tag = call.to_tag,
                                    .sdp_endpoint = endpoints[work.call % endpoints.size()],
                                    .source = parties_.source[index(sender)],
                                    .signals = &signals_,
                                    .delimited = exchanges_.delimited()}));
}

void Signalling::take(const Exchanges::Done& done) {
  Call& call = calls_[done.ticket];
  const Verb verb = call.asked;
  if (verb == Verb::statistics) {
    statistics_ = done.reply.value_or("");
    return;
  }
  if (!done.reply) return fail_call(done.ticket, verb, done.reply.error().message);
  const auto decoded = dialect_->decode(verb, *done.reply);
  if (!decoded) return fail_call(done.ticket, verb, decoded.error().message);
  tally_.of(verb).took.add(done.took);
  switch (verb) {
    case Verb::offer:
      call.relay_endpoints[index(Party::callee)] = **decoded;
      urgent_.push_back({Verb::answer, done.ticket});
      break;
    case Verb::answer:
      call.relay_endpoints[index(Party::caller)] = **decoded;
      ++tally_.up;
      events_.push_back({Kind::up, done.ticket, call.relay_endpoints});
      break;
    default:
      ++tally_.removed;
      events_.push_back({Kind::removed, done.ticket, {}});
  }
}

void Signalling::fail_call(std::uint32_t number, Verb verb, const std::string& reason) {
  ++tally_.of(verb).failed;
  ++tally_.reasons[reason];
  last_refusal_ = std::string(name(verb)) + ": " + reason;
  if (verb == Verb::answer) {
    ++tally_.refused;
    remove(number);  // reports the event when done
  } else if (verb == Verb::remove) {
    events_.push_back({Kind::removed, number, {}});
  } else {
    ++tally_.refused;
    events_.push_back({Kind::refused, number, {}});
  }
}

Result<void> Signalling::ping() {
  const auto reply = exchanges_.ask(dialect_->encode(
      {.verb = Verb::ping, .signals = &signals_, .delimited = exchanges_.delimited()}));
  if (!reply) return std::unexpected(reply.error());
  const auto decoded = dialect_->decode(Verb::ping, *reply);
  if (!decoded) return fail("the relay's reply to a ping: " + decoded.error().message);
  return {};
}

}  // namespace millrace::loadgen
