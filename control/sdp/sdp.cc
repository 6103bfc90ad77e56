// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/sdp.h"

#include <algorithm>
#include <array>
#include <utility>

#include "control/sdp/sdp_text.h"
#include "dataplane/base/text.h"

namespace millrace::sdp {
namespace {

// ---- words ---------------------------------------------------------------------------------

enum class Transport : std::uint8_t { rtp, datagram, other };

Transport transport(std::string_view protocol) {
  static constexpr std::array<std::string_view, 6> kRtp = {
      "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"};
  static constexpr std::array<std::string_view, 7> kDatagram = {
      "udptl", "UDP/TLS/UDPTL", "UDP/DTLS/SCTP", "DTLS/SCTP", "UDP/BFCP", "UDP/TLS/BFCP", "udp"};
  const auto is = [&](std::string_view known) { return equal_ignoring_case(protocol, known); };
  if (std::ranges::any_of(kRtp, is)) return Transport::rtp;
  return std::ranges::any_of(kDatagram, is) ? Transport::datagram : Transport::other;
}

struct Codec {
  std::uint32_t payload_type;
  std::string_view name;
  std::uint32_t clock_hz;
};

// RFC 3551 section 6. G.722 samples at 16 kHz, yet its clock is 8000 (section 4.5.2).
constexpr std::array kStaticCodecs = {
    Codec{0, "PCMU/8000", 8000},    Codec{3, "GSM/8000", 8000},     Codec{4, "G723/8000", 8000},
    Codec{5, "DVI4/8000", 8000},    Codec{6, "DVI4/16000", 16000},  Codec{7, "LPC/8000", 8000},
    Codec{8, "PCMA/8000", 8000},    Codec{9, "G722/8000", 8000},    Codec{10, "L16/44100/2", 44100},
    Codec{11, "L16/44100", 44100},  Codec{12, "QCELP/8000", 8000},  Codec{13, "CN/8000", 8000},
    Codec{14, "MPA/90000", 90000},  Codec{15, "G728/8000", 8000},   Codec{16, "DVI4/11025", 11025},
    Codec{17, "DVI4/22050", 22050}, Codec{18, "G729/8000", 8000},   Codec{25, "CelB/90000", 90000},
    Codec{26, "JPEG/90000", 90000}, Codec{28, "nv/90000", 90000},   Codec{31, "H261/90000", 90000},
    Codec{32, "MPV/90000", 90000},  Codec{33, "MP2T/90000", 90000}, Codec{34, "H263/90000", 90000},
};

// ---- parse ---------------------------------------------------------------------------------

// `IN IP4 192.0.2.1` (RFC 8866 section 5.7).
Result<IpAddress> read_address(std::string_view value) {
  Fields fields(value);
  const std::string_view net = fields.next(), type = fields.next(), text = fields.next();
  const bool v4 = equal_ignoring_case(type, "IP4");
  if (!equal_ignoring_case(net, "IN") || (!v4 && !equal_ignoring_case(type, "IP6")) ||
      text.empty() || !fields.at_end()) {
    return fail(quote(value) +
                " is not a connection address; write IN IP4 ADDRESS or IN IP6 ADDRESS");
  }
  const Result<IpAddress> address = IpAddress::parse(text.substr(0, text.find('/')));
  if (!address) {
    return fail(quote(text) + " is not an IP address; write one, host names are not resolved");
  }
  if (address->is_v4() != v4) {
    return fail(quote(text) + " is not of the type " + std::string(type) + "; write " +
                (v4 ? "IP6 for IPv6" : "IP4 for IPv4"));
  }
  if (address->is_multicast_or_broadcast() || text.find('/') != text.npos) {
    return fail(quote(text) +
                " is multicast or broadcast, or has a TTL or count; write a unicast address");
  }
  return *address;
}

Result<std::vector<Line>> split(std::string_view body) {
  if (body.size() > kMaxBody) {
    const auto lines = std::ranges::count(body.substr(0, kMaxBody), '\n');
    return fail("line " + std::to_string(lines + 1) + ": the body has more than " +
                std::to_string(kMaxBody) + " bytes; shorten it");
  }
  constexpr std::size_t kUsual = 32;
  std::vector<Line> lines;
  lines.reserve(kUsual);
  while (!body.empty()) {
    const std::size_t end = body.find('\n');
    const std::size_t size = end == body.npos ? body.size() : end;
    const bool crlf = end != body.npos && size > 0 && body[size - 1] == '\r';
    const std::size_t text = size - (crlf ? 1 : 0);
    const std::size_t whole = end == body.npos ? size : size + 1;
    lines.push_back({body.substr(0, text), body.substr(text, whole - text)});
    if (lines.size() > kMaxLines) {
      return fail("line " + std::to_string(lines.size()) + ": too many lines; at most " +
                  std::to_string(kMaxLines) + " are accepted");
    }
    body.remove_prefix(whole);
  }
  return lines;
}

class Parser {
 public:
  Parser(std::string_view body, std::vector<Line> lines) : has_nul_(body.find('\0') != body.npos) {
    session_.lines = std::move(lines);
  }

  Result<Session> run() {
    const std::size_t count = text_lines(session_.lines);
    if (count == 0) return at(0, Error{"the body is empty; write v=0 first"});
    for (std::size_t i = 0; i < count; ++i) {
      if (auto ok = read_line(i); !ok) return at(i, ok.error());
    }
    session_.own_connection = connection_.has_value();
    for (std::size_t k = 0; k < session_.sections.size(); ++k) {
      auto ok = finish(session_.sections[k], pending_[k]);
      if (!ok) return at(session_.media_starts[k], ok.error());
    }
    return std::move(session_);
  }

 private:
  // State of a media section that finish() evaluates after its last line.
  struct Pending {
    std::optional<std::uint32_t> first_format;
    std::string format_fault;  // ignored in a rejected section (RFC 3264 section 6)
    std::optional<UdpPort> rtcp_port;
    std::optional<IpAddress> rtcp_address;
    CandidateList candidates;
  };

  static std::unexpected<Error> at(std::size_t line, const Error& error) {
    return fail("line " + std::to_string(line + 1) + ": " + error.message);
  }

  Result<void> read_line(std::size_t index) {
    const std::string_view text = session_.lines[index].text;
    if (auto ok = check_form(text); !ok) return ok;
    if (index == 0 && text != "v=0")
      return fail(quote(text) + " is the first line; write v=0 first");
    if (text.empty()) return {};
    const std::string_view value = text.substr(2);
    switch (text[0]) {
      case 'v':
      case 'o':
      case 's':
        return read_once(text[0]);
      case 'c':
        return read_connection(value);
      case 'm':
        return read_media(index, value);
      case 'a':
        read_attribute(attribute(value));
        return {};
      default:
        return {};
    }
  }

  [[nodiscard]] Result<void> check_form(std::string_view text) const {
    if (text.size() > kMaxLine) {
      return fail(std::to_string(text.size()) + " bytes; at most " + std::to_string(kMaxLine) +
                  " are accepted");
    }
    if (has_nul_ && text.find('\0') != text.npos) return fail("a NUL byte; remove it");
    if (text.find('\r') != text.npos)
      return fail("a CR within the line; end lines with CRLF or LF");
    if (text.empty()) return {};
    if (text.size() < 2 || text[0] < 'a' || text[0] > 'z' || text[1] != '=') {
      return fail(quote(text) + " is not of the form x=value, x a lower-case letter");
    }
    return {};
  }

  // v=, o= and s= occur once, before the first m=. A second v= would start another description.
  Result<void> read_once(char type) {
    const std::string name{type, '='};
    if (!session_.sections.empty()) return fail(name + " after m=; move it before the first m=");
    if (seen_.find(type) != seen_.npos) return fail("a second " + name + "; remove one");
    seen_ += type;
    return {};
  }

  Result<void> read_connection(std::string_view value) {
    if (!session_.sections.empty() && !session_.sections.back().relayable) {
      session_.sections.back().own_connection = true;
      return {};
    }
    const Result<IpAddress> address = read_address(value);
    if (!address) return fail(address.error().message);
    std::optional<IpAddress>& connection =
        session_.sections.empty() ? connection_ : session_.sections.back().connection;
    if (connection && *connection != *address) {
      return fail("a second c= in the same section, with another address; remove one");
    }
    connection = *address;
    if (!session_.sections.empty()) session_.sections.back().own_connection = true;
    return {};
  }

  // m=<media> <port>[/<count>] <protocol> <format> ...
  Result<void> read_media(std::size_t index, std::string_view value) {
    if (session_.sections.size() == kMaxSections) {
      return fail("too many m= lines; at most " + std::to_string(kMaxSections) + " are accepted");
    }
    Fields fields(value);
    Media media;
    Pending pending;
    media.ice_ufrag = ice_ufrag_;
    media.direction = direction_;
    media.type = fields.next();
    const std::string_view port = fields.next();
    media.protocol = fields.next();
    if (media.protocol.empty()) {
      return fail("m=" + quote(value) + " is too short; write m=audio 4000 RTP/AVP 0");
    }
    const Transport carried = transport(media.protocol);
    media.relayable = carried != Transport::other;
    media.rtp = carried == Transport::rtp;
    if (auto ok = read_port(media, port); !ok) return ok;
    if (media.rtp) read_formats(media, pending, fields);
    session_.media_starts.push_back(index);
    session_.sections.push_back(std::move(media));
    pending_.push_back(std::move(pending));
    return {};
  }

  // Of several ports, the first pair is relayed: rewrite() prints no count.
  static Result<void> read_port(Media& media, std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto port = decimal<std::uint16_t>(text.substr(0, slash));
    if (!port) return fail(quote(text) + " is not a port; write 0 to 65535");
    if (media.relayable && slash != text.npos &&
        decimal<std::uint16_t>(text.substr(slash + 1)).value_or(0) == 0) {
      return fail(quote(text) + " is not a port and a number of ports; write the port alone");
    }
    media.port = UdpPort(*port);
    return {};
  }

  static void read_formats(Media& media, Pending& pending, Fields fields) {
    if (fields.at_end()) pending.format_fault = "m= without formats; write its payload types";
    while (!fields.at_end()) {
      const std::string_view text = fields.next();
      const auto format = decimal<std::uint32_t>(text, 127);
      if (!format) {
        pending.format_fault = quote(text) + " is not a payload type; write 0 to 127";
        continue;
      }
      media.payload_types.set(*format);
      if (!pending.first_format) pending.first_format = format;
    }
    for (const Codec& codec : kStaticCodecs) {
      if (codec.payload_type != pending.first_format) continue;
      media.codec = codec.name;
      media.clock_hz = codec.clock_hz;
    }
  }

  void read_attribute(Attribute a) {
    if (session_.sections.empty()) {
      direction_ = direction_named(a.name).value_or(direction_);
      if (a.name == "ice-ufrag") ice_ufrag_ = a.value;
      session_.bundle |= a.name == "group" && equal_ignoring_case(Fields(a.value).next(), "BUNDLE");
      return;
    }
    Media& media = session_.sections.back();
    Pending& pending = pending_.back();
    if (!media.relayable) return;
    media.direction = direction_named(a.name).value_or(media.direction);
    if (a.name == "ice-ufrag") media.ice_ufrag = a.value;
    if (a.name == "remote-candidates") read_remote_candidates(media, a.value);
    media.bundle_only |= a.name == "bundle-only";
    if (a.name == "mid") media.mid = a.value;
    media.rtcp_mux |= media.rtp && (a.name == "rtcp-mux" || a.name == "rtcp-mux-only");
    if (a.name == "candidate") read_candidate(media, pending, a.value);
    if (a.name == "rtpmap") read_rtpmap(media, pending, a.value);
    if (a.name == "rtcp" && media.rtp) read_rtcp(pending, a.value);
  }

  // a=rtcp:<port> [IN IP4 <address>] (RFC 3605 section 2.1). An unusable one is ignored: it is
  // optional, and RTCP has a default port.
  static void read_rtcp(Pending& pending, std::string_view value) {
    Fields fields(value);
    const auto port = decimal<std::uint16_t>(fields.next());
    if (!port || *port == 0) return;
    std::optional<IpAddress> address;
    if (!fields.at_end()) {
      const Result<IpAddress> given = read_address(fields.rest());
      if (!given) return;
      address = *given;
    }
    pending.rtcp_port = UdpPort(*port);
    pending.rtcp_address = address;
  }

  // a=rtpmap:<payload type> <name>/<clock>[/<channels>]; a malformed one is ignored, except that
  // blocking DTMF must cover any telephone-event that the peer may understand.
  static void read_rtpmap(Media& media, const Pending& pending, std::string_view value) {
    static constexpr std::uint32_t kMaxClock = 1'000'000;
    Fields fields(value);
    const auto format = decimal<std::uint32_t>(fields.next(), 127);
    const std::string_view codec = fields.next();
    const std::size_t slash = codec.find('/');
    if (!format) return;
    if (equal_ignoring_case(codec.substr(0, slash), "telephone-event"))
      media.dtmf_types.set(*format);
    if (slash == codec.npos || format != pending.first_format) return;
    const std::string_view rest = codec.substr(slash + 1);
    const auto clock = decimal<std::uint32_t>(rest.substr(0, rest.find('/')), kMaxClock);
    if (!clock || *clock == 0) return;
    media.codec = codec;
    media.clock_hz = *clock;
  }

  // Host names (mDNS) and malformed candidates are ignored.
  static void read_candidate(Media& media, Pending& pending, std::string_view value) {
    const std::optional<Candidate> candidate = sdp::candidate(value);
    if (!candidate) return;
    media.rtcp_candidates |= candidate->component == 2;
    pending.candidates.add(*candidate);
  }

  // a=remote-candidates:<component> <address> <port> ... (RFC 8839 section 5.2)
  static void read_remote_candidates(Media& media, std::string_view value) {
    for (Fields fields(value); !fields.at_end(); fields.next()) {
      fields.next();
      const Result<IpAddress> address = IpAddress::parse(fields.next());
      if (address && media.remote_candidates.size() < kMaxCandidates) {
        media.remote_candidates.push_back(*address);
      }
    }
  }

  Result<void> finish(Media& media, Pending& pending) const {
    if (!media.relayable) return {};
    media.candidates = pending.candidates.take();
    if (!media.own_connection) media.connection = connection_;
    const bool rejected = media.port == UdpPort(0);
    if (!pending.format_fault.empty() && (!rejected || media.bundle_only)) {
      return fail(pending.format_fault);
    }
    if (!media.connection) {
      if (rejected) return {};
      return fail("m=" + std::string(media.type) +
                  " has no connection address; write c=IN IP4 ADDRESS below it");
    }
    media.held_by_address =
        media.connection->is_unspecified() && media.ice_ufrag.empty() && !rejected;
    if (media.rtp) {
      const UdpPort next = rejected ? UdpPort(0) : media.port.next();
      media.rtcp = {pending.rtcp_address.value_or(*media.connection),
                    pending.rtcp_port.value_or(next)};
    }
    return {};
  }

  Session session_;
  SmallVector<Pending, 1> pending_;      // of each section
  std::optional<IpAddress> connection_;  // session level
  Direction direction_ = Direction::sendrecv;
  std::string_view ice_ufrag_;  // session level
  std::string seen_;            // those of v=, o=, s= parsed so far
  const bool has_nul_;
};

}  // namespace

std::string_view static_codec(std::uint32_t payload_type) {
  const auto codec = std::ranges::find(kStaticCodecs, payload_type, &Codec::payload_type);
  return codec == kStaticCodecs.end() ? std::string_view() : codec->name;
}

Result<Session> parse(std::string_view body) {
  Result<std::vector<Line>> lines = split(body);
  if (!lines) return std::unexpected(lines.error());
  return Parser(body, std::move(*lines)).run();
}

}  // namespace millrace::sdp
