// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/blocking.h"

#include <cstring>

#include "dataplane/wire/bytes.h"
#include "dataplane/wire/checksum.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr std::uint8_t kPcmu = 0;
constexpr std::uint8_t kPcma = 8;
constexpr std::byte kPcmuSilence{0xff};  // ITU-T G.711: code of amplitude zero
constexpr std::byte kPcmaSilence{0xd5};  // the same in A-law, even bits inverted

// The samples of a well-formed RTP packet: without its header, extension and padding.
std::span<std::byte> samples(std::span<std::byte> packet) {
  const auto header = load<RtpHeader>(packet.data());
  std::size_t start = sizeof header + std::size_t{4} * header.csrcs();
  if (header.extended()) start += 4 + std::size_t{4} * load_be16(packet.data() + start + 2);
  const auto padding = header.padded() ? std::to_integer<std::size_t>(packet.back()) : 0;
  return packet.subspan(start, packet.size() - start - padding);
}

void silence(std::span<std::byte> packet, std::byte code) {
  std::byte* const checksum = packet.data() - 2;
  // Headers are multiples of four bytes, so the samples start at an even offset of the checksum. An
  // odd last sample shares its 16-bit word with the same byte before and after.
  const std::span<std::byte> to = samples(packet);
  const std::uint16_t before = ones_sum(to);
  std::memset(to.data(), std::to_integer<int>(code), to.size());
  store(checksum, updated_udp_checksum(load<std::uint16_t>(checksum),
                                       fold(word_delta(before, ones_sum(to)))));
}

}  // namespace

bool is_retired(const Content& content, const Record& record) {
  return content.kind == Evidence::Kind::rtp &&
         record.only_negotiated.load(std::memory_order_acquire) &&
         !record.is_negotiated(content.rtp.payload_type);
}

std::optional<DropReason> apply_blocking(std::span<std::byte> payload, const Content& content,
                                         std::uint32_t flags, const Record& record) {
  const bool rtp = content.kind == Evidence::Kind::rtp;
  const bool opaque = (flags & (kRtp | kRtcp)) == 0;
  const bool media = rtp || (opaque && content.kind == Evidence::Kind::datagram);
  if (!media) return std::nullopt;
  if ((flags & kFiltered) != 0 && rtp && record.drop_events.load(std::memory_order_acquire) &&
      record.is_event(content.rtp.payload_type)) {
    return DropReason::dtmf_blocked;
  }
  if ((flags & kBlocked) != 0) return DropReason::media_blocked;
  if ((flags & kSilenced) == 0) return std::nullopt;
  const std::uint8_t type = content.rtp.payload_type;
  if (!rtp || (flags & kCipher) != 0 || (type != kPcmu && type != kPcma)) {
    return DropReason::media_blocked;
  }
  silence(payload, type == kPcmu ? kPcmuSilence : kPcmaSilence);
  return std::nullopt;
}

}  // namespace millrace
