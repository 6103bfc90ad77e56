// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The highest load that passes, by bisection (RFC 2544 section 26.1).

#include <algorithm>
#include <cstddef>

namespace millrace::loadgen {

struct Bracket {
  std::size_t good = 0;  // the highest that passed; 0: none yet
  std::size_t bad;       // the lowest that failed; above the most: none yet
};

// Narrows the bracket to at most `resolution`. Starts with `most` if nothing is known. `passes`
// runs a trial at a load; `go_on` is called before each trial and ends the search if false.
template <typename Passes, typename GoOn>
[[nodiscard]] std::size_t bisect(Bracket known, std::size_t most, std::size_t resolution,
                                 Passes&& passes, GoOn&& go_on) {
  auto [good, bad] = known;
  while (good < most && bad > good + resolution && go_on()) {
    const std::size_t load = bad > most ? most : good + (bad - good) / 2;
    (passes(load) ? good : bad) = load;
  }
  return good;
}

}  // namespace millrace::loadgen
