// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One call: its parties, the dialogs between them, and the flows that follow from both.
//
// Theory of operation. A Leg is a party: its tags, what it said of each media, and the local ports
// given to it, which go into the SDP that it reads. A Dialog is an offerer and an answerer; the
// branches of a fork are dialogs that share the offerer's leg, and where the proxy made but one
// offer for several phones, their legs share its ports too. A leg's media is joined to one other
// leg at a time, its peer: the last that answered. Offers and answers first work out everything,
// ports included, and then change the call: what fails before that has changed nothing. Flows are
// always derived from the two legs of a dialog, so publishing them once more is harmless.
// Not thread-safe: whoever uses it holds `mutex`.

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/call/party_media.h"
#include "control/call/past_flow.h"
#include "control/command/moment.h"
#include "control/command/reply.h"
#include "control/command/report.h"
#include "control/command/request.h"
#include "control/config/config.h"
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
  // More than any fork has phones. Ending, joining and reporting cost as much as there are dialogs.
  static constexpr std::size_t kMaxDialogs = 64;
  // By how many tags one party may have answered.
  static constexpr std::size_t kMaxTags = 128;

  enum class End : std::uint8_t {
    media_timeout,
    silent_timeout,
    offer_timeout,
    final_timeout,
    deleted,
    ice_direct,  // ICE found a way around the relay
    forced,      // with all others, as the relay ends
  };
  struct Verdict {
    std::optional<End> end;
    Clock::time_point next = Clock::time_point::max();  // no end before that
  };

  // What may not pass of what a party sends.
  struct Restraint {
    bool blocked = false, silenced = false, dtmf_blocked = false;
  };

  // `first` is the offer that makes it; all but this must outlive it.
  Call(const Request& first, const Config& config, const Realms& realms, Dataplane& dataplane,
       Clock::time_point now);

  // What the other party is told: SDP, or endpoints if the request names its sections; or the
  // error-reason. `session` is what the request says of its sections, either way.
  [[nodiscard]] Result<Reply> offer(const Request& request, const sdp::Session& session,
                                    Clock::time_point now);
  [[nodiscard]] Result<Reply> answer(const Request& request, const sdp::Session& session,
                                     Clock::time_point now);
  // An offer or an answer, whichever it is: a CSeq that is higher than the last one of the party
  // that sent the SIP request begins an offer, the same one coming the other way is its answer.
  // A lower one, or one without sections, changes nothing; it is told what holds.
  [[nodiscard]] Result<Reply> update(const Request& request, const sdp::Session& session,
                                     Clock::time_point now);
  // Lets a party be heard from the candidates that it names now, and tells how many are new. What
  // comes before the party's SDP waits for that a little while.
  [[nodiscard]] std::size_t trickle(const Request& request, std::vector<sdp::FragmentMedia> news,
                                    Clock::time_point now);
  // Ends the dialogs that `request` names, or marks them to end later; false if it names none.
  [[nodiscard]] bool remove(const Request& request, Clock::time_point now);

  // Blocks, silences or lets pass again what the parties send that `request` names.
  [[nodiscard]] Result<void> restrain(const Request& request);

  // Ends all dialogs.
  void clear() { dialogs_.clear(); }

  // Tells whether the call is over by now, and if it is not, ends the dialogs whose delayed delete
  // is due. It reads counters of the data plane; may_end() does not, and is never later than the
  // true end.
  [[nodiscard]] Verdict check(Clock::time_point now);
  [[nodiscard]] Clock::time_point may_end() const;

  [[nodiscard]] CallReport report(Clock::time_point now) const;
  // Each media section of a party's SDP for the log: its type, where the party listens, and the
  // relay's address that its reader was given instead: "audio 198.18.0.10:4000 198.51.100.2:30000".
  [[nodiscard]] std::string media_summary(std::string_view tag) const;
  // Adds the sections that are relayed, by their type.
  void count_streams(std::map<std::string, std::uint64_t>& by_type) const;
  [[nodiscard]] std::string_view id() const { return id_; }
  [[nodiscard]] bool is_held() const { return held_; }  // by whom Held tells
  [[nodiscard]] bool empty() const { return dialogs_.empty(); }
  [[nodiscard]] bool answered() const;

  // What there is to tell of it. `ending` lacks the reason and the report.
  [[nodiscard]] event::End::Dialog tags() const;
  [[nodiscard]] event::End ending() const;
  // On hold, or not, and it was otherwise when last asked.
  [[nodiscard]] std::optional<bool> hold_changed();
  [[nodiscard]] std::vector<event::Latched> new_latches();
  [[nodiscard]] bool awaits_latch(Clock::time_point now) const;

  std::mutex mutex;
  bool gone = false;  // no longer in the table
  // When it is to be looked at next; guarded by the schedule's lock, not by `mutex`.
  std::optional<Clock::time_point> scheduled;

 private:
  struct LegMedia {
    PartyMedia said;
    std::shared_ptr<PortLease> ports;  // by the branches that one offer has reached
    std::unique_ptr<PastMedia> past;   // of flows that were withdrawn; null: nothing was counted
    // Latched, of RTP and RTCP, as told last; null: nothing was told.
    std::unique_ptr<std::array<std::optional<Endpoint>, 2>> told;
    Moment created;

    [[nodiscard]] PastMedia& keep();  // `past`, made if it is null
  };
  struct Leg {
    std::vector<Text> tags;  // more than one where branches of a fork share a leg
    Text via_branch, label;
    Moment created;
    Text user_agent;
    Realm* realm = nullptr;
    std::optional<IpAddress> preferred;  // of the realm's addresses
    bool asymmetric = false, media_handover = false, nat_wait = false, nat_punch = false;
    Restraint restraint;
    // What its last SIP request with an offer, in it or in the reply, was (update).
    struct Transaction {
      std::uint32_t cseq = 0;
      bool offered_by_reply = false;
    };
    std::optional<Transaction> transaction;
    std::vector<LegMedia> sections;
    std::unique_ptr<sdp::Origin> origin;  // of the SDP that it got, if that must be kept
    Leg* peer = nullptr;

    [[nodiscard]] bool has(std::string_view tag) const;
    [[nodiscard]] bool has_room_for(std::string_view tag) const;
    void add(std::string_view tag);
    void stamp(const Moment& now);  // what is new of it
    [[nodiscard]] std::ptrdiff_t port_pairs() const;
    [[nodiscard]] const PartyMedia& said(std::size_t index) const;
    [[nodiscard]] const PortLease* ports(std::size_t index) const;
    [[nodiscard]] std::optional<IpAddress> address() const;  // of its ports

    void take_over(std::vector<PartyMedia> news, const Request& request);
    // Null: it need not be known.
    [[nodiscard]] sdp::Origin* origin_for(const Request& request);

    // call_branch.cc
    [[nodiscard]] bool shares_ports(const Leg& other) const;
    [[nodiscard]] FlowReport heard(std::size_t index, std::size_t component, const FlowReport& flow,
                                   PastFlow::Clock::time_point now) const;
    [[nodiscard]] std::optional<QualityReport> quality(std::size_t index,
                                                       const std::optional<QualityReport>& now_seen,
                                                       PastFlow::Clock::time_point now) const;
  };
  // Claims on a media (Claim in request.h).
  struct Held {
    bool strongly = false, by_a = false, by_b = false;

    [[nodiscard]] bool any() const { return strongly || by_a || by_b; }
  };
  // Who has RTCP of a media on the port of RTP (RFC 5761).
  struct Mux {
    bool a = false, b = false;  // as the last answer settled it
    // By the last offer: what its reader is told, and its sender whatever the reader says.
    bool offered = false;
    std::optional<bool> reply;
  };
  struct Dialog {
    std::shared_ptr<Leg> a, b;  // who offered first, who answered
    std::vector<Held> held;     // by m= line
    std::vector<Mux> mux;       // by m= line
    Text via_branch;
    bool answered = false;
    bool pending = false;  // an offer waits for its answer
    bool final = false;    // answered by a final response, as far as that was told
    std::optional<Clock::time_point> delete_at;
    OfferedPorts offered;  // until the first answer

    // Whether media flows between its two; to others a party of several dialogs only signals.
    [[nodiscard]] bool is_joined() const { return a->peer == b.get(); }
    [[nodiscard]] bool joins(const Leg& leg) const { return a.get() == &leg || b.get() == &leg; }
    [[nodiscard]] Leg& other(const Leg& leg) const { return a.get() == &leg ? *b : *a; }

    // call_mux.cc
    [[nodiscard]] bool muxes(const Leg& leg, std::size_t index) const;
    // What the reader of an offer is told.
    [[nodiscard]] bool offer_mux(const Leg& sender, std::size_t index, const sdp::MuxChoice& asked);
    // What comes of an answer that says this to `reader`.
    [[nodiscard]] Mux settled_mux(const Leg& reader, std::size_t index,
                                  const PartyMedia& said) const;
  };
  // Between whom an offer passes: in a dialog of the call, or in one that is made for it.
  struct Exchange {
    Dialog* known = nullptr;
    Dialog made;
    Leg *sender = nullptr, *reader = nullptr;

    [[nodiscard]] Dialog& dialog() { return known != nullptr ? *known : made; }
  };
  // What an offer needs on top of what its dialog has.
  struct Staged {
    std::vector<std::shared_ptr<PortLease>> from, to;  // by m= line
  };
  // What a settled offer or answer tells its reader, by m= line.
  struct Told {
    const Realm& realm;
    std::vector<sdp::MediaRewrite> sections;
    sdp::Origin* origin = nullptr;  // what the reader was shown last, if that is to be kept
    std::string unsupported = {};   // what could not be done as asked
  };

  // call.cc: work out, then change
  [[nodiscard]] Result<Told> settle_offer(const Request& request, const sdp::Session& session,
                                          Clock::time_point now);
  [[nodiscard]] Result<Told> settle_answer(const Request& request, const sdp::Session& session,
                                           Clock::time_point now);
  [[nodiscard]] Result<Exchange> place(const Request& request, const sdp::Session& session);
  [[nodiscard]] static Result<void> check_answer(std::vector<PartyMedia>& said, const Leg& reader,
                                                 const Leg& sender);
  static void commit(Exchange& exchange, std::vector<PartyMedia> said, Staged staged, bool shrink,
                     const Request& request);
  [[nodiscard]] std::shared_ptr<Leg> find(std::string_view tag) const;
  [[nodiscard]] Dialog* find_for_offer(const Request& request, const Leg* from, const Leg* to);
  [[nodiscard]] Dialog* find_for_answer(const Request& request, const Leg& from, const Leg* to);
  [[nodiscard]] Result<Dialog> make_dialog(const Request& request, const sdp::Session& session,
                                           std::shared_ptr<Leg> from,
                                           std::shared_ptr<Leg> to) const;
  [[nodiscard]] Result<std::vector<PartyMedia>> describe_all(const Request& request,
                                                             const sdp::Session& session,
                                                             const Leg& leg,
                                                             const Leg* offerer = nullptr) const;
  [[nodiscard]] Result<Staged> take_ports(const std::vector<PartyMedia>& said, const Leg& from,
                                          const Leg& to, Clock::time_point now) const;
  [[nodiscard]] Result<void> check_streams(const std::vector<PartyMedia>& said) const;
  void signalled(const Request& request, Dialog& dialog, Clock::time_point now);
  [[nodiscard]] bool has_answered(const Leg& leg) const;
  [[nodiscard]] Result<std::shared_ptr<Leg>> make_leg(std::string_view interface,
                                                      const std::optional<IpAddress>& local,
                                                      Family family) const;

  // call_branch.cc
  [[nodiscard]] Leg* user_of(const Leg& leg) const;
  [[nodiscard]] bool starts_branch(const Request& request, const Dialog& answered) const;
  [[nodiscard]] bool has_room() const { return dialogs_.size() < kMaxDialogs; }
  [[nodiscard]] Dialog branch_of(const Dialog& like, const Leg& reader,
                                 const Request& request) const;
  [[nodiscard]] bool comes_late(const Request& request, const Dialog& dialog,
                                const Leg& reader) const;
  void detach(Leg& leg);
  void withdraw(Leg& leg);
  void withdraw(Leg& leg, std::size_t index);
  void withdraw(Leg& leg, std::size_t index, std::size_t component,
                PastFlow::Clock::time_point now);

  // call_hold.cc
  static void take_hold(Dialog& dialog, const Leg& sender, const Request& request);
  [[nodiscard]] bool let_go(Dialog& dialog, const Request& request, const Leg* from,
                            Clock::time_point now);
  void drop_media(Dialog& dialog, std::size_t index);

  // call_trickle.cc
  struct Early {
    std::string tag;
    Clock::time_point at;
    std::vector<sdp::FragmentMedia> sections;
  };
  void take_early(Leg& leg, Clock::time_point now);
  [[nodiscard]] std::size_t add_candidates(Leg& leg, const std::vector<sdp::FragmentMedia>& news);

  // call_print.cc
  // One media as its reader, who was given `ports` in `realm`, gets to see it: whether it is told
  // a=rtcp-mux, and named no port for RTCP.
  [[nodiscard]] static sdp::MediaRewrite told(const Request& request, const Realm& realm,
                                              const PartyMedia& said, const PortLease* ports,
                                              bool rtcp_mux, bool one_port);
  [[nodiscard]] static Reply print(const Request& request, const sdp::Session& session, Told told);
  [[nodiscard]] static std::string misplaced(const Request& request, const Leg& sender,
                                             const Leg& reader);

  // call_update.cc
  [[nodiscard]] bool answers(const Request& update) const;
  [[nodiscard]] Result<Reply> remind(const Request& update) const;

  // call_flows.cc
  void join(Dialog& dialog);
  void rejoin(Leg& leg);
  void end_due(Clock::time_point now);
  [[nodiscard]] std::vector<const PortLease*> ports_in_use() const;
  void drop_refused(Dialog& dialog);
  void give_back(const Dialog& dialog, Leg& leg, std::size_t index);
  [[nodiscard]] bool is_shared(const Dialog& dialog, const Leg& leg, std::size_t index) const;
  void publish(Dialog& dialog);
  void publish(Dialog& dialog, std::size_t index);
  [[nodiscard]] Side side(const Dialog& dialog, const Leg& leg, std::size_t index,
                          std::size_t component) const;
  [[nodiscard]] static bool expects(const Leg& leg, std::size_t index);
  [[nodiscard]] bool expects_media() const;
  template <typename Heard, typename FromAll>
  [[nodiscard]] Verdict ladder(Heard&& heard, FromAll&& from_all) const;
  [[nodiscard]] std::optional<Clock::time_point> last_heard_from_all(Clock::time_point now) const;
  [[nodiscard]] bool went_around(const Dialog& dialog, std::size_t index) const;
  [[nodiscard]] bool ice_is_direct() const;
  [[nodiscard]] Clock::time_point last_heard(bool expected_only, Clock::time_point now) const;

  // call_treatment.cc
  [[nodiscard]] Result<Leg*> select(const Request& request) const;
  void apply_restraint(const Leg& leg, const PartyMedia& said, const PartyMedia& of_other,
                       Side& side) const;

  // call_events.cc
  [[nodiscard]] bool on_hold() const;

  // call_report.cc
  using Muxes = std::bitset<sdp::kMaxSections>;  // by m= line
  [[nodiscard]] TagReport report(const Leg& leg, const Muxes& muxes) const;
  [[nodiscard]] MediaReport report(const Leg& leg, std::size_t index, bool muxed) const;

  const Text id_;
  Text from_tag_, from_uri_, to_uri_, username_;  // of the first update
  const Timeouts& timeouts_;
  const Limits& limits_;
  const Realms& realms_;
  Dataplane& dataplane_;
  std::vector<Dialog> dialogs_;
  std::optional<std::uint8_t> dscp_;
  std::optional<std::chrono::seconds> media_timeout_;  // of its own
  Restraint restraint_;                                // of all parties, on top of their own
  Text metadata_;
  std::vector<Text> ended_branches_;             // the last ones
  std::vector<Early> early_;                     // oldest first
  Text notify_socket_, notify_tag_, dialog_id_;  // as in Request
  bool held_, told_hold_ = false;
  Moment created_, signalled_;
  std::optional<Moment> answered_;
  Clock::time_point last_signal_;  // or when a party got other media: timeouts run from here
};

}  // namespace millrace
