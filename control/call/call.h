// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One call: its parties, the dialogs between them, and the flows that follow from both.
//
// Theory of operation. A Leg is a party: its tags, its media sections, and the local ports leased
// for it, which are printed into the SDP that it receives. A Dialog is an offerer and an answerer.
// The branches of a fork are dialogs that share the offerer's leg. If the proxy made one offer for
// several phones, their legs share its ports too. A leg's media is joined to one other leg at a
// time, its peer: the party that answered last. Offers and answers first compute everything, ports
// included, and then change the call, so a failed request changes nothing. Flows are always derived
// from the two legs of a dialog, so publishing them again is harmless.
// Not thread-safe: the caller holds `mutex`.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/call/ended_dialogs.h"
#include "control/command/moment.h"
#include "control/command/reply.h"
#include "control/command/report.h"
#include "control/command/request.h"
#include "control/config/config.h"
#include "control/leg/dialog.h"
#include "control/leg/leg.h"
#include "control/leg/party_media.h"
#include "control/notify/event.h"
#include "control/ports/offered_ports.h"
#include "control/ports/realm.h"
#include "control/sdp/sdp.h"
#include "dataplane/base/text.h"
#include "dataplane/dataplane.h"

namespace millrace {

class Call {
 public:
  using Clock = std::chrono::steady_clock;
  // Above the number of phones in any fork. Ending, joining and reporting cost O(dialogs).
  static constexpr std::size_t kMaxDialogs = 64;

  enum class End : std::uint8_t {
    media_timeout,
    silent_timeout,
    offer_timeout,
    final_timeout,
    deleted,
    ice_direct,  // ICE found a path that bypasses the relay
    forced,      // the relay shuts down
  };
  struct Verdict {
    std::optional<End> end;
    Clock::time_point next = Clock::time_point::max();  // earliest end
  };

  // `first` is the offer that creates the call. The other arguments must outlive the call.
  Call(const Request& first, const Config& config, const Realms& realms, Dataplane& dataplane,
       Clock::time_point now);

  // Returns the SDP for the other party, or endpoints if the request names its media sections, or
  // the error-reason. `session` is the parsed media description of the request in both cases.
  [[nodiscard]] Result<Reply> offer(const Request& request, const sdp::Session& session,
                                    Clock::time_point now);
  [[nodiscard]] Result<Reply> answer(const Request& request, const sdp::Session& session,
                                     Clock::time_point now);
  // An offer or an answer. A CSeq above the last one of the party that sent the SIP request starts
  // an offer. The same CSeq in the other direction is its answer. A lower CSeq, or a request
  // without media sections, changes nothing and gets the current ports.
  [[nodiscard]] Result<Reply> update(const Request& request, const sdp::Session& session,
                                     Clock::time_point now);
  // Makes hints of the candidates of a trickle fragment and returns how many are new. Fragments
  // that arrive before the party's SDP are kept for 3 s.
  [[nodiscard]] std::size_t trickle(const Request& request,
                                    std::vector<sdp::FragmentMedia> fragment,
                                    Clock::time_point now);
  // Ends the dialogs that `request` matches, now or after its delay. False: it matches none.
  [[nodiscard]] bool remove(const Request& request, Clock::time_point now);

  // Blocks or silences media of the parties that `request` names, or lifts that.
  [[nodiscard]] Result<void> set_blocking(const Request& request);

  // Remembers the exchanges of `update` requests before the dialogs end.
  void remember(EndedDialogs& ended, Clock::time_point now) const;

  // Ends all dialogs.
  void clear() { dialogs_.clear(); }

  // Checks whether the call is over. If not, ends the dialogs whose delayed delete is due. Reads
  // counters of the data plane. may_end() does not, and is never later than the true end.
  [[nodiscard]] Verdict check(Clock::time_point now);
  [[nodiscard]] Clock::time_point may_end() const;

  // Until check() ends the call, if nothing arrives; unset: no limit.
  [[nodiscard]] std::optional<Clock::duration> time_left(Clock::time_point now) const;
  [[nodiscard]] CallReport report(Clock::time_point now) const;
  // Each media section of a party's SDP for the log: its type, the party's address, and the relay's
  // address in the SDP for the other party: "audio 198.18.0.10:4000 198.51.100.2:30000".
  [[nodiscard]] std::string media_summary(std::string_view tag) const;
  // Adds the relayed media sections, by type.
  void count_streams(std::map<std::string, std::uint64_t>& by_type) const;
  [[nodiscard]] std::string_view id() const { return id_; }
  [[nodiscard]] bool is_claimed() const { return claimed_; }  // by rtpproxy (Claims)
  [[nodiscard]] bool empty() const { return dialogs_.empty(); }
  [[nodiscard]] bool answered() const;

  // Values of events. `ending` lacks the reason and the report.
  [[nodiscard]] event::End::Dialog tags() const;
  [[nodiscard]] event::End ending() const;
  // Whether the call is on hold, if that has changed since the last check.
  [[nodiscard]] std::optional<bool> hold_changed();
  [[nodiscard]] std::vector<event::Latched> new_latches();
  [[nodiscard]] bool awaits_latch(Clock::time_point now) const;

  std::mutex mutex;
  bool gone = false;  // no longer in the table
  // Time of the next check. Guarded by the schedule's lock, not by `mutex`.
  std::optional<Clock::time_point> scheduled;

 private:
  // Sender, reader and dialog of an offer. The dialog exists already or is created for the offer.
  struct OfferContext {
    bool proposes = false;  // a party has answered before: what that settled stays in force
    bool dropped = false;   // an earlier offer, or a part of it, waits no more
    Dialog* known = nullptr;
    Dialog made;
    Leg *sender = nullptr, *reader = nullptr;

    [[nodiscard]] Dialog& dialog() { return known != nullptr ? *known : made; }
  };
  // Ports leased for an offer in addition to those of its dialog.
  struct Staged {
    std::vector<std::shared_ptr<PortLease>> from, to;  // by m= line
  };
  // A settled offer or answer, ready to print for its reader.
  struct Settled {
    const Realm& realm;
    std::vector<sdp::MediaRewrite> sections;
    sdp::Origin* origin = nullptr;  // of the reader's last SDP, if it must not change
    std::string unsupported = {};   // requested but unsupported options
  };

  // call.cc: compute, then change
  [[nodiscard]] Result<Settled> settle_offer(const Request& request, const sdp::Session& session,
                                             Clock::time_point now);
  [[nodiscard]] Result<OfferContext> locate_offer(const Request& request,
                                                  const sdp::Session& session);
  static void leave_out(std::vector<PartyMedia>& described, const Request& request,
                        const sdp::Session& session, const Leg& sender, const Leg& reader);
  static void commit(OfferContext& context, std::vector<PartyMedia> described, Staged staged,
                     const Request& request);
  [[nodiscard]] std::shared_ptr<Leg> find(std::string_view tag) const;
  [[nodiscard]] Dialog* find_for_offer(const Request& request, const Leg* from, const Leg* to);
  [[nodiscard]] Result<Dialog> make_dialog(const Request& request, const sdp::Session& session,
                                           std::shared_ptr<Leg> from,
                                           std::shared_ptr<Leg> to) const;
  [[nodiscard]] Result<std::vector<PartyMedia>> describe_all(const Request& request,
                                                             const sdp::Session& session,
                                                             const Leg& leg,
                                                             const Leg* offerer = nullptr) const;
  [[nodiscard]] Result<void> check_streams(const std::vector<PartyMedia>& described,
                                           const Leg& sender) const;
  void record_signalling(const Request& request, Dialog& dialog, Clock::time_point now);
  [[nodiscard]] bool has_answered(const Leg& leg) const;
  [[nodiscard]] Result<std::shared_ptr<Leg>> make_leg(std::string_view interface,
                                                      const std::optional<IpAddress>& local,
                                                      Family family) const;

  // call_answer.cc: compute, then change
  [[nodiscard]] Result<Settled> settle_answer(const Request& request, const sdp::Session& session,
                                              Clock::time_point now);
  [[nodiscard]] static Result<void> check_answer(std::vector<PartyMedia>& described,
                                                 const Lines& answered, const Leg& reader,
                                                 const Leg& sender);
  [[nodiscard]] Dialog* find_for_answer(const Request& request, const Leg& from, const Leg* to,
                                        Clock::time_point now);
  [[nodiscard]] static bool is_late_copy(const Request& request, const Dialog& dialog,
                                         const Leg& sender);

  // call_ports.cc
  [[nodiscard]] Result<Staged> take_ports(const std::vector<PartyMedia>& described, const Leg& from,
                                          const Leg& to, Clock::time_point now) const;
  [[nodiscard]] static bool uses(const Dialog& dialog, std::size_t index);
  void release_unused(Leg& leg);
  void release(Leg& leg, std::size_t index);

  // call_branch.cc
  [[nodiscard]] Leg* user_of(const Leg& leg) const;
  [[nodiscard]] bool starts_branch(const Request& request, const Dialog& answered) const;
  [[nodiscard]] bool has_room() const { return dialogs_.size() < kMaxDialogs; }
  [[nodiscard]] Dialog branch_of(const Dialog& like, const Leg& reader,
                                 const Request& request) const;
  [[nodiscard]] bool is_overtaken(const Request& request, const Dialog& dialog,
                                  const Leg& reader) const;
  void detach(Leg& leg);
  void withdraw(Leg& leg);
  void withdraw(Leg& leg, std::size_t index);
  void withdraw(Leg& leg, std::size_t index, std::size_t component,
                PastFlow::Clock::time_point now);

  // call_spiral.cc
  // Sender and reader of an SDP; null: not known.
  struct Parties {
    std::shared_ptr<Leg> sender, reader;
  };
  [[nodiscard]] Parties find_parties(const Request& request, const sdp::Session& session,
                                     std::string_view sender, std::string_view reader);
  [[nodiscard]] const Leg* find_named(const Request& request, const sdp::Session& session) const;
  [[nodiscard]] const Leg* joined_inside(const Leg& leg) const;
  [[nodiscard]] Parties find_in_pass(const Leg* named, std::string_view tag,
                                     std::string_view peer_tag) const;

  // call_claim.cc
  static void add_claims(Dialog& dialog, const Leg& sender, const Request& request);
  [[nodiscard]] bool release_claims(Dialog& dialog, const Request& request, const Leg* from,
                                    Clock::time_point now);
  void drop_media(Dialog& dialog, std::size_t index);
  [[nodiscard]] bool answers_by_offer(const Request& request) const;
  // Gives `leg` other ports for the streams of an offer or answer, on the interface and address
  // that the request names if the party's ports were never printed. Fails or changes all of them.
  [[nodiscard]] Result<void> move_ports(Leg& leg, const Request& request, Clock::time_point now);

  // call_trickle.cc
  struct Early {
    std::string tag;
    Clock::time_point at;
    std::vector<sdp::FragmentMedia> sections;
  };
  void apply_early(Leg& leg, Clock::time_point now);
  [[nodiscard]] std::size_t add_candidates(Leg& leg,
                                           const std::vector<sdp::FragmentMedia>& fragment);

  // call_print.cc
  // The edits of one m= section for its reader, which has `ports` in `realm`. `rtcp_mux`: with
  // a=rtcp-mux. `one_port`: no port for RTCP.
  [[nodiscard]] static sdp::MediaRewrite rewrite_for(const Request& request, const Realm& realm,
                                                     const PartyMedia& described,
                                                     const PortLease* ports, bool rtcp_mux,
                                                     bool one_port);
  [[nodiscard]] static Reply print(const Request& request, const sdp::Session& session,
                                   Settled settled);
  [[nodiscard]] std::string unsupported_direction(const Request& request, const Dialog& dialog,
                                                  const Leg& sender) const;

  // call_update.cc
  [[nodiscard]] bool answers(const Request& update) const;
  [[nodiscard]] Result<Reply> repeat_reply(const Request& update) const;

  // call_flows.cc
  void join(Dialog& dialog);
  void rejoin(Leg& leg);
  [[nodiscard]] const Dialog* dialog_alone(const Leg* from, const Leg* to) const;
  void end_due(Clock::time_point now);
  [[nodiscard]] std::vector<const PortLease*> ports_in_use() const;
  void republish(const Leg& leg, const Leg* except);
  void publish(Dialog& dialog);
  void publish(Dialog& dialog, std::size_t index);
  // What the flows of one m= line follow, of a leg and of its peer.
  struct Followed {
    const PartyMedia &own, &peer;
  };
  [[nodiscard]] Side side(const Dialog& dialog, const Leg& leg, Followed media, std::size_t index,
                          std::size_t component) const;
  [[nodiscard]] static bool expects(const Leg& leg, std::size_t index);
  [[nodiscard]] bool expects_media() const;
  template <typename LastPacket, typename Quietest>
  [[nodiscard]] Verdict check_timeouts(LastPacket&& last_packet, Quietest&& quietest) const;
  [[nodiscard]] Verdict check_timeouts(Clock::time_point now) const;  // by the flows' counters
  [[nodiscard]] std::optional<Clock::time_point> quietest_last_packet(Clock::time_point now) const;
  [[nodiscard]] bool bypasses_relay(const Dialog& dialog, std::size_t index) const;
  [[nodiscard]] bool ice_is_direct() const;
  [[nodiscard]] Clock::time_point last_packet(Clock::time_point now) const;

  // call_blocking.cc
  [[nodiscard]] Result<Leg*> find_target(const Request& request) const;
  void block_side(const Leg& leg, const PartyMedia& described, const PartyMedia& of_other,
                  Side& side) const;

  // call_events.cc
  [[nodiscard]] bool on_hold() const;

  // call_report.cc
  [[nodiscard]] TagReport report(const Leg& leg, const Lines& muxes) const;
  [[nodiscard]] MediaReport report(const Leg& leg, std::size_t index, bool muxed) const;
  static void add_closed(const Leg& leg, std::size_t index, MediaReport& to);

  const Text id_;
  Text from_tag_, from_uri_, to_uri_, username_;  // of the first update
  const Timeouts& timeouts_;
  const Limits& limits_;
  const Realms& realms_;
  Dataplane& dataplane_;
  std::vector<Dialog> dialogs_;
  std::optional<std::uint8_t> dscp_;
  std::optional<std::chrono::seconds> media_timeout_;  // overrides the configuration
  BlockState block_state_;                             // of all parties, in addition to their own
  bool looked_up_ = false;                             // rtpproxy: the proxy answers by L
  Text metadata_;
  struct Ended {
    Text via_branch, tag;  // tag: of the party that left with the dialog
    Clock::time_point at;
  };
  std::vector<Ended> ended_;                     // dialogs, the last kMaxEnded
  std::vector<Early> early_;                     // oldest first
  Text notify_socket_, notify_tag_, dialog_id_;  // as in Request
  bool claimed_, notified_hold_ = false;
  bool spiral_ = false;  // an SDP has named a port of this call
  Moment created_, signalled_;
  std::optional<Moment> answered_;
  Clock::time_point last_signal_;  // or a switch to another branch; timeouts start here
};

}  // namespace millrace
