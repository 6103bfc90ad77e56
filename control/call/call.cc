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
  if (request.latching.sip_source_address && request.latching.received_from)
    return request.latching.received_from->family();
  for (const sdp::Media& media : session.sections) {
    if (media.relayable && media.connection) return media.connection->family();
  }
  return Family::ipv4;
}

// The sections of a leg as they are, for an offer or answer that does not speak of them.
PartyMedia unchanged(PartyMedia said) {
  for (auto& part : said.components) part.moved = false;
  return said;
}

}  // namespace

Call::Call(const Request& first, const Config& config, const Realms& realms, Dataplane& dataplane,
           Clock::time_point now)
    : id_(first.call_id),
      timeouts_(config.timeouts),
      limits_(config.limits),
      realms_(realms),
      dataplane_(dataplane),
      held_(first.claim != Claim::none),
      created_(Moment::at(now)),
      signalled_(created_),
      last_signal_(now) {}

std::shared_ptr<Call::Leg> Call::find(std::string_view tag) const {
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

// The dialog that an offer continues. Without a to-tag it is a first INVITE, or the same once
// more, and via-branch tells one branch of a fork from another. A tag not known here belongs to a
// party that has not answered yet, if there is one.
Call::Dialog* Call::find_for_offer(const Request& request, const Leg* from, const Leg* to) {
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

// The dialog that an answer completes: by the answerer's tag, else by its branch, else the latest
// that nobody has answered, else the latest.
Call::Dialog* Call::find_for_answer(const Request& request, const Leg& from, const Leg* to) {
  Dialog *by_branch = nullptr, *open = nullptr, *latest = nullptr;
  for (Dialog& dialog : dialogs_) {
    if (!dialog.joins(from)) continue;
    if (to != nullptr && dialog.joins(*to)) return &dialog;
    latest = &dialog;
    if (dialog.other(from).tags.empty()) open = &dialog;
    if (!request.via_branch.empty() && dialog.via_branch == request.via_branch) {
      by_branch = &dialog;
    }
  }
  return by_branch != nullptr ? by_branch : open != nullptr ? open : latest;
}

Result<std::shared_ptr<Call::Leg>> Call::make_leg(std::string_view interface,
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

Result<Call::Dialog> Call::make_dialog(const Request& request, const sdp::Session& session,
                                       std::shared_ptr<Leg> from, std::shared_ptr<Leg> to) const {
  const Family family = family_of(request, session);
  if (!from) {
    auto leg = make_leg(request.placement.from_interface, request.placement.from_local, family);
    if (!leg) return std::unexpected(leg.error());
    from = std::move(*leg);
    from->add(request.from_tag);
  }
  if (!to) {
    auto leg = make_leg(request.placement.to_interface, request.placement.to_local,
                        request.placement.address_family.value_or(family));
    if (!leg && !request.placement.to_interface.empty() && !request.placement.address_family) {
      // An interface of the other family only joins IPv4 and IPv6.
      auto other = make_leg(request.placement.to_interface, request.placement.to_local,
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
  const std::size_t count = request.sections.empty() ? given : std::max(given, leg.sections.size());
  std::vector<PartyMedia> said;
  for (std::size_t i = 0; i < count; ++i) {
    if (i >= given || !session.sections[i].given) {
      said.push_back(unchanged(leg.said(i)));
      if (request.all_sections) said.back().state = State::refused;
      continue;
    }
    const PartyMedia* const offered = offerer != nullptr ? &offerer->said(i) : nullptr;
    auto media = describe(session, i, request, *leg.realm, realms_, leg.said(i), offered);
    if (!media) return std::unexpected(media.error());
    said.push_back(std::move(*media));
  }
  return said;
}

Result<Call::Staged> Call::take_ports(const std::vector<PartyMedia>& said, const Leg& from,
                                      const Leg& to, Clock::time_point now) const {
  Staged staged;
  staged.from.resize(said.size());
  staged.to.resize(said.size());
  // All ports of a party are on one address: without SDP only one can be told.
  const auto take = [&](const Leg& leg, std::size_t i,
                        std::vector<std::shared_ptr<PortLease>>& news,
                        std::optional<IpAddress>& on) {
    if (leg.ports(i) != nullptr) return true;
    if (!on && leg.preferred) {
      news[i] = PortLease::take(*leg.realm, dataplane_, now, leg.preferred);
    }
    if (!news[i]) news[i] = PortLease::take(*leg.realm, dataplane_, now, on);
    if (news[i]) on = news[i]->address();
    return news[i] != nullptr;
  };
  auto from_address = from.address(), to_address = to.address();
  for (std::size_t i = 0; i < said.size(); ++i) {
    if (said[i].state != State::live) continue;
    if (!take(from, i, staged.from, from_address) || !take(to, i, staged.to, to_address)) {
      return fail(std::string(reason::kOutOfPorts));
    }
  }
  return staged;
}

void Call::signalled(const Request& request, Dialog& dialog, Clock::time_point now) {
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

Result<Call::Exchange> Call::place(const Request& request, const sdp::Session& session) {
  auto from = find(request.from_tag), to = find(request.to_tag);
  const bool same = from && to && (from == to || from->shares_ports(*to));
  if (request.from_tag == request.to_tag || same) return fail(std::string(reason::kNoDialog));
  Exchange result;
  result.known = find_for_offer(request, from.get(), to.get());
  if (result.known == nullptr) {
    if (!has_room()) {
      return fail("The call has " + std::to_string(kMaxDialogs) +
                  " dialogs already; delete those that are over, by their via-branch or to-tag");
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

void Call::commit(Exchange& exchange, std::vector<PartyMedia> said, Staged staged, bool shrink,
                  const Request& request) {
  Leg &sender = *exchange.sender, &reader = *exchange.reader;
  const std::size_t count = said.size();
  if (shrink) {
    sender.sections.resize(count);
    reader.sections.resize(std::min(count, reader.sections.size()));
  }
  sender.take_over(std::move(said), request);
  if (reader.sections.size() < count) reader.sections.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    // Offered once more, a media that was refused has no answer yet.
    PartyMedia& answered = reader.sections[i].said;
    const bool revived = sender.said(i).state == State::live && answered.state == State::refused;
    if (revived) answered.state = State::absent;
    if (staged.from[i]) sender.sections[i].ports = std::move(staged.from[i]);
    if (staged.to[i]) reader.sections[i].ports = std::move(staged.to[i]);
  }
  sender.add(request.from_tag);
  reader.add(request.to_tag);
  exchange.dialog().pending = true;
}

// Each takes two pairs of ports, and a few offers could take all there are.
Result<void> Call::check_streams(const std::vector<PartyMedia>& said) const {
  const auto live = std::ranges::count(said, State::live, &PartyMedia::state);
  if (std::cmp_less_equal(live, limits_.streams)) return {};
  return fail("The offer has " + std::to_string(live) + " media streams; [limits] streams allows " +
              std::to_string(limits_.streams) + " a call");
}

Result<Call::Told> Call::settle_offer(const Request& request, const sdp::Session& session,
                                      Clock::time_point now) {
  auto exchange = place(request, session);
  if (!exchange) return std::unexpected(exchange.error());
  Leg &sender = *exchange->sender, &reader = *exchange->reader;
  auto said = describe_all(request, session, sender);
  if (!said) return std::unexpected(said.error());
  if (auto ok = check_streams(*said); !ok) return std::unexpected(ok.error());
  const bool shrink = said->size() < sender.sections.size();
  if (shrink && (has_answered(sender) || has_answered(reader))) {
    return fail("The offer has " + std::to_string(said->size()) + " m= lines where there were " +
                std::to_string(sender.sections.size()) +
                "; a media is removed by port 0 (RFC 3264 section 8.2)");
  }
  auto staged = take_ports(*said, sender, reader, now);
  if (!staged) return std::unexpected(staged.error());

  // From here on nothing fails.
  const std::size_t count = said->size();
  const auto pairs = sender.port_pairs() + reader.port_pairs();
  commit(*exchange, std::move(*said), std::move(*staged), shrink, request);
  signalled(request, exchange->dialog(), now);
  Dialog& dialog = exchange->known != nullptr ? *exchange->known
                                              : dialogs_.emplace_back(std::move(exchange->made));
  if (!dialog.answered) {
    dialog.offered.add(realms_.offers(), request.latching.received_from,
                       sender.port_pairs() + reader.port_pairs() - pairs);
  }
  take_hold(dialog, sender, request);
  take_early(sender, now);
  // A new branch leaves alone what is joined already.
  const bool both_free = user_of(sender) == nullptr && user_of(reader) == nullptr;
  if (both_free || sender.peer == &reader) join(dialog);

  Told result{*reader.realm, {}, reader.origin_for(request), misplaced(request, sender, reader)};
  for (std::size_t i = 0; i < count; ++i) {
    const PartyMedia& media = sender.said(i);
    const PortLease* ports = media.state == State::live ? reader.ports(i) : nullptr;
    const bool mux = dialog.offer_mux(sender, i, request.edits.mux);
    const bool one_port = mux && request.edits.mux.require;
    result.sections.push_back(told(request, *reader.realm, media, ports, mux, one_port));
  }
  return result;
}

// What an answer may say of each media depends on what was offered (RFC 3264 section 6).
Result<void> Call::check_answer(std::vector<PartyMedia>& said, const Leg& reader,
                                const Leg& sender) {
  if (said.size() > reader.sections.size()) {
    return fail("The answer has " + std::to_string(said.size()) + " m= lines, the offer has " +
                std::to_string(reader.sections.size()) + " (RFC 3264 section 6)");
  }
  for (std::size_t i = 0; i < said.size(); ++i) {
    if (said[i].state == State::absent) continue;  // not spoken of
    const PartyMedia& offered = reader.said(i);
    PartyMedia& media = said[i];
    if (offered.state == State::live) {
      if (media.state == State::untouched) {
        return fail("The answer's m= line " + std::to_string(i + 1) + " is over '" +
                    std::string(media.protocol) + "', the offer's over '" +
                    std::string(offered.protocol) + "' (RFC 3264 section 6)");
      }
      const bool relayed = reader.ports(i) != nullptr && sender.ports(i) != nullptr;
      if (media.state != State::live || !relayed) media.state = State::refused;
    } else {
      const bool dropped = offered.state == State::bundled && media.state != State::live;
      media.state = dropped ? State::refused : offered.state;
    }
  }
  return {};
}

Result<Call::Told> Call::settle_answer(const Request& request, const sdp::Session& session,
                                       Clock::time_point now) {
  const auto from = find(request.from_tag), to = find(request.to_tag);
  if (!from || from == to) return fail(std::string(reason::kNoDialog));
  Dialog* dialog = find_for_answer(request, *from, to.get());
  if (dialog == nullptr) return fail(std::string(reason::kNoDialog));
  Leg& reader = *from;
  std::optional<Dialog> branch;
  const bool starts = starts_branch(request, *dialog), has_room = this->has_room();
  if (starts && has_room) dialog = &branch.emplace(branch_of(*dialog, reader, request));
  Leg& sender = dialog->other(reader);
  if (!sender.has_room_for(request.to_tag)) {
    return fail("The party has answered by " + std::to_string(kMaxTags) +
                " to-tags already; end the call, or answer by a tag that it has");
  }
  auto said = describe_all(request, session, sender, &reader);
  if (!said) return std::unexpected(said.error());
  // A media that was not offered is told port 0, or its party would go on without the relay.
  if (!request.sections.empty()) said->resize(std::min(said->size(), reader.sections.size()));
  if (auto ok = check_answer(*said, reader, sender); !ok) {
    return std::unexpected(ok.error());
  }

  Told result{*reader.realm, {}, reader.origin_for(request), misplaced(request, sender, reader)};
  std::vector<Mux> muxes(said->size());
  const PortLease* bundle = nullptr;  // the ports of the first relayed media
  for (std::size_t i = 0; i < said->size(); ++i) {
    const PartyMedia &offered = reader.said(i), &media = (*said)[i];
    const PortLease* ports = media.state == State::live      ? reader.ports(i)
                             : media.state == State::bundled ? bundle
                                                             : nullptr;
    if (bundle == nullptr) bundle = ports;
    muxes[i] = dialog->settled_mux(reader, i, media);
    const bool bundled = media.state == State::bundled && offered.rtcp_mux && media.rtcp_mux;
    const bool mux = bundled || (dialog->a.get() == &reader ? muxes[i].a : muxes[i].b);
    result.sections.push_back(told(request, *reader.realm, media, ports, mux, mux));
    // What was offered, whatever the other party was shown instead.
    const bool as_offered = request.edits.protocol.empty() && media.rtp && offered.rtp &&
                            sdp::interchangeable(media.protocol, offered.protocol);
    if (as_offered) result.sections.back().protocol = offered.protocol;
  }
  if (starts && !has_room) {
    add_sentence(result.unsupported, "new-branch: the party has too many branches already");
  }
  if (comes_late(request, *dialog, reader)) return result;

  // From here on nothing fails.
  if (branch) dialog = &dialogs_.emplace_back(std::move(*branch));
  sender.take_over(std::move(*said), request);
  sender.add(request.to_tag);
  take_hold(*dialog, sender, request);
  take_early(sender, now);
  dialog->mux = std::move(muxes);
  dialog->answered = true;
  dialog->pending = false;
  dialog->final |= request.sip.code >= kFinalResponse && !request.sip.provisional;
  signalled(request, *dialog, now);
  if (!answered_) answered_ = signalled_;
  dialog->offered.answered();
  drop_refused(*dialog);
  join(*dialog);
  return result;
}

Result<Reply> Call::offer(const Request& request, const sdp::Session& session,
                          Clock::time_point now) {
  auto told = settle_offer(request, session, now);
  if (!told) return std::unexpected(told.error());
  return print(request, session, std::move(*told));
}

Result<Reply> Call::answer(const Request& request, const sdp::Session& session,
                           Clock::time_point now) {
  auto told = settle_answer(request, session, now);
  if (!told) return std::unexpected(told.error());
  return print(request, session, std::move(*told));
}

}  // namespace millrace
