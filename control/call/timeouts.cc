// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/timeouts.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

using Time = CallState::Time;

// Visits the answered dialogs whose legs are joined.
template <typename Visit>
void for_each_talk(const CallState& state, Visit&& visit) {
  for (const Dialog& dialog : state.dialogs) {
    if (dialog.answered && state.is_joined(dialog)) {
      visit(state.leg(dialog.a), state.leg(dialog.b));
    }
  }
}

// Whether media of an m= line is expected in both directions.
bool expects_both(const CallState& state, const Leg& a, const Leg& b, std::size_t index) {
  return state.expects(a, index) && state.expects(b, index);
}

// Whether any media is expected in both directions. Else a party holds the call, or it is one-way.
bool expects_media(const CallState& state) {
  bool result = false;
  for_each_talk(state, [&](const Leg& a, const Leg& b) {
    for (std::size_t i = 0; i < a.sections.size(); ++i) result |= expects_both(state, a, b, i);
  });
  return result;
}

// Whether both parties have ICE, and either an SDP reported a path that bypasses the relay, or the
// relay received connectivity checks but never media.
bool bypasses_relay(const Dataplane& dataplane, const Leg& a, const Leg& b, std::size_t index) {
  const PartyMedia &of_a = a.agreed(index), &of_b = b.agreed(index);
  if (of_a.ice_ufrag.empty() || of_b.ice_ufrag.empty()) return false;
  if (of_a.ice_direct || of_b.ice_direct) return true;
  return std::ranges::none_of(std::array{&a, &b}, [&](const Leg* leg) {
    const FlowReport flow = dataplane.read(leg->ports(index).rtp());
    return of_a.rtp ? flow.ssrc.has_value() : flow.packets > flow.stun;
  });
}

// Precondition: expects_media().
bool ice_is_direct(const CallState& state, const Dataplane& dataplane) {
  bool result = true;
  for_each_talk(state, [&](const Leg& a, const Leg& b) {
    for (std::size_t i = 0; i < a.sections.size(); ++i) {
      if (expects_both(state, a, b, i)) result &= bypasses_relay(dataplane, a, b, i);
    }
  });
  return result;
}

// Any admitted packet of a party counts: RTP, RTCP, STUN.
Time last_packet(const CallState& state, const Dataplane& dataplane, Time now) {
  Time last = state.last_signal;
  for (const Leg& leg : state.legs) {
    if (!leg.has_peer()) continue;
    for (const LegMedia& media : leg.sections) {
      if (!media.ports) continue;
      for (const LocalPort port : {media.ports.rtp(), media.ports.rtcp()}) {
        if (const auto idle = dataplane.read(port).idle) {
          last = std::max(last, now - std::chrono::duration_cast<Time::duration>(*idle));
        }
      }
    }
  }
  return last;
}

// Time of the last packet of the party that has been silent longest. Only parties that are expected
// to send and have sent count. RTCP counts too: a muted party may send nothing else.
std::optional<Time> quietest_last_packet(const CallState& state, const Dataplane& dataplane,
                                         Time now) {
  std::optional<Time> result;
  for_each_talk(state, [&](const Leg& a, const Leg& b) {
    for (const Leg* leg : {&a, &b}) {
      std::optional<std::chrono::nanoseconds> silent;
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        if (!state.expects(*leg, i)) continue;
        for (const LocalPort port : {leg->ports(i).rtp(), leg->ports(i).rtcp()}) {
          if (const auto idle = dataplane.read(port).idle) {
            silent = std::min(silent.value_or(*idle), *idle);
          }
        }
      }
      if (!silent) continue;
      const auto last =
          std::max(state.last_signal, now - std::chrono::duration_cast<Time::duration>(*silent));
      result = std::min(result.value_or(last), last);
    }
  });
  return result;
}

// The earliest reason to end and its time. `last_packet` returns the time of the last packet.
// `quietest` returns it for the party that has been silent longest.
template <typename LastPacket, typename Quietest>
Verdict earliest(const CallState& state, const Timeouts& timeouts, LastPacket&& last_packet,
                 Quietest&& quietest) {
  Verdict earliest;
  const auto at = [&](End end, Time due) {
    if (due < earliest.next) earliest = {end, due};
  };
  const auto after = [&](End end, Time since, std::chrono::seconds limit) {
    if (limit > std::chrono::seconds::zero()) at(end, since + limit);
  };
  for (const Dialog& dialog : state.dialogs) {
    if (dialog.delete_at) at(End::deleted, *dialog.delete_at);
  }
  after(End::final_timeout, state.created.steady, timeouts.final);
  if (!state.answered()) {
    after(End::offer_timeout, state.last_signal, timeouts.offer);
  } else if (std::ranges::all_of(state.dialogs, [](const Dialog& dialog) {
               return !dialog.answered || dialog.early;
             })) {
    // Ringing, with early media or without.
    after(End::offer_timeout, last_packet(), timeouts.offer);
  } else if (expects_media(state)) {
    after(End::media_timeout, last_packet(), state.media_timeout.value_or(timeouts.media));
    const bool each = timeouts.party > std::chrono::seconds::zero();
    if (const auto last = each ? quietest() : std::nullopt) {
      after(End::media_timeout, *last, timeouts.party);
    }
  } else {
    after(End::silent_timeout, last_packet(), timeouts.silent);
  }
  return earliest;
}

}  // namespace

Verdict next_end(const CallState& state, const Timeouts& timeouts, const Dataplane& dataplane,
                 Time now) {
  return earliest(
      state, timeouts, [&] { return last_packet(state, dataplane, now); },
      [&] { return quietest_last_packet(state, dataplane, now); });
}

Time earliest_end(const CallState& state, const Timeouts& timeouts) {
  return earliest(
             state, timeouts, [&] { return state.last_signal; },
             [&] { return std::optional(state.last_signal); })
      .next;
}

Verdict check_end(const CallState& state, const Timeouts& timeouts, const Dataplane& dataplane,
                  Time now) {
  Verdict verdict = next_end(state, timeouts, dataplane, now);
  if (verdict.next <= now) {
    if (verdict.end == End::media_timeout && ice_is_direct(state, dataplane)) {
      verdict.end = End::ice_direct;
    }
    return verdict;
  }
  verdict.end.reset();
  if (timeouts.party > std::chrono::seconds::zero()) {
    // A party may send its first packet and fall silent before the next check.
    verdict.next = std::min(verdict.next, now + timeouts.party);
  }
  return verdict;
}

}  // namespace millrace
