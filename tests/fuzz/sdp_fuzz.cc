// SPDX-License-Identifier: BSD-3-Clause
// A body from a SIP message: what parse() accepts, rewrite() turns into a body that parse() accepts
// too, that has the requested addresses, and that a second rewrite() does not change.

#include "control/sdp/sdp_edits.h"
#include "control/sdp/sdp_fragment.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;
using namespace millrace::sdp;

// Fixed values, one sort of media after the other.
Rewrite values(const Session& session, Ice ice) {
  Rewrite to;
  to.origin = IpAddress::v4(203, 0, 113, 9);
  to.ice = ice;
  for (std::size_t k = 0; k < session.sections.size(); ++k) {
    MediaRewrite media{.address = k % 3 == 1 ? IpAddress::v6({0x20, 1, 0xd, 0xb8, 9})
                                             : IpAddress::v4(203, 0, 113, 9),
                       .port = UdpPort(static_cast<std::uint16_t>(30000 + 4 * k)),
                       .rtcp = UdpPort(static_cast<std::uint16_t>(30000 + 4 * k + k % 4)),
                       .untouched = !session.sections[k].relayable};
    if (k % 5 == 4) media.port = UdpPort(0);
    to.sections.push_back(media);
  }
  return to;
}

void check_media(const Media& before, const MediaRewrite& to, const Media& after, Ice ice) {
  FUZZ_CHECK(after.type == before.type && after.protocol == before.protocol);
  FUZZ_CHECK(after.relayable == before.relayable && after.rtp == before.rtp);
  FUZZ_CHECK(after.rtcp_mux == before.rtcp_mux);
  FUZZ_CHECK(after.payload_types == before.payload_types && after.codec == before.codec);
  const bool rejected = to.port == UdpPort(0) || (before.port == UdpPort(0) && !before.bundle_only);
  // A hold by an address of the other family becomes one by direction.
  const bool turned = !to.untouched && !rejected && before.held_by_address &&
                      before.connection->family() != to.address.family();
  FUZZ_CHECK(turned
                 ? after.direction == Direction::sendonly || after.direction == Direction::inactive
                 : after.direction == before.direction);
  if (to.untouched) {
    FUZZ_CHECK(after.port == before.port);
    return;
  }
  if (!rejected && ice == Ice::replace_relay && !before.ice_ufrag.empty()) {
    FUZZ_CHECK(after.port == before.port && after.connection == before.connection);
    FUZZ_CHECK(after.rtcp == before.rtcp);
    return;
  }
  FUZZ_CHECK(after.port == (rejected ? UdpPort(0) : to.port));
  if (rejected) {
    if (!after.own_connection) return;
    FUZZ_CHECK(after.connection && after.connection->is_unspecified());
    return;
  }
  FUZZ_CHECK(after.connection && after.connection->family() == to.address.family());
  const bool held = before.held_by_address && !turned;
  FUZZ_CHECK(held ? after.connection->is_unspecified() : after.connection == to.address);
  if (!after.rtp) return;
  FUZZ_CHECK(after.rtcp.port == to.rtcp || (to.rtcp == to.port && after.rtcp_mux));
  FUZZ_CHECK(held || after.rtcp.address == to.address);
}

void check(std::string_view body, const Session& session, Ice ice) {
  const Rewrite to = values(session, ice);
  const std::string out = rewrite(session, to);
  const Result<Session> after = parse(out);
  FUZZ_CHECK(after);
  FUZZ_CHECK(after->sections.size() == session.sections.size());
  for (std::size_t k = 0; k < session.sections.size(); ++k) {
    check_media(session.sections[k], to.sections[k], after->sections[k], ice);
  }
  FUZZ_CHECK(rewrite(*after, to) == out);
  FUZZ_CHECK(out.size() <= body.size() + kMaxSectionGrowth * (session.sections.size() + 1));
  FUZZ_CHECK(out.ends_with('\n') || !body.ends_with('\n'));
}

// The other edits of proxies: parse() accepts the result, and a second run does not change it.
void check_edits(std::string_view body, const Session& session) {
  for (const CodecChoice& choice :
       {CodecChoice{
            .strip = {"PCMU", "opus/48000"}, .except = {}, .offer = {"8", "telephone-event"}},
        CodecChoice{.strip = {"all"}, .except = {"PCMA"}, .offer = {}},
        CodecChoice{.strip = {"all"}, .except = {"PCMA"}, .offer = {}, .allow_none = true}}) {
    const std::string out = choose_codecs(session, choice);
    const Result<Session> after = parse(out);
    FUZZ_CHECK(after && after->sections.size() == session.sections.size());
    FUZZ_CHECK(choose_codecs(*after, choice) == out);
  }
  const std::string first = keep_first_codec(std::string(body));
  const Result<Session> of_first = parse(first);
  FUZZ_CHECK(of_first && of_first->sections.size() == session.sections.size());
  FUZZ_CHECK(keep_first_codec(first) == first);
  AttributeEdits media{.where = AttributeEdits::Where::sections,
                       .type = {},
                       .add = {"ptime:20"},
                       .remove = {"extmap", "ssrc:"},
                       .substitute = {{"sendrecv", "sendonly"}}};
  const LineEdits edits{.attributes = {media}, .generate_mid = true, .loop_mark = true};
  const std::string out = edit_lines(body, edits);
  const Result<Session> after = parse(out);
  FUZZ_CHECK(after && after->sections.size() == session.sections.size());
  FUZZ_CHECK(edit_lines(out, edits) == out);
  FUZZ_CHECK(has_looped(out));
  FUZZ_CHECK(out.size() <= largest_print(session, edits));
  Origin origin;
  const OriginEdits keep{.user = true, .id = true, .version = true, .session_name = true};
  const std::string kept = keep_origin(std::string(body), origin, keep);
  FUZZ_CHECK(keep_origin(kept, origin, keep) == kept);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  if (const auto fragment = parse_fragment(body); !fragment) {
    FUZZ_CHECK(fragment.error().message.starts_with("line "));
  }
  const Result<Session> session = parse(body);
  if (!session) {
    FUZZ_CHECK(session.error().message.starts_with("line "));
    return 0;
  }
  // Close to a limit, the longer result may pass it.
  if (size > kMaxLine / 2) return 0;
  check_edits(body, *session);
  for (const Ice ice : {Ice::keep, Ice::add, Ice::replace_relay, Ice::relay_only, Ice::remove}) {
    check(body, *session, ice);
  }
  return 0;
}
