// SPDX-License-Identifier: BSD-3-Clause
// Parses rtpproxy commands into Requests.

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <span>
#include <utility>

#include "control/protocol/rtpp/rtpp.h"
#include "control/protocol/rtpp/rtpp_addresses.h"
#include "dataplane/base/text.h"

namespace millrace::rtpp {
namespace {

using Words = std::vector<std::string_view>;

constexpr std::size_t kMaxWords = 64;
// A reply with all of them fits the modules' buffer of 255 bytes.
constexpr std::size_t kMaxSubcommands = 4;

constexpr char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// Syntax of a verb: number of words, itself included, and position of its tags.
struct Syntax {
  char letter;
  Verb verb;
  std::size_t fewest, most;
  bool has_modifiers;
  std::size_t from_tag;  // 0: no call-id and tags; the to-tag follows
};

constexpr std::array<Syntax, 13> kVerbs = {{
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

// Modifiers of R, N and C, which are refused later.
std::optional<Refusal> refuse_record_modifier(Verb verb, std::string_view modifiers) {
  const std::string_view known = verb == Verb::record ? "S" : verb == Verb::copy ? "SP" : "A";
  for (std::size_t i = 0; i < modifiers.size(); ++i) {
    if (verb == Verb::record && i > 0) return Refusal::record_suffix;
    if (!known.contains(upper(modifiers[i]))) return Refusal::record_modifier;
  }
  return std::nullopt;
}

// Parses one command. Each step returns the error, if any.
class Parser {
 public:
  Parser(const Config& config, const std::optional<IpAddress>& peer)
      : config_(config), peer_(peer) {}

  [[nodiscard]] std::optional<Refusal> read(const Words& words);
  [[nodiscard]] bool read_subcommand(const Words& words);

  Command command;

 private:
  [[nodiscard]] std::optional<Refusal> read_modifiers(std::string_view modifiers);
  [[nodiscard]] std::optional<Refusal> read_media(std::string_view modifiers, const Words& words);
  [[nodiscard]] std::optional<Refusal> read_update_modifier(std::string_view& rest);
  [[nodiscard]] std::optional<Refusal> read_codecs(std::string_view& rest);
  [[nodiscard]] std::optional<Refusal> take_notification(Words& words);
  [[nodiscard]] bool read_next(std::string_view head, std::span<const std::string_view> own);
  [[nodiscard]] bool read_lookup(const Words& words);
  [[nodiscard]] bool read_setting(const Words& words);
  [[nodiscard]] bool read_copy(const Words& words);

  const Config& config_;
  const std::optional<IpAddress>& peer_;
  Words words_;  // of the command, without the notification's
  bool v6_ = false;
  bool has_codecs_ = false;
  int sides_ = 0;  // modifiers E and I so far
  NamedMedia media_;
};

std::optional<Refusal> Parser::read(const Words& words) {
  const std::string_view head = words.front();
  const auto* const syntax =
      std::ranges::find(kVerbs, upper(head.front()), [](const Syntax& s) { return s.letter; });
  if (syntax == kVerbs.end()) return Refusal::unknown_command;
  command.verb = syntax->verb;
  std::string_view modifiers = head.substr(1);
  std::size_t fewest = syntax->fewest, most = syntax->most;
  if (command.verb == Verb::version && !modifiers.empty() && upper(modifiers.front()) == 'F') {
    command.verb = Verb::feature;
    modifiers.remove_prefix(1);
    fewest = most = 2;
  }
  if (words.size() < fewest || words.size() > most) return Refusal::argument_count;
  if (!syntax->has_modifiers && !modifiers.empty()) return Refusal::modifiers;

  words_ = words;
  const Words& rest = words_;
  if (command.verb == Verb::update) {
    if (auto wrong = take_notification(words_)) return wrong;
  }
  Request& request = command.request;
  if (syntax->from_tag > 0) {
    const std::size_t mark = std::min(rest[1].find(';'), rest[1].size());
    request.call_id = rest[1].substr(0, mark);
    request.via_branch = rest[1].substr(std::min(mark + 1, rest[1].size()));
    const Tag from = split_tag(rest[syntax->from_tag]);
    request.from_tag = from.tag;
    command.media = from.media;
    request.claim = Claim::strong;
    if (command.verb == Verb::remove) request.removal.media = from.media;
    if (rest.size() > syntax->from_tag + 1) {
      const Tag to = split_tag(rest[syntax->from_tag + 1]);
      request.to_tag = to.tag;
      if (!command.media) command.media = to.media;
    }
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

// Parses the modifiers of all verbs but U and L.
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
      if (modifier != 'W') return Refusal::delete_modifier;
      to.request.claim = Claim::weak;
    } else if (const auto wrong = refuse_record_modifier(to.verb, modifiers)) {
      return wrong;
    }
  }
  return std::nullopt;
}

// Removes the notification's words from the end of U's. Kamailio before 5.8 sends the socket
// without a tag. Such a notification would identify no call: it is ignored.
std::optional<Refusal> Parser::take_notification(Words& words) {
  if (words.size() < 7) return std::nullopt;
  const bool no_tag =
      words.size() == 7 && is_notify_socket(words[6]) && !is_notify_socket(words[5]);
  const std::size_t at = words.size() - (no_tag ? 1 : 2);
  const std::string_view socket = words[at];
  const std::string_view quoted = no_tag ? std::string_view() : words[at + 1];
  words.resize(at);
  return no_tag ? std::nullopt : notify(command, socket, quoted, peer_);
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
  // The command has no media type. Codecs imply RTP.
  media_.type = has_codecs_ ? "audio" : "";
  media_.protocol = has_codecs_ ? "RTP/AVP" : "";
  const auto address = IpAddress::parse(words[2]);
  const auto port = decimal<std::uint16_t>(words[3]);
  if (!address || !port || address->is_v4() == v6_) return Refusal::invalid_address;
  media_.endpoint = {*address, UdpPort(*port)};
  request.sections = {media_};
  return std::nullopt;
}

// Takes one modifier, with its value, off the front of `rest`.
std::optional<Refusal> Parser::read_update_modifier(std::string_view& rest) {
  const char modifier = upper(rest.front());
  rest.remove_prefix(1);
  switch (modifier) {
    case 'A':
      command.request.latching.asymmetric = true;
      return std::nullopt;
    case 'S':
      command.request.latching.asymmetric = false;
      return std::nullopt;
    case 'W':
      command.request.claim = Claim::weak;
      return std::nullopt;
    case 'N':
      command.request.new_ports = true;
      return std::nullopt;
    case '6':
      v6_ = true;
      return std::nullopt;
    case 'E':
    case 'I':
      return bridge(modifier, sides_++, config_, command.request);
    case 'C':
      return read_codecs(rest);
    case 'Z': {  // accepted without effect: packets are not re-packetized
      const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
      const auto time = decimal<unsigned>(rest.substr(0, digits));
      rest.remove_prefix(digits);
      return time && *time > 0 && *time < 1000 ? std::nullopt : std::optional(Refusal::packet_time);
    }
    case 'L':
      command.request.placement.by_answer = command.verb == Verb::lookup;
      return choose_local(rest, config_, command.request);
    case 'R':
      command.request.placement.by_answer = command.verb == Verb::lookup;
      return choose_by_remote(rest, config_, command.request);
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

// A sub-command applies to the call and the tags of the main command.
bool Parser::read_subcommand(const Words& words) {
  const bool sets_up = command.verb == Verb::update || command.verb == Verb::lookup;
  if (words.empty() || command.then.size() == kMaxSubcommands) return false;
  if (!sets_up && command.verb != Verb::query) return false;
  switch (upper(words[0].front())) {
    case 'D':
      return words.size() == 1 && read_next(words[0], {});
    case 'L':
      return command.verb == Verb::update && read_lookup(words);
    case 'S':
      return sets_up && read_setting(words);
    case 'C':
      return sets_up && read_copy(words);
    default:
      return false;
  }
}

// Parses a sub-command as a whole command, with `own` between call-id and tags.
bool Parser::read_next(std::string_view head, std::span<const std::string_view> own) {
  Parser next(config_, peer_);
  Words words = {head, words_[1]};
  words.insert(words.end(), own.begin(), own.end());
  const std::size_t tags = command.verb == Verb::query ? 2 : 4;
  words.insert(words.end(), words_.begin() + static_cast<std::ptrdiff_t>(tags),
               words_.begin() + static_cast<std::ptrdiff_t>(std::min(tags + 2, words_.size())));
  if (next.read(words)) return false;
  command.then.push_back(std::move(next.command));
  return true;
}

// "L address port [socket tag]"; requires both tags in U.
bool Parser::read_lookup(const Words& words) {
  const bool looked_up = std::ranges::count(command.then, Verb::lookup, &Command::verb) > 0;
  if ((words.size() != 3 && words.size() != 5) || words_.size() < 6 || looked_up) return false;
  if (!read_next(words[0], std::span(words).subspan(1, 2))) return false;
  return words.size() == 3 || !notify(command.then.back(), words[3], words[4], peer_);
}

// "S ttl=SECONDS", "S tos=BYTE". "Sr" is the reverse direction; a call has one value for both.
bool Parser::read_setting(const Words& words) {
  const std::string_view head = words[0];
  if (words.size() != 2 || head.size() > 2 || (head.size() == 2 && upper(head[1]) != 'R')) {
    return false;
  }
  const auto value = decimal<std::uint32_t>(words[1].substr(std::min(words[1].size(), 4UL)));
  if (!value || *value == 0) return false;
  if (words[1].starts_with("ttl=")) {
    command.request.media_timeout = std::chrono::seconds(*value);
  } else if (words[1].starts_with("tos=") && *value <= 255) {
    command.request.dscp = static_cast<std::uint8_t>(*value >> 2);
  } else {
    return false;
  }
  command.then.emplace_back().verb = Verb::set;
  return true;
}

// "C call-id from-tag to-tag"
bool Parser::read_copy(const Words& words) {
  if (words.size() != 4 || words[0].size() != 1 || words_.size() < 6) return false;
  Command& copy = command.then.emplace_back();
  copy.verb = Verb::copy;
  copy.request.call_id = words[1];
  copy.request.from_tag = words[2];
  copy.request.to_tag = words[3];
  return true;
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
    if (!parser.read_subcommand(Words(at + 1, next))) {
      return std::unexpected(Refusal::subcommand);
    }
    at = next;
  }
  return std::move(parser.command);
}

}  // namespace millrace::rtpp
