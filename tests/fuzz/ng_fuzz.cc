// SPDX-License-Identifier: BSD-3-Clause
// A stream buffer of the ng protocol, either encoding: what frame() calls complete parses to a
// Request whose views lie where they should, or to an error reply that is itself a whole message.

#include "control/protocol/ng/ng.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;
using State = ng::Frame::State;

void check(const ng::Message& message, std::string_view bytes) {
  const Request& r = message.request;
  const std::string_view source = message.transcript ? *message.transcript : bytes;
  FUZZ_CHECK(within(message.cookie, bytes));
  FUZZ_CHECK(message.cookie.size() <= ng::kMaxCookie);
  for (const std::string_view view : {r.call_id, r.from_tag, r.to_tag, r.via_branch, r.sdp,
                                      r.placement.from_interface, r.placement.to_interface}) {
    FUZZ_CHECK(within(view, source));
  }
  FUZZ_CHECK(!r.dscp || *r.dscp < 64);
  FUZZ_CHECK(!r.removal.delay || r.removal.delay->count() >= 0);
  FUZZ_CHECK(message.unknown.size() <= 32);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view buffer(reinterpret_cast<const char*>(data), size);
  const ng::Frame frame = ng::frame(buffer);
  FUZZ_CHECK(frame.state != State::complete || frame.size <= size);
  const bool whole = frame == ng::Frame{State::complete, size};

  const auto message = ng::parse(buffer);
  if (message) {
    FUZZ_CHECK(frame.state == State::complete || size > ng::kMaxMessage);
    check(*message, buffer);
  } else if (!message.error().empty()) {
    FUZZ_CHECK(ng::frame(message.error()) == (ng::Frame{State::complete, message.error().size()}));
  } else {
    FUZZ_CHECK(!whole);
  }
  return 0;
}
