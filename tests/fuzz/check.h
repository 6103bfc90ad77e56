// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Properties that must hold for every input of a fuzz target, whatever the build type.

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string_view>

#define FUZZ_CHECK(condition)                                                             \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

// Whether `part` views bytes of `whole`; an empty one may view anything.
inline bool within(std::string_view part, std::string_view whole) {
  const std::less_equal<> not_after;
  return part.empty() || (not_after(whole.data(), part.data()) &&
                          not_after(part.data() + part.size(), whole.data() + whole.size()));
}
