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
  // Above the number of phones in any fork. Ending, joining and reporting cost O(dialogs).
  static constexpr std::size_t kMaxDialogs = 64;
  // Limit of the tags that one party may answer with.
  static constexpr std::size_t kMaxTags = 128;

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

  // Blocked kinds of the media that a party sends.
  struct BlockState {
    bool blocked = false, silenced = false, dtmf_blocked = false;
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

  // Ends all dialogs.
  void clear() { dialogs_.clear(); }

  // Checks whether the call is over. If not, ends the dialogs whose delayed delete is due. Reads
  // counters of the data plane. may_end() does not, and is never later than the true end.
  [[nodiscard]] Verdict check(Clock::time_point now);
  [[nodiscard]] Clock::time_point may_end() const;

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
  struct LegMedia {
    PartyMedia described;
    std::shared_ptr<PortLease> ports;  // shared by the branches of one offer
    std::unique_ptr<PastMedia> past;   // see past_flow.h; null if none
    // Latched sources of RTP and RTCP, as last notified; null: none was.
    std::unique_ptr<std::array<std::optional<Endpoint>, 2>> notified;
    Moment created;

    [[nodiscard]] PastMedia& ensure_past();  // `past`, created if null
  };
  struct Leg {
    std::vector<Text> tags;  // several if branches of a fork share a leg
    Text via_branch, label;
    Moment created;
    Text user_agent;
    Realm* realm = nullptr;
    std::optional<IpAddress> preferred;  // of the realm's addresses
    bool asymmetric = false, strict_source = false;
    bool media_handover = false, nat_wait = false, nat_punch = false;
    BlockState block_state;
    // Last SIP request of the party that carried an offer, in the request or in its reply (update).
    struct Transaction {
      std::uint32_t cseq = 0;
      bool offered_by_reply = false;
    };
    std::optional<Transaction> transaction;
    std::vector<LegMedia> sections;
    std::unique_ptr<sdp::Origin> origin;  // of the SDP sent to it, if that must not change
    Leg* peer = nullptr;

    [[nodiscard]] bool has(std::string_view tag) const;
    [[nodiscard]] bool has_room_for(std::string_view tag) const;
    void add(std::string_view tag);
    void stamp(const Moment& now);  // sets missing creation times
    [[nodiscard]] std::ptrdiff_t port_pairs() const;
    [[nodiscard]] const PartyMedia& described(std::size_t index) const;
    [[nodiscard]] const PortLease* ports(std::size_t index) const;
    [[nodiscard]] std::optional<IpAddress> address() const;  // of its ports

    void apply_sdp(std::vector<PartyMedia> described, const Request& request);
    // Null: the request does not ask to keep the origin.
    [[nodiscard]] sdp::Origin* origin_for(const Request& request);

    // call_branch.cc
    [[nodiscard]] bool shares_ports(const Leg& other) const;
    [[nodiscard]] FlowReport total_flow(std::size_t index, const FlowReport& flow,
                                        std::size_t component,
                                        PastFlow::Clock::time_point now) const;
    [[nodiscard]] std::optional<QualityReport> quality(std::size_t index,
                                                       const std::optional<QualityReport>& now_seen,
                                                       PastFlow::Clock::time_point now) const;
  };
  // rtpproxy's claims on one m= line (Claim in request.h).
  struct Claims {
    bool strong = false, by_a = false, by_b = false;

    [[nodiscard]] bool any() const { return strong || by_a || by_b; }
  };
  // Which party multiplexes RTCP on the RTP port of one m= line (RFC 5761).
  struct Mux {
    bool a = false, b = false;  // settled by the last answer
    // By the last offer: a=rtcp-mux in the SDP for its reader, and in the SDP for its sender if
    // that does not depend on the answer.
    bool offered = false;
    std::optional<bool> reply;
  };
  struct Dialog {
    std::shared_ptr<Leg> a, b;   // first offerer, answerer
    std::vector<Claims> claims;  // by m= line
    std::vector<Mux> mux;        // by m= line
    Text via_branch;
    bool answered = false;
    bool pending = false;  // offer without an answer yet
    bool final = false;    // answered by a final response, if the proxy reports codes
    std::optional<Clock::time_point> delete_at;
    OfferedPorts offered;  // until the first answer

    // Whether media flows between the two legs. A leg of several dialogs has media in one of them.
    [[nodiscard]] bool is_joined() const { return a->peer == b.get(); }
    [[nodiscard]] bool joins(const Leg& leg) const { return a.get() == &leg || b.get() == &leg; }
    [[nodiscard]] Leg& other(const Leg& leg) const { return a.get() == &leg ? *b : *a; }

    // call_mux.cc
    [[nodiscard]] bool muxes(const Leg& leg, std::size_t index) const;
    // Whether the SDP for the reader of an offer gets a=rtcp-mux.
    [[nodiscard]] bool offer_mux(const Leg& sender, std::size_t index, const sdp::MuxChoice& asked);
    // The result of an answer with this media section to `reader`.
    [[nodiscard]] Mux settled_mux(const Leg& reader, std::size_t index,
                                  const PartyMedia& described) const;
  };
  // Sender, reader and dialog of an offer. The dialog exists already or is created for the offer.
  struct OfferContext {
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
  [[nodiscard]] Result<Settled> settle_answer(const Request& request, const sdp::Session& session,
                                              Clock::time_point now);
  [[nodiscard]] Result<OfferContext> locate_offer(const Request& request,
                                                  const sdp::Session& session);
  [[nodiscard]] static Result<void> check_answer(std::vector<PartyMedia>& described,
                                                 const Leg& reader, const Leg& sender);
  static void commit(OfferContext& context, std::vector<PartyMedia> described, Staged staged,
                     bool shrink, const Request& request);
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
  [[nodiscard]] Result<Staged> take_ports(const std::vector<PartyMedia>& described, const Leg& from,
                                          const Leg& to, Clock::time_point now) const;
  [[nodiscard]] Result<void> check_streams(const std::vector<PartyMedia>& described) const;
  void record_signalling(const Request& request, Dialog& dialog, Clock::time_point now);
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
  [[nodiscard]] bool is_overtaken(const Request& request, const Dialog& dialog,
                                  const Leg& reader) const;
  void detach(Leg& leg);
  void withdraw(Leg& leg);
  void withdraw(Leg& leg, std::size_t index);
  void withdraw(Leg& leg, std::size_t index, std::size_t component,
                PastFlow::Clock::time_point now);

  // call_claim.cc
  static void add_claims(Dialog& dialog, const Leg& sender, const Request& request);
  [[nodiscard]] bool release_claims(Dialog& dialog, const Request& request, const Leg* from,
                                    Clock::time_point now);
  void drop_media(Dialog& dialog, std::size_t index);

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
  [[nodiscard]] static std::string unsupported_direction(const Request& request, const Leg& sender,
                                                         const Leg& reader);

  // call_update.cc
  [[nodiscard]] bool answers(const Request& update) const;
  [[nodiscard]] Result<Reply> repeat_reply(const Request& update) const;

  // call_flows.cc
  void join(Dialog& dialog);
  void rejoin(Leg& leg);
  void end_due(Clock::time_point now);
  [[nodiscard]] std::vector<const PortLease*> ports_in_use() const;
  void drop_refused(Dialog& dialog);
  void return_ports(const Dialog& dialog, Leg& leg, std::size_t index);
  [[nodiscard]] bool is_shared(const Dialog& dialog, const Leg& leg, std::size_t index) const;
  void publish(Dialog& dialog);
  void publish(Dialog& dialog, std::size_t index);
  [[nodiscard]] Side side(const Dialog& dialog, const Leg& leg, std::size_t index,
                          std::size_t component) const;
  [[nodiscard]] static bool expects(const Leg& leg, std::size_t index);
  [[nodiscard]] bool expects_media() const;
  template <typename LastPacket, typename Quietest>
  [[nodiscard]] Verdict check_timeouts(LastPacket&& last_packet, Quietest&& quietest) const;
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
  std::optional<std::chrono::seconds> media_timeout_;  // overrides the configuration
  BlockState block_state_;                             // of all parties, in addition to their own
  Text metadata_;
  std::vector<Text> ended_branches_;             // the last kMaxEndedBranches
  std::vector<Early> early_;                     // oldest first
  Text notify_socket_, notify_tag_, dialog_id_;  // as in Request
  bool claimed_, notified_hold_ = false;
  Moment created_, signalled_;
  std::optional<Moment> answered_;
  Clock::time_point last_signal_;  // or a switch to another branch; timeouts start here
};

}  // namespace millrace
