// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Merges two quality reports about one stream.

#include "dataplane/report.h"

namespace millrace {

// Both reports are about one SSRC: from two reporters, or from consecutive periods. Averages are
// weighted by their number of samples; unknown values are left out.
[[nodiscard]] QualityReport merge(const QualityReport& earlier, const QualityReport& later);

}  // namespace millrace
