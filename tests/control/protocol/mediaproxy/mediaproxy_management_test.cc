// SPDX-License-Identifier: BSD-3-Clause

// The management port's lines, and the bound of `sessions`.

#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/protocol/mediaproxy/mediaproxy.h"

namespace millrace::mediaproxy {
namespace {

using Json = nlohmann::json;

TEST(MediaproxyManagement, ServesLines) {
  const Config config;
  const Handler handle = [](const Request& request) -> Reply {
    if (request.command == millrace::Command::list) return reply::List{};
    return reply::Summary{};
  };
  const auto line = [&](std::string_view text) {
    return serve_management(text, {.handle = handle, .config = config});
  };
  EXPECT_EQ(line("sessions\r\n").reply, "[]\r\n");
  EXPECT_EQ(line("sessions\n").reply, "[]\r\n");
  EXPECT_EQ(Json::parse(line("summary\r\n").reply)[0]["status"], "active");
  EXPECT_EQ(line("version\r\n").reply,
            serve("version\r\n", {.handle = handle, .config = config}).reply);
  for (const char* last : {"quit\r\n", "exit\n"}) {
    EXPECT_TRUE(line(last).close);
    EXPECT_EQ(line(last).reply, "");
  }
  for (const char* unknown : {"\r\n", "\n", "update\r\n", "remove\r\n", "type: reply\r\n",
                              "Summary\r\n", "summary \r\n", "summary\r\r\n", " summary\r\n"}) {
    EXPECT_EQ(line(unknown).reply, "error\r\n") << unknown;
    EXPECT_FALSE(line(unknown).close);
    EXPECT_EQ(line(unknown).refused, "not a command; write summary, sessions, version or quit");
  }
}

TEST(MediaproxyManagement, FramesLines) {
  using State = Extent::State;
  EXPECT_EQ(frame_line(""), Extent{});
  EXPECT_EQ(frame_line("summary\r"), Extent{});
  EXPECT_EQ(frame_line("summary\r\nsessions\r\n"), (Extent{State::complete, 9}));
  EXPECT_EQ(frame_line("\r\n"), (Extent{State::complete, 2}));
  std::string longest(kMaxMessage - 1, 'x');
  EXPECT_EQ(frame_line(longest), Extent{});
  EXPECT_EQ(frame_line(longest + "\n"), (Extent{State::complete, kMaxMessage}));
  EXPECT_EQ(frame_line(longest + "x").state, State::malformed);
  EXPECT_EQ(frame_line(longest + "x\n").state, State::malformed);
}

// As many whole calls as fit; the reply stays one line of JSON.
TEST(MediaproxySessions, ReplyIsBounded) {
  constexpr std::size_t kLimit = std::size_t{16} << 20;
  const std::string padding(1 << 20, 'u');
  std::size_t queried = 0;
  const Handler handle = [&](const Request& request) -> Reply {
    if (request.command == millrace::Command::list) {
      reply::List list;
      for (int i = 0; i < 100; ++i) list.call_ids.push_back(std::to_string(i));
      return list;
    }
    ++queried;
    CallReport call;
    call.call_id = std::string(request.call_id);
    call.from_uri = padding;
    return reply::Query{std::move(call)};
  };
  const Config config;
  const std::string text = sessions({.handle = handle, .config = config});
  EXPECT_LE(text.size(), kLimit + 3);
  EXPECT_GT(text.size(), kLimit - padding.size() - 1000);
  EXPECT_TRUE(text.ends_with("]\r\n"));
  const Json all = Json::parse(text);
  EXPECT_EQ(all.size(), 15U);
  EXPECT_EQ(all.back()["call_id"], "14");
  EXPECT_EQ(queried, 16U);  // it stops at the first that does not fit
}

}  // namespace
}  // namespace millrace::mediaproxy
