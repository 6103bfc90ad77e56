// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call.h"

namespace millrace {

bool Call::Dialog::muxes(const Leg& leg, std::size_t index) const {
  if (index >= mux.size()) return false;
  return a.get() == &leg ? mux[index].a : mux[index].b;
}

// The reader is offered what the sender offers, and what it does already.
bool Call::Dialog::offer_mux(const Leg& sender, std::size_t index, const sdp::MuxChoice& asked) {
  if (mux.size() <= index) mux.resize(index + 1);
  Mux& at = mux[index];
  const PartyMedia& said = sender.said(index);
  if (said.ice_concluded) return at.offered;
  const bool passed_on = said.rtcp_mux || muxes(other(sender), index);
  at.offered = said.rtp && (asked.offer || asked.require || (passed_on && !asked.demux));
  at.reply.reset();
  if (!said.rtcp_mux || asked.reject) {
    at.reply = false;
  } else if (asked.accept || !at.offered) {
    at.reply = true;
  }
  return at.offered;
}

Call::Mux Call::Dialog::settled_mux(const Leg& reader, std::size_t index,
                                    const PartyMedia& said) const {
  Mux result = index < mux.size() ? mux[index] : Mux{};
  if (said.ice_concluded) return result;
  const bool relayed = said.state == PartyMedia::State::live && said.rtp;
  const bool answerer = relayed && said.rtcp_mux && result.offered;
  const bool offerer = relayed && result.reply.value_or(answerer);
  result.a = a.get() == &reader ? offerer : answerer;
  result.b = a.get() == &reader ? answerer : offerer;
  return result;
}

}  // namespace millrace
