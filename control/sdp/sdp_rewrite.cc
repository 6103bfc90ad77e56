// SPDX-License-Identifier: BSD-3-Clause
#include <cassert>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "control/sdp/sdp.h"
#include "control/sdp/sdp_text.h"

namespace millrace::sdp {
namespace {

// Attributes of RFC 8839, its predecessors and RFC 8840.
bool is_ice(std::string_view name) {
  return name == "candidate" || name == "remote-candidates" || name == "end-of-candidates" ||
         name.starts_with("ice-");
}

// Network and address type that precede an address.
std::string_view net_type(const IpAddress& address) {
  return address.is_v4() ? "IN IP4 " : "IN IP6 ";
}

IpAddress unspecified(Family family) {
  return family == Family::ipv4 ? IpAddress::v4(0, 0, 0, 0) : IpAddress();
}

// RFC 8445 section 5.1.2.1. Type preference 0 is the minimum, 127 is one above host candidates. The
// priority stays within 1 to 2^31 - 1.
std::uint32_t candidate_priority(unsigned component, bool preferred) {
  const std::uint32_t type = preferred ? 127 : 0;
  return type << 24 | 65535U << 8 | (256 - component);
}

// One foundation for all candidates of one address (RFC 8445 section 5.1.1.3).
std::string foundation(const IpAddress& address) {
  const auto [first, second] = address.words();
  return "R" + std::to_string(address.is_v4() ? address.as_v4().host() : first ^ second);
}

// Collapses repeated spaces and drops trailing ones: a line copied to each section must not be
// padded to kMaxLine.
std::string one_space(std::string_view text) {
  std::string out;
  for (Fields fields(text); !fields.at_end();) {
    out.append(out.empty() ? "" : " ").append(fields.next());
  }
  return out;
}

class Writer {
 public:
  Writer(const Session& session, const Rewrite& rewrite)
      : session_(session), rewrite_(rewrite), text_lines_(text_lines(session.lines)) {
    newline_ = session.lines.empty() ? "\r\n" : session.lines.front().ending;
    connection_ = session_connection();
  }

  std::string run() && {
    std::size_t size = 0;
    for (const Line& line : session_.lines) size += line.text.size() + line.ending.size();
    out_.reserve(size + 64 * (session_.sections.size() + 1));
    const std::size_t head = session_.sections.empty() ? text_lines_ : session_.media_starts[0];
    for (std::size_t i = 0; i < head; ++i) {
      if (!session_.lines[i].text.empty()) write_session_line(session_.lines[i]);
    }
    for (std::size_t k = 0; k < session_.sections.size(); ++k) write_media(k);
    for (std::size_t i = text_lines_; i < session_.lines.size(); ++i) copy(session_.lines[i]);
    return std::move(out_);
  }

 private:
  enum class Handling : std::uint8_t { relayed, rejected, untouched };
  // Lines of the current section written so far.
  struct Written {
    bool connection = false, rtcp = false, rtcp_mux = false, candidates = false, direction = false;
  };

  [[nodiscard]] Handling handling(std::size_t k) const {
    const Media& media = session_.sections[k];
    if (rewrite_.sections[k].untouched) return Handling::untouched;
    const bool was_rejected = media.port == UdpPort(0) && !media.bundle_only;
    return was_rejected || rewrite_.sections[k].port == UdpPort(0) ? Handling::rejected
                                                                   : Handling::relayed;
  }

  // Whether c=, the port of m= and a=rtcp of a relayed section stay: the relay's candidate serves.
  [[nodiscard]] bool keeps_address(std::size_t k) const {
    return rewrite_.ice == Ice::replace_relay && !session_.sections[k].ice_ufrag.empty();
  }

  // Address in c= of a relayed section.
  [[nodiscard]] IpAddress connection(std::size_t k) const {
    const IpAddress& address = rewrite_.sections[k].address;
    const bool held = session_.sections[k].held_by_address && !held_by_direction(k);
    return held ? unspecified(address.family()) : address;
  }

  // Address in the session's c=; none: unchanged.
  [[nodiscard]] std::optional<IpAddress> session_connection() const {
    std::optional<IpAddress> first;
    for (std::size_t k = 0; k < session_.sections.size(); ++k) {
      if (handling(k) != Handling::relayed || keeps_address(k)) continue;
      if (!session_.sections[k].own_connection) return connection(k);
      if (!first) first = connection(k);
    }
    return first;
  }

  // Keeps line endings. A last line without ending gets one if a line follows.
  void write(std::initializer_list<std::string_view> parts, std::string_view ending) {
    if (!out_.empty() && out_.back() != '\n') out_ += newline_;
    for (const std::string_view part : parts) out_ += part;
    out_ += ending;
  }
  void write(std::string_view text, std::string_view ending) { write({text}, ending); }
  void write_connection(const IpAddress& address, std::string_view ending) {
    write({"c=", net_type(address), address.text()}, ending);
  }
  void copy(const Line& line) { write(line.text, line.ending); }

  void write_session_line(const Line& line) {
    const std::string_view value = line.text.substr(2);
    switch (line.text[0]) {
      case 'c': {
        const bool repeated = !old_connection_.empty();
        old_connection_ = line.text;
        if (!connection_) break;
        if (!repeated) write_connection(*connection_, line.ending);
        return;
      }
      case 'o':
        if (const auto& origin = rewrite_.origin) {
          const auto address = origin_address(value);
          if (!address) break;
          const std::string_view kept = line.text.substr(0, 2 + *address);
          return write({kept, net_type(*origin), origin->text()}, line.ending);
        }
        break;
      case 'a':
        if (rewrite_.ice == Ice::remove && is_ice(attribute(value).name)) return;
        break;
      default:
        break;
    }
    copy(line);
  }

  void write_media(std::size_t k) {
    const std::size_t begin = session_.media_starts[k];
    const std::size_t end =
        k + 1 < session_.sections.size() ? session_.media_starts[k + 1] : text_lines_;
    const bool title = begin + 1 < end && session_.lines[begin + 1].text.starts_with("i=");
    Written written;
    for (std::size_t i = begin; i < end; ++i) {
      const Line& line = session_.lines[i];
      if (line.text.empty()) continue;
      if (handling(k) == Handling::untouched)
        copy(line);
      else
        write_media_line(k, line, written);
      // RFC 8866 section 9: m=, i=, c=, ...
      if (i == begin + (title ? 1 : 0)) write_added_connection(k, line.ending);
    }
    if (handling(k) != Handling::relayed) return;
    const std::string_view ending = session_.lines[end - 1].ending;
    if (!written.rtcp && needs_rtcp(k) && !keeps_address(k)) {
      write(rtcp_line(k, rewrite_.rtcp == RtcpAttribute::full), ending);
    }
    if (!written.rtcp_mux && rewrite_.sections[k].rtcp_mux == true) write("a=rtcp-mux", ending);
    if (!written.candidates && adds_candidates(k)) write_candidates(k, ending);
    if (!written.direction && held_by_direction(k)) write(held_direction(k), ending);
  }

  void write_added_connection(std::size_t k, std::string_view ending) {
    if (session_.sections[k].own_connection || handling(k) == Handling::rejected) return;
    if (handling(k) == Handling::relayed && !keeps_address(k)) {
      if (session_.own_connection && connection(k) == connection_) return;
      return write_connection(connection(k), ending);
    }
    if (connection_ && !old_connection_.empty()) write(one_space(old_connection_), ending);
  }

  void write_media_line(std::size_t k, const Line& line, Written& written) {
    const Media& media = session_.sections[k];
    const bool rejected = handling(k) == Handling::rejected;
    switch (line.text[0]) {
      case 'm':
        return write_media_head(k, line);
      case 'c': {
        if (std::exchange(written.connection, true)) return;
        if (!rejected && keeps_address(k)) break;
        const Family old = media.connection.value_or(IpAddress::v4(0, 0, 0, 0)).family();
        return write_connection(rejected ? unspecified(old) : connection(k), line.ending);
      }
      case 'a': {
        const Attribute a = attribute(line.text.substr(2));
        if (rewrite_.ice == Ice::remove && is_ice(a.name)) return;
        // With port 0 it would offer the section (RFC 9143 section 6).
        if (rejected && !media.bundle_only && a.name == "bundle-only") return;
        if (adds_candidates(k) && (a.name == "candidate" || a.name == "end-of-candidates")) {
          if (!written.candidates) write_candidates(k, line.ending);
          written.candidates = true;
          if (a.name == "candidate" && !stays(k, a.value)) return;
        }
        if (held_by_direction(k) && direction_named(a.name)) {
          written.direction = true;
          return write(held_direction(k), line.ending);
        }
        if (!rejected && (a.name == "rtcp-mux" || a.name == "rtcp-mux-only")) {
          if (rewrite_.sections[k].rtcp_mux == false) return;
          written.rtcp_mux |= a.name == "rtcp-mux";
        }
        if (a.name != "rtcp" || !media.rtp || (!rejected && keeps_address(k))) break;
        if (rejected || written.rtcp || rewrite_.rtcp == RtcpAttribute::never) return;
        written.rtcp = true;
        Fields fields(a.value);
        fields.next();
        const bool full = rewrite_.rtcp == RtcpAttribute::full || !fields.at_end();
        return write(rtcp_line(k, full), line.ending);
      }
      default:
        break;
    }
    copy(line);
  }

  // Whether a hold by address is converted to one by direction: on request, and for the other
  // family, as 0.0.0.0 means hold (RFC 3264 section 8.4) but phones seldom read "::" so.
  [[nodiscard]] bool held_by_direction(std::size_t k) const {
    const Media& media = session_.sections[k];
    if (handling(k) != Handling::relayed || !media.held_by_address) return false;
    return rewrite_.replace_zero_address ||
           media.connection->family() != rewrite_.sections[k].address.family();
  }
  [[nodiscard]] std::string_view held_direction(std::size_t k) const {
    const Direction direction = session_.sections[k].direction;
    const bool sends = direction == Direction::sendrecv || direction == Direction::sendonly;
    return sends ? "a=sendonly" : "a=inactive";
  }

  // Writes the m= line.
  void write_media_head(std::size_t k, const Line& line) {
    Fields fields(line.text.substr(2));
    fields.next();
    const std::string_view old_port = fields.next();
    const auto before = static_cast<std::size_t>(old_port.data() - line.text.data());
    const UdpPort port = handling(k) == Handling::rejected ? UdpPort(0)
                         : keeps_address(k)                ? session_.sections[k].port
                                                           : rewrite_.sections[k].port;
    std::string_view space, protocol = rewrite_.sections[k].protocol;
    if (!protocol.empty() && handling(k) == Handling::relayed) {
      fields.next();
      space = " ";
    } else {
      protocol = {};
    }
    write({line.text.substr(0, before), std::to_string(port.number()), space, protocol,
           fields.rest()},
          line.ending);
  }

  // a=rtcp is needed if RTCP is not at port + 1 (RFC 3605), unless a=rtcp-mux places it at port
  // (RFC 5761).
  [[nodiscard]] bool needs_rtcp(std::size_t k) const {
    const MediaRewrite& to = rewrite_.sections[k];
    if (!session_.sections[k].rtp || rewrite_.rtcp == RtcpAttribute::never) return false;
    if (rewrite_.rtcp == RtcpAttribute::full) return true;
    if (to.rtcp == to.port.next()) return false;
    return to.rtcp != to.port || !has_rtcp_mux(k);
  }
  [[nodiscard]] bool has_rtcp_mux(std::size_t k) const {
    return rewrite_.sections[k].rtcp_mux.value_or(session_.sections[k].rtcp_mux);
  }

  [[nodiscard]] std::string rtcp_line(std::size_t k, bool with_address) const {
    const Media& media = session_.sections[k];
    const MediaRewrite& to = rewrite_.sections[k];
    std::string out = "a=rtcp:" + std::to_string(to.rtcp.number());
    if (!with_address) return out;
    const bool held =
        media.held_by_address && media.rtcp.address.is_unspecified() && !held_by_direction(k);
    const IpAddress address = held ? unspecified(to.address.family()) : to.address;
    return out.append(" ").append(net_type(address)) += address.text();
  }

  // Whether the section gets the relay's candidates.
  [[nodiscard]] bool adds_candidates(std::size_t k) const {
    return handling(k) == Handling::relayed && !session_.sections[k].ice_ufrag.empty() &&
           (rewrite_.ice == Ice::add || rewrite_.ice == Ice::relay_only ||
            rewrite_.ice == Ice::replace_relay);
  }

  // The related address is for diagnosis only and hides the real one (RFC 8839 section 5.1).
  void write_candidates(std::size_t k, std::string_view ending) {
    if (ending.empty()) ending = newline_;
    const Media& media = session_.sections[k];
    const MediaRewrite& to = rewrite_.sections[k];
    const std::string_view related = to.address.is_v4() ? "0.0.0.0" : "::";
    const auto add = [&](unsigned component, UdpPort port) {
      std::string line = "a=candidate:" + foundation(to.address) + ' ' + std::to_string(component);
      line += " UDP " + std::to_string(candidate_priority(component, rewrite_.prefer_relay));
      line += ' ' + to.address.text() + ' ' + std::to_string(port.number());
      write(line.append(" typ relay raddr ").append(related).append(" rport 9"), ending);
    };
    add(1, to.port);
    const bool separate = media.rtp && to.rtcp != to.port;
    const bool default_rtcp = media.candidates.empty() && !has_rtcp_mux(k);
    if (separate && (media.rtcp_candidates || default_rtcp)) add(2, to.rtcp);
  }

  // Whether to keep a candidate: the party's own, not the relay's from an earlier rewrite.
  [[nodiscard]] bool stays(std::size_t k, std::string_view value) const {
    if (rewrite_.ice == Ice::relay_only) return false;
    if (rewrite_.ice == Ice::replace_relay && equal_ignoring_case(candidate_type(value), "relay")) {
      return false;
    }
    const MediaRewrite& to = rewrite_.sections[k];
    const std::optional<Candidate> c = candidate(value);
    return !c || c->type != "relay" || c->address != to.address ||
           (c->port != to.port && c->port != to.rtcp);
  }

  const Session& session_;
  const Rewrite& rewrite_;
  std::size_t text_lines_;
  std::string_view newline_;
  std::optional<IpAddress> connection_;  // new address in the session's c=
  std::string_view old_connection_;      // the session's c= line as received
  std::string out_;
};

}  // namespace

std::string rewrite(const Session& session, const Rewrite& rewrite) {
  assert(rewrite.sections.size() == session.sections.size());
  return Writer(session, rewrite).run();
}

}  // namespace millrace::sdp
