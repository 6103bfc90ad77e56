// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notification.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace millrace {
namespace {

using nlohmann::json;

// As recorded between a script and Kamailio 5.6.3, which sent BYE to both parties.
constexpr std::string_view kTerminate =
    R"({"jsonrpc": "2.0", "id": 1, "method": "dlg.terminate_dlg", "params": )"
    R"(["1-31361@127.0.0.1", "31361SIPpTag001", "uastag1"]})";
constexpr std::string_view kTerminated = R"({ "jsonrpc": "2.0", "result": { }, "id": 1 })";
constexpr std::string_view kRefused = R"({ "jsonrpc": "2.0", "error": { "code": 500, )"
                                      R"("message": "Method Not Found" }, "id": 1 })";

TEST(Notification, KamailioEndsADialog) {
  const std::string bytes =
      notification::kamailio(1, "1-31361@127.0.0.1", {"31361SIPpTag001", "uastag1"});
  EXPECT_EQ(bytes, R"({"jsonrpc":"2.0","id":1,"method":"dlg.terminate_dlg",)"
                   R"("params":["1-31361@127.0.0.1","31361SIPpTag001","uastag1"]})");
  EXPECT_EQ(json::parse(bytes), json::parse(kTerminate));
}

TEST(Notification, OpenSipsEndsADialog) {
  EXPECT_EQ(notification::opensips(4294967297, "1708:4730"),
            R"({"jsonrpc":"2.0","id":4294967297,"method":"dlg_end_dlg","params":["1708:4730"]})");
}

TEST(Notification, PhoneSuppliedTextIsEscaped) {
  const std::string bytes = notification::kamailio(7, "a\"],\"x\\\n\x01", {"\xff", ""});
  const json read = json::parse(bytes);
  EXPECT_EQ(read["params"], json::array({"a\"],\"x\\\n\x01", "\xef\xbf\xbd", ""}));
  EXPECT_EQ(bytes.find('\n'), std::string::npos);
}

TEST(Notification, ParsesReplies) {
  const auto done = notification::parse_reply(kTerminated);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->id, 1U);
  EXPECT_EQ(done->error, "");
  const auto refused = notification::parse_reply(kRefused);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error, "Method Not Found");
  EXPECT_EQ(notification::parse_reply(R"({"jsonrpc":"2.0","error":404,"id":2})")->error, "404");
  EXPECT_TRUE(notification::parse_reply(R"({"jsonrpc":"2.0","result":"OK","id":2})"));
}

TEST(Notification, EveryStrictPrefixOfAReplyIsRefused) {
  for (const std::string_view whole : {kTerminated, kRefused}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::string prefix(whole.substr(0, size));
      EXPECT_FALSE(notification::parse_reply(prefix)) << prefix;
    }
  }
}

TEST(Notification, OtherJsonIsRefused) {
  for (const char* text :
       {"[]", "1", R"({"id":1})", R"({"result":{}})", R"({"id":"1","result":{}})",
        R"({"id":-1,"result":{}})", R"({"id":1.5,"result":{}})", "\xff"}) {
    EXPECT_FALSE(notification::parse_reply(text)) << text;
  }
}

TEST(Notification, RtpproxyTagIsSentAsOneLine) {
  EXPECT_EQ(notification::rtpproxy("T12.34 %20"), "T12.34 %20\n");
  EXPECT_EQ(notification::rtpproxy(""), "\n");
  for (const std::string& two : {std::string("a\nb"), std::string("a\r"), std::string(1, '\0')}) {
    EXPECT_FALSE(notification::rtpproxy(two));
  }
}

TEST(Notification, OneLineContainsNoLineEnd) {
  for (const std::string& one : {std::string(), std::string("a b\t%0a"), std::string("\xff\v\f")}) {
    EXPECT_TRUE(notification::is_one_line(one)) << one;
  }
  for (const char end : {'\r', '\n', '\0'}) {
    for (const std::string& more : {std::string(1, end), end + std::string("a"),
                                    "a" + std::string(1, end), "a" + std::string(1, end) + "b"}) {
      EXPECT_FALSE(notification::is_one_line(more)) << int{end};
    }
  }
}

Event event(decltype(Event::what) what) {
  using std::chrono::microseconds;
  return {.time = std::chrono::system_clock::time_point(microseconds(1'795'332'955'000'042)),
          .call_id = "c@1",
          .from_tag = "A",
          .to_tag = "B",
          .what = std::move(what)};
}

TEST(Notification, EventLinesMatchTheDocumentedForm) {
  const std::string same =
      R"("time":"2026-11-22T07:35:55.000042Z","call-id":"c@1","from-tag":"A","to-tag":"B")";
  EXPECT_EQ(notification::line(event(event::Start{})), R"({"event":"start",)" + same + "}\n");
  EXPECT_EQ(notification::line(event(event::Answered{})), R"({"event":"answer",)" + same + "}\n");
  EXPECT_EQ(notification::line(event(event::Hold{})), R"({"event":"hold",)" + same + "}\n");
  EXPECT_EQ(notification::line(event(event::Resume{})), R"({"event":"resume",)" + same + "}\n");
  EXPECT_EQ(notification::line(event(event::Timeout{"media-timeout"})),
            R"({"event":"timeout",)" + same +
                R"(,"reason":"media-timeout"})"
                "\n");
  const Endpoint local{IpAddress::v4(198, 18, 0, 2), UdpPort(30000)};
  const Endpoint source{*IpAddress::parse("2001:db8::1"), UdpPort(4000)};
  EXPECT_EQ(notification::line(event(event::Latched{"B", 2, true, local, source})),
            R"({"event":"latched",)" + same +
                R"(,"tag":"B","media":2,"kind":"rtcp","local":"198.18.0.2:30000",)"
                R"("source":"[2001:db8::1]:4000"})"
                "\n");
}

TEST(Notification, EndEventIsTheCallRecord) {
  event::End end;
  end.reason = "deleted";
  end.dialog_id = "7:8";
  const Event start = event(event::Start{});
  // The wall clock has been stepped forth by a minute since the answer: the call lasted 4.25 s.
  const std::chrono::steady_clock::time_point now{std::chrono::hours(1)};
  end.report.created = {start.time - std::chrono::seconds(9), now - std::chrono::seconds(9)};
  end.report.answered = {start.time - std::chrono::milliseconds(4250),
                         now - std::chrono::milliseconds(4250)};
  end.report.reported = {start.time + std::chrono::minutes(1), now};
  StreamReport rtp{.local = {},
                   .local_endpoint = {IpAddress::v4(198, 18, 0, 2), UdpPort(30000)},
                   .advertised = Endpoint{IpAddress::v4(10, 0, 0, 1), UdpPort(4000)},
                   .flow = {}};
  rtp.flow.packets = 213;
  rtp.flow.bytes = 36636;
  rtp.flow.forwarded = 212;
  rtp.flow.refused = 3;
  rtp.flow.malformed = 1;
  rtp.flow.ssrc = 0xdeadbeef;
  rtp.flow.expected = 214;
  rtp.flow.lost = 1;
  rtp.flow.jitter = 16;
  MediaReport media;
  media.type = "audio";
  media.protocol = "RTP/AVP";
  media.codec = "PCMU/8000";
  media.streams = {rtp};
  TagReport tag;
  tag.tag = "A";
  tag.peer_tag = "B";
  tag.sections = {media};
  end.report.tags = {tag};
  const std::string line = notification::line(event(end));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const json read = json::parse(line);
  EXPECT_EQ(read["event"], "end");
  EXPECT_EQ(read["reason"], "deleted");
  EXPECT_EQ(read["duration"], 4.25);
  EXPECT_EQ(read["created"], "2026-11-22T07:35:46.000042Z");
  EXPECT_EQ(read["answered"], "2026-11-22T07:35:50.750042Z");
  EXPECT_EQ(read["dialog-id"], "7:8");
  EXPECT_EQ(read["parties"][0]["peer"], "B");
  EXPECT_EQ(read["parties"][0]["medias"][0]["streams"][0], json::parse(R"({
    "kind": "rtp", "local": "198.18.0.2:30000", "advertised": "10.0.0.1:4000", "latched": null,
    "packets": 213, "bytes": 36636, "forwarded": 212, "refused": 3, "malformed": 1,
    "ssrc": 3735928559, "payload-type": 0, "expected": 214, "lost": 1, "jitter-ms": 2})"));
}

TEST(Notification, UnansweredCallHasNoDuration) {
  event::End end;
  end.reason = "offer-timeout";
  const json read = json::parse(notification::line(event(end)));
  EXPECT_EQ(read["answered"], nullptr);
  EXPECT_EQ(read["duration"], 0.0);
  EXPECT_EQ(read["parties"], json::array());
}

// nlohmann's dump() recurses once a level.
TEST(Notification, DeeplyNestedErrorIsNotPrinted) {
  const std::string nested = std::string(30'000, '[') + std::string(30'000, ']');
  for (const std::string& error : {nested, R"({"message":)" + nested + "}"}) {
    const auto answer = notification::parse_reply(R"({"id":7,"error":)" + error + "}");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->error, "an error without a text");
  }
}

}  // namespace
}  // namespace millrace
