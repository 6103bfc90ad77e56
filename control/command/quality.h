// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Sums of quality reports: two reports about one stream become one.

#include "dataplane/report.h"

namespace millrace {

// Both reports are about one SSRC: from two reporters, or `later` from after `earlier`. Averages
// are weighted by their number of samples; values that stand for "unknown" do not count.
[[nodiscard]] QualityReport merge(const QualityReport& earlier, const QualityReport& later);

}  // namespace millrace
