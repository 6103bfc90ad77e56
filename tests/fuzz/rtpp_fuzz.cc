// SPDX-License-Identifier: BSD-3-Clause
// A stream buffer of rtpproxy's protocol: frame() stays within it and goes forward, parse() gives a
// request whose views lie in the command or in what it owns, or a number.

#include <algorithm>

#include "control/protocol/rtpp/rtpp.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;
using State = Extent::State;

Config bridge() {
  Config config;
  for (const char* name : {"internal", "external"}) {
    Interface interface;
    interface.name = name;
    interface.addresses = {IpAddress::v4(198, 18, 0, 10)};
    config.interfaces.push_back(interface);
    config.dataplane.interfaces.emplace_back().name = name;
  }
  return config;
}

void check(const rtpp::Command& command, std::string_view text) {
  const Request& r = command.request;
  for (const std::string_view view : {r.call_id, r.from_tag, r.to_tag, r.via_branch}) {
    FUZZ_CHECK(within(view, text));
  }
  for (const std::string_view view : {r.notify.socket, r.notify.tag}) {
    FUZZ_CHECK(std::ranges::any_of(command.owned,
                                   [&](const std::string& owned) { return within(view, owned); }) ||
               view.empty());
    FUZZ_CHECK(view.find('\n') == std::string_view::npos);
  }
  const bool has_media = command.verb == rtpp::Verb::update || command.verb == rtpp::Verb::lookup;
  FUZZ_CHECK(r.sections.size() == (has_media ? 1U : 0U));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Config config = bridge();
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (bool first = true; !rest.empty(); first = false) {
    const Extent frame = rtpp::frame(rest, first);
    if (frame.state != State::complete) {
      FUZZ_CHECK(frame.state == State::malformed ? rest.size() > rtpp::kMaxCommand : !first);
      break;
    }
    FUZZ_CHECK(frame.size > 0 && frame.size <= rest.size() && frame.size <= rtpp::kMaxCommand);
    const std::string_view line = rest.substr(0, frame.size);
    FUZZ_CHECK(within(rtpp::cookie(line), line));
    const auto command = rtpp::parse(line, config, std::nullopt);
    if (command) check(*command, line);
    rest.remove_prefix(frame.size);
  }
  return 0;
}
