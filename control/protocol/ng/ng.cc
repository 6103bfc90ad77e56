// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory_resource>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "control/log.h"
#include "control/protocol/ng/bencode.h"
#include "control/protocol/ng/json.h"
#include "control/protocol/ng/ng_flags.h"
#include "control/protocol/ng/ng_request.h"
#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {
namespace {

using bencode::Value;
using State = Frame::State;

constexpr bool in_cookie(char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7f'; }

// Start of a message.
enum class Head : std::uint8_t { payload, cookie, undecided };

// A cookie may also start with 'd', or be "de". A dictionary has the length of its first key after
// the 'd'. "de" is the empty dictionary only at the end of the message or before a line end.
Head head(std::string_view message) {
  if (message.front() == '{') return Head::payload;
  if (message.front() != 'd') return Head::cookie;
  if (message.starts_with("de") &&
      (message.size() == 2 || message[2] == '\r' || message[2] == '\n'))
    return Head::payload;
  const std::size_t colon = std::min(message.find_first_not_of("0123456789", 1), message.size());
  if (colon == message.size()) return Head::undecided;
  return colon > 1 && message[colon] == ':' ? Head::payload : Head::cookie;
}

Extent scan_payload(std::string_view payload, std::size_t limit) {
  if (payload.empty()) return {State::incomplete};
  if (payload.front() == 'd') return bencode::scan(payload, limit);
  return json::scan(payload, limit);
}

struct Envelope {
  std::string_view cookie;
  std::string_view payload;
};

// Splits cookie and payload. None: the mandatory cookie is missing or malformed.
std::optional<Envelope> open(std::string_view message) {
  message.remove_prefix(std::min(message.find_first_not_of(kSpace), message.size()));
  if (message.empty()) return std::nullopt;
  Envelope envelope{{}, message};
  const std::size_t space = message.find(' ');
  const bool bare =
      head(message) == Head::payload || (message.front() == 'd' && space == std::string_view::npos);
  if (!bare) {
    if (space > kMaxCookie) return std::nullopt;
    envelope = {message.substr(0, space), message.substr(space + 1)};
    if (!std::ranges::all_of(envelope.cookie, in_cookie)) return std::nullopt;
  }
  const std::size_t last = envelope.payload.find_last_not_of(kSpace);
  envelope.payload = envelope.payload.substr(0, last + 1);
  return envelope;
}

// Decodes a payload to a dictionary; the error is rtpengine's text. The result views `payload`, or
// message.transcript for JSON.
std::expected<Value, std::string_view> dictionary(std::string_view payload, Message& message) {
  if (payload.empty()) return std::unexpected("Invalid data (no payload)");
  if (payload.front() == 'd') {
    const auto value = Value::read(payload);
    if (!value) return std::unexpected("Could not decode bencode dictionary");
    return *value;
  }
  if (payload.front() != '{') return std::unexpected("Invalid NG data format");
  message.encoding = Encoding::json;
  auto transcript = json::to_bencode(payload);
  if (!transcript) {
    return std::unexpected(transcript.error() == json::Refusal::syntax
                               ? "Failed to parse JSON document"
                               : "Could not decode JSON dictionary");
  }
  message.transcript = std::make_unique<std::string>(std::move(*transcript));
  const auto value = Value::read(*message.transcript);
  if (!value) return std::unexpected("Could not decode JSON dictionary");
  return *value;
}

// Converts the value of key `rtpp-flags` to a dictionary in message.flags.
ScriptFlags script_flags(std::span<const bencode::Entry> entries, Message& message) {
  for (const bencode::Entry& entry : entries) {
    if (!same(entry.key, "rtpp-flags") || is_empty(entry.value)) continue;
    auto expanded = expand_flags(entry.value.text().value_or("["));
    if (!expanded) return std::unexpected(std::monostate());
    message.flags = std::make_unique<std::string>(std::move(*expanded));
  }
  if (!message.flags) return std::optional<Value>();
  return Value::read(*message.flags);
}

}  // namespace

Frame frame(std::string_view buffer) {
  const std::size_t start = std::min(buffer.find_first_not_of(kSpace), buffer.size());
  if (start >= kMaxMessage) return {State::malformed};
  std::string_view message = buffer.substr(start);
  if (message.empty()) return {State::incomplete};

  std::size_t before = start;
  Head first = head(message);
  if (first == Head::undecided) first = message.size() > kMaxCookie ? Head::cookie : first;
  if (first == Head::undecided) return {State::incomplete};
  if (first == Head::cookie) {
    const std::size_t space = std::min(message.find(' '), message.size());
    if (space > kMaxCookie || !std::ranges::all_of(message.substr(0, space), in_cookie)) {
      return {State::malformed};
    }
    if (space == message.size()) return {State::incomplete};
    before += space + 1;
    message.remove_prefix(space + 1);
    if (before >= kMaxMessage) return {State::malformed};
  }
  const Extent payload = scan_payload(message, kMaxMessage - before);
  if (payload.state != State::complete) return {payload.state};
  return {State::complete, before + payload.size};
}

std::expected<Message, std::string> parse(std::string_view bytes) {
  const auto envelope = open(bytes);
  if (!envelope) return std::unexpected("");
  std::expected<Message, std::string> result;
  Message& message = *result;
  message.cookie = envelope->cookie;
  const auto refuse = [&](std::string reason) {
    return std::unexpected(
        encode(message.cookie, message.encoding, reply::Failure{std::move(reason)}));
  };

  const auto content = dictionary(envelope->payload, message);
  if (!content) return refuse(std::string(content.error()));
  // A proxy module's offer has about 15 keys, and stays on the stack.
  constexpr std::size_t kUsual = 24;
  alignas(bencode::Entry) std::array<std::byte, kUsual * sizeof(bencode::Entry)> stack;
  std::pmr::monotonic_buffer_resource memory(stack.data(), stack.size());
  std::pmr::vector<bencode::Entry> entries(&memory);
  entries.reserve(kUsual);
  bencode::Entries all(*content);
  while (const auto entry = all.next()) entries.push_back(*entry);

  const auto flags = script_flags(entries, message);
  if (auto done = read_request(flags, entries, message); !done) {
    return refuse(std::move(done.error().message));
  }
  return result;
}

ServeResult serve(std::string_view bytes, const ServeContext& context) {
  const auto message = parse(bytes);
  if (!message) return {.reply = message.error(), .refused = message.error()};
  for (const std::string& name : message->unknown) log_name_once("unknown-key-ignored", name);
  std::string reply =
      encode(message->cookie, message->encoding, context.handle(message->request), message->ssrcs);
  if (reply.size() > context.max_reply) {
    reply = encode(message->cookie, message->encoding,
                   reply::Failure{"Reply is too long for a datagram"});
  }
  return {.reply = std::move(reply)};
}

std::string refuse(std::string_view input) {
  const auto message = parse(input);
  if (!message && !message.error().empty()) return message.error();
  return encode("", Encoding::bencode, reply::Failure{"Invalid NG data format"});
}

std::string_view cookie(std::string_view datagram) {
  const auto envelope = open(datagram);
  return envelope ? envelope->cookie : std::string_view();
}

}  // namespace millrace::ng
