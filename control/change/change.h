// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What one request, or one timer, changes in a call.
//
// Theory of operation. A change works on a copy of the call's state and takes the ports that the
// new state needs. If it fails, the copy is dropped, the ports return, and nothing has happened.
// Otherwise Call puts the new state in force (call.h). So operations may fail at any step, and
// never touch the data plane: which flows begin and end follows from the two states (flows.h).
// Offers and answers: SDP of a party, its sender, for the other party of a dialog, its reader.
// Not thread-safe.

#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/command/reply.h"
#include "control/command/request.h"
#include "control/config/config.h"
#include "control/leg/call_state.h"
#include "control/ports/realm.h"
#include "control/sdp/sdp.h"
#include "dataplane/base/small_vector.h"

namespace millrace {

// What all calls share.
struct CallContext {
  const Timeouts& timeouts;
  const Limits& limits;
  const Realms& realms;
};

// The dialogs that a delete names, by index.
using NamedDialogs = std::bitset<CallState::kMaxDialogs>;
[[nodiscard]] NamedDialogs named_dialogs(const CallState& state, const Request& request);

class Change {
 public:
  using Time = CallState::Time;

  // `context` must outlive the change.
  Change(const CallState& before, const CallContext& context, Time now)
      : next_(std::make_unique<CallState>(before)), context_(context), now_(now) {}
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  ~Change();  // returns the ports that the new state does not have, all unless that was taken

  // Returns the SDP for the other party, or endpoints if the request names its media sections, or
  // the error-reason. `session` is the parsed media description of the request in both cases.
  [[nodiscard]] Result<Reply> offer(const Request& request, const sdp::Session& session);
  [[nodiscard]] Result<Reply> answer(const Request& request, const sdp::Session& session);
  // An offer or an answer. A CSeq above the last one of the party that sent the SIP request starts
  // an offer. The same CSeq in the other direction is its answer. A lower CSeq, or a request
  // without media sections, changes nothing and gets the current ports.
  [[nodiscard]] Result<Reply> update(const Request& request, const sdp::Session& session);
  // Makes hints of the candidates of a trickle fragment and returns how many are new. Fragments
  // that arrive before the party's SDP are kept for 3 s.
  [[nodiscard]] std::size_t trickle(const Request& request,
                                    std::vector<sdp::FragmentMedia> fragment);
  // Ends the dialogs that `request` matches, now or after its delay. False: it matches none.
  [[nodiscard]] bool remove(const Request& request);
  // Ends the dialogs whose delayed delete is due.
  void end_due();
  // Blocks or silences media of the parties that `request` names, or lifts that.
  [[nodiscard]] Result<void> set_blocking(const Request& request);

  [[nodiscard]] CallState& state() { return state_; }
  // The new state with its ports.
  [[nodiscard]] std::unique_ptr<CallState> take();

 private:
  // An offer's dialog and its parties.
  struct OfferContext {
    Dialog* dialog = nullptr;
    Leg *sender = nullptr, *reader = nullptr;
    bool proposes = false;  // a party has answered before: what that settled stays in force
  };
  // A settled offer or answer, ready to print for its reader.
  struct Settled {
    const Realm& realm;
    std::vector<sdp::MediaRewrite> sections;
    sdp::Origin* origin = nullptr;  // of the reader's last SDP, if it must not change
    std::string unsupported = {};   // requested but unsupported options
  };

  // change.cc
  [[nodiscard]] Result<Settled> settle_offer(const Request& request, const sdp::Session& session);
  [[nodiscard]] Result<OfferContext> locate_offer(const Request& request,
                                                  const sdp::Session& session);
  static void leave_out(Descriptions& described, const Request& request,
                        const sdp::Session& session, const Leg& sender, const Leg& reader);
  void put_offer(const OfferContext& at, Descriptions described, const Request& request);
  [[nodiscard]] Dialog* find_for_offer(const Request& request, const Leg* from, const Leg* to);
  [[nodiscard]] Result<Dialog*> make_dialog(const Request& request, const sdp::Session& session,
                                            const Leg* from, const Leg* to);
  // Where a party's ports are.
  struct Place {
    RealmId realm{};
    std::optional<IpAddress> preferred;  // of the realm's addresses
  };
  [[nodiscard]] Result<Place> choose_place(std::string_view interface,
                                           const std::optional<IpAddress>& local,
                                           Family family) const;
  [[nodiscard]] Leg& add_leg(const Place& place);
  [[nodiscard]] Result<Descriptions> describe_all(const Request& request,
                                                  const sdp::Session& session, const Leg& leg,
                                                  const Leg* offerer = nullptr) const;
  [[nodiscard]] Result<void> check_streams(const Descriptions& described, const Leg& sender) const;
  void record_signalling(const Request& request, Dialog& dialog);
  [[nodiscard]] bool has_room() const { return state_.dialogs.size() < CallState::kMaxDialogs; }
  [[nodiscard]] const Realm& realm_of(const Leg& leg) const {
    return context_.realms.at(leg.realm);
  }

  // answer.cc
  [[nodiscard]] Result<Settled> settle_answer(const Request& request, const sdp::Session& session);
  [[nodiscard]] static Result<void> check_answer(Descriptions& described, const Lines& answered,
                                                 const Leg& reader, const Leg& sender);
  [[nodiscard]] Dialog* find_for_answer(const Request& request, const Leg& from, const Leg* to);
  [[nodiscard]] static bool is_late_copy(const Request& request, const Dialog& dialog,
                                         const Leg& sender);

  // ports.cc
  [[nodiscard]] PortPair take_port(RealmId realm, const std::optional<IpAddress>& on);
  [[nodiscard]] Result<void> take_ports(const Descriptions& described, Leg& from, Leg& to);
  // Gives `leg` other ports for the streams of an offer or answer, on the interface and address
  // that the request names if the party's ports were never printed.
  [[nodiscard]] Result<void> move_ports(Leg& leg, const Request& request);
  void release_unused(Leg& leg);
  void release(Leg& leg, std::size_t index);

  // branch.cc
  [[nodiscard]] bool starts_branch(const Request& request, const Dialog& answered) const;
  [[nodiscard]] Dialog& add_branch(const Dialog& like, LegId reader, const Request& request);
  [[nodiscard]] bool is_overtaken(const Request& request, const Dialog& dialog,
                                  const Leg& reader) const;
  void join(const Dialog& dialog);
  void rejoin(const Leg& leg);
  void detach(const Leg& leg);

  // spiral.cc
  // Sender and reader of an SDP; null: not known.
  struct Parties {
    Leg *sender = nullptr, *reader = nullptr;
  };
  [[nodiscard]] Parties find_parties(const Request& request, const sdp::Session& session,
                                     std::string_view sender, std::string_view reader);
  [[nodiscard]] const Leg* find_named(const Request& request, const sdp::Session& session) const;
  [[nodiscard]] const Leg* joined_inside(const Leg& leg) const;
  [[nodiscard]] Parties find_in_pass(const Leg* named, std::string_view tag,
                                     std::string_view peer_tag);

  // claim.cc
  static void add_claims(Dialog& dialog, const Leg& sender, const Request& request);
  [[nodiscard]] bool release_claims(Dialog& dialog, const Request& request, const Leg* from);
  void drop_media(const Dialog& dialog, std::size_t index);
  [[nodiscard]] bool answers_by_offer(const Request& request) const;

  // trickle.cc
  void apply_early(Leg& leg);
  [[nodiscard]] std::size_t add_candidates(Leg& leg,
                                           const std::vector<sdp::FragmentMedia>& fragment);

  // blocking.cc
  [[nodiscard]] Result<Leg*> find_target(const Request& request);

  // print.cc
  // The edits of one m= section for its reader, which has `ports` in `realm`. `rtcp_mux`: with
  // a=rtcp-mux. `one_port`: no port for RTCP.
  [[nodiscard]] static sdp::MediaRewrite rewrite_for(const Request& request, const Realm& realm,
                                                     const PartyMedia& described, PortPair ports,
                                                     bool rtcp_mux, bool one_port);
  [[nodiscard]] static Reply print(const Request& request, const sdp::Session& session,
                                   Settled settled);
  [[nodiscard]] std::string unsupported_direction(const Request& request, const Dialog& dialog,
                                                  const Leg& sender) const;

  // update.cc
  [[nodiscard]] bool answers(const Request& update) const;
  [[nodiscard]] Result<Reply> repeat_reply(const Request& update) const;

  struct Taken {
    RealmId realm;
    PortPair ports;
  };

  std::unique_ptr<CallState> next_;
  CallState& state_ = *next_;
  const CallContext& context_;
  Time now_;
  SmallVector<Taken, 4> taken_;
};

}  // namespace millrace
