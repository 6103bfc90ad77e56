// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/event_stream.h"

#include <string>
#include <vector>

#include "tests/control/notify/notify_fixture.h"

namespace millrace {
namespace {

using asio::local::stream_protocol;

using EventStreamTest = NotifyTest;

TEST_F(EventStreamTest, ReadersGetEveryLineAfterTheirConnect) {
  start({events()});
  stream_protocol::socket one(io_), two(io_);
  one.connect(stream_protocol::endpoint(path("events")));
  two.connect(stream_protocol::endpoint(path("events")));
  notifier_->publish(started("c"));
  notifier_->publish(ended("c", false));
  for (auto* reader : {&one, &two}) {
    const auto read = lines(*reader, 2);
    ASSERT_EQ(read.size(), 2U);
    EXPECT_EQ(read[0]["event"], "start");
    EXPECT_EQ(read[1]["event"], "end");
    EXPECT_EQ(read[1]["call-id"], "c");
  }
  EXPECT_TRUE(flushes());
}

TEST_F(EventStreamTest, StalledReaderIsDisconnectedWithoutDelayingOthers) {
  start({events()});
  stream_protocol::socket stalled(io_), good(io_);
  stalled.connect(stream_protocol::endpoint(path("events")));
  good.connect(stream_protocol::endpoint(path("events")));
  io_.poll();
  const std::string call(1'000'000, 'c');
  const std::size_t enough = EventStream::kMaxBehind / call.size() + 3;
  good.non_blocking(true);
  std::size_t got = 0;
  std::string piece(1 << 20, '\0');
  for (std::size_t i = 1; i <= enough; ++i) {
    notifier_->publish(started(call));
    EXPECT_TRUE(run_until([&] {
      asio::error_code none;
      got += good.read_some(asio::buffer(piece), none);
      return got > i * call.size();
    }));
  }
  // The bytes in the kernel, then the end.
  std::size_t bytes = 0;
  asio::error_code end;
  while (!end) bytes += stalled.read_some(asio::buffer(piece), end);
  EXPECT_LT(bytes, enough * call.size());
}

TEST_F(EventStreamTest, ReadersAreLimited) {
  start({events()});
  std::vector<stream_protocol::socket> readers;
  for (std::size_t i = 0; i <= EventStream::kMaxReaders; ++i) {
    readers.emplace_back(io_).connect(stream_protocol::endpoint(path("events")));
  }
  io_.poll();
  char byte = 0;
  asio::error_code end;
  readers.back().read_some(asio::buffer(&byte, 1), end);
  EXPECT_EQ(end, asio::error::eof);
  readers.pop_back();
  readers.pop_back();  // one leaves: there is room again
  io_.poll();
  readers.emplace_back(io_).connect(stream_protocol::endpoint(path("events")));
  io_.poll();
  notifier_->publish(started("c"));
  EXPECT_EQ(lines(readers.back(), 1).size(), 1U);
}

TEST_F(EventStreamTest, EventsPastTheBoundAreDropped) {
  start({events()});
  stream_protocol::socket reader(io_);
  reader.connect(stream_protocol::endpoint(path("events")));
  io_.poll();
  for (std::uint32_t i = 0; i < Notifier::kMaxPending + 5; ++i) notifier_->publish(started("c"));
  io_.poll();
  notifier_->publish(started("last"));
  const auto read = lines(reader, Notifier::kMaxPending + 1);
  EXPECT_EQ(read.size(), Notifier::kMaxPending + 1);
  EXPECT_EQ(read.back()["call-id"], "last");
}

}  // namespace
}  // namespace millrace
