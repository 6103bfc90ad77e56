// SPDX-License-Identifier: BSD-3-Clause
#include "control/leg/dialog.h"

namespace millrace {

bool Dialog::muxes(const Leg& leg, std::size_t index) const {
  if (index >= mux.size()) return false;
  return a == leg.id ? mux[index].a : mux[index].b;
}

// Offers the reader a=rtcp-mux if the sender offers it or the reader uses it already.
bool Dialog::offer_mux(const Leg& sender, std::size_t index, const PartyMedia& described,
                       const sdp::MuxChoice& asked) {
  if (mux.size() <= index) mux.resize(index + 1);
  Mux& at = mux[index];
  if (described.ice_concluded || described.state == PartyMedia::State::carrier) return at.offered;
  const bool passed_on = described.rtcp_mux || (a == sender.id ? at.b : at.a);
  at.offered = described.rtp && (asked.offer || asked.require || (passed_on && !asked.demux));
  at.reply.reset();
  if (!described.rtcp_mux || asked.reject) {
    at.reply = false;
  } else if (asked.accept || !at.offered) {
    at.reply = true;
  }
  return at.offered;
}

Mux Dialog::settled_mux(const Leg& reader, std::size_t index, const PartyMedia& described) const {
  Mux result = index < mux.size() ? mux[index] : Mux{};
  if (described.ice_concluded || described.state == PartyMedia::State::carrier) return result;
  const bool relayed = described.state == PartyMedia::State::live && described.rtp;
  const bool answerer = relayed && described.rtcp_mux && result.offered;
  const bool offerer = relayed && result.reply.value_or(answerer);
  result.a = a == reader.id ? offerer : answerer;
  result.b = a == reader.id ? answerer : offerer;
  return result;
}

}  // namespace millrace
