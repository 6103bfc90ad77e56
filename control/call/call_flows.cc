// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>
#include <iterator>
#include <ranges>
#include <utility>

#include "control/call/call.h"

namespace millrace {
namespace {

using State = PartyMedia::State;

constexpr std::size_t kMaxEnded = Call::kMaxDialogs;

bool live(const PartyMedia& media) { return media.relayed(); }
// rtpproxy's streams without codecs: RTP or not, with RTCP on the next port or not.
bool is_any(const PartyMedia& media) { return live(media) && !media.rtp && media.type.empty(); }
bool absent(const PartyMedia& media) { return media.state == State::absent; }

// Where the offer wants media that is in force, if elsewhere.
std::optional<ProposedPlace> place_of(const PartyMedia& offered, const PartyMedia& agreed,
                                      std::size_t component) {
  const PartyMedia::Component& part = offered.components[component];
  if (offered.rtp != agreed.rtp || (!part.moved && offered.hints == agreed.hints)) {
    return std::nullopt;
  }
  const auto remote = part.remote();
  const bool elsewhere = remote != agreed.components[component].remote();
  return ProposedPlace{elsewhere ? remote : std::nullopt, offered.hints};
}

}  // namespace

// The last answer wins: media of the previous peers stops.
void Call::join(Dialog& dialog) {
  Leg &a = *dialog.a, &b = *dialog.b;
  if (a.peer != &b) {
    detach(a);
    detach(b);
    a.peer = &b;
    b.peer = &a;
  }
  publish(dialog);
}

// The ports of joined legs, sorted.
std::vector<const PortLease*> Call::ports_in_use() const {
  std::vector<const PortLease*> result;
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.is_joined()) continue;
    for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      for (const LegMedia& media : leg->sections) {
        if (media.ports) result.push_back(media.ports.get());
      }
    }
  }
  std::ranges::sort(result);
  return result;
}

// Joins a leg that lost its peer to another leg of its dialogs, answered dialogs first.
void Call::rejoin(Leg& leg) {
  const auto used = ports_in_use();
  const auto is_free = [&](const Leg& other) {
    return other.peer == nullptr &&
           std::ranges::none_of(other.sections, [&](const LegMedia& media) {
             return media.ports && std::ranges::binary_search(used, media.ports.get());
           });
  };
  Dialog* best = nullptr;
  for (Dialog& dialog : dialogs_) {
    if (!dialog.joins(leg) || !is_free(dialog.other(leg))) continue;
    if (best == nullptr || dialog.answered || !best->answered) best = &dialog;
  }
  if (best != nullptr) return join(*best);
  withdraw(leg);
}

// Ends all dialogs that are due in one pass, so that each remaining leg is joined again only once.
// Ports that no remaining dialog uses are returned.
void Call::end_due(Clock::time_point now) {
  const auto lives = [&](const Dialog& dialog) {
    return !dialog.delete_at || *dialog.delete_at > now;
  };
  if (std::ranges::none_of(dialogs_, lives)) return dialogs_.clear();
  std::vector<Dialog> ended;
  ended.reserve(dialogs_.size());
  const auto first = std::ranges::stable_partition(dialogs_, lives).begin();
  std::ranges::move(first, dialogs_.end(), std::back_inserter(ended));
  dialogs_.erase(first, dialogs_.end());
  for (const Dialog& dialog : ended) {
    const bool a_stays =
        std::ranges::any_of(dialogs_, [&](const Dialog& other) { return other.joins(*dialog.a); });
    const Leg& leaving = a_stays ? *dialog.b : *dialog.a;
    if (ended_.size() == kMaxEnded) ended_.erase(ended_.begin());
    ended_.push_back({dialog.via_branch, leaving.tags.empty() ? Text() : leaving.tags.back(), now});
  }
  for (const Dialog& dialog : ended) {
    if (!dialog.is_joined()) continue;
    dialog.a->peer = dialog.b->peer = nullptr;
    // Read the counters before another branch uses the same ports.
    for (Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        if (leg->sections[i].ports.use_count() > 1) withdraw(*leg, i);
      }
    }
    // The next branch could not send media until now.
    last_signal_ = std::max(last_signal_, *dialog.delete_at);
  }
  std::vector<Leg*> left;
  for (const Dialog& dialog : ended) {
    std::ignore = dialog.a->withdraw_proposal(*dialog.b);
    std::ignore = dialog.b->withdraw_proposal(*dialog.a);
  }
  for (const Dialog& dialog : ended) left.insert(left.end(), {dialog.a.get(), dialog.b.get()});
  std::ranges::sort(left);
  left.erase(std::ranges::unique(left).begin(), left.end());
  for (Leg* leg : left) {
    const bool stays =
        std::ranges::any_of(dialogs_, [&](const Dialog& dialog) { return dialog.joins(*leg); });
    if (!stays) continue;
    release_unused(*leg);
    if (user_of(*leg) == nullptr) rejoin(*leg);
  }
}

// The dialog between these parties, if the call goes on without it: another dialog is answered, and
// by a final response if this one was. A branch that only rang does not keep the call. Null: none.
const Dialog* Call::dialog_alone(const Leg* from, const Leg* to) const {
  if (from == nullptr || to == nullptr || from == to) return nullptr;
  const auto found = std::ranges::find_if(
      dialogs_, [&](const Dialog& dialog) { return dialog.joins(*from) && dialog.joins(*to); });
  if (found == dialogs_.end()) return nullptr;
  const bool others = std::ranges::any_of(dialogs_, [&](const Dialog& other) {
    return &other != &*found && other.answered && !other.delete_at &&
           (other.final || !found->final);
  });
  return others ? &*found : nullptr;
}

// A via-branch identifies one branch of a fork. An unknown one belongs to another request (BYE) and
// ends the whole call, as with rtpengine. One of an ended branch is a late CANCEL, which must not
// end the answered branch. Both tags of a dialog end that dialog, and the call if no other answered
// one remains.
bool Call::remove(const Request& request, Clock::time_point now) {
  const auto from = find(request.from_tag), to = find(request.to_tag);
  const bool one_side = request.removal.match_to_tag && !request.to_tag.empty();
  if ((!request.from_tag.empty() && !from) || (one_side && !to)) return false;
  const bool one_branch =
      !request.via_branch.empty() && std::ranges::any_of(dialogs_, [&](const Dialog& d) {
        return d.via_branch == request.via_branch;
      });
  const bool ended =
      !request.via_branch.empty() && std::ranges::any_of(ended_, [&](const Ended& e) {
        return e.via_branch == request.via_branch;
      });
  if (!one_branch && ended) return false;
  const Dialog* const only = one_branch || one_side ? nullptr : dialog_alone(from.get(), to.get());
  const auto named = [&](const Dialog& dialog) {
    if (one_branch) return dialog.via_branch == request.via_branch;
    if (only != nullptr) return &dialog == only;
    return !one_side || (dialog.joins(*to) && (!from || dialog.joins(*from)));
  };
  const Clock::time_point due = now + request.removal.delay.value_or(timeouts_.delete_delay);
  bool found = false;
  for (Dialog& dialog : dialogs_) {
    if (!named(dialog)) continue;
    if (request.claim != Claim::none || request.removal.media) {
      found |= release_claims(dialog, request, from.get(), now);
    } else {
      found = true;
      dialog.delete_at = std::min(dialog.delete_at.value_or(due), due);
    }
  }
  if (found) end_due(now);
  return found;
}

// Publishes the flows of `leg`, if its media is joined to another party than `except`.
void Call::republish(const Leg& leg, const Leg* except) {
  if (leg.peer == nullptr || leg.peer == except) return;
  for (Dialog& dialog : dialogs_) {
    if (dialog.joins(leg) && dialog.joins(*leg.peer)) publish(dialog);
  }
}

void Call::publish(Dialog& dialog) {
  for (std::size_t i = 0; i < std::max(dialog.a->sections.size(), dialog.b->sections.size()); ++i) {
    publish(dialog, i);
  }
}

void Call::publish(Dialog& dialog, std::size_t index) {
  Leg &a = *dialog.a, &b = *dialog.b;
  const PartyMedia &of_a = a.current(b, index), &of_b = b.current(a, index);
  const bool agreed = live(of_a) && live(of_b);
  // Nothing is known of a party that has not answered yet.
  const bool waits = (live(of_a) && absent(of_b)) || (absent(of_a) && live(of_b));
  if (!(agreed || waits) || a.ports(index) == nullptr || b.ports(index) == nullptr) {
    withdraw(a, index);
    withdraw(b, index);
    return;
  }
  const bool rtp = (of_a.rtp || !live(of_a)) && (of_b.rtp || !live(of_b));
  const bool a_muxes = dialog.muxes(a, index), b_muxes = dialog.muxes(b, index);
  const bool encrypted = of_a.encrypted() || of_b.encrypted();
  const auto side_of = [&](const Leg& leg, std::size_t component) {
    const Followed media = &leg == &a ? Followed{of_a, of_b} : Followed{of_b, of_a};
    return side(dialog, leg, media, index, component);
  };
  Path path{.a = side_of(a, 0),
            .b = side_of(b, 0),
            .payload = rtp ? Payload::rtp : Payload::opaque,
            .encrypted = encrypted,
            .dscp = dscp_};
  // RFC 5761 section 5.1.1: until the first answer RTCP may arrive on either port.
  if (!agreed && !a_muxes && !b_muxes && (of_a.rtcp_mux || of_b.rtcp_mux)) {
    path.a.rtcp_mux = path.b.rtcp_mux = true;
  }
  dataplane_.publish(path);
  const bool any = is_any(of_a) || is_any(of_b);
  if (any || (rtp && !(a_muxes && b_muxes))) {
    dataplane_.publish({.a = side_of(a, 1),
                        .b = side_of(b, 1),
                        .payload = any ? Payload::opaque : Payload::rtcp,
                        .encrypted = encrypted,
                        .dscp = dscp_});
  } else {
    for (Leg* leg : {&a, &b}) withdraw(*leg, index, 1, PastFlow::Clock::now());
  }
  for (Leg* leg : {&a, &b}) {
    PartyMedia& agreed_media = leg->sections[index].agreed;
    for (auto& part : agreed_media.components) part.moved = false;
    agreed_media.signalled = false;
  }
}

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): as leg.ports(index).component
Side Call::side(const Dialog& dialog, const Leg& leg, Followed media, std::size_t index,
                std::size_t component) const {
  const Leg& other = dialog.other(leg);
  const PortLease& ports = *leg.ports(index);
  const PartyMedia &described = media.own, &of_other = media.peer;
  Side result;
  result.local = component == 0 ? ports.rtp() : ports.rtcp();
  result.rtcp_mux = dialog.muxes(leg, index);
  if (!live(described)) return result;  // not answered: accept nothing from it
  const std::size_t part_index = result.rtcp_mux ? 0 : component;
  const PartyMedia::Component& part = described.components[part_index];
  result.remote = part.remote();
  result.hints = described.hints;
  // A party may use the payload types of its own SDP or of the other's (RFC 3264 section 5.1).
  if (component == 0) result.payload_types = described.payload_types | of_other.payload_types;
  result.only_negotiated = component == 0 && (leg.is_retyped(index) || other.is_retyped(index));
  result.clock_hz = described.clock_hz;
  const bool fixed = leg.options.asymmetric && leg.options.strict_source;
  result.latching = fixed ? Latching::off : leg.realm->interface.latching;
  result.asymmetric = leg.options.asymmetric;
  result.strict_source = leg.options.strict_source;
  if (described.signalled) result.on_publish = OnPublish::renew;
  if (part.moved) result.on_publish = OnPublish::reopen;
  result.deliver = !described.on_hold;
  result.handover = leg.options.media_handover;
  result.nat_punch = leg.options.nat_punch && described.sends;
  const PartyMedia* const offered = leg.proposed_to(other, index);
  if (offered != nullptr && offered != &described) {
    result.proposed = place_of(*offered, described, part_index);
  }
  // Send nothing to the address of its SDP before the party has latched.
  if (leg.options.nat_wait && !leg.options.asymmetric && !part.inside) {
    result.remote.reset();
    if (result.proposed) result.proposed->remote.reset();
  }
  block_side(leg, described, of_other, result);
  return result;
}

// Whether packets of `leg` are expected: it sends and its peer receives.
bool Call::expects(const Leg& leg, std::size_t index) {
  const PartyMedia &from = leg.agreed(index), &to = leg.peer->agreed(index);
  return live(from) && live(to) && leg.ports(index) != nullptr && from.sends && to.receives &&
         !to.on_hold;
}

// Whether any media is expected in both directions. Else a party holds the call, or it is one-way.
bool Call::expects_media() const {
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.answered || !dialog.is_joined()) continue;
    for (std::size_t i = 0; i < dialog.a->sections.size(); ++i) {
      if (expects(*dialog.a, i) && expects(*dialog.b, i)) return true;
    }
  }
  return false;
}

// Whether both parties have ICE, and either an SDP reported a path that bypasses the relay, or the
// relay received connectivity checks but never media.
bool Call::bypasses_relay(const Dialog& dialog, std::size_t index) const {
  const PartyMedia &a = dialog.a->agreed(index), &b = dialog.b->agreed(index);
  if (a.ice_ufrag.empty() || b.ice_ufrag.empty()) return false;
  if (a.ice_direct || b.ice_direct) return true;
  return std::ranges::none_of(std::array{dialog.a.get(), dialog.b.get()}, [&](const Leg* leg) {
    const FlowReport flow = dataplane_.read(leg->ports(index)->rtp());
    return a.rtp ? flow.ssrc.has_value() : flow.packets > flow.stun;
  });
}

// Precondition: expects_media().
bool Call::ice_is_direct() const {
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.answered || !dialog.is_joined()) continue;
    for (std::size_t i = 0; i < dialog.a->sections.size(); ++i) {
      const bool expected = expects(*dialog.a, i) && expects(*dialog.b, i);
      if (expected && !bypasses_relay(dialog, i)) return false;
    }
  }
  return true;
}

// Any admitted packet of a party counts: RTP, RTCP, STUN.
Call::Clock::time_point Call::last_packet(Clock::time_point now) const {
  Clock::time_point last = last_signal_;
  const auto read = [&](LocalPort port) {
    if (const auto idle = dataplane_.read(port).idle) {
      last = std::max(last, now - std::chrono::duration_cast<Clock::duration>(*idle));
    }
  };
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.is_joined()) continue;
    for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        if (leg->ports(i) == nullptr) continue;
        read(leg->ports(i)->rtp());
        read(leg->ports(i)->rtcp());
      }
    }
  }
  return last;
}

// Time of the last packet of the party that has been silent longest. Only parties that are expected
// to send and have sent count. RTCP counts too: a muted party may send nothing else.
std::optional<Call::Clock::time_point> Call::quietest_last_packet(Clock::time_point now) const {
  std::optional<Clock::time_point> result;
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.answered || !dialog.is_joined()) continue;
    for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      std::optional<std::chrono::nanoseconds> silent;
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        if (!expects(*leg, i)) continue;
        for (const LocalPort port : {leg->ports(i)->rtp(), leg->ports(i)->rtcp()}) {
          if (const auto idle = dataplane_.read(port).idle) {
            silent = std::min(silent.value_or(*idle), *idle);
          }
        }
      }
      if (!silent) continue;
      const auto last =
          std::max(last_signal_, now - std::chrono::duration_cast<Clock::duration>(*silent));
      result = std::min(result.value_or(last), last);
    }
  }
  return result;
}

// The earliest reason to end and its time. A limit of zero disables a timeout. `last_packet`
// returns the time of the last packet. `quietest` returns it for the party that has been silent
// longest.
template <typename LastPacket, typename Quietest>
Call::Verdict Call::check_timeouts(LastPacket&& last_packet, Quietest&& quietest) const {
  Verdict earliest;
  const auto at = [&](End end, Clock::time_point due) {
    if (due < earliest.next) earliest = {end, due};
  };
  const auto after = [&](End end, Clock::time_point since, std::chrono::seconds limit) {
    if (limit > std::chrono::seconds::zero()) at(end, since + limit);
  };
  for (const Dialog& dialog : dialogs_) {
    if (dialog.delete_at) at(End::deleted, *dialog.delete_at);
  }
  after(End::final_timeout, created_.steady, timeouts_.final);
  if (!answered()) {
    after(End::offer_timeout, last_signal_, timeouts_.offer);
  } else if (std::ranges::all_of(
                 dialogs_, [](const Dialog& dialog) { return !dialog.answered || dialog.early; })) {
    // Ringing, with early media or without.
    after(End::offer_timeout, last_packet(), timeouts_.offer);
  } else if (expects_media()) {
    after(End::media_timeout, last_packet(), media_timeout_.value_or(timeouts_.media));
    const bool each = timeouts_.party > std::chrono::seconds::zero();
    if (const auto last = each ? quietest() : std::nullopt) {
      after(End::media_timeout, *last, timeouts_.party);
    }
  } else {
    after(End::silent_timeout, last_packet(), timeouts_.silent);
  }
  return earliest;
}

Call::Verdict Call::check_timeouts(Clock::time_point now) const {
  return check_timeouts([&] { return last_packet(now); },
                        [&] { return quietest_last_packet(now); });
}

std::optional<Call::Clock::duration> Call::time_left(Clock::time_point now) const {
  const Clock::time_point end = check_timeouts(now).next;
  if (end == Clock::time_point::max()) return std::nullopt;
  return end - now;
}

Call::Clock::time_point Call::may_end() const {
  return check_timeouts([&] { return last_signal_; }, [&] { return std::optional(last_signal_); })
      .next;
}

Call::Verdict Call::check(Clock::time_point now) {
  const auto is_due = [&](const Dialog& dialog) {
    return dialog.delete_at && *dialog.delete_at <= now;
  };
  if (std::ranges::all_of(dialogs_, is_due)) return {End::deleted, now};
  if (std::ranges::any_of(dialogs_, is_due)) end_due(now);
  Verdict verdict = check_timeouts(now);
  if (verdict.next <= now) {
    if (verdict.end == End::media_timeout && ice_is_direct()) verdict.end = End::ice_direct;
    return verdict;
  }
  verdict.end.reset();
  if (timeouts_.party > std::chrono::seconds::zero()) {
    // A party may send its first packet and fall silent before the next check.
    verdict.next = std::min(verdict.next, now + timeouts_.party);
  }
  return verdict;
}

}  // namespace millrace
