// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/stats.h"

namespace millrace {

std::span<const DropReasonInfo> drop_reasons() { return kDropReasons; }

std::span<const DropReasonInfo> flow_drop_reasons() {
  return std::span(kDropReasons).subspan(kFirstFlowReason, kFlowDropReasons);
}

}  // namespace millrace
