// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "control/call/call.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

struct MediaCommands : CallTest {
  // Whether the media of the two parties is so, by the report.
  std::pair<bool, bool> both(bool MediaReport::* what) {
    const Reply reply = handle(request(Command::query));
    const auto& tags = std::get<reply::Query>(reply).call.tags;
    return {tags.at(0).sections.at(0).*what, tags.at(1).sections.at(0).*what};
  }
  [[nodiscard]] static Request whole(Command command) {
    Request result = request(command);
    result.from_tag = "";
    return result;
  }
  [[nodiscard]] bool done(const Request& asked) {
    return std::holds_alternative<reply::Done>(handle(asked));
  }
};

constexpr std::pair kNone{false, false}, kFirst{true, false}, kSecond{false, true},
    kBoth{true, true};

TEST_F(MediaCommands, ApplyToTheWholeCallUnlessAPartyIsGiven) {
  establish();
  EXPECT_TRUE(done(whole(Command::block_media)));
  EXPECT_EQ(both(&MediaReport::blocked), kBoth);
  EXPECT_TRUE(done(whole(Command::silence_media)));
  EXPECT_TRUE(done(whole(Command::unblock_media)));
  EXPECT_EQ(both(&MediaReport::blocked), kNone);
  EXPECT_EQ(both(&MediaReport::silenced), kBoth);
  EXPECT_TRUE(done(whole(Command::unsilence_media)));
  EXPECT_EQ(both(&MediaReport::silenced), kNone);
}

TEST_F(MediaCommands, FindThePartyByTagLabelOrAddress) {
  Request first = offer(audio(kA, 4000));
  first.labels.label = "caller";
  std::ignore = print(first);
  std::ignore = print(answer(audio(kB, 5000)));
  Request block = whole(Command::block_media), unblock = whole(Command::unblock_media);
  block.from_tag = "B";
  EXPECT_TRUE(done(block));
  EXPECT_EQ(both(&MediaReport::blocked), kSecond);
  EXPECT_TRUE(done(whole(Command::unblock_media)));
  EXPECT_EQ(both(&MediaReport::blocked), kSecond) << "the call's own is lifted, not the party's";
  unblock.from_tag = "B";
  EXPECT_TRUE(done(unblock));
  EXPECT_EQ(both(&MediaReport::blocked), kNone);

  Request dtmf = whole(Command::block_dtmf);
  dtmf.labels.label = "caller";
  EXPECT_TRUE(done(dtmf));
  EXPECT_EQ(both(&MediaReport::dtmf_blocked), kFirst);
  Request silence = whole(Command::silence_media);
  silence.target.address = IpAddress::parse(kB).value();
  EXPECT_TRUE(done(silence));
  EXPECT_EQ(both(&MediaReport::silenced), kSecond);
  block.target.all_parties = true;
  EXPECT_TRUE(done(block));
  EXPECT_EQ(both(&MediaReport::blocked), kBoth);
}

TEST_F(MediaCommands, SurviveAReoffer) {
  establish();
  EXPECT_TRUE(done(whole(Command::block_media)));
  Request again = offer(audio(kA, 4100));
  again.to_tag = "B";
  std::ignore = print(again);
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_EQ(both(&MediaReport::blocked), kBoth);
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4100));
}

TEST_F(MediaCommands, ErrorsNameTheMissingCallOrParty) {
  Request block = whole(Command::block_media);
  EXPECT_EQ(reason(block), "Unknown call-id");
  block.call_id = "";
  EXPECT_EQ(reason(block), "No call-id in message");
  establish();
  block = whole(Command::block_media);
  block.from_tag = "X";
  EXPECT_EQ(reason(block), "From-tag given, but no such tag exists");
  block.from_tag = "A";
  block.to_tag = "X";
  EXPECT_EQ(reason(block), "Media flow not found (to-tag not found)");
  block.labels.label = "L";
  EXPECT_EQ(reason(block), "No monologue matching the given label");
  block.labels.label = "";
  block.target.address = IpAddress::v4(203, 0, 113, 1);
  EXPECT_EQ(reason(block), "Failed to match address to any tag");
}

}  // namespace
}  // namespace millrace
