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

constexpr std::size_t kMaxEndedBranches = Call::kMaxDialogs;

bool live(const PartyMedia& media) { return media.state == State::live; }
bool removed(const PartyMedia& media) {
  return media.state == State::refused || media.state == State::untouched;
}

}  // namespace

// The last answer wins: whom the two were joined to before is heard no more.
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

// The ports by which a joined leg has its media, sorted.
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

// A leg whose peer has gone is joined to another one that it has a dialog with, answered first.
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

// Ends the dialogs whose time has come, all at once: who has been left is joined anew once, however
// many there are. Ports that nobody is left to use go with the dialogs.
void Call::end_due(Clock::time_point now) {
  const auto lives = [&](const Dialog& dialog) {
    return !dialog.delete_at || *dialog.delete_at > now;
  };
  std::vector<Dialog> ended;
  ended.reserve(dialogs_.size());
  const auto first = std::ranges::stable_partition(dialogs_, lives).begin();
  std::ranges::move(first, dialogs_.end(), std::back_inserter(ended));
  dialogs_.erase(first, dialogs_.end());
  for (const Dialog& dialog : ended) {
    if (dialog.via_branch.empty()) continue;
    if (ended_branches_.size() == kMaxEndedBranches) ended_branches_.erase(ended_branches_.begin());
    ended_branches_.push_back(dialog.via_branch);
  }
  if (dialogs_.empty()) return;
  for (const Dialog& dialog : ended) {
    if (!dialog.is_joined()) continue;
    dialog.a->peer = dialog.b->peer = nullptr;
    // Before another branch has the media by the same ports.
    for (Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        if (leg->sections[i].ports.use_count() > 1) withdraw(*leg, i);
      }
    }
    // Who gets the media now could not be heard until now.
    last_signal_ = std::max(last_signal_, *dialog.delete_at);
  }
  std::vector<Leg*> left;
  for (const Dialog& dialog : ended) left.insert(left.end(), {dialog.a.get(), dialog.b.get()});
  std::ranges::sort(left);
  left.erase(std::ranges::unique(left).begin(), left.end());
  for (Leg* leg : left) {
    const bool stays =
        std::ranges::any_of(dialogs_, [&](const Dialog& dialog) { return dialog.joins(*leg); });
    if (stays && user_of(*leg) == nullptr) rejoin(*leg);
  }
}

// A via-branch tells one branch of a fork. One that the call never had is that of another request
// (BYE) and means the whole call, as with rtpengine. One that it had, and that has ended already,
// is a late CANCEL: that must not end the branch that was answered.
bool Call::remove(const Request& request, Clock::time_point now) {
  const auto from = find(request.from_tag), to = find(request.to_tag);
  const bool one_side = request.removal.match_to_tag && !request.to_tag.empty();
  if ((!request.from_tag.empty() && !from) || (one_side && !to)) return false;
  const bool one_branch =
      !request.via_branch.empty() && std::ranges::any_of(dialogs_, [&](const Dialog& d) {
        return d.via_branch == request.via_branch;
      });
  if (!one_branch &&
      std::ranges::any_of(ended_branches_, [&](const Text& b) { return b == request.via_branch; }))
    return false;
  const auto named = [&](const Dialog& dialog) {
    if (one_branch) return dialog.via_branch == request.via_branch;
    return !one_side || (dialog.joins(*to) && (!from || dialog.joins(*from)));
  };
  const Clock::time_point due = now + request.removal.delay.value_or(timeouts_.delete_delay);
  bool found = false;
  for (Dialog& dialog : dialogs_) {
    if (!named(dialog)) continue;
    if (request.claim != Claim::none || request.removal.media) {
      found |= let_go(dialog, request, from.get(), now);
    } else {
      found = true;
      dialog.delete_at = std::min(dialog.delete_at.value_or(due), due);
    }
  }
  if (found) end_due(now);
  return found;
}

bool Call::is_shared(const Dialog& dialog, const Leg& leg, std::size_t index) const {
  return std::ranges::any_of(dialogs_, [&](const Dialog& other) {
    return &other != &dialog && other.joins(leg) && other.other(leg).ports(index) != nullptr;
  });
}

// Unless another dialog of a shared leg still uses the ports.
void Call::give_back(const Dialog& dialog, Leg& leg, std::size_t index) {
  if (leg.ports(index) == nullptr || is_shared(dialog, leg, index)) return;
  if (leg.peer != nullptr) withdraw(leg, index);
  leg.sections[index].ports.reset();
  leg.sections[index].past.reset();
}

// Ports of a media that either side does not want go back.
void Call::drop_refused(Dialog& dialog) {
  Leg &a = *dialog.a, &b = *dialog.b;
  for (std::size_t i = 0; i < std::max(a.sections.size(), b.sections.size()); ++i) {
    if (!removed(a.said(i)) && !removed(b.said(i))) continue;
    give_back(dialog, a, i);
    give_back(dialog, b, i);
  }
}

void Call::publish(Dialog& dialog) {
  for (std::size_t i = 0; i < std::max(dialog.a->sections.size(), dialog.b->sections.size()); ++i) {
    publish(dialog, i);
  }
}

void Call::publish(Dialog& dialog, std::size_t index) {
  Leg &a = *dialog.a, &b = *dialog.b;
  const PartyMedia &of_a = a.said(index), &of_b = b.said(index);
  // Media that an offer removes may go on until the answer (RFC 3264 section 8.2).
  if (dialog.pending && (removed(of_a) || removed(of_b))) return;
  const bool wanted = dialog.pending ? live(of_a) || live(of_b) : live(of_a) && live(of_b);
  if (!wanted || a.ports(index) == nullptr || b.ports(index) == nullptr) {
    withdraw(a, index);
    withdraw(b, index);
    return;
  }
  const bool rtp = (of_a.rtp || !live(of_a)) && (of_b.rtp || !live(of_b));
  const bool a_muxes = dialog.muxes(a, index), b_muxes = dialog.muxes(b, index);
  const bool encrypted = of_a.encrypted() || of_b.encrypted();
  Path path{.a = side(dialog, a, index, 0),
            .b = side(dialog, b, index, 0),
            .payload = rtp ? Payload::rtp : Payload::opaque,
            .encrypted = encrypted,
            .dscp = dscp_};
  // RFC 5761 section 5.1.1: until the first answer RTCP may come on either port.
  if (dialog.pending && !a_muxes && !b_muxes && (of_a.rtcp_mux || of_b.rtcp_mux)) {
    path.a.rtcp_mux = path.b.rtcp_mux = true;
  }
  dataplane_.publish(path);
  if (rtp && !(a_muxes && b_muxes)) {
    dataplane_.publish({.a = side(dialog, a, index, 1),
                        .b = side(dialog, b, index, 1),
                        .payload = Payload::rtcp,
                        .encrypted = encrypted,
                        .dscp = dscp_});
  } else {
    for (Leg* leg : {&a, &b}) withdraw(*leg, index, 1, PastFlow::Clock::now());
  }
  for (Leg* leg : {&a, &b}) {
    for (auto& part : leg->sections[index].said.components) part.moved = false;
  }
}

Side Call::side(const Dialog& dialog, const Leg& leg, std::size_t index,
                std::size_t component) const {
  const Leg& other = dialog.other(leg);
  const PortLease& ports = *leg.ports(index);
  const PartyMedia& said = leg.said(index);
  Side result;
  result.local = component == 0 ? ports.rtp() : ports.rtcp();
  result.rtcp_mux = dialog.muxes(leg, index);
  if (!live(said)) return result;  // not answered: nothing is heard from it
  const PartyMedia::Component& part = said.components[result.rtcp_mux ? 0 : component];
  result.remote = part.remote();
  result.hints = said.hints;
  // Each may number its types by its own SDP or by the other's (RFC 3264 section 5.1).
  if (component == 0) result.payload_types = said.payload_types | other.said(index).payload_types;
  result.clock_hz = said.clock_hz;
  result.latching = leg.asymmetric ? Latching::off : leg.realm->interface.latching;
  result.on_publish = part.moved ? OnPublish::reopen : OnPublish::keep;
  result.deliver = !said.held;
  result.handover = leg.media_handover;
  result.nat_punch = leg.nat_punch && said.sends;
  // Nothing is sent to where its SDP says before it is heard from there or elsewhere.
  if (leg.nat_wait && !leg.asymmetric) result.remote.reset();
  apply_restraint(leg, said, other.said(index), result);
  return result;
}

// Whether packets of `leg` are due: it sends, and its peer has not asked for silence.
bool Call::expects(const Leg& leg, std::size_t index) {
  const PartyMedia &from = leg.said(index), &to = leg.peer->said(index);
  return live(from) && live(to) && leg.ports(index) != nullptr && from.sends && to.receives &&
         !to.held;
}

bool Call::expects_media() const {
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.answered || !dialog.is_joined()) continue;
    for (std::size_t i = 0; i < dialog.a->sections.size(); ++i) {
      if (expects(*dialog.a, i) || expects(*dialog.b, i)) return true;
    }
  }
  return false;
}

// Whether both parties had ICE, and either it was told that they found a way around the relay, or
// never did media come by: connectivity checks alone.
bool Call::went_around(const Dialog& dialog, std::size_t index) const {
  const PartyMedia &a = dialog.a->said(index), &b = dialog.b->said(index);
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
      const bool expected = expects(*dialog.a, i) || expects(*dialog.b, i);
      if (expected && !went_around(dialog, i)) return false;
    }
  }
  return true;
}

Call::Clock::time_point Call::last_heard(bool expected_only, Clock::time_point now) const {
  Clock::time_point heard = last_signal_;
  const auto listen = [&](LocalPort port) {
    if (const auto idle = dataplane_.read(port).idle) {
      heard = std::max(heard, now - std::chrono::duration_cast<Clock::duration>(*idle));
    }
  };
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.is_joined()) continue;
    for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        if (leg->ports(i) == nullptr || (expected_only && !expects(*leg, i))) continue;
        listen(leg->ports(i)->rtp());
        if (!expected_only) listen(leg->ports(i)->rtcp());
      }
    }
  }
  return heard;
}

// When the party was last heard that has been silent for longest, of those that should send and
// have sent. RTCP counts: who is muted may send nothing else.
std::optional<Call::Clock::time_point> Call::last_heard_from_all(Clock::time_point now) const {
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
      const auto heard =
          std::max(last_signal_, now - std::chrono::duration_cast<Clock::duration>(*silent));
      result = std::min(result.value_or(heard), heard);
    }
  }
  return result;
}

// The earliest reason to end, with the time it is due; a limit of zero is none. `heard` tells when
// media was last heard, of all streams or of those that are expected; `from_all`, from whom it is
// longest ago.
template <typename Heard, typename FromAll>
Call::Verdict Call::ladder(Heard&& heard, FromAll&& from_all) const {
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
  } else if (expects_media()) {
    after(End::media_timeout, heard(true), media_timeout_.value_or(timeouts_.media));
    const bool each = timeouts_.party > std::chrono::seconds::zero();
    if (const auto last = each ? from_all() : std::nullopt) {
      after(End::media_timeout, *last, timeouts_.party);
    }
  } else {
    after(End::silent_timeout, heard(false), timeouts_.silent);
  }
  return earliest;
}

Call::Clock::time_point Call::may_end() const {
  return ladder([&](bool) { return last_signal_; }, [&] { return std::optional(last_signal_); })
      .next;
}

Call::Verdict Call::check(Clock::time_point now) {
  const auto is_due = [&](const Dialog& dialog) {
    return dialog.delete_at && *dialog.delete_at <= now;
  };
  if (std::ranges::all_of(dialogs_, is_due)) return {End::deleted, now};
  if (std::ranges::any_of(dialogs_, is_due)) end_due(now);
  Verdict verdict = ladder([&](bool expected_only) { return last_heard(expected_only, now); },
                           [&] { return last_heard_from_all(now); });
  if (verdict.next <= now) {
    if (verdict.end == End::media_timeout && ice_is_direct()) verdict.end = End::ice_direct;
    return verdict;
  }
  verdict.end.reset();
  if (timeouts_.party > std::chrono::seconds::zero()) {
    // Who has not been heard yet may be, and fall silent, before the next look.
    verdict.next = std::min(verdict.next, now + timeouts_.party);
  }
  return verdict;
}

}  // namespace millrace
