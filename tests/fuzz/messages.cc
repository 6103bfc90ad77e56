// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/messages.h"

#include <algorithm>
#include <concepts>
#include <utility>
#include <vector>

#include "dataplane/host/neighbor.h"

namespace millrace::fuzz {
namespace {

using Words = std::string_view;

// Unlike the operands of +, those of << are evaluated from left to right by every compiler: an
// input has one meaning.
class Text {
 public:
  Text& operator<<(Words words) {
    text_ += words;
    return *this;
  }
  Text& operator<<(std::integral auto number) {
    text_ += std::to_string(number);
    return *this;
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

IpAddress ip(const char* text) { return IpAddress::parse(text).value(); }

constexpr std::array<Words, 4> kCalls{"c1", "c2", "c3", "c4"};
constexpr std::array<Words, 4> kTags{"A", "B", "C", "D"};

// A host, or an address that no host may have.
std::string host(Bits& bits) {
  constexpr std::array<Words, 6> kOdd{"0.0.0.0", "198.18.0.1", "127.0.0.1",
                                      "::",      "224.1.1.1",  "64:ff9b::198.18.0.10"};
  const std::uint8_t which = bits.byte();
  if (which >= 224) return std::string(kOdd[which % kOdd.size()]);
  const std::span<const Place> places = places_at(which % 4U);
  return places[which / 4U % places.size()].address.text();
}

std::string family(const std::string& address) {
  return address.find(':') == std::string::npos ? "IP4" : "IP6";
}
std::string connection(const std::string& address) {
  return "c=IN " + family(address) + " " + address + "\r\n";
}
std::string media_port(Bits& bits) {
  const std::uint8_t which = bits.byte();
  return which % 16 == 0 ? "0" : std::to_string(4000 + 2 * (which % 16));
}

std::string candidate(Bits& bits) {
  constexpr std::array<Words, 4> kTypes{"host", "srflx raddr 198.18.0.10 rport 9", "relay",
                                        "prflx"};
  const std::string address = host(bits);
  Text text;
  text << "candidate:" << bits.byte() % 8 << (bits.byte() % 2 == 0 ? " 1 udp " : " 2 udp ")
       << bits.word() << " " << address << " " << media_port(bits) << " typ " << bits.pick(kTypes);
  return text.take();
}

std::string section(Bits& bits) {
  constexpr std::array<Words, 4> kTypes{"audio", "video", "audio", "image"};
  constexpr std::array<Words, 6> kProtocols{"RTP/AVP",  "RTP/SAVPF", "UDP/TLS/RTP/SAVPF",
                                            "RTP/AVPF", "udptl",     "RTP/SAVP"};
  constexpr std::array<Words, 4> kFormats{"0 8 101", "96 97", "0", "t38"};
  constexpr std::array<Words, 16> kLines{"a=sendonly",
                                         "a=recvonly",
                                         "a=inactive",
                                         "a=sendrecv",
                                         "a=rtcp-mux",
                                         "a=rtcp-mux-only",
                                         "a=mid:0",
                                         "a=mid:1",
                                         "a=rtpmap:101 telephone-event/8000",
                                         "a=rtcp:4001",
                                         "a=rtpmap:96 opus/48000/2",
                                         "a=ice-ufrag:abcd",
                                         "a=ice-pwd:0123456789012345678901",
                                         "a=setup:actpass",
                                         "a=fmtp:96 useinbandfec=1",
                                         "b=AS:64"};
  Text text;
  text << "m=" << bits.pick(kTypes) << " " << media_port(bits) << " " << bits.pick(kProtocols)
       << " " << bits.pick(kFormats) << "\r\n";
  const std::uint8_t more = bits.byte();
  if (more % 4 == 0) text << connection(host(bits));
  for (unsigned i = 0; i < more / 4U % 8U; ++i) text << bits.pick(kLines) << "\r\n";
  for (unsigned i = 0; i < more / 32U % 4U; ++i) text << "a=" << candidate(bits) << "\r\n";
  return text.take();
}

std::string sdp(Bits& bits) {
  const std::string address = host(bits);
  const std::uint8_t shape = bits.byte();
  Text text;
  text << "v=0\r\no=- " << shape % 4 << " 1 IN " << family(address) << " " << address
       << "\r\ns=-\r\n"
       << connection(address) << "t=0 0\r\n";
  if (shape / 4 % 4 == 0) text << "a=group:BUNDLE 0 1\r\n";
  if (shape / 16 % 4 == 0) text << "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
  for (unsigned i = 0; i <= shape / 64U; ++i) text << section(bits);
  return text.take();
}

// A trickled body (RFC 8840).
std::string fragment(Bits& bits) {
  Text text;
  text << "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
  const std::uint8_t shape = bits.byte();
  for (unsigned m = 0; m <= shape % 2U; ++m) {
    text << "m=audio 9 RTP/AVP 0\r\na=mid:" << m << "\r\n";
    for (unsigned i = 0; i < shape / 2U % 8U; ++i) text << "a=" << candidate(bits) << "\r\n";
  }
  if (shape / 16 % 2 != 0) text << "a=end-of-candidates\r\n";
  return text.take();
}

std::string benc(Words text) { return std::to_string(text.size()) + ":" + std::string(text); }
std::string pair(Words key, Words value) { return benc(key) + benc(value); }

std::string list(Bits& bits, Words key, std::span<const Words> of) {
  Text text;
  text << benc(key) << "l";
  for (unsigned i = bits.byte() % 4U; i > 0; --i) text << benc(of[bits.byte() % of.size()]);
  text << "e";
  return text.take();
}

std::string number(Words key, int value) { return benc(key) + "i" + std::to_string(value) + "e"; }

// One of the keys beside those that name the call.
std::string ng_key(Bits& bits) {
  static constexpr std::array<Words, 18> kFlags{
      "sip-source-address", "asymmetric",   "to-tag",        "fatal", "provisional",  "fragment",
      "media-handover",     "NAT-wait",     "pierce-NAT",    "reset", "all",          "new-branch",
      "generate-mid",       "loop-protect", "strict-source", "fast",  "single-codec", "internal"};
  static constexpr std::array<Words, 6> kReplace{
      "origin", "session-connection", "zero-address", "SDP-version", "username", "session-name"};
  static constexpr std::array<Words, 5> kMux{"offer", "require", "demux", "accept", "reject"};
  static constexpr std::array<Words, 7> kIce{"remove",   "force",    "force-relay", "default",
                                             "optional", "nonsense", "only-relay"};
  static constexpr std::array<Words, 4> kProtocols{"RTP/AVP", "RTP/SAVPF", "accept", "RTP/AVPF"};
  static constexpr std::array<Words, 3> kInterfaces{"core", "edge", "none"};
  static constexpr std::array<Words, 4> kBundle{"accept", "require", "strict", "offer"};
  switch (bits.byte() % 16) {
    case 0:
    case 1:
      return list(bits, "flags", kFlags);
    case 2:
      return list(bits, "replace", kReplace);
    case 3:
      return list(bits, "rtcp-mux", kMux);
    case 4:
      return pair("ICE", bits.pick(kIce));
    case 5:
      return pair("transport-protocol", bits.pick(kProtocols));
    case 6: {
      const std::string address = host(bits);
      return benc("received-from") + "l" + benc(family(address)) + benc(address) + "e";
    }
    case 7:
    case 8: {
      const std::uint8_t which = bits.byte();
      return benc("direction") + "l" + benc(kInterfaces[which % 3U]) +
             benc(kInterfaces[which / 3U % 3U]) + "e";
    }
    case 9:
      return pair("address-family", bits.byte() % 2 == 0 ? "IP4" : "IP6");
    case 10:
      return number("delete-delay", bits.byte() % 4 * 10);
    case 11:
      return pair("via-branch", bits.byte() % 2 == 0 ? "b1" : "b2");
    case 12:
      return pair("media-address", host(bits));
    case 13:
      return pair("address", host(bits));
    case 14:
      return list(bits, "bundle", kBundle);
    default:
      return number("sip-code", 180 + bits.byte());
  }
}

std::string ng(Bits& bits) {
  static constexpr std::array<Words, 18> kCommands{
      "offer",       "answer",        "offer",         "answer",
      "offer",       "answer",        "delete",        "query",
      "block media", "unblock media", "silence media", "unsilence media",
      "block DTMF",  "unblock DTMF",  "list",          "statistics",
      "ping",        "offer"};
  const Words command = bits.pick(kCommands);
  const std::uint8_t who = bits.byte();
  Text text;
  text << "7 d" << pair("command", command) << pair("call-id", kCalls[who % 4U])
       << pair("from-tag", kTags[who / 4U % 4U]);
  if (command == "answer" || who >= 128) text << pair("to-tag", kTags[who / 16U % 4U]);
  const std::uint8_t keys = bits.byte();
  if (command == "offer" || command == "answer") {
    const bool trickles = keys % 8 == 0;
    text << pair("sdp", trickles ? fragment(bits) : sdp(bits));
    if (trickles) text << benc("flags") << "l" << benc("fragment") << "e";
  }
  for (unsigned i = 0; i < keys / 8U % 4U; ++i) text << ng_key(bits);
  text << "e";
  return text.take();
}

std::string rtpp(Bits& bits) {
  static constexpr std::array<Words, 12> kCommands{"U", "L", "U", "L", "D", "Q",
                                                   "I", "G", "X", "V", "P", "R"};
  static constexpr std::array<Words, 10> kModifiers{"",   "S",  "A",      "W",   "6",
                                                    "EI", "IE", "c0,101", "Z20", "6EI"};
  static constexpr std::array<Words, 5> kMore{"", " && D", " && L 203.0.113.20 5000", " && S ttl=1",
                                              " && S tos=184"};
  const Words command = bits.pick(kCommands);
  const std::uint8_t who = bits.byte();
  const std::string call = " " + std::string(kCalls[who % 4U]) + (who >= 192 ? ";b1" : "");
  const std::string media = who / 64 % 2 == 0 ? ";1" : ";2";
  const std::string from = " " + std::string(kTags[who / 4U % 4U]) + media;
  const std::string to = " " + std::string(kTags[who / 16U % 4U]) + media;
  Text text;
  text << "17 " << command;
  if (command == "U" || command == "L") {
    text << bits.pick(kModifiers) << call << " " << host(bits) << " " << media_port(bits) << from;
    if (command == "L" || bits.byte() % 2 == 0) text << to;
    text << bits.pick(kMore);
  } else if (command == "D" || command == "Q" || command == "R") {
    text << (command == "D" && who % 2 == 0 ? "w" : "") << call << from << to;
  } else if (command == "P") {
    text << call << " file 0" << from << to;
  }
  text << "\n";
  return text.take();
}

std::string mediaproxy(Bits& bits) {
  static constexpr std::array<Words, 4> kDirections{"sendrecv", "sendonly", "recvonly", "inactive"};
  const std::uint8_t which = bits.byte();
  if (which % 16 == 15) return "summary\r\n";
  if (which % 16 == 14) return "sessions\r\n";
  const bool removes = which % 16 >= 11;
  const std::uint8_t who = bits.byte();
  Text text;
  text << (removes ? "remove" : "update") << "\r\ncall_id: " << kCalls[who % 4U]
       << "\r\nfrom_tag: " << kTags[who / 4U % 4U] << "\r\n";
  if (which >= 64) text << "to_tag: " << kTags[who / 16U % 4U] << "\r\n";
  if (!removes) {
    text << "type: " << (which % 2 == 0 ? "request" : "reply") << "\r\ncseq: " << 1 + which / 64
         << "\r\nsignaling_ip: " << host(bits) << "\r\nmedia: ";
    for (unsigned i = 0; i <= which / 16U % 4U; ++i) {
      text << (i == 0 ? "audio:" : ",video:") << host(bits) << ":" << media_port(bits) << ":"
           << bits.pick(kDirections) << (bits.byte() % 2 == 0 ? ":ice=no" : ":ice=yes");
    }
    text << "\r\n";
  }
  text << "\r\n";
  return text.take();
}

}  // namespace

std::span<const Place> places_at(std::size_t media_address) {
  static const IpAddress gateway = ip("198.18.0.254"), gateway6 = ip("fe80::fe");
  static const std::array<std::vector<Place>, 4> kPlaces{
      std::vector<Place>{{ip("198.18.0.10"), ip("198.18.0.10"), 1},
                         {ip("192.0.2.9"), gateway, 2},
                         {ip("192.0.2.66"), gateway, 2},
                         {ip("198.18.0.99"), ip("198.18.0.99"), 3, false}},
      std::vector<Place>{{ip("2001:db8:a::10"), ip("2001:db8:a::10"), 1},
                         {ip("2400:cafe::9"), gateway6, 2},
                         {ip("2400:cafe::66"), gateway6, 2}},
      std::vector<Place>{{ip("203.0.113.20"), ip("203.0.113.20"), 4},
                         {ip("203.0.113.66"), ip("203.0.113.66"), 5},
                         {ip("203.0.113.99"), ip("203.0.113.99"), 6, false}},
      std::vector<Place>{{ip("2001:db8:b::20"), ip("2001:db8:b::20"), 4},
                         {ip("2001:db8:b::66"), ip("2001:db8:b::66"), 5}}};
  return kPlaces[media_address % kPlaces.size()];
}

bool asks_for(const test::Bytes& frame, const IpAddress& address) {
  const std::uint16_t type = test::get16(frame, 12);
  const bool arp = type == 0x0806 && frame.size() >= 42 && frame[21] == std::byte{1};
  const bool nd = type == 0x86dd && frame.size() >= 78 && frame[54] == std::byte{135};
  if (!arp && !nd) return false;
  const test::Bytes whole = test::bytes_of(address);
  const std::span<const std::byte> wanted = std::span(whole).subspan(arp ? 12 : 0);
  return std::ranges::equal(std::span(frame).subspan(arp ? 38 : 62, wanted.size()), wanted);
}

Message make_message(Bits& bits) {
  const std::uint8_t how = bits.byte();
  constexpr std::array kProtocols{ControlProtocol::ng, ControlProtocol::ng, ControlProtocol::rtpp,
                                  ControlProtocol::mediaproxy};
  Message message{.protocol = kProtocols[how % 4U], .text = {}, .peer = {}};
  if (how / 4 % 16 == 15) {
    message.text = bits.text(bits.word() % 1024U);
  } else if (message.protocol == ControlProtocol::ng) {
    message.text = ng(bits);
  } else {
    message.text = message.protocol == ControlProtocol::rtpp ? rtpp(bits) : mediaproxy(bits);
  }
  const bool datagram = message.protocol == ControlProtocol::rtpp || how >= 128;
  if (datagram) message.peer = IpAddress::v4(127, 0, 0, 1);
  return message;
}

}  // namespace millrace::fuzz
