// SPDX-License-Identifier: BSD-3-Clause
// A stream buffer of MediaProxy's protocol: what frame() calls complete parses to a Request whose
// views lie in it and whose values are in range, or to an error that can be shown.

#include <algorithm>

#include "control/protocol/mediaproxy/mediaproxy.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;
using State = Extent::State;

void check(const mediaproxy::Message& message, std::string_view bytes) {
  const Request& r = message.request;
  for (const std::string_view view : {r.call_id, r.from_tag, r.to_tag, r.labels.from_uri,
                                      r.labels.to_uri, r.labels.user_agent, r.notify.dialog_id}) {
    FUZZ_CHECK(within(view, bytes));
    FUZZ_CHECK(view.find('\n') == view.npos);
  }
  FUZZ_CHECK(r.labels.username.empty() ||
             (message.username && within(r.labels.username, *message.username)));
  FUZZ_CHECK(r.sections.size() <= mediaproxy::kMaxStreams);
  for (std::size_t i = 0; i < r.sections.size(); ++i) {
    FUZZ_CHECK(r.sections[i].index == i + 1);
    FUZZ_CHECK(within(r.sections[i].type, bytes));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view buffer(reinterpret_cast<const char*>(data), size);
  for (;;) {
    buffer.remove_prefix(std::min(buffer.find_first_not_of(" \t\r\n"), buffer.size()));
    if (buffer.empty()) return 0;
    const Extent frame = mediaproxy::frame(buffer);
    if (frame.state != State::complete) {
      FUZZ_CHECK(frame.state != State::incomplete || buffer.size() < mediaproxy::kMaxMessage);
      return 0;
    }
    FUZZ_CHECK(frame.size > 0 && frame.size <= buffer.size());
    FUZZ_CHECK(frame.size <= mediaproxy::kMaxMessage);
    const std::string_view bytes = buffer.substr(0, frame.size);
    FUZZ_CHECK(mediaproxy::frame(bytes) == frame);
    FUZZ_CHECK(mediaproxy::frame(bytes.substr(0, bytes.size() - 1)).state != State::malformed);
    const auto message = mediaproxy::parse(bytes);
    if (message) {
      check(*message, bytes);
    } else {
      FUZZ_CHECK(std::ranges::all_of(message.error().message,
                                     [](char c) { return c >= ' ' && c <= '~'; }));
    }
    buffer.remove_prefix(frame.size);
  }
}
