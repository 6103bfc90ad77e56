// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A call between A and B.

#include <string>
#include <string_view>
#include <utility>

#include "tests/control/call/calls_fixture.h"

namespace millrace {

class CallTest : public CallsTest {
 protected:
  // Offer and answer of one audio each, at kA:4000 and kB:5000.
  void establish(std::string_view call = "call") {
    Request first = offer(audio(kA, 4000)), second = answer(audio(kB, 5000));
    first.call_id = second.call_id = call;
    to_b = print(first).local();
    to_a = print(second).local();
  }
  // Of A within the dialog.
  [[nodiscard]] Request reoffer(std::string body) {
    Request result = offer(std::move(body));
    result.to_tag = "B";
    return result;
  }
  [[nodiscard]] Request back(Command command, std::string body) {
    Request result = request(command);
    result.from_tag = "B";
    result.to_tag = "A";
    result.sdp = keep(std::move(body));
    return result;
  }

  LocalPort to_a, to_b;  // the relay ports in the SDP to A and to B
};

}  // namespace millrace
