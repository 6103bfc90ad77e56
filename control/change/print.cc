// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/change/change.h"
#include "control/command/unsupported.h"
#include "control/sdp/sdp_edits.h"

namespace millrace {
namespace {

IpAddress printed(const Request& request, const Realm& realm, const IpAddress& local) {
  return request.placement.media_address.value_or(realm.advertised(local));
}

sdp::Ice ice(IceHandling handling) {
  switch (handling) {
    case IceHandling::remove:
      return sdp::Ice::remove;
    case IceHandling::force_relay:
      return sdp::Ice::replace_relay;
    case IceHandling::relay_only:
      return sdp::Ice::relay_only;
    case IceHandling::add:
    case IceHandling::force:
      break;
  }
  return sdp::Ice::add;
}

// Requested ICE options that need an ICE agent in the relay.
std::string unsupported_ice(const Request& request, const sdp::Session& session) {
  const bool without = std::ranges::any_of(session.sections, [](const sdp::Media& media) {
    return media.relayable && media.port != UdpPort() && media.ice_ufrag.empty();
  });
  if (request.edits.ice != IceHandling::force || !without) return {};
  return "ICE=force: the SDP has media without ICE, and the relay is no ICE agent";
}

// ICE agents check RTCP on the port of their own SDP.
std::string unsupported_mux(const Request& request, const sdp::Session& session,
                            const std::vector<sdp::MediaRewrite>& sections) {
  if (request.edits.ice == IceHandling::remove) return {};
  for (std::size_t i = 0; i < session.sections.size(); ++i) {
    const sdp::Media& media = session.sections[i];
    const bool unchanged = sections[i].rtcp_mux.value_or(media.rtcp_mux) == media.rtcp_mux;
    if (!media.ice_ufrag.empty() && !unchanged) {
      return "rtcp-mux: one party multiplexes RTCP and the other does not, which their ICE agents "
             "cannot check; ICE=remove lets the relay split it";
    }
  }
  return {};
}

sdp::RtcpAttribute rtcp_attribute(const sdp::Edits& edits) {
  if (edits.no_rtcp_attribute) return sdp::RtcpAttribute::never;
  return edits.full_rtcp_attribute ? sdp::RtcpAttribute::full : sdp::RtcpAttribute::needed;
}

std::string print_sdp(const Request& request, const sdp::Session& session, const Realm& realm,
                      std::vector<sdp::MediaRewrite> sections, sdp::Origin* origin) {
  sdp::Rewrite rewrite;
  rewrite.sections = std::move(sections);
  rewrite.ice = ice(request.edits.ice);
  rewrite.prefer_relay = request.edits.prefer_relay;
  if (request.edits.replace_origin) {
    const auto relayed = std::ranges::find_if(
        rewrite.sections, [](const sdp::MediaRewrite& media) { return media.port != UdpPort(); });
    rewrite.origin = relayed != rewrite.sections.end()
                         ? relayed->address
                         : printed(request, realm, realm.interface.addresses.front());
  }
  rewrite.rtcp = rtcp_attribute(request.edits);
  rewrite.replace_zero_address = request.edits.replace_zero_address;
  std::string body = sdp::rewrite(session, rewrite);
  const sdp::Edits& edits = request.edits;
  if (edits.single_codec) body = sdp::keep_first_codec(std::move(body));
  if (!edits.lines.empty()) body = sdp::edit_lines(body, edits.lines);
  if (origin != nullptr) {
    body = sdp::keep_origin(std::move(body), *origin, edits.origin);
  }
  return body;
}

// In the order of Request::sections. If that is empty, all media sections.
reply::Endpoints print_endpoints(const Request& request, const Realm& realm,
                                 const std::vector<sdp::MediaRewrite>& sections,
                                 std::string warning) {
  reply::Endpoints result{{}, std::move(warning)};
  const Endpoint rejected = {printed(request, realm, realm.interface.addresses.front()), UdpPort()};
  const auto add = [&](std::size_t i) {
    const bool relayed = i < sections.size() && sections[i].port != UdpPort();
    result.endpoints.push_back(relayed ? Endpoint{sections[i].address, sections[i].port}
                                       : rejected);
  };
  for (const NamedMedia& named : request.sections) add(named.index - 1);
  for (std::size_t i = 0; request.sections.empty() && i < sections.size(); ++i) add(i);
  return result;
}

}  // namespace

sdp::MediaRewrite Change::rewrite_for(const Request& request, const Realm& realm,
                                      const PartyMedia& described, PortPair ports, bool rtcp_mux,
                                      bool one_port) {
  sdp::MediaRewrite result;
  const bool live = described.state == PartyMedia::State::live;
  result.untouched =
      described.state == PartyMedia::State::untouched || (live && described.ice_concluded);
  if (result.untouched || !ports) return result;
  result.address = printed(request, realm, realm.address_of(ports.rtp()));
  result.port = ports.rtp().port;
  result.rtcp = one_port ? result.port : result.port.next();
  if (live && described.rtp) result.rtcp_mux = rtcp_mux;
  const std::string& protocol = request.edits.protocol;
  if (described.rtp && protocol != "accept") result.protocol = protocol;
  return result;
}

Reply Change::print(const Request& request, const sdp::Session& session, Settled settled) {
  if (request.sdp.empty()) {
    return print_endpoints(request, settled.realm, settled.sections,
                           std::move(settled.unsupported));
  }
  add_sentence(settled.unsupported, unsupported_ice(request, session));
  add_sentence(settled.unsupported, unsupported_mux(request, session, settled.sections));
  return reply::Sdp{
      print_sdp(request, session, settled.realm, std::move(settled.sections), settled.origin),
      std::move(settled.unsupported)};
}

// A party stays on the interface of its first offer. Proxies that set the same flags on all
// messages name both interfaces in the order of that offer, also if the other party sends.
std::string Change::unsupported_direction(const Request& request, const Dialog& dialog,
                                          const Leg& sender) const {
  const Placement& place = request.placement;
  const auto selects = [&](std::string_view name, const Leg& leg) {
    return !name.empty() && context_.realms.selects(name, leg.realm);
  };
  if (selects(place.from_interface, state_.leg(dialog.a)) &&
      selects(place.to_interface, state_.leg(dialog.b)))
    return {};
  std::string result;
  const auto check = [&](std::string_view name, const std::optional<IpAddress>& peer,
                         const Leg& leg, std::string_view party) {
    const std::string_view asked = context_.realms.choose(name, peer).value_or(std::string_view());
    if (asked.empty() || selects(asked, leg)) return;
    add_sentence(result, "direction: the " + std::string(party) + " stays on interface '" +
                             realm_of(leg).interface.name + "', where its first offer put it; '" +
                             std::string(asked) + "' is not used");
  };
  check(place.from_interface, place.from_peer, sender, "sender");
  check(place.to_interface, place.to_peer, state_.other(dialog, sender), "receiver");
  return result;
}

}  // namespace millrace
