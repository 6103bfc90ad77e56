// SPDX-License-Identifier: BSD-3-Clause
#include "control/leg/party_media.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

using State = PartyMedia::State;

// The endpoint changed, or it is behind a NAT whose public address changed.
bool has_moved(const PartyMedia::Component& now, const PartyMedia::Component& before,
               bool other_source) {
  return now.advertised() != before.advertised() || (!now.routable && other_source);
}

// `source` is the source address of the party's signalling; "::" = unknown.
bool routable(const IpAddress& address, const Realm& realm, const IpAddress& source) {
  if (!realm.admits(address) || address.family() != realm.family) return false;
  return !address.is_private() || realm.on_link(address) || source.is_unspecified() ||
         source == address;
}

// Private and beyond the link: possibly the host of a Contact, not where a message came from.
bool is_vague(const IpAddress& source, const Realm& realm) {
  return source.is_private() && !realm.on_link(source);
}

// Whether media may come from there. A vague source is no evidence that the private addresses of
// the SDP are behind a NAT.
bool is_audible(const IpAddress& address, const Realm& realm, const IpAddress& source) {
  return routable(address, realm, source) ||
         (is_vague(source, realm) && realm.admits(address) && address.family() == realm.family);
}

// Candidates never replace the signalling source and the SDP endpoints.
bool is_pinned(const PartyMedia& media, const IpAddress& hint) {
  return media.signalled_from == hint ||
         std::ranges::any_of(media.components, [&](const PartyMedia::Component& part) {
           return part.known && part.address == hint;
         });
}

// Validates one media section.
struct Validator {
  const sdp::Session& session;
  std::size_t index;
  const Request& request;
  const Realm& realm;
  const Realms& realms;
  const PartyMedia& before;
  const IpAddress source = find_source();  // "::" = unknown

  // The source of the SIP message, if media may come from it too. A proxy may report its own
  // address (127.0.0.1) for requests that it generates.
  [[nodiscard]] IpAddress named_source() const {
    const auto& from = request.latching.received_from;
    if (!from || !realm.admits(*from) || from->family() != realm.family || realms.is_own(*from)) {
      return {};
    }
    return *from;
  }

  // If that is unknown or vague: the former one, if the SDP names the same address as then.
  [[nodiscard]] IpAddress find_source() const {
    const IpAddress from = named_source(), &former = before.signalled_from;
    const bool known = !from.is_unspecified();
    const bool worse = is_vague(from, realm) && !is_vague(former, realm);
    if (former.is_unspecified() || (known && !worse)) return from;
    return names_former_address() ? former : from;
  }

  [[nodiscard]] bool names_former_address() const {
    const PartyMedia::Component& place = before.components[0];
    const sdp::Media& section = session.sections[index];
    if (!place.known || section.held_by_address) return place.known;
    return place.address ==
           (request.latching.sip_source_address ? before.signalled_from : section.connection);
  }

  // The address that replaces those of the SDP.
  [[nodiscard]] std::optional<IpAddress> replacement() const {
    if (!request.latching.sip_source_address) return std::nullopt;
    return source.is_unspecified() ? request.latching.received_from : source;
  }

  [[nodiscard]] bool routable(const IpAddress& address) const {
    return millrace::routable(address, realm, source);
  }

  [[nodiscard]] std::unexpected<Error> refuse(const IpAddress& address, std::string why) const {
    const std::string place =
        index < session.media_starts.size()
            ? "m= in line " + std::to_string(session.media_starts[index] + 1) + " of the SDP"
            : "media " + std::to_string(index + 1);
    return fail("Media address " + address.text() + " (" + place + ") " + std::move(why));
  }

  [[nodiscard]] Result<void> check(const IpAddress& address) const {
    if (!address.is_sendable() || realm.reserves(address)) {
      return refuse(address,
                    "cannot be sent to: it is loopback, link-local, multicast, broadcast or "
                    "reserved; name an address that the relay can reach");
    }
    if (auto ok = check_family(address); !ok) return ok;
    if (!realm.peers.admits(address)) {
      return refuse(address, "is no peer of interface '" + realm.interface.name +
                                 "': its `allow` and `deny` do not admit it");
    }
    return {};
  }

  [[nodiscard]] Result<void> check_family(const IpAddress& address) const {
    if (address.family() == realm.family) return {};
    return refuse(address, "is of another family than this party's port on interface '" +
                               realm.interface.name + "'; name its interface by `direction`");
  }

  // A port of a call, named by an address of the relay.
  [[nodiscard]] Result<PartyMedia::Component> own_port(const Endpoint& endpoint) const {
    const std::optional<Endpoint> taken = realms.find_taken(endpoint);
    if (!taken) {
      return refuse(endpoint.address, "is the relay's own, and its port " +
                                          std::to_string(endpoint.port.number()) +
                                          " belongs to no call; name a port that the relay gave "
                                          "to a call");
    }
    if (auto ok = check_family(taken->address); !ok) return std::unexpected(ok.error());
    return PartyMedia::Component{.address = taken->address,
                                 .port = taken->port,
                                 .known = true,
                                 .routable = true,
                                 .inside = true};
  }

  // Loopback or link-local, of a party that can latch from elsewhere. The relay never sends there.
  [[nodiscard]] bool is_local(const IpAddress& address) const {
    return (address.is_loopback() || address.is_link_local()) && address.family() == realm.family &&
           !source.is_unspecified() && !request.latching.asymmetric &&
           realm.interface.latching != Latching::off;
  }

  [[nodiscard]] Result<PartyMedia::Component> component(Endpoint endpoint) const {
    PartyMedia::Component result;
    endpoint.address = replacement().value_or(endpoint.address);
    // Browsers send "a=rtcp:9 IN IP4 0.0.0.0" for "no address".
    if (endpoint.port.number() == 0 || endpoint.address.is_unspecified()) return result;
    if (realms.is_own(endpoint.address)) return own_port(endpoint);
    result.address = endpoint.address;
    result.port = endpoint.port;
    result.known = true;
    if (is_local(endpoint.address)) return result;
    if (const auto ok = check(endpoint.address); !ok) return std::unexpected(ok.error());
    result.routable = request.latching.asymmetric || routable(endpoint.address);
    return result;
  }

  [[nodiscard]] PartyMedia::Hints hints(const PartyMedia& media) const {
    PartyMedia::Hints result;
    const auto add = [&](const IpAddress& address) {
      if (!address.is_unspecified() && result.size() < kMaxHints &&
          std::ranges::find(result, address) == result.end()) {
        result.push_back(address);
      }
    };
    const auto add_audible = [&](const IpAddress& address) {
      if (is_audible(address, realm, source) && !realms.is_own(address)) add(address);
    };
    const sdp::Media& section = session.sections[index];
    add(source);
    for (const auto& part : media.components) {
      if (const auto remote = part.remote()) {
        add(remote->address);
      } else if (part.known) {
        add_audible(part.address);
      }
    }
    add(named_source());
    if (is_vague(source, realm) && section.connection) add_audible(*section.connection);
    for (const IpAddress& candidate : section.candidates) add_audible(candidate);
    // Candidates may arrive in several SDPs (RFC 8840).
    const bool same_ice = !media.ice_ufrag.empty() && media.ice_ufrag == before.ice_ufrag;
    if (same_ice && !media.components[0].moved) {
      for (const IpAddress& hint : before.hints) add(hint);
    }
    return result;
  }

  // Whether the SDP reports the result of ICE.
  [[nodiscard]] bool concluded(const PartyMedia* offered) const {
    const sdp::Media& media = session.sections[index];
    if (request.edits.ice == IceHandling::remove || request.edits.ice == IceHandling::relay_only)
      return false;
    if (offered != nullptr) return offered->ice_concluded;
    return !media.ice_ufrag.empty() && !media.remote_candidates.empty();
  }

  // Whether ICE selected a path that bypasses the relay, by this SDP or an earlier one.
  [[nodiscard]] bool direct(const PartyMedia& media, const PartyMedia* offered) const {
    if (!media.ice_concluded || media.on_hold) {
      return before.ice_direct && media.ice_ufrag == before.ice_ufrag;
    }
    if (offered != nullptr) return offered->ice_direct;
    const sdp::Media& section = session.sections[index];
    return !realms.is_own(section.connection.value_or(IpAddress())) &&
           std::ranges::none_of(section.remote_candidates,
                                [&](const IpAddress& a) { return realms.is_own(a); });
  }

  // The endpoint for RTCP. An a=rtcp with an unusable address is ignored: the address of c= and the
  // next port are the default (RFC 3605). Unspecified: none is usable.
  [[nodiscard]] Endpoint rtcp(const Endpoint& rtp) const {
    const Endpoint& given = session.sections[index].rtcp;
    if (given.port.number() == 0 || replacement()) return given;
    const Endpoint beside{rtp.address, rtp.port.next()};
    for (const Endpoint& each : {given, beside}) {
      const bool usable = each.address.is_unspecified() ||
                          (realms.is_own(each.address)
                               ? realms.find_taken(each).has_value()
                               : each.address == rtp.address || check(each.address).has_value());
      if (usable) return each;
    }
    return {};
  }

  [[nodiscard]] Result<void> components(PartyMedia& media) const {
    const sdp::Media& section = session.sections[index];
    const Endpoint rtp{section.connection.value_or(IpAddress()), section.port};
    // With ICE, the relay's own address refers to the previous endpoint.
    const auto is_kept = [&](const IpAddress& address) {
      return before.state == State::live && !section.ice_ufrag.empty() && realms.is_own(address);
    };
    const Endpoint rtcp_endpoint = is_kept(section.rtcp.address) ? section.rtcp : rtcp(rtp);
    for (const auto& [at, endpoint] : {std::pair{0U, rtp}, std::pair{1U, rtcp_endpoint}}) {
      if (is_kept(endpoint.address)) {
        media.components[at] = before.components[at];
        media.components[at].moved = false;
        continue;
      }
      auto part = component(endpoint);
      if (!part) return std::unexpected(part.error());
      part->moved =
          before.state == State::live &&
          has_moved(*part, before.components[at], before.signalled_from != media.signalled_from);
      media.components[at] = *part;
    }
    return {};
  }
};

// Comfort noise needs no rtpmap beside the static audio codecs of 8 kHz (RFC 3551 section 6): 13,
// and 19 of senders older than RFC 3389.
std::bitset<128> with_comfort_noise(std::bitset<128> types) {
  for (const std::size_t codec : {0U, 3U, 4U, 5U, 7U, 8U, 9U, 15U, 18U}) {
    if (types[codec]) return types.set(13).set(19);
  }
  return types;
}

State state_of(const sdp::Media& media) {
  if (media.port.number() == 0) return media.bundle_only ? State::bundled : State::refused;
  return media.relayable ? State::live : State::untouched;
}

// Whether ICE agents still use the ports of a section that this SDP removes: another section of the
// group goes on in the same ICE session.
bool carries(const sdp::Session& session, const PartyMedia& before) {
  if (!before.relayed() || !before.in_bundle || before.ice_ufrag.empty()) return false;
  return std::ranges::any_of(session.sections, [&](const sdp::Media& media) {
    return state_of(media) == State::live && before.ice_ufrag == media.ice_ufrag;
  });
}

// With BUNDLE (RFC 9143) the ports of one section carry all.
std::bitset<128> payload_types(const sdp::Session& session, const std::bitset<128>& own) {
  std::bitset<128> result = own;
  for (const sdp::Media& each : session.sections) result |= each.payload_types;
  return result;
}

}  // namespace

Result<PartyMedia> describe(const sdp::Session& session, std::size_t index, const Request& request,
                            const Realm& realm, const Realms& realms, const PartyMedia& before,
                            const PartyMedia* offered) {
  const Validator validator{session, index, request, realm, realms, before};
  const sdp::Media& media = session.sections[index];
  if (state_of(media) == State::refused && carries(session, before)) {
    PartyMedia carrier = before;
    carrier.state = State::carrier;
    carrier.payload_types = with_comfort_noise(payload_types(session, {}));
    carrier.signalled = true;
    for (auto& part : carrier.components) part.moved = false;
    return carrier;
  }
  PartyMedia result;
  result.state = state_of(media);
  result.type = media.type;
  result.protocol = media.protocol;
  result.codec = media.codec;
  result.mid = media.mid;
  result.clock_hz = media.clock_hz;
  result.in_bundle = session.bundle;
  result.payload_types =
      with_comfort_noise(session.bundle && media.rtp ? payload_types(session, media.payload_types)
                                                     : media.payload_types);
  result.dtmf_types = media.dtmf_types;
  result.rtp = media.rtp;
  result.rtcp_mux = media.rtcp_mux;
  result.sends =
      media.direction == sdp::Direction::sendrecv || media.direction == sdp::Direction::sendonly;
  result.receives =
      media.direction == sdp::Direction::sendrecv || media.direction == sdp::Direction::recvonly;
  result.signalled_from = validator.source;
  if (result.state != State::live) return result;

  const IceHandling ice = request.edits.ice;
  const bool around = ice != IceHandling::remove && ice != IceHandling::relay_only;
  if (around) result.ice_ufrag = media.ice_ufrag;
  result.ice_concluded = validator.concluded(offered);
  // The relay has no flow for this media section: its media bypasses the relay and continues to.
  if (result.ice_concluded && before.state != State::live) {
    result.state = State::untouched;
    return result;
  }
  const bool no_address = media.held_by_address && !validator.replacement();
  if (no_address || result.ice_concluded) {
    // A hold keeps the previous address. With candidates, 0.0.0.0 is no hold (RFC 8840).
    result.on_hold = no_address && media.candidates.empty();
    result.components = before.components;
    for (auto& part : result.components) part.moved = false;
  } else if (auto ok = validator.components(result); !ok) {
    return std::unexpected(ok.error());
  }
  result.ice_direct = validator.direct(result, offered);
  result.hints = validator.hints(result);
  return result;
}

std::size_t add_candidates(PartyMedia& media, const sdp::FragmentMedia& fragment,
                           const Realm& realm, const Realms& realms) {
  const bool other =
      !fragment.ufrag.empty() && !media.ice_ufrag.empty() && fragment.ufrag != media.ice_ufrag;
  if (media.state != State::live || other) return 0;
  PartyMedia::Hints& hints = media.hints;
  const auto newest = std::ranges::find_if_not(
      hints, [&](const IpAddress& hint) { return is_pinned(media, hint); });
  auto at = newest - hints.begin();
  std::size_t added = 0;
  for (const IpAddress& address : fragment.candidates) {
    if (std::cmp_equal(at, kMaxHints)) break;
    if (!is_audible(address, realm, media.signalled_from) || realms.is_own(address) ||
        std::ranges::find(hints, address) != hints.end()) {
      continue;
    }
    if (hints.size() == kMaxHints) hints.pop_back();
    hints.push_back(address);
    std::rotate(hints.begin() + at++, hints.end() - 1, hints.end());
    ++added;
  }
  return added;
}

}  // namespace millrace
