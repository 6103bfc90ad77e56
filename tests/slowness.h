// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// By how much a sanitizer lengthens the time limits of tests.

namespace millrace {

#if defined(__has_feature)  // clang
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define MILLRACE_SANITIZED
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(MILLRACE_SANITIZED)
inline constexpr int kSlowness = 8;
#else
inline constexpr int kSlowness = 1;
#endif

}  // namespace millrace
