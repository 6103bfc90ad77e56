// SPDX-License-Identifier: BSD-3-Clause
#include "control/housekeeping.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Housekeeping, ThrowingStepDoesNotStopTheOthers) {
  asio::io_context io;
  int before = 0, thrown = 0, after = 0;
  Housekeeping housekeeping(io, std::chrono::milliseconds(1),
                            {{"before", [&] { ++before; }},
                             {"throws",
                              [&] {
                                ++thrown;
                                throw std::runtime_error("injected");
                              }},
                             {"after", [&] {
                                if (++after == 3) io.stop();
                              }}});
  housekeeping.start();
  EXPECT_NO_THROW(io.run());
  EXPECT_EQ(before, 3);
  EXPECT_EQ(thrown, 3);
  EXPECT_EQ(after, 3);
}

}  // namespace
}  // namespace millrace
