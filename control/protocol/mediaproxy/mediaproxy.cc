// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/mediaproxy/mediaproxy.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/log.h"
#include "dataplane/base/text.h"

namespace millrace::mediaproxy {
namespace {

using Command = Message::Command;

constexpr std::array<std::pair<std::string_view, Command>, 5> kManagement = {
    {{"summary", Command::summary},
     {"sessions", Command::sessions},
     {"version", Command::version},
     {"quit", Command::quit},
     {"exit", Command::quit}}};

// Mandatory headers of an update; a remove requires the first only.
constexpr std::array<std::string_view, 4> kRequired = {"call_id", "from_tag", "type", "cseq"};
using Seen = std::bitset<kRequired.size()>;

constexpr std::string_view kError = "error\r\n";

std::optional<Command> management(std::string_view line) {
  const auto* found =
      std::ranges::find(kManagement, line, [](const auto& row) { return row.first; });
  return found == kManagement.end() ? std::nullopt : std::optional(found->second);
}

// Takes the first line off `text`; returns it without its ending.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Takes the field after the last colon of `text` off, and the colon.
std::string_view last_field(std::string_view& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return std::exchange(text, {});
  const std::string_view field = text.substr(colon + 1);
  text = text.substr(0, colon);
  return field;
}

// SDP allows a host name in c=. It is not resolved: the source of the SIP message stands for it.
bool is_host(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

// type:address:port:direction[:name=value]...; an IPv6 address has colons too. Of the parameters,
// `ice` counts.
Result<NamedMedia> read_stream(std::string_view text) {
  const auto wrong = [all = text](std::string_view what) {
    return fail("media: " + quote(all) + ": " + std::string(what) +
                "; write audio:192.0.2.1:4000:sendrecv:ice=no");
  };
  NamedMedia media;
  const std::size_t colon = text.find(':');
  media.type = text.substr(0, colon);
  if (colon == text.npos || media.type.empty()) return wrong("no media type");
  text.remove_prefix(colon + 1);
  std::string_view direction = last_field(text);
  while (!text.empty() && (direction.empty() || direction.contains('='))) {
    if (direction.starts_with("ice=")) media.ice = direction == "ice=yes";
    direction = last_field(text);
  }
  const auto port = decimal<std::uint16_t>(last_field(text));
  const auto address = IpAddress::parse(text);
  if (!port) return wrong("not a port");
  if (!address && !is_host(text)) return wrong("not an address");
  media.host = !address;
  media.endpoint = {address.value_or(IpAddress::v4(0, 0, 0, 0)), UdpPort(*port)};
  media.sends = direction != "recvonly" && direction != "inactive";
  media.receives = direction != "sendonly" && direction != "inactive";
  return media;
}

Result<void> read_media(std::string_view list, Request& request) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (comma == 0) {
      list.remove_prefix(1);
      continue;
    }
    auto media = read_stream(list.substr(0, comma));
    if (!media) return std::unexpected(media.error());
    media->index = static_cast<unsigned>(request.sections.size() + 1);
    if (media->index > kMaxStreams) {
      return fail("media: more than " + std::to_string(kMaxStreams) + " streams");
    }
    request.sections.push_back(*media);
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return {};
}

// An optional address: a malformed one is logged once and ignored.
std::optional<IpAddress> hint(std::string_view name, std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (auto address = IpAddress::parse(text)) return *address;
  log_name_once("address-ignored", std::string(name) + ": " + quote(text));
  return std::nullopt;
}

// Source address of the SIP message and, if present, the local address that received it: `source`,
// `source_local`, or a JSON object with signaling_ip, destination_ip and username.
void read_signaling(std::string_view text, Message& message) {
  Request& request = message.request;
  if (!text.starts_with('{')) {
    const std::size_t bar = text.find('_');
    request.latching.received_from = hint("signaling_ip", text.substr(0, bar));
    if (bar != text.npos) request.placement.from_local = hint("signaling_ip", text.substr(bar + 1));
    return;
  }
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    log_name_once("address-ignored", "signaling_ip: " + quote(text));
    return;
  }
  const auto member = [&](const char* name) -> std::string {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
  };
  request.latching.received_from = hint("signaling_ip", member("signaling_ip"));
  request.placement.from_local = hint("destination_ip", member("destination_ip"));
  message.username = std::make_unique<std::string>(member("username"));
  request.labels.username = *message.username;
}

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): a key and its value
Result<void> read_header(std::string_view name, std::string_view value, Message& message) {
  Request& request = message.request;
  if (name == "call_id") {
    request.call_id = value;
  } else if (name == "from_tag") {
    request.from_tag = value;
  } else if (name == "to_tag") {
    request.to_tag = value;
  } else if (name == "from_uri") {
    request.labels.from_uri = value;
  } else if (name == "to_uri") {
    request.labels.to_uri = value;
  } else if (name == "user_agent") {
    request.labels.user_agent = value;
  } else if (name == "dialog_id") {
    request.notify.dialog_id = value;
  } else if (name == "signaling_ip") {
    read_signaling(value, message);
  } else if (name == "media_relay") {
    request.placement.to_local = hint("media_relay", value);
  } else if (name == "media") {
    request.sections.clear();
    return read_media(value, request);
  } else if (name == "cseq") {
    const auto cseq = decimal<std::uint32_t>(value);
    if (!cseq) return fail("cseq: " + quote(value) + " is not a number");
    request.sip.cseq = *cseq;
  } else if (name == "type") {
    if (value != "request" && value != "reply") {
      return fail("type: " + quote(value) + "; write request or reply");
    }
    request.sip.by_reply = value == "reply";
  } else {
    log_name_once("unknown-key-ignored", name);
  }
  return {};
}

Result<void> read_headers(std::string_view text, Message& message, Seen& seen) {
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (line.empty()) continue;
    const std::size_t colon = line.find(':');
    if (colon == line.npos) return fail(quote(line) + " is not a header; write name: value");
    const std::string_view name = line.substr(0, colon);
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    if (value.empty()) continue;
    if (auto ok = read_header(name, value, message); !ok) return ok;
    const auto* const required = std::ranges::find(kRequired, name);
    if (required != kRequired.end()) {
      seen.set(static_cast<std::size_t>(required - kRequired.begin()));
    }
  }
  return {};
}

}  // namespace

Extent frame(std::string_view input) {
  constexpr Extent kMalformed = {.state = Extent::State::malformed, .size = 0};
  std::string_view rest = input;
  const std::size_t first = input.find('\n');
  if (first != input.npos && management(next_line(rest))) {
    return {.state = Extent::State::complete, .size = first + 1};
  }
  // npos exceeds kMaxMessage and ends the loop.
  for (std::size_t end = first; end < kMaxMessage; end = input.find('\n', end + 1)) {
    const std::string_view next = input.substr(end + 1);
    const std::size_t blank = next.starts_with('\n') ? 1 : next.starts_with("\r\n") ? 2 : 0;
    if (blank == 0) continue;
    const std::size_t size = end + 1 + blank;
    return size > kMaxMessage ? kMalformed : Extent{Extent::State::complete, size};
  }
  return input.size() >= kMaxMessage ? kMalformed : Extent{};
}

Extent frame_line(std::string_view input) {
  const std::size_t end = input.substr(0, kMaxMessage).find('\n');
  if (end != input.npos) return {.state = Extent::State::complete, .size = end + 1};
  return {
      .state = input.size() < kMaxMessage ? Extent::State::incomplete : Extent::State::malformed,
      .size = 0};
}

Result<Message> parse(std::string_view bytes) {
  Message message;
  std::string_view rest = bytes;
  const std::string_view command = next_line(rest);
  if (const auto known = management(command)) {
    message.command = *known;
    return message;
  }
  Request& request = message.request;
  if (command == "update") {
    request.command = millrace::Command::update;
    request.all_sections = true;
  } else if (command == "remove") {
    message.command = Command::remove;
    request.command = millrace::Command::remove;
    request.removal.delay = std::chrono::seconds(0);
    request.removal.fast = true;
  } else {
    return fail(quote(command) + " is not a command; write update or remove");
  }
  Seen seen;
  if (auto ok = read_headers(rest, message, seen); !ok) return std::unexpected(ok.error());
  if (!request.placement.from_local) request.placement.from_local = request.placement.to_local;
  for (NamedMedia& media : request.sections) {
    const auto& source = request.latching.received_from;
    if (media.host && source) media.endpoint.address = *source;
  }
  const std::size_t count = message.command == Command::remove ? 1 : kRequired.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name(kRequired[i]);
    if (!seen[i]) return fail("no header " + name + "; write " + name + ": VALUE");
  }
  return message;
}

std::string encode(const Reply& reply) {
  const auto* found = std::get_if<reply::Endpoints>(&reply);
  if (found == nullptr || found->endpoints.empty()) return std::string(kError);
  std::string line = found->endpoints.front().address.text();
  for (const Endpoint& each : found->endpoints) line += ' ' + std::to_string(each.port.number());
  return line += "\r\n";
}

namespace {

// Removes the call by from-tag, else by to-tag: the proxy may send either party's tag first.
void remove(Request request, const ServeContext& context) {
  const Reply reply = context.handle(request);
  const auto* ended = std::get_if<reply::Deleted>(&reply);
  if (ended != nullptr && ended->warning.empty()) return;
  if (request.to_tag.empty()) return;
  std::swap(request.from_tag, request.to_tag);
  static_cast<void>(context.handle(request));
}

ServeResult answer(Command command, const ServeContext& context) {
  switch (command) {
    case Command::summary:
      return {.reply = summary(context)};
    case Command::sessions:
      return {.reply = sessions(context)};
    case Command::version:
      return {.reply = MILLRACE_VERSION "\r\n"};
    case Command::quit:
      return {.reply = "", .close = true};
    case Command::update:
    case Command::remove:
      break;
  }
  return {.reply = std::string(kError)};
}

}  // namespace

ServeResult serve(std::string_view bytes, const ServeContext& context) {
  const auto message = parse(bytes);
  if (!message) return {.reply = std::string(kError), .refused = message.error().message};
  switch (message->command) {
    case Command::update:
      return {.reply = encode(context.handle(message->request))};
    case Command::remove:
      remove(message->request, context);
      return {.reply = "removed\r\n"};  // also for an unknown call
    default:
      return answer(message->command, context);
  }
}

ServeResult serve_management(std::string_view line, const ServeContext& context) {
  const auto command = management(next_line(line));
  if (command) return answer(*command, context);
  return {.reply = std::string(kError),
          .refused = "not a command; write summary, sessions, version or quit"};
}

std::string refuse(std::string_view /*input*/) { return std::string(kError); }

}  // namespace millrace::mediaproxy
