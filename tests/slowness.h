// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How many times longer a test's limits of time are in this build: sanitizers take their time.

namespace millrace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kSlowness = 8;
#else
inline constexpr int kSlowness = 1;
#endif

}  // namespace millrace
