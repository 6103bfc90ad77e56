// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/codec.h"

#include "control/protocol/ng.h"

namespace millrace {

const Codec& codec_of(ControlProtocol protocol) {
  static constexpr Codec kNg = {
      .frame = [](std::string_view input, bool) { return ng::frame(input); },
      .serve = ng::serve,
      .refuse = ng::refuse,
      .cookie = ng::cookie};
  switch (protocol) {
    case ControlProtocol::ng:
      return kNg;
  }
  return kNg;
}

}  // namespace millrace
