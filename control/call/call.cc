// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call.h"

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

Call::Call(const Request& first, const Config& config, const Realms& realms, Dataplane& dataplane,
           Clock::time_point now)
    : id_(first.call_id),
      timeouts_(config.timeouts),
      limits_(config.limits),
      realms_(realms),
      dataplane_(dataplane),
      claimed_(first.claim != Claim::none),
      created_(Moment::at(now)),
      signalled_(created_),
      last_signal_(now) {}

std::shared_ptr<Leg> Call::find(std::string_view tag) const {
  if (tag.empty()) return nullptr;
  const Leg *a = nullptr, *b = nullptr;  // the dialogs of a fork have one leg in common
  for (const Dialog& dialog : dialogs_) {
    if (std::exchange(a, dialog.a.get()) != dialog.a.get() && dialog.a->has(tag)) return dialog.a;
    if (std::exchange(b, dialog.b.get()) != dialog.b.get() && dialog.b->has(tag)) return dialog.b;
  }
  return nullptr;
}

bool Call::has_answered(const Leg& leg) const {
  return std::ranges::any_of(dialogs_, [&](const Dialog& d) { return d.answered && d.joins(leg); });
}

bool Call::answered() const {
  return std::ranges::any_of(dialogs_, [](const Dialog& d) { return d.answered; });
}

// The dialog that an offer continues. An offer without a to-tag is a first INVITE or its
// retransmission, and its via-branch identifies the branch of a fork. An unknown tag belongs to a
// party that has not answered yet, if there is one.
Dialog* Call::find_for_offer(const Request& request, const Leg* from, const Leg* to) {
  for (Dialog& dialog : dialogs_ | std::views::reverse) {
    if (from != nullptr && to != nullptr) {
      if (dialog.joins(*from) && dialog.joins(*to)) return &dialog;
    } else if (from != nullptr && dialog.joins(*from)) {
      if (request.to_tag.empty() ? dialog.via_branch == request.via_branch
                                 : dialog.other(*from).tags.empty()) {
        return &dialog;
      }
    } else if (to != nullptr && dialog.joins(*to) && dialog.other(*to).tags.empty()) {
      return &dialog;
    }
  }
  return nullptr;
}

Result<std::shared_ptr<Leg>> Call::make_leg(std::string_view interface,
                                            const std::optional<IpAddress>& local,
                                            Family family) const {
  auto leg = std::make_shared<Leg>();
  const Realm* preferred = local ? realms_.find_by_address(*local) : nullptr;
  if (preferred != nullptr && preferred->family == family &&
      (interface.empty() || interface == preferred->interface.name)) {
    interface = preferred->interface.name;
    leg->preferred = local;
  }
  const auto realm = realms_.find(interface, family);
  if (!realm) return std::unexpected(realm.error());
  leg->realm = *realm;
  return leg;
}

Result<Dialog> Call::make_dialog(const Request& request, const sdp::Session& session,
                                 std::shared_ptr<Leg> from, std::shared_ptr<Leg> to) const {
  const Family family = family_of(request, session);
  const Placement& place = request.placement;
  if (!from) {
    const auto interface = realms_.choose(place.from_interface, place.from_peer);
    if (!interface) return std::unexpected(interface.error());
    auto leg = make_leg(*interface, place.from_local, family);
    if (!leg) return std::unexpected(leg.error());
    from = std::move(*leg);
    from->add(request.from_tag);
  }
  if (!to) {
    const auto interface = realms_.choose(place.to_interface, place.to_peer);
    if (!interface) return std::unexpected(interface.error());
    const bool by_peer = place.to_interface.empty() && place.to_peer;
    auto leg = make_leg(*interface, place.to_local,
                        place.address_family.value_or(by_peer ? place.to_peer->family() : family));
    if (!leg && !interface->empty() && !place.address_family) {
      // An interface that has the other family only: relay between IPv4 and IPv6.
      auto other = make_leg(*interface, place.to_local,
                            family == Family::ipv4 ? Family::ipv6 : Family::ipv4);
      if (other) leg = std::move(other);
    }
    if (!leg) return std::unexpected(leg.error());
    to = std::move(*leg);
    to->via_branch = request.via_branch;
    to->add(request.to_tag);
  }
  Dialog dialog;
  dialog.a = std::move(from);
  dialog.b = std::move(to);
  dialog.via_branch = request.via_branch;
  return dialog;
}

Result<std::vector<PartyMedia>> Call::describe_all(const Request& request,
                                                   const sdp::Session& session, const Leg& leg,
                                                   const Leg* offerer) const {
  const std::size_t given = session.sections.size();
  const std::size_t offered_lines = offerer != nullptr ? offerer->lines_offered_to(leg) : 0;
  const std::size_t known =
      request.all_sections ? std::max(leg.lines(), offered_lines) : leg.sections.size();
  const std::size_t count = request.sections.empty() ? given : std::max(given, known);
  std::vector<PartyMedia> described;
  described.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (i >= given || !session.sections[i].given) {
      described.push_back(unchanged(leg.agreed(i)));
      if (request.all_sections) described.back().state = State::refused;
      continue;
    }
    const PartyMedia* const offered = offerer != nullptr ? &offerer->offered_to(leg, i) : nullptr;
    auto media = describe(session, i, request, *leg.realm, realms_, leg.agreed(i), offered);
    if (!media) return std::unexpected(media.error());
    described.push_back(std::move(*media));
  }
  return described;
}

void Call::record_signalling(const Request& request, Dialog& dialog, Clock::time_point now) {
  dialog.delete_at.reset();
  if (request.dscp) dscp_ = request.dscp;
  if (request.media_timeout) media_timeout_ = request.media_timeout;
  if (!request.labels.metadata.empty()) metadata_ = request.labels.metadata.substr(0, kMaxMetadata);
  last_signal_ = now;
  signalled_ = Moment::at(now);
  for (Leg* leg : {dialog.a.get(), dialog.b.get()}) leg->stamp(signalled_);
  if (!request.notify.socket.empty()) notify_socket_ = request.notify.socket;
  if (!request.notify.tag.empty()) notify_tag_ = request.notify.tag;
  if (!request.notify.dialog_id.empty()) dialog_id_ = request.notify.dialog_id;
}

Result<Call::OfferContext> Call::locate_offer(const Request& request, const sdp::Session& session) {
  const auto [from, to] = find_parties(request, session, request.from_tag, request.to_tag);
  const bool same = from && to && (from == to || from->shares_ports(*to));
  if (request.from_tag == request.to_tag || same) return fail(std::string(reason::kNoDialog));
  OfferContext result;
  result.known = find_for_offer(request, from.get(), to.get());
  if (result.known == nullptr) {
    if (!has_room()) {
      return fail("The call has " + std::to_string(kMaxDialogs) +
                  " dialogs, the limit; delete ended ones by via-branch or to-tag");
    }
    auto made = make_dialog(request, session, from, to);
    if (!made) return std::unexpected(made.error());
    result.made = std::move(*made);
  }
  const Dialog& at = result.dialog();
  const bool callee_is_new = !from && to && result.known != nullptr;
  result.sender = from ? from.get() : callee_is_new ? &at.other(*to) : at.a.get();
  result.reader = &at.other(*result.sender);
  return result;
}

// Sections that an offer of single ones leaves out: as in the waiting offer that it completes, else
// not part of the offer.
void Call::leave_out(std::vector<PartyMedia>& described, const Request& request,
                     const sdp::Session& session, const Leg& sender, const Leg& reader) {
  if (request.sections.empty() || request.all_sections) return;
  const bool completes = sender.proposed && sender.proposed->to == &reader;
  for (std::size_t i = 0; i < described.size(); ++i) {
    if (i < session.sections.size() && session.sections[i].given) continue;
    const bool waits = completes && i < sender.proposed->sections.size();
    described[i] = waits ? sender.proposed->sections[i] : PartyMedia{};
  }
}

void Call::commit(OfferContext& context, std::vector<PartyMedia> described, Staged staged,
                  const Request& request) {
  Leg &sender = *context.sender, &reader = *context.reader;
  const std::size_t count = described.size();
  bool dropped = context.proposes && reader.withdraw_proposal(sender);
  dropped |= sender.proposed != nullptr;
  for (Leg* leg : {&sender, &reader}) {
    if (leg->sections.size() < count) leg->sections.resize(count);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (staged.from[i]) sender.sections[i].open(std::move(staged.from[i]));
    if (staged.to[i]) reader.sections[i].open(std::move(staged.to[i]));
  }
  if (context.proposes) {
    sender.propose(reader, std::move(described), request);
  } else {
    sender.proposed.reset();
    dropped |= sender.lines() != 0;
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
  context.dialog().pending = true;
  context.dropped = dropped;
}

// Each stream takes two port pairs. Without a limit a few offers would exhaust the ports.
Result<void> Call::check_streams(const std::vector<PartyMedia>& described,
                                 const Leg& sender) const {
  std::size_t live = 0;
  for (std::size_t i = 0; i < std::max(described.size(), sender.sections.size()); ++i) {
    const bool left_out = i >= described.size() || described[i].state == State::absent;
    const PartyMedia& media = left_out ? sender.agreed(i) : described[i];
    live += media.relayed() ? 1 : 0;
  }
  if (live <= limits_.streams) return {};
  return fail("The offer has " + std::to_string(live) + " media streams; [limits] streams allows " +
              std::to_string(limits_.streams) + " per call");
}

Result<Call::Settled> Call::settle_offer(const Request& request, const sdp::Session& session,
                                         Clock::time_point now) {
  auto context = locate_offer(request, session);
  if (!context) return std::unexpected(context.error());
  Leg &sender = *context->sender, &reader = *context->reader;
  context->proposes = has_answered(sender) || has_answered(reader);
  auto described = describe_all(request, session, sender);
  if (!described) return std::unexpected(described.error());
  if (context->proposes) {
    leave_out(*described, request, session, sender, reader);
    if (described->size() < sender.lines()) {
      return fail("The offer has " + std::to_string(described->size()) +
                  " m= lines where there were " + std::to_string(sender.lines()) +
                  "; remove a media section by port 0 (RFC 3264 section 8.2)");
    }
  }
  if (auto ok = check_streams(*described, sender); !ok) return std::unexpected(ok.error());
  auto staged = take_ports(*described, sender, reader, now);
  if (!staged) return std::unexpected(staged.error());
  if (auto ok = move_ports(reader, request, now); !ok) return std::unexpected(ok.error());

  // From here on nothing fails.
  const std::size_t count = described->size();
  const auto pairs = sender.port_pairs() + reader.port_pairs();
  commit(*context, std::move(*described), std::move(*staged), request);
  record_signalling(request, context->dialog(), now);
  Dialog& dialog =
      context->known != nullptr ? *context->known : dialogs_.emplace_back(std::move(context->made));
  if (context->dropped) {
    release_unused(sender);
    release_unused(reader);
    republish(reader, &sender);
  }
  republish(sender, &reader);
  if (!dialog.answered) {
    dialog.offered.add(realms_.offers(), request.latching.received_from,
                       sender.port_pairs() + reader.port_pairs() - pairs);
  }
  add_claims(dialog, sender, request);
  apply_early(sender, now);
  // A new branch does not take media from a joined one.
  const bool both_free = user_of(sender) == nullptr && user_of(reader) == nullptr;
  if (both_free || sender.peer == &reader) join(dialog);

  Settled result{*reader.realm,
                 {},
                 reader.origin_for(request),
                 unsupported_direction(request, dialog, sender)};
  for (std::size_t i = 0; i < count; ++i) {
    const PartyMedia& media = sender.offered_to(reader, i);
    const PortLease* ports = media.state == State::live ? reader.ports(i) : nullptr;
    const bool mux = dialog.offer_mux(sender, i, media, request.edits.mux);
    const bool one_port = mux && request.edits.mux.require;
    result.sections.push_back(rewrite_for(request, *reader.realm, media, ports, mux, one_port));
  }
  return result;
}

Result<Reply> Call::offer(const Request& request, const sdp::Session& session,
                          Clock::time_point now) {
  if (answers_by_offer(request)) {
    Request turned = request;
    turned.command = Command::answer;
    std::swap(turned.from_tag, turned.to_tag);
    auto settled = settle_answer(turned, session, now);
    if (!settled) return std::unexpected(settled.error());
    return print(turned, session, std::move(*settled));
  }
  auto settled = settle_offer(request, session, now);
  if (!settled) return std::unexpected(settled.error());
  return print(request, session, std::move(*settled));
}

}  // namespace millrace
