// SPDX-License-Identifier: BSD-3-Clause
// Trickled candidates: ICE candidates sent after the SDP (RFC 8840).

#include <gtest/gtest.h>

#include "control/call/call.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

constexpr const char* kSeen = "198.18.0.111";  // source of A's packets

std::string ice(std::string_view ufrag, std::string_view rest = "") {
  return "a=mid:0\r\na=ice-ufrag:" + std::string(ufrag) +
         "\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=ice-options:trickle\r\n" + std::string(rest);
}

std::string fragment(std::string_view ufrag, std::string_view address, std::string_view mid = "0") {
  return "a=ice-ufrag:" + std::string(ufrag) +
         "\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=audio 9 RTP/AVP 0\r\n" +
         (mid.empty() ? "" : "a=mid:" + std::string(mid) + "\r\n") + "a=candidate:1 1 UDP 1 " +
         std::string(address) + " 4000 typ srflx raddr 0.0.0.0 rport 9\r\n";
}

class CallTrickle : public CallTest {
 protected:
  // A fragment from A.
  [[nodiscard]] Request trickle(std::string body) {
    Request result = offer(std::move(body));
    result.fragment = true;
    return result;
  }
  [[nodiscard]] std::vector<IpAddress> hints(std::string_view tag, std::size_t media = 0) {
    const Reply reply = handle(request(Command::query));
    for (const TagReport& each : std::get<reply::Query>(reply).call.tags) {
      if (each.tag == tag) return each.sections.at(media).hints;
    }
    ADD_FAILURE() << "no " << tag;
    return {};
  }
  static std::vector<IpAddress> list(std::initializer_list<const char*> texts) {
    std::vector<IpAddress> result;
    for (const char* text : texts) result.push_back(IpAddress::parse(text).value());
    return result;
  }
  void expect_done(const Request& asked) {
    const Reply reply = handle(asked);
    const auto* done = std::get_if<reply::Done>(&reply);
    ASSERT_NE(done, nullptr);
    EXPECT_EQ(done->warning, "");
  }
};

TEST_F(CallTrickle, CandidatesBecomeHints) {
  to_b = print(offer(audio("0.0.0.0", 9, ice("a")))).local();
  to_a = print(answer(audio(kB, 5000, ice("b")))).local();
  EXPECT_EQ(hints("A"), list({}));
  expect_done(trickle(fragment("a", kSeen)));
  expect_done(trickle(fragment("a", kSeen)));
  EXPECT_EQ(hints("A"), list({kSeen}));
  EXPECT_EQ(hints("B"), list({kB}));
  EXPECT_TRUE(flow(to_a).active);
  // The same ICE session goes on in a new SDP.
  std::ignore = print(offer(audio("0.0.0.0", 9, ice("a"))));
  EXPECT_EQ(hints("A"), list({kSeen}));
}

TEST_F(CallTrickle, CandidatesOfTheAnswererBecomeHints) {
  std::ignore = print(offer(audio(kA, 4000, ice("a"))));
  std::ignore = print(answer(audio(kB, 5000, ice("b"))));
  Request later = answer(fragment("b", kSeen));
  later.fragment = true;
  expect_done(later);
  EXPECT_EQ(hints("B"), list({kB, kSeen}));
  Request info = back(Command::offer, fragment("b", "198.18.0.112"));
  info.fragment = true;
  expect_done(info);
  EXPECT_EQ(hints("B"), list({kB, "198.18.0.112", kSeen}));
}

TEST_F(CallTrickle, SectionsAreFoundByMidOrIndex) {
  const std::string two =
      audio(kA, 4000, ice("a")) + media("video", 4002, "a=mid:v\r\na=ice-ufrag:a\r\n");
  std::ignore = print(offer(two));
  expect_done(trickle(fragment("a", kSeen, "v")));
  EXPECT_EQ(hints("A", 0), list({kA}));
  EXPECT_EQ(hints("A", 1), list({kA, kSeen}));
  expect_done(trickle(fragment("a", "198.18.0.112", "")));
  EXPECT_EQ(hints("A", 0), list({kA, "198.18.0.112"}));
  expect_done(trickle(fragment("a", "198.18.0.113", "nobody")));
  EXPECT_EQ(hints("A", 0).size() + hints("A", 1).size(), 4U);
}

TEST_F(CallTrickle, UnusableCandidatesAreNoHints) {
  std::ignore = print(offer(audio(kA, 4000, ice("a"))));
  expect_done(trickle(fragment("before-the-restart", kSeen)));
  expect_done(trickle(fragment("a", "127.0.0.1")));
  expect_done(trickle(fragment("a", kCore.text())));
  expect_done(trickle(fragment("a", "2001:db8::1")));
  EXPECT_EQ(hints("A"), list({kA}));
}

TEST_F(CallTrickle, NewestCandidatesAreKept) {
  std::ignore = print(offer(audio(kA, 4000, ice("a"))));
  for (int i = 120; i < 140; ++i) {
    expect_done(trickle(fragment("a", "198.18.0." + std::to_string(i))));
  }
  EXPECT_EQ(hints("A"), list({kA, "198.18.0.139", "198.18.0.138", "198.18.0.137", "198.18.0.136",
                              "198.18.0.135", "198.18.0.134", "198.18.0.133"}));
}

TEST_F(CallTrickle, EarlyFragmentWaitsForItsSdp) {
  std::ignore = print(offer(audio(kA, 4000, ice("a"))));
  Request info = back(Command::offer, fragment("b", kSeen));
  info.fragment = true;
  for (int i = 0; i < 20; ++i) expect_done(info);
  now += std::chrono::seconds(3);
  std::ignore = print(answer(audio(kB, 5000, ice("b"))));
  EXPECT_EQ(hints("B"), list({kB, kSeen}));
}

TEST_F(CallTrickle, EarlyFragmentExpires) {
  std::ignore = print(offer(audio(kA, 4000, ice("a"))));
  Request info = back(Command::offer, fragment("b", kSeen));
  info.fragment = true;
  expect_done(info);
  now += std::chrono::seconds(4);
  std::ignore = print(answer(audio(kB, 5000, ice("b"))));
  EXPECT_EQ(hints("B"), list({kB}));
}

TEST_F(CallTrickle, RefusesMalformedFragments) {
  EXPECT_EQ(reason(trickle(fragment("a", kSeen))), "Unknown call-id");
  std::ignore = print(offer(audio(kA, 4000, ice("a"))));
  EXPECT_EQ(reason(trickle("nonsense")),
            "Failed to parse SDP fragment: line 1: not of the form x=value, x a lower-case letter");
  EXPECT_EQ(reason(trickle("")), "No SDP body in message");
  Request hidden = trickle(fragment("a", kSeen));
  hidden.edits.ice = IceHandling::relay_only;
  EXPECT_NE(std::get<reply::Done>(handle(hidden)).warning, "");
}

}  // namespace
}  // namespace millrace
