// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A codec's packet size and interval, and its name in SDP.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::loadgen {

inline constexpr std::size_t kRtpHeader = 12;
// The send time, first in the payload of every packet.
inline constexpr std::size_t kStampSize = 8;
inline constexpr std::size_t kMaxPayload =
    1460;  // an RTP packet in an Ethernet frame, also by IPv6

struct Shape {
  std::string_view name;
  std::string_view media = "audio";
  unsigned payload_type = 0;
  std::string_view rtpmap;
  std::uint32_t clock_hz = 8000;
  std::size_t payload = 160;  // bytes
  std::chrono::microseconds interval{20'000};

  [[nodiscard]] std::uint32_t ticks() const {
    return static_cast<std::uint32_t>(std::uint64_t{clock_hz} *
                                      static_cast<std::uint64_t>(interval.count()) / 1'000'000);
  }
};

// Video: 1 Mbit/s in full packets.
inline constexpr std::array<Shape, 9> kShapes = {{
    {"pcmu", "audio", 0, "PCMU/8000", 8000, 160},
    {"pcma", "audio", 8, "PCMA/8000", 8000, 160},
    {"g722", "audio", 9, "G722/8000", 8000, 160},
    {"g729", "audio", 18, "G729/8000", 8000, 20},
    {"gsm", "audio", 3, "GSM/8000", 8000, 33},
    {"ilbc", "audio", 97, "iLBC/8000", 8000, 38},
    {"amr", "audio", 98, "AMR/8000", 8000, 32},
    {"opus", "audio", 111, "opus/48000/2", 48000, 80},
    {"video", "video", 96, "H264/90000", 90000, 1200, std::chrono::microseconds(10'000)},
}};

}  // namespace millrace::loadgen
