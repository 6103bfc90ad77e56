// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A call between A at kA and B at kB.

#include <string>
#include <utility>

#include "tests/calls_fixture.h"

namespace millrace {

inline constexpr const char* kA = "198.18.0.100";
inline constexpr const char* kB = "198.18.0.200";

class CallTest : public CallsTest {
 protected:
  // Offer and answer of one audio each, at kA:4000 and kB:5000.
  void establish() {
    to_b = print(offer(audio(kA, 4000))).local();
    to_a = print(answer(audio(kB, 5000))).local();
  }
  [[nodiscard]] Request back(Command command, std::string body) {
    Request result = request(command);
    result.from_tag = "B";
    result.to_tag = "A";
    result.sdp = keep(std::move(body));
    return result;
  }

  LocalPort to_a, to_b;  // the ports that A and B were told to send to
};

}  // namespace millrace
