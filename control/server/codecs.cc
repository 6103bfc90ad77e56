// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/codecs.h"

#include "control/protocol/mediaproxy/mediaproxy.h"
#include "control/protocol/ng/ng.h"
#include "control/protocol/rtpp/rtpp.h"

namespace millrace {

const Codec& codec_of(ControlProtocol protocol) {
  constexpr std::string_view kWhiteSpace = " \t\r\n";
  static constexpr Codec kNg = {
      .between = kWhiteSpace,
      .frame = [](std::string_view input, bool) { return ng::frame(input); },
      .serve = ng::serve,
      .refuse = ng::refuse,
      .cookie = ng::cookie};
  static constexpr Codec kRtpp = {.between = " \t\r",  // an empty line is an empty command
                                  .frame = rtpp::frame,
                                  .serve = rtpp::serve,
                                  .refuse = rtpp::refuse,
                                  .cookie = rtpp::cookie};
  static constexpr Codec kMediaproxy = {
      .between = kWhiteSpace,
      .frame = [](std::string_view input, bool) { return mediaproxy::frame(input); },
      .serve = mediaproxy::serve,
      .refuse = mediaproxy::refuse,
      .cookie = nullptr};
  static constexpr Codec kManagement = {
      .between = "",  // an empty line is an unknown command
      .frame = [](std::string_view input, bool) { return mediaproxy::frame_line(input); },
      .serve = mediaproxy::serve_management,
      .refuse = mediaproxy::refuse,
      .cookie = nullptr};
  switch (protocol) {
    case ControlProtocol::mediaproxy:
      return kMediaproxy;
    case ControlProtocol::mediaproxy_management:
      return kManagement;
    case ControlProtocol::ng:
      return kNg;
    case ControlProtocol::rtpp:
      return kRtpp;
  }
  return kNg;
}

}  // namespace millrace
