// SPDX-License-Identifier: BSD-3-Clause
// The commands of the rtpproxy protocol: words to a Request.

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <span>
#include <utility>

#include "control/log.h"
#include "control/protocol/notification.h"
#include "control/protocol/rtpp.h"

namespace millrace::rtpp {
namespace {

using Words = std::vector<std::string_view>;

constexpr std::size_t kMaxWords = 64;
constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kSelf = "%%CC_SELF%%";

constexpr char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// What a verb takes: how many words, itself included, and where its tags are.
struct Shape {
  char letter;
  Verb verb;
  std::size_t fewest, most;
  bool has_modifiers;
  std::size_t from_tag;  // 0: it names no call; the to-tag follows
};

constexpr std::array<Shape, 13> kShapes = {{
    {'V', Verb::version, 1, 1, false, 0},
    {'U', Verb::update, 5, 8, true, 4},
    {'L', Verb::lookup, 5, 6, true, 4},
    {'D', Verb::remove, 3, 4, true, 2},
    {'Q', Verb::query, 3, 4 + 16, true, 2},
    {'I', Verb::info, 1, 1, true, 0},
    {'G', Verb::statistics, 1, 1 + 32, true, 0},
    {'X', Verb::remove_all, 1, 1, false, 0},
    {'P', Verb::play, 5, 6, true, 4},
    {'S', Verb::stop_play, 3, 4, false, 2},
    {'R', Verb::record, 3, 4, true, 2},
    {'N', Verb::stop_record, 3, 4, true, 2},
    {'C', Verb::copy, 4, 5, true, 3},
}};

struct Tag {
  std::string_view tag;
  std::optional<unsigned> media;  // ";N" at its end
};

Tag split_tag(std::string_view text) {
  const std::size_t mark = text.rfind(';');
  if (mark == std::string_view::npos) return {text, std::nullopt};
  const auto media = decimal<unsigned>(text.substr(mark + 1));
  return media ? Tag{text.substr(0, mark), media} : Tag{text, std::nullopt};
}

// "%41b" is "Ab"; nothing if a '%' is not followed by two hexadecimal digits.
std::optional<std::string> unquote(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    if (text.front() != '%') {
      result += text.front();
      text.remove_prefix(1);
      continue;
    }
    unsigned value = 0;
    if (text.size() < 3) return std::nullopt;
    const auto [end, error] = std::from_chars(text.begin() + 1, text.begin() + 3, value, 16);
    if (error != std::errc{} || end != text.begin() + 3) return std::nullopt;
    result += static_cast<char>(value);
    text.remove_prefix(3);
  }
  return result;
}

bool is_notify_socket(std::string_view text) {
  return text.starts_with("unix:") || text.starts_with("tcp:");
}

// Reads one command; each step returns what is wrong with it.
class Parser {
 public:
  Parser(const Config& config, const std::optional<IpAddress>& peer)
      : config_(config), peer_(peer) {}

  [[nodiscard]] std::optional<Refusal> read(const Words& words);
  [[nodiscard]] std::optional<Refusal> read_subcommand(std::span<const std::string_view> words);

  Command command;

 private:
  [[nodiscard]] std::optional<Refusal> read_modifiers(std::string_view modifiers);
  [[nodiscard]] std::optional<Refusal> read_media(std::string_view modifiers, const Words& words);
  [[nodiscard]] std::optional<Refusal> read_update_modifier(std::string_view& rest);
  [[nodiscard]] std::optional<Refusal> read_codecs(std::string_view& rest);
  [[nodiscard]] std::optional<Refusal> read_bridge(char side);
  [[nodiscard]] std::optional<Refusal> read_local(std::string_view& rest, bool by_remote);
  [[nodiscard]] std::optional<Refusal> read_notification(Words& words);
  [[nodiscard]] const Interface* named(std::string_view name) const;

  const Config& config_;
  const std::optional<IpAddress>& peer_;
  bool v6_ = false;
  bool has_codecs_ = false;
  int sides_ = 0;  // how many E and I there were
  NamedMedia media_;
};

std::optional<Refusal> Parser::read(const Words& words) {
  const std::string_view head = words.front();
  const auto* const shape =
      std::ranges::find(kShapes, upper(head.front()), [](const Shape& s) { return s.letter; });
  if (shape == kShapes.end()) return Refusal::unknown_command;
  command.verb = shape->verb;
  std::string_view modifiers = head.substr(1);
  std::size_t fewest = shape->fewest, most = shape->most;
  if (command.verb == Verb::version && !modifiers.empty() && upper(modifiers.front()) == 'F') {
    command.verb = Verb::feature;
    modifiers.remove_prefix(1);
    fewest = most = 2;
  }
  if (words.size() < fewest || words.size() > most) return Refusal::argument_count;
  if (!shape->has_modifiers && !modifiers.empty()) return Refusal::modifiers;

  Words rest = words;
  if (command.verb == Verb::update) {
    if (auto wrong = read_notification(rest)) return wrong;
  }
  Request& request = command.request;
  if (shape->from_tag > 0) {
    const std::size_t mark = std::min(rest[1].find(';'), rest[1].size());
    request.call_id = rest[1].substr(0, mark);
    request.via_branch = rest[1].substr(std::min(mark + 1, rest[1].size()));
    const Tag from = split_tag(rest[shape->from_tag]);
    request.from_tag = from.tag;
    command.media = from.media;
    if (rest.size() > shape->from_tag + 1)
      request.to_tag = split_tag(rest[shape->from_tag + 1]).tag;
  }
  if (command.verb == Verb::update || command.verb == Verb::lookup) {
    return read_media(modifiers, rest);
  }
  if (command.verb == Verb::feature || command.verb == Verb::statistics) {
    command.names.assign(rest.begin() + 1, rest.end());
  } else if (command.verb == Verb::query && rest.size() > 4) {
    command.names.assign(rest.begin() + 4, rest.end());
  }
  return read_modifiers(modifiers);
}

// Those of all verbs but U and L.
std::optional<Refusal> Parser::read_modifiers(std::string_view modifiers) {
  Command& to = command;
  if (to.verb == Verb::play) {
    return modifiers.empty() || decimal<int>(modifiers) ? std::nullopt
                                                        : std::optional(Refusal::play_count);
  }
  for (const char c : modifiers) {
    const char modifier = upper(c);
    if (to.verb == Verb::query || to.verb == Verb::statistics) {
      if (modifier != 'V') {
        return to.verb == Verb::query ? Refusal::query_modifier : Refusal::statistics_modifier;
      }
      to.verbose = true;
    } else if (to.verb == Verb::info) {
      if (modifier != 'B' && modifier != 'L') return Refusal::info_modifier;
      (modifier == 'B' ? to.brief : to.load) = true;
    } else if (to.verb == Verb::remove) {
      return Refusal::delete_modifier;
    } else if (modifiers.size() > 1 || (modifier != 'S' && modifier != 'A' && modifier != 'P')) {
      return Refusal::record_modifier;
    }
  }
  // Media go one by one by a re-offer, not by D.
  if (to.verb == Verb::remove && to.media) return Refusal::delete_modifier;
  return std::nullopt;
}

// Takes the notification's words off the end of U's. Kamailio before 5.8 sends the socket without
// a tag, which would say nothing to anybody: it is left out.
std::optional<Refusal> Parser::read_notification(Words& words) {
  if (words.size() < 7) return std::nullopt;
  const bool no_tag =
      words.size() == 7 && is_notify_socket(words[6]) && !is_notify_socket(words[5]);
  const std::size_t at = words.size() - (no_tag ? 1 : 2);
  const std::string_view socket = words[at];
  const std::string_view quoted = no_tag ? std::string_view() : words[at + 1];
  words.resize(at);
  if (no_tag) return std::nullopt;

  auto tag = unquote(quoted);
  if (!tag || !notification::is_one_line(*tag)) return Refusal::tag_encoding;
  if (!is_notify_socket(socket)) {
    log_name_once("notify-socket-ignored", socket);
    return std::nullopt;
  }
  std::string whole(socket);
  if (const std::size_t self = whole.find(kSelf); self != std::string::npos) {
    const IpAddress controller = peer_.value_or(IpAddress::v4(127, 0, 0, 1));
    whole.replace(self, kSelf.size(),
                  controller.is_v4() ? controller.text() : "[" + controller.text() + "]");
  }
  command.owned.reserve(2);  // views of its strings are taken
  command.request.notify_socket = command.owned.emplace_back(std::move(whole));
  command.request.notify_tag = command.owned.emplace_back(std::move(*tag));
  return std::nullopt;
}

std::optional<Refusal> Parser::read_media(std::string_view modifiers, const Words& words) {
  Request& request = command.request;
  request.command =
      command.verb == Verb::update ? millrace::Command::offer : millrace::Command::answer;
  request.supports_load_limit = true;
  while (!modifiers.empty()) {
    if (auto wrong = read_update_modifier(modifiers)) return wrong;
  }
  media_.index = command.media.value_or(1);
  // Nobody says of what kind the media is. Codecs are told of RTP alone.
  media_.type = has_codecs_ ? "audio" : "";
  media_.protocol = has_codecs_ ? "RTP/AVP" : "";
  const auto address = IpAddress::parse(words[2]);
  const auto port = decimal<std::uint16_t>(words[3]);
  if (!address || !port || address->is_v4() == v6_) return Refusal::invalid_address;
  media_.endpoint = {*address, UdpPort(*port)};
  request.medias = {media_};
  return std::nullopt;
}

// Takes one modifier, with what belongs to it, off the front of `rest`.
std::optional<Refusal> Parser::read_update_modifier(std::string_view& rest) {
  const char modifier = upper(rest.front());
  rest.remove_prefix(1);
  switch (modifier) {
    case 'A':
      command.request.asymmetric = true;
      return std::nullopt;
    case 'S':
      command.request.asymmetric = false;
      return std::nullopt;
    case '6':
      v6_ = true;
      return std::nullopt;
    case 'E':
    case 'I':
      return read_bridge(modifier);
    case 'C':
      return read_codecs(rest);
    case 'Z': {  // packets are forwarded as they are, whatever the packet time
      const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
      const auto time = decimal<unsigned>(rest.substr(0, digits));
      rest.remove_prefix(digits);
      return time && *time > 0 && *time < 1000 ? std::nullopt : std::optional(Refusal::packet_time);
    }
    case 'L':
      return read_local(rest, false);
    case 'R':
      return read_local(rest, true);
    default:
      return Refusal::unknown_modifier;
  }
}

std::optional<Refusal> Parser::read_codecs(std::string_view& rest) {
  const std::size_t size = std::min(rest.find_first_not_of("0123456789,"), rest.size());
  std::string_view list = rest.substr(0, size);
  rest.remove_prefix(size);
  if (list.empty() || has_codecs_) return Refusal::codecs;
  has_codecs_ = true;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const auto type = decimal<unsigned>(list.substr(0, comma));
    if (comma > 0 && (!type || *type >= media_.payload_types.size())) return Refusal::codecs;
    if (type) media_.payload_types.set(*type);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return std::nullopt;
}

const Interface* Parser::named(std::string_view name) const {
  const auto found = std::ranges::find(config_.interfaces, name, &Interface::name);
  return found == config_.interfaces.end() ? nullptr : &*found;
}

// The first letter is the side of the sender, the second one that of the other party. Inside is the
// interface of that name, else the first that is not "external"; outside likewise.
std::optional<Refusal> Parser::read_bridge(char side) {
  const Refusal refusal = side == 'E' ? Refusal::external : Refusal::internal;
  if (sides_ == 2 || config_.interfaces.size() < 2) return refusal;
  const Interface* inside = named("internal");
  const Interface* outside = named("external");
  for (const Interface& interface : config_.interfaces) {
    if (inside == nullptr && &interface != outside) inside = &interface;
  }
  for (const Interface& interface : config_.interfaces) {
    if (outside == nullptr && &interface != inside) outside = &interface;
  }
  const Interface* chosen = side == 'E' ? outside : inside;
  if (chosen == nullptr) return refusal;
  if (sides_ == 0) {
    command.request.from_interface = chosen->name;
    if (command.request.to_interface.empty()) command.request.to_interface = inside->name;
  } else {
    command.request.to_interface = chosen->name;
  }
  ++sides_;
  return std::nullopt;
}

// L: the interface with that address, or of that {name}, serves both sides; R: the one that reaches
// that address.
std::optional<Refusal> Parser::read_local(std::string_view& rest, bool by_remote) {
  const Refusal malformed = by_remote ? Refusal::remote_address : Refusal::local_address;
  const Interface* chosen = nullptr;
  if (!by_remote && rest.starts_with('{')) {
    const std::size_t end = rest.find('}');
    if (end == std::string_view::npos || end == 1) return malformed;
    chosen = named(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
  } else {
    // "[v6]", or an IPv4 address bare.
    const bool brackets = rest.starts_with('[');
    const std::size_t size =
        brackets ? rest.find(']') : std::min(rest.find_first_not_of("0123456789."), rest.size());
    if (size == std::string_view::npos || size == 0) return malformed;
    const auto address =
        IpAddress::parse(brackets ? rest.substr(1, size - 1) : rest.substr(0, size));
    rest.remove_prefix(brackets ? size + 1 : size);
    if (!address || address->is_v4() == brackets) return malformed;
    for (std::size_t i = 0; i < config_.interfaces.size() && chosen == nullptr; ++i) {
      const Interface& interface = config_.interfaces[i];
      const InterfaceConfig& device = config_.dataplane.interfaces[i];
      const bool here =
          by_remote ? std::ranges::any_of(device.addresses,
                                          [&](const Prefix& p) { return p.contains(*address); })
                    : std::ranges::count(interface.advertised, *address) > 0 ||
                          std::ranges::count(interface.addresses, *address) > 0;
      if (here) chosen = &interface;
    }
    if (!by_remote) command.request.from_local = command.request.to_local = *address;
    for (std::size_t i = 0; i < config_.interfaces.size() && by_remote && chosen == nullptr; ++i) {
      const auto& gateways = config_.dataplane.interfaces[i].gateways;
      if (std::ranges::count(gateways, address->family(), &IpAddress::family) > 0) {
        chosen = &config_.interfaces[i];
      }
    }
  }
  if (chosen == nullptr) return by_remote ? Refusal::no_local_for_remote : Refusal::unknown_local;
  command.request.from_interface = command.request.to_interface = chosen->name;
  return std::nullopt;
}

std::optional<Refusal> Parser::read_subcommand(std::span<const std::string_view> words) {
  const bool takes =
      command.verb == Verb::update || command.verb == Verb::lookup || command.verb == Verb::query;
  if (!takes || words.size() != 1 || (words[0] != "D" && words[0] != "d") || command.then_remove) {
    return Refusal::subcommand;
  }
  command.then_remove = true;
  return std::nullopt;
}

Words split(std::string_view text) {
  Words words;
  while (words.size() <= kMaxWords) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
    if (text.empty()) break;
    const std::size_t end = std::min(text.find_first_of(kSpace), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

}  // namespace

std::expected<Command, Refusal> parse(std::string_view text, const Config& config,
                                      const std::optional<IpAddress>& peer) {
  const Words words = split(text);
  auto at = std::ranges::find(words, "&&");
  if (at == words.begin()) return std::unexpected(Refusal::empty);
  if (words.size() > kMaxWords) return std::unexpected(Refusal::argument_count);
  Parser parser(config, peer);
  if (auto wrong = parser.read(Words(words.begin(), at))) return std::unexpected(*wrong);
  while (at != words.end()) {
    const auto next = std::find(at + 1, words.end(), "&&");
    if (auto wrong = parser.read_subcommand(std::span(at + 1, next))) {
      return std::unexpected(*wrong);
    }
    at = next;
  }
  return std::move(parser.command);
}

}  // namespace millrace::rtpp
