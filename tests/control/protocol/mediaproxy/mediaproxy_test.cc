// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/mediaproxy/mediaproxy.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/control/call/calls_fixture.h"
#include "tests/data.h"
#include "tests/exact.h"

namespace millrace::mediaproxy {
namespace {

using Json = nlohmann::json;
using State = Extent::State;

// Bytes that a real module sent (tests/data/mediaproxy).
std::string capture(const std::string& name) { return read_data("mediaproxy/" + name); }

std::string reason(std::string_view message) {
  const auto parsed = parse(message);
  EXPECT_FALSE(parsed) << message;
  return parsed ? "" : parsed.error().message;
}

// An update with the headers that it cannot do without, and `more`.
std::string update(const std::string& more) {
  return "update\r\ntype: request\r\ncall_id: c\r\nfrom_tag: a\r\ncseq: 1\r\n" + more + "\r\n";
}

std::string update_media(const std::string& media) { return update("media: " + media + "\r\n"); }

TEST(MediaproxyFrame, EveryStrictPrefixOfACaptureIsIncomplete) {
  for (const char* name : {"use_request", "use_reply", "use_remove", "engage_request",
                           "engage_reply", "engage_remove", "avp_request"}) {
    const std::string message = capture(name);
    for (std::size_t size = 0; size < message.size(); ++size) {
      const Exact prefix(message.substr(0, size));
      EXPECT_EQ(frame(prefix.view()), Extent{}) << name << ' ' << size;
    }
    const Exact all(message), more(message + "update\r\n\r\n");
    EXPECT_EQ(frame(all.view()), (Extent{State::complete, message.size()}));
    EXPECT_EQ(frame(more.view()), (Extent{State::complete, message.size()}));
  }
}

TEST(MediaproxyFrame, ManagementCommandsAreOneLine) {
  EXPECT_EQ(frame("summary\r\nsessions\r\n"), (Extent{State::complete, 9}));
  EXPECT_EQ(frame("quit\n"), (Extent{State::complete, 5}));
  EXPECT_EQ(frame("summary\r"), Extent{});
  EXPECT_EQ(frame("nonsense\r\n"), Extent{});  // it may have headers
  EXPECT_EQ(frame("nonsense\n\n"), (Extent{State::complete, 10}));
}

TEST(MediaproxyFrame, OversizedIsMalformed) {
  const std::string longest = update("x: " + std::string(kMaxMessage - 64, 'x') + "\r\n");
  ASSERT_EQ(longest.size(), kMaxMessage);
  EXPECT_EQ(frame(longest), (Extent{State::complete, kMaxMessage}));
  EXPECT_EQ(frame("x" + longest).state, State::malformed);
  EXPECT_EQ(frame(longest.substr(0, kMaxMessage - 1)).state, State::incomplete);
  EXPECT_EQ(frame(std::string(kMaxMessage, 'x')).state, State::malformed);
}

TEST(MediaproxyParse, ParsesTheUpdateOfTheModule) {
  const std::string bytes = capture("engage_reply");
  const auto message = parse(bytes);
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->command, Message::Command::update);
  const Request& request = message->request;
  EXPECT_EQ(request.command, Command::update);
  EXPECT_TRUE(request.sip.by_reply);
  EXPECT_TRUE(request.all_sections);
  EXPECT_EQ(request.call_id, "1-23023@127.0.0.1");
  EXPECT_EQ(request.notify.dialog_id, "1815:6164");
  EXPECT_EQ(request.sip.cseq, 1U);
  EXPECT_EQ(request.labels.from_uri, "alice@example.com");
  EXPECT_EQ(request.labels.to_uri, "bob@example.com");
  EXPECT_EQ(request.from_tag, "23023SIPpTag001");
  EXPECT_EQ(request.to_tag, "uastag1");
  EXPECT_EQ(request.labels.user_agent, "sipp-uas");
  EXPECT_EQ(request.latching.received_from, IpAddress::v4(127, 0, 0, 1));
  EXPECT_FALSE(request.placement.to_local);
  ASSERT_EQ(request.sections.size(), 2U);
  EXPECT_EQ(request.sections[0].type, "audio");
  EXPECT_EQ(request.sections[0].endpoint, (Endpoint{IpAddress::v4(10, 0, 0, 20), UdpPort(7000)}));
  EXPECT_TRUE(request.sections[0].ice);
  EXPECT_EQ(request.sections[1].index, 2U);
  EXPECT_EQ(request.sections[1].type, "video");
  EXPECT_FALSE(request.sections[1].ice);
  EXPECT_TRUE(request.sections[1].sends && request.sections[1].receives);
}

TEST(MediaproxyParse, ParsesTheRemoveOfTheModule) {
  const std::string bytes = capture("use_remove");
  const auto message = parse(bytes);
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->request.command, Command::remove);
  EXPECT_EQ(message->request.call_id, "1-22780@127.0.0.1");
  EXPECT_EQ(message->request.from_tag, "22780SIPpTag001");
  EXPECT_EQ(message->request.removal.delay, std::chrono::seconds(0));
  EXPECT_TRUE(parse("remove\r\ncall_id: c\r\n\r\n"));
}

TEST(MediaproxyParse, SignalingAddressHasThreeForms) {
  const std::string json = capture("avp_request");
  const auto by_json = parse(json);
  ASSERT_TRUE(by_json);
  EXPECT_EQ(by_json->request.latching.received_from, IpAddress::v4(1, 2, 3, 4));
  EXPECT_EQ(by_json->request.labels.username, "alice");
  EXPECT_EQ(by_json->request.placement.to_local, IpAddress::v4(198, 51, 100, 7));
  EXPECT_EQ(by_json->request.placement.from_local,
            IpAddress::v4(198, 51, 100, 7));  // media_relay's
  const std::string text =
      update("signaling_ip: 192.0.2.9_198.18.0.20\r\nmedia_relay: 192.0.2.1\r\n");
  const auto pair = parse(text);
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->request.latching.received_from, IpAddress::v4(192, 0, 2, 9));
  EXPECT_EQ(pair->request.placement.from_local, IpAddress::v4(198, 18, 0, 20));
  EXPECT_EQ(pair->request.placement.to_local, IpAddress::v4(192, 0, 2, 1));
  for (const char* useless : {"nonsense", "{", "{}", "[1]", "{\"signaling_ip\":7}", "_"}) {
    const std::string vague = update("signaling_ip: " + std::string(useless) + "\r\n");
    const auto ignored = parse(vague);
    ASSERT_TRUE(ignored) << useless;
    EXPECT_FALSE(ignored->request.latching.received_from) << useless;
  }
}

TEST(MediaproxyParse, StreamsOfEveryForm) {
  const std::string bytes = update_media(
      "audio:0.0.0.0:4000:inactive:ice=no,video:192.0.2.1:0:sendonly,image:2001:db8::1:4004:None");
  const auto message = parse(bytes);
  ASSERT_TRUE(message) << message.error().message;
  const auto& sections = message->request.sections;
  ASSERT_EQ(sections.size(), 3U);
  EXPECT_FALSE(sections[0].sends || sections[0].receives);
  EXPECT_TRUE(sections[0].endpoint.address.is_unspecified());
  EXPECT_TRUE(sections[1].sends && !sections[1].receives);
  EXPECT_EQ(sections[1].endpoint.port, UdpPort(0));
  EXPECT_EQ(sections[2].endpoint.address, IpAddress::parse("2001:db8::1"));
  EXPECT_TRUE(sections[2].sends && sections[2].receives);
}

// As MediaProxy: any parameters, and empty entries of the list.
TEST(MediaproxyParse, OtherParametersOfAStream) {
  const std::string bytes = update_media(
      ",audio:192.0.2.1:4000:sendonly:rtcp=4001:ice=yes:x=,,video:2001:db8::1:4002:inactive:y=1,");
  const auto message = parse(bytes);
  ASSERT_TRUE(message) << message.error().message;
  const auto& sections = message->request.sections;
  ASSERT_EQ(sections.size(), 2U);
  EXPECT_EQ(sections[0].endpoint, (Endpoint{IpAddress::v4(192, 0, 2, 1), UdpPort(4000)}));
  EXPECT_TRUE(sections[0].ice && sections[0].sends && !sections[0].receives);
  EXPECT_EQ(sections[1].endpoint.address, IpAddress::parse("2001:db8::1"));
  EXPECT_FALSE(sections[1].ice || sections[1].sends);
}

// The relay resolves no names: the source of the SIP message stands for the host.
TEST(MediaproxyParse, HostNameInTheMediaLine) {
  const std::string media = "media: audio:media.example.com:4000:sendrecv:ice=no\r\n";
  const std::string bytes = update(media + "signaling_ip: 192.0.2.9\r\n");
  const auto message = parse(bytes);
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->request.sections.at(0).endpoint,
            (Endpoint{IpAddress::v4(192, 0, 2, 9), UdpPort(4000)}));
  const std::string alone = update(media);
  const auto unknown = parse(alone);
  ASSERT_TRUE(unknown);
  EXPECT_TRUE(unknown->request.sections.at(0).endpoint.address.is_unspecified());
}

TEST(MediaproxyParse, AtMost32Streams) {
  std::string list = "audio:192.0.2.1:4000:sendrecv:ice=no";
  for (std::size_t i = 1; i < kMaxStreams; ++i) list += ",audio:192.0.2.1:4000:sendrecv:ice=no";
  const std::string enough = update_media(list);
  EXPECT_EQ(parse(enough)->request.sections.size(), kMaxStreams);
  EXPECT_EQ(reason(update_media(list + ",audio:192.0.2.1:1:sendrecv")),
            "media: more than 32 streams");
}

TEST(MediaproxyParse, ErrorsNameTheLine) {
  EXPECT_EQ(reason("hello\r\n\r\n"), "'hello' is not a command; write update or remove");
  EXPECT_EQ(reason("update\r\nhello\r\n\r\n"), "'hello' is not a header; write name: value");
  EXPECT_EQ(reason("remove\r\nfrom_tag: a\r\n\r\n"), "no header call_id; write call_id: VALUE");
  EXPECT_EQ(reason("update\r\ntype: reply\r\ncall_id: c\r\nfrom_tag: a\r\n\r\n"),
            "no header cseq; write cseq: VALUE");
  EXPECT_EQ(reason(update("cseq: 1x\r\n")), "cseq: '1x' is not a number");
  EXPECT_EQ(reason(update("cseq: 4294967296\r\n")), "cseq: '4294967296' is not a number");
  EXPECT_EQ(reason(update("type: ack\r\n")), "type: 'ack'; write request or reply");
  EXPECT_EQ(reason(update_media("audio:a/b:4000:sendrecv")),
            "media: 'audio:a/b:4000:sendrecv': not an address; write "
            "audio:192.0.2.1:4000:sendrecv:ice=no");
  EXPECT_EQ(reason(update_media("audio:192.0.2.1:65536:sendrecv")),
            "media: 'audio:192.0.2.1:65536:sendrecv': not a port; write "
            "audio:192.0.2.1:4000:sendrecv:ice=no");
  EXPECT_NE(reason(update_media("audio")), "");
  EXPECT_NE(reason(update_media("audio:192.0.2.1:4000")), "");
  EXPECT_NE(reason(update_media("a=b")), "");
  EXPECT_NE(reason(update_media(":a=b:::")), "");
}

TEST(MediaproxyParse, RefusesMissingHeaders) {
  const std::array<std::string, 4> lines = {"call_id: c", "from_tag: a", "type: reply", "cseq: 0"};
  const auto with = [&](const std::string& command, std::size_t lacking, const char* instead) {
    std::string text = command + "\r\n";
    for (std::size_t i = 0; i < lines.size(); ++i) {
      text += i == lacking ? instead : lines[i] + "\r\n";
    }
    return text + "\r\n";
  };
  EXPECT_TRUE(parse(with("update", lines.size(), "")));
  EXPECT_TRUE(parse(with("remove", lines.size(), "")));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string name = lines[i].substr(0, lines[i].find(':'));
    const std::string empty = name + ": \r\n";
    for (const char* instead : {"", empty.c_str()}) {
      EXPECT_EQ(reason(with("update", i, instead)),
                "no header " + name + "; write " + name + ": VALUE");
      EXPECT_EQ(parse(with("remove", i, instead)).has_value(), name != "call_id") << name;
    }
  }
}

class MediaproxyTest : public CallsTest {
 protected:
  ServeResult ask(std::string_view message) {
    const Handler handle = handler();
    return serve(message, {.handle = handle, .config = config});
  }
  std::string reply(std::string_view message) { return ask(message).reply; }
  // A stream's ports in a reply line, behind the address.
  static std::vector<std::uint16_t> ports(const std::string& line) {
    std::vector<std::uint16_t> result;
    for (std::size_t at = line.find(' '); at != line.npos; at = line.find(' ', at + 1)) {
      result.push_back(static_cast<std::uint16_t>(std::stoi(line.substr(at + 1))));
    }
    return result;
  }
  static std::string message(std::string_view type, int cseq, const std::string& streams) {
    return "update\r\ntype: " + std::string(type) +
           "\r\ndialog_id: 1:2\r\ncall_id: c\r\ncseq: " + std::to_string(cseq) +
           "\r\nfrom_uri: a@x\r\nto_uri: b@x\r\nfrom_tag: a\r\nto_tag: " +
           (type == "reply" ? "b" : "") + "\r\nuser_agent: ua-" + std::string(type) +
           "\r\nsignaling_ip: 198.18.0.1\r\nmedia_relay: \r\nmedia: " + streams + "\r\n\r\n";
  }
};

constexpr const char* kAudio = "audio:198.18.0.100:4000:sendrecv:ice=no";
constexpr const char* kRemove = "remove\r\ncall_id: c\r\nfrom_tag: a\r\nto_tag: b\r\n\r\n";

TEST_F(MediaproxyTest, ServesTheCapturedCallOfTheModule) {
  for (const std::string name : {"use", "engage"}) {
    const std::string offered = reply(capture(name + "_request"));
    EXPECT_TRUE(offered.starts_with("198.18.0.10 ")) << offered;
    EXPECT_TRUE(offered.ends_with("\r\n"));
    ASSERT_EQ(ports(offered).size(), 2U);
    const std::string answered = reply(capture(name + "_reply"));
    ASSERT_EQ(ports(answered).size(), 2U);
    EXPECT_EQ(statistics().ports_used, 8U);
    for (const auto port : ports(offered)) {
      EXPECT_EQ(port % 2, 0);
      EXPECT_TRUE(flow({MediaAddressId{0}, UdpPort(port)}).active);
    }
    EXPECT_EQ(reply(capture(name + "_remove")), "removed\r\n");
    EXPECT_EQ(statistics().ports_used, 0U);
    EXPECT_EQ(statistics().sessions, 0U);
  }
}

TEST_F(MediaproxyTest, RejectedStreamHasPortZero) {
  std::ignore =
      reply(message("request", 1, std::string(kAudio) + ",video:198.18.0.100:4002:sendrecv"));
  const auto answered =
      ports(reply(message("reply", 1, std::string(kAudio) + ",video:198.18.0.100:0:sendrecv")));
  ASSERT_EQ(answered.size(), 2U);
  EXPECT_NE(answered[0], 0);
  EXPECT_EQ(answered[1], 0);
  std::ignore = reply(kRemove);
}

TEST_F(MediaproxyTest, MissingAddressGetsAnErrorReply) {
  EXPECT_EQ(reply("update\r\ntype: reply\r\ncall_id: c\r\nfrom_tag: a\r\ncseq: 1\r\n\r\n"),
            "error\r\n");
  EXPECT_EQ(reply(message("request", 1, "audio:240.0.0.1:4000:sendrecv")), "error\r\n");
  EXPECT_EQ(ask("update\r\nhello\r\n\r\n").refused, "'hello' is not a header; write name: value");
  EXPECT_EQ(reply("update\r\nhello\r\n\r\n"), "error\r\n");
  EXPECT_EQ(refuse("x"), "error\r\n");
  calls->drain();
  EXPECT_EQ(reply(message("request", 1, kAudio)), "error\r\n");
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(MediaproxyTest, DrainServesExistingCalls) {
  const std::string offered = reply(message("request", 1, kAudio));
  calls->drain();
  EXPECT_NE(reply(message("reply", 1, kAudio)), "error\r\n");
  EXPECT_EQ(reply(message("request", 2, kAudio)), offered);
  EXPECT_EQ(reply(kRemove), "removed\r\n");
  EXPECT_EQ(calls->sessions(), 0U);
}

TEST_F(MediaproxyTest, EitherTagRemovesTheSession) {
  EXPECT_EQ(reply(kRemove), "removed\r\n");  // gone before
  std::ignore = reply(message("request", 1, kAudio));
  EXPECT_EQ(reply("remove\r\ncall_id: c\r\nfrom_tag: x\r\nto_tag: y\r\n\r\n"), "removed\r\n");
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(reply("remove\r\ncall_id: c\r\nfrom_tag: x\r\nto_tag: a\r\n\r\n"), "removed\r\n");
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(MediaproxyTest, SummaryAndVersion) {
  std::ignore =
      reply(message("request", 1, std::string(kAudio) + ",video:198.18.0.100:4002:sendrecv"));
  const Json all = Json::parse(reply("summary\r\n"));
  ASSERT_EQ(all.size(), 1U);
  const Json& summary = all[0];
  EXPECT_EQ(summary["ip"], "198.18.0.10");
  EXPECT_EQ(reply("version\r\n"), summary["version"].get<std::string>() + "\r\n");
  EXPECT_EQ(summary["status"], "active");
  EXPECT_EQ(summary["session_count"], 1);
  EXPECT_EQ(summary["stream_count"], Json::parse(R"({"audio":1,"video":1})"));
  EXPECT_EQ(summary["bps_relayed"], 0);
  calls->drain();
  EXPECT_EQ(Json::parse(reply("summary\r\n"))[0]["status"], "halting");
  EXPECT_TRUE(ask("quit\r\n").close);
  std::ignore = reply(kRemove);
}

TEST_F(MediaproxyTest, SessionsReportBothSidesOfEachStream) {
  EXPECT_EQ(reply("sessions\r\n"), "[]\r\n");
  const std::string offered = reply(message(
      "request", 1, "audio:198.18.0.100:4000:sendonly:ice=no,video:198.18.0.100:4002:sendrecv"));
  const std::string answered = reply(
      message("reply", 1, "audio:198.18.0.200:5000:recvonly:ice=no,video:198.18.0.200:0:sendrecv"));
  const Json all = Json::parse(reply("sessions\r\n"));
  ASSERT_EQ(all.size(), 1U);
  const Json& session = all[0];
  EXPECT_EQ(session["call_id"], "c");
  EXPECT_EQ(session["from_tag"], "a");
  EXPECT_EQ(session["to_tag"], "b");
  EXPECT_EQ(session["from_uri"], "a@x");
  EXPECT_EQ(session["to_uri"], "b@x");
  EXPECT_EQ(session["caller_ua"], "ua-request");
  EXPECT_EQ(session["callee_ua"], "ua-reply");
  EXPECT_EQ(session["username"], nullptr);
  ASSERT_EQ(session["streams"].size(), 2U);
  const Json& audio = session["streams"][0];
  EXPECT_EQ(audio["media_type"], "audio");
  EXPECT_EQ(audio["status"], "on hold");
  EXPECT_EQ(audio["caller_remote"], "Unknown") << "nothing was received";
  EXPECT_EQ(audio["callee_remote"], "Unknown");
  EXPECT_EQ(audio["caller_codec"], "Unknown");
  EXPECT_EQ(audio["caller_local"], "198.18.0.10:" + std::to_string(ports(answered)[0]));
  EXPECT_EQ(audio["callee_local"], "198.18.0.10:" + std::to_string(ports(offered)[0]));
  EXPECT_TRUE(audio.contains("post_dial_delay"));
  EXPECT_EQ(audio["post_dial_delay"], nullptr) << "no packet arrived";
  EXPECT_EQ(session["streams"][1]["status"], "rejected");
  std::ignore = reply(kRemove);
}

TEST_F(MediaproxyTest, SessionStartsWithTheAnswer) {
  std::ignore = reply(message("request", 1, kAudio));
  now += std::chrono::seconds(9);
  const Json ringing = Json::parse(reply("sessions\r\n"))[0];
  EXPECT_EQ(ringing["start_time"], nullptr);
  EXPECT_EQ(ringing["duration"], nullptr);
  EXPECT_TRUE(ringing["streams"].empty());
  std::ignore = reply(message("reply", 1, kAudio));
  now += std::chrono::seconds(5);
  const Json session = Json::parse(reply("sessions\r\n"))[0];
  EXPECT_EQ(session["duration"], 5);
  EXPECT_TRUE(session["start_time"].is_number());
  EXPECT_EQ(session["streams"][0]["start_time"], 0);
  EXPECT_EQ(session["streams"][0]["end_time"], 5);
  std::ignore = reply(kRemove);
}

TEST_F(MediaproxyTest, SwitchedOffStreamIsKeptAsClosed) {
  const std::string video = ",video:198.18.0.100:4002:sendrecv";
  std::ignore = reply(message("request", 1, kAudio));
  std::ignore = reply(message("reply", 1, kAudio));
  now += std::chrono::seconds(10);
  std::ignore = reply(message("request", 2, kAudio + video));
  const auto answered = ports(reply(message("reply", 2, kAudio + video)));
  now += std::chrono::seconds(10);
  std::ignore = reply(message("request", 3, kAudio));
  std::ignore = reply(message("reply", 3, kAudio));
  EXPECT_EQ(statistics().ports_used, 4U);
  now += std::chrono::seconds(10);
  const auto stream = [&] {
    Json session = Json::parse(reply("sessions\r\n"))[0];
    EXPECT_EQ(session["duration"], 30);
    return session["streams"].at(1);
  };
  Json closed = stream();
  EXPECT_EQ(closed["media_type"], "video");
  EXPECT_EQ(closed["status"], "closed");
  EXPECT_EQ(closed["start_time"], 10);
  EXPECT_EQ(closed["end_time"], 20);
  EXPECT_EQ(closed["caller_local"], "198.18.0.10:" + std::to_string(answered.at(1)));
  EXPECT_EQ(closed["caller_packets"], 0);
  std::ignore = reply(message("request", 4, kAudio + video));
  std::ignore = reply(message("reply", 4, kAudio + video));
  EXPECT_EQ(stream()["status"], "active");
  std::ignore = reply(kRemove);
}

TEST_F(MediaproxyTest, SessionsListsMoreThan200Calls) {
  for (int i = 0; i < 1500; ++i) {
    std::string offer = message("request", 1, kAudio);
    offer.replace(offer.find("call_id: c"), 10, "call_id: c" + std::to_string(i));
    ASSERT_NE(reply(offer), "error\r\n") << i;
  }
  const std::string text = reply("sessions\r\n");
  EXPECT_TRUE(text.ends_with("]\r\n"));
  EXPECT_EQ(Json::parse(text).size(), 1500U);
}

}  // namespace
}  // namespace millrace::mediaproxy
