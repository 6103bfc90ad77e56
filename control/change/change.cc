// SPDX-License-Identifier: BSD-3-Clause
#include "control/change/change.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "control/command/unsupported.h"
#include "control/sdp/sdp_edits.h"

namespace millrace {
namespace {

using State = PartyMedia::State;

constexpr std::size_t kMaxMetadata = 4096;

// The family of the party's media, before it has a realm.
Family family_of(const Request& request, const sdp::Session& session) {
  if (const auto address = request.latching.replacement()) return address->family();
  for (const sdp::Media& media : session.sections) {
    if (media.relayable && media.connection) return media.connection->family();
  }
  return Family::ipv4;
}

// A media section that the offer or answer does not describe.
PartyMedia unchanged(PartyMedia described) {
  for (auto& part : described.components) part.moved = false;
  described.signalled = false;
  return described;
}

}  // namespace

Change::~Change() {
  for (const Taken& each : taken_) context_.realms.at(each.realm).pool.give_back(each.ports);
}

// A party may have got ports and, in the same change, others in their place.
std::unique_ptr<CallState> Change::take() {
  const auto kept = std::ranges::remove_if(taken_, [&](const Taken& each) {
    return std::ranges::any_of(state_.legs, [&](const Leg& leg) {
      return std::ranges::find(leg.sections, each.ports, &LegMedia::ports) != leg.sections.end();
    });
  });
  taken_.erase(kept.begin(), kept.end());
  return std::move(next_);
}

// The dialog that an offer continues. An offer without a to-tag is a first INVITE or its
// retransmission, and its via-branch identifies the branch of a fork. An unknown tag belongs to a
// party that has not answered yet, if there is one.
Dialog* Change::find_for_offer(const Request& request, const Leg* from, const Leg* to) {
  for (Dialog& dialog : state_.dialogs | std::views::reverse) {
    if (from != nullptr && to != nullptr) {
      if (dialog.joins(*from) && dialog.joins(*to)) return &dialog;
    } else if (from != nullptr && dialog.joins(*from)) {
      if (request.to_tag.empty() ? dialog.via_branch == request.via_branch
                                 : state_.other(dialog, *from).tags.empty()) {
        return &dialog;
      }
    } else if (to != nullptr && dialog.joins(*to) && state_.other(dialog, *to).tags.empty()) {
      return &dialog;
    }
  }
  return nullptr;
}

// The realm of `family` of an interface. `local` is preferred if that has it.
Result<Change::Place> Change::choose_place(std::string_view interface,
                                           const std::optional<IpAddress>& local,
                                           Family family) const {
  const Realms& realms = context_.realms;
  Place result;
  const auto by_address = local ? realms.find_by_address(*local) : std::nullopt;
  if (by_address && realms.at(*by_address).family == family) {
    const std::string_view name = realms.at(*by_address).interface.name;
    if (interface.empty() || interface == name) {
      interface = name;
      result.preferred = local;
    }
  }
  const auto realm = realms.find(interface, family);
  if (!realm) return std::unexpected(realm.error());
  result.realm = *realm;
  return result;
}

Leg& Change::add_leg(const Place& place) {
  Leg& leg = state_.add_leg();
  leg.realm = place.realm;
  leg.preferred = place.preferred;
  return leg;
}

// The parties that are null are made.
Result<Dialog*> Change::make_dialog(const Request& request, const sdp::Session& session,
                                    const Leg* from, const Leg* to) {
  const Family family = family_of(request, session);
  const Placement& place = request.placement;
  Dialog dialog;
  dialog.via_branch = request.via_branch;
  if (to != nullptr) dialog.b = to->id;  // before a new leg moves it
  if (from != nullptr) {
    dialog.a = from->id;
  } else {
    const auto interface = context_.realms.choose(place.from_interface, place.from_peer);
    if (!interface) return std::unexpected(interface.error());
    const auto chosen = choose_place(*interface, place.from_local, family);
    if (!chosen) return std::unexpected(chosen.error());
    Leg& leg = add_leg(*chosen);
    leg.add(request.from_tag);
    dialog.a = leg.id;
  }
  if (to == nullptr) {
    const auto interface = context_.realms.choose(place.to_interface, place.to_peer);
    if (!interface) return std::unexpected(interface.error());
    const bool by_peer = place.to_interface.empty() && place.to_peer;
    auto chosen =
        choose_place(*interface, place.to_local,
                     place.address_family.value_or(by_peer ? place.to_peer->family() : family));
    if (!chosen && !interface->empty() && !place.address_family) {
      // An interface that has the other family only: relay between IPv4 and IPv6.
      const auto other = choose_place(*interface, place.to_local,
                                      family == Family::ipv4 ? Family::ipv6 : Family::ipv4);
      if (other) chosen = *other;
    }
    if (!chosen) return std::unexpected(chosen.error());
    Leg& leg = add_leg(*chosen);
    leg.via_branch = request.via_branch;
    leg.add(request.to_tag);
    dialog.b = leg.id;
  }
  return &state_.dialogs.emplace_back(std::move(dialog));
}

Result<Descriptions> Change::describe_all(const Request& request, const sdp::Session& session,
                                          const Leg& leg, const Leg* offerer) const {
  const std::size_t given = session.sections.size();
  const std::size_t offered_lines = offerer != nullptr ? offerer->lines_offered_to(leg) : 0;
  const std::size_t known =
      request.all_sections ? std::max(leg.lines(), offered_lines) : leg.sections.size();
  const std::size_t count = request.sections.empty() ? given : std::max(given, known);
  Descriptions described;
  described.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (i >= given || !session.sections[i].given) {
      described.push_back(unchanged(leg.agreed(i)));
      if (request.all_sections) described.back().state = State::refused;
      continue;
    }
    const PartyMedia* const offered = offerer != nullptr ? &offerer->offered_to(leg, i) : nullptr;
    auto media =
        describe(session, i, request, realm_of(leg), context_.realms, leg.agreed(i), offered);
    if (!media) return std::unexpected(media.error());
    described.push_back(std::move(*media));
  }
  return described;
}

void Change::record_signalling(const Request& request, Dialog& dialog) {
  dialog.delete_at.reset();
  if (request.dscp) state_.dscp = request.dscp;
  if (request.media_timeout) state_.media_timeout = request.media_timeout;
  if (!request.labels.metadata.empty()) {
    state_.metadata = request.labels.metadata.substr(0, kMaxMetadata);
  }
  state_.last_signal = now_;
  state_.signalled = Moment::at(now_);
  if (!state_.created.is_set()) state_.created = state_.signalled;
  state_.claimed |= request.claim != Claim::none;
  for (const LegId id : {dialog.a, dialog.b}) state_.leg(id).stamp(state_.signalled);
  const auto set = [&](Text CallState::NotifyNames::* name, std::string_view to) {
    if (!to.empty()) state_.notify.ensure().*name = to;
  };
  set(&CallState::NotifyNames::socket, request.notify.socket);
  set(&CallState::NotifyNames::tag, request.notify.tag);
  set(&CallState::NotifyNames::dialog_id, request.notify.dialog_id);
}

Result<Change::OfferContext> Change::locate_offer(const Request& request,
                                                  const sdp::Session& session) {
  const auto [from, to] = find_parties(request, session, request.from_tag, request.to_tag);
  const bool same = from != nullptr && to != nullptr && (from == to || from->shares_ports(*to));
  if (request.from_tag == request.to_tag || same) return fail(std::string(reason::kNoDialog));
  OfferContext result;
  result.dialog = find_for_offer(request, from, to);
  const bool callee_is_new = from == nullptr && to != nullptr && result.dialog != nullptr;
  const LegId reader = callee_is_new ? to->id : kNoLeg,
              sender = from != nullptr ? from->id : kNoLeg;
  if (result.dialog == nullptr) {
    if (!has_room()) {
      return fail("The call has " + std::to_string(CallState::kMaxDialogs) +
                  " dialogs, the limit; delete ended ones by via-branch or to-tag");
    }
    const auto made = make_dialog(request, session, from, to);
    if (!made) return std::unexpected(made.error());
    result.dialog = *made;
  }
  const Dialog& at = *result.dialog;
  result.sender = &state_.leg(sender != kNoLeg   ? sender
                              : reader != kNoLeg ? at.other(state_.leg(reader))
                                                 : at.a);
  result.reader = &state_.other(at, *result.sender);
  result.proposes = state_.has_answered(*result.sender) || state_.has_answered(*result.reader);
  return result;
}

// Sections that an offer of single ones leaves out: as in the waiting offer that it completes, else
// not part of the offer.
void Change::leave_out(Descriptions& described, const Request& request, const sdp::Session& session,
                       const Leg& sender, const Leg& reader) {
  if (request.sections.empty() || request.all_sections) return;
  const bool completes = sender.proposed && sender.proposed->to == reader.id;
  for (std::size_t i = 0; i < described.size(); ++i) {
    if (i < session.sections.size() && session.sections[i].given) continue;
    const bool waits = completes && i < sender.proposed->sections.size();
    described[i] = waits ? sender.proposed->sections[i] : PartyMedia{};
  }
}

void Change::put_offer(const OfferContext& at, Descriptions described, const Request& request) {
  Leg &sender = *at.sender, &reader = *at.reader;
  const std::size_t count = described.size();
  if (at.proposes) {
    std::ignore = reader.withdraw_proposal(sender);
    sender.propose(reader, std::move(described), request);
  } else {
    sender.proposed.reset();
    for (std::size_t i = count; i < sender.sections.size(); ++i) sender.sections[i].agreed = {};
    sender.agree(std::move(described), request);
    for (std::size_t i = 0; i < count; ++i) {
      // A section that the reader has removed and that is offered again has no answer yet.
      PartyMedia& answered = reader.sections[i].agreed;
      const bool revived =
          sender.agreed(i).state == State::live && answered.state == State::refused;
      if (revived) answered.state = State::absent;
    }
  }
  sender.add(request.from_tag);
  reader.add(request.to_tag);
  at.dialog->pending = true;
}

// Each stream takes two port pairs. Without a limit a few offers would exhaust the ports.
Result<void> Change::check_streams(const Descriptions& described, const Leg& sender) const {
  std::size_t live = 0;
  for (std::size_t i = 0; i < std::max(described.size(), sender.sections.size()); ++i) {
    const bool left_out = i >= described.size() || described[i].state == State::absent;
    const PartyMedia& media = left_out ? sender.agreed(i) : described[i];
    live += media.relayed() ? 1 : 0;
  }
  if (live <= context_.limits.streams) return {};
  return fail("The offer has " + std::to_string(live) + " media streams; [limits] streams allows " +
              std::to_string(context_.limits.streams) + " per call");
}

Result<Change::Settled> Change::settle_offer(const Request& request, const sdp::Session& session) {
  const auto at = locate_offer(request, session);
  if (!at) return std::unexpected(at.error());
  Leg &sender = *at->sender, &reader = *at->reader;
  Dialog& dialog = *at->dialog;
  auto described = describe_all(request, session, sender);
  if (!described) return std::unexpected(described.error());
  if (at->proposes) {
    leave_out(*described, request, session, sender, reader);
    if (described->size() < sender.lines()) {
      return fail("The offer has " + std::to_string(described->size()) +
                  " m= lines where there were " + std::to_string(sender.lines()) +
                  "; remove a media section by port 0 (RFC 3264 section 8.2)");
    }
  }
  if (auto ok = check_streams(*described, sender); !ok) return std::unexpected(ok.error());
  const auto pairs = sender.port_pairs() + reader.port_pairs();
  if (auto ok = take_ports(*described, sender, reader); !ok) return std::unexpected(ok.error());
  if (auto ok = move_ports(reader, request); !ok) return std::unexpected(ok.error());

  const std::size_t count = described->size();
  put_offer(*at, std::move(*described), request);
  record_signalling(request, dialog);
  release_unused(sender);
  release_unused(reader);
  if (!dialog.answered) {
    dialog.offered.add(request.latching.received_from,
                       sender.port_pairs() + reader.port_pairs() - pairs);
  }
  add_claims(dialog, sender, request);
  apply_early(sender);
  // A new branch does not take media from a joined one.
  const bool both_free = state_.user_of(sender) == nullptr && state_.user_of(reader) == nullptr;
  if (both_free || sender.peer == reader.id) join(dialog);

  const Realm& realm = realm_of(reader);
  Settled result{
      realm, {}, reader.origin_for(request), unsupported_direction(request, dialog, sender)};
  result.sections.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const PartyMedia& media = sender.offered_to(reader, i);
    const PortPair ports = media.state == State::live ? reader.ports(i) : PortPair{};
    const bool mux = dialog.offer_mux(sender, i, media, request.edits.mux);
    const bool one_port = mux && request.edits.mux.require;
    result.sections.push_back(rewrite_for(request, realm, media, ports, mux, one_port));
  }
  return result;
}

Result<Reply> Change::offer(const Request& request, const sdp::Session& session) {
  if (answers_by_offer(request)) {
    Request turned = request;
    turned.command = Command::answer;
    std::swap(turned.from_tag, turned.to_tag);
    auto settled = settle_answer(turned, session);
    if (!settled) return std::unexpected(settled.error());
    return print(turned, session, std::move(*settled));
  }
  auto settled = settle_offer(request, session);
  if (!settled) return std::unexpected(settled.error());
  return print(request, session, std::move(*settled));
}

}  // namespace millrace
