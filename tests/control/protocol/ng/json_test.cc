// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/json.h"

#include <gtest/gtest.h>

#include "tests/exact.h"

namespace millrace::json {
namespace {

using State = Extent::State;

Extent scan_exact(std::string_view text, std::size_t limit = SIZE_MAX) {
  return scan(Exact(text).view(), limit);
}

std::string bencoded(std::string_view document) {
  return to_bencode(document).value_or("(refused)");
}

Refusal refusal(std::string_view document) { return to_bencode(document).error(); }

std::string round_trip(std::string_view bencode) { return from_bencode(bencode); }

TEST(JsonScan, EndsAtTheClosingBrace) {
  for (const std::string_view object :
       {R"({})", R"({"command":"ping"})", R"({"a":[1,{"b":[]}],"c":-1.5e+7,"d":[true,false,null]})",
        R"({"sdp":"v=0\r\n}]\"\\"})", R"( {})", "{\"a\"\r\n:\t1}"}) {
    if (object.front() == ' ') continue;
    EXPECT_EQ(scan_exact(object), (Extent{State::complete, object.size()})) << object;
    EXPECT_EQ(scan_exact(std::string(object) + "}x"), (Extent{State::complete, object.size()}));
    for (std::size_t length = 0; length < object.size(); ++length) {
      EXPECT_EQ(scan_exact(object.substr(0, length)).state, State::incomplete) << object;
      EXPECT_EQ(scan_exact(object, length).state, State::malformed) << object;
    }
  }
}

TEST(JsonScan, RefusesPrefixesThatCannotBecomeValid) {
  for (const std::string_view bad :
       {" {}", "[]", "1", "\"a\"", "}", "{]", "{[}", "{x", "{'a':1}", "", "{\x01", "{\"a\":<"}) {
    EXPECT_EQ(scan_exact(bad).state, bad.empty() ? State::incomplete : State::malformed) << bad;
  }
}

TEST(JsonScan, LimitsDepth) {
  for (const unsigned depth : {2U, bencode::kMaxDepth, bencode::kMaxDepth + 1, 100'000U}) {
    const std::string nested =
        "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + '}';
    const bool fits = depth <= bencode::kMaxDepth;
    EXPECT_EQ(scan(nested).state, fits ? State::complete : State::malformed) << depth;
    EXPECT_EQ(to_bencode(nested).has_value(), fits) << depth;
    if (!fits) {
      EXPECT_EQ(refusal(nested), Refusal::too_deep);
    }
    // Openings alone, as a hostile peer would send them.
    EXPECT_EQ(scan("{\"a\":" + std::string(depth - 1, '[')).state,
              fits ? State::incomplete : State::malformed);
  }
}

TEST(JsonToBencode, ConvertsEachType) {
  EXPECT_EQ(bencoded(R"({"s":"text","i":-5,"l":["a",1],"d":{"k":"v"}})"),
            "d1:s4:text1:ii-5e1:ll1:ai1ee1:dd1:k1:vee");
  EXPECT_EQ(bencoded(R"({"t":true,"f":false,"n":null})"), "d1:ti1e1:fi0e1:n0:e");
  EXPECT_EQ(bencoded(R"([9223372036854775807,9223372036854775808,1.50])"),
            "li9223372036854775807e19:92233720368547758084:1.50e");
  EXPECT_EQ(bencoded(R"({"k":1,"k":2})"), "d1:ki1e1:ki2ee");
}

TEST(JsonToBencode, UnescapesStrings) {
  EXPECT_EQ(bencoded(R"(["v=0\r\n\"\\\/\b\f\t"])"), "l11:v=0\r\n\"\\/\b\f\te");
  EXPECT_EQ(bencoded(R"(["\u00e9\u20ac"])"),
            "l5:\xc3\xa9\xe2\x82\xac"
            "e");
  EXPECT_EQ(bencoded(R"(["\ud83d\ude00"])"),
            "l4:\xf0\x9f\x98\x80"
            "e");  // surrogate pair
  EXPECT_EQ(bencoded(R"(["a\u0000b"])"), std::string("l3:a\0be", 7));
}

TEST(JsonToBencode, RefusesInvalidJson) {
  for (const std::string_view bad : {"",
                                     "{",
                                     "{\"a\"}",
                                     "{\"a\":}",
                                     "{a:1}",
                                     "{\"a\":1,}",
                                     "{\"a\":01}",
                                     "{\"a\":1}x",
                                     "{1:2}",
                                     R"(["\ud83d"])",
                                     R"(["\ude00"])",
                                     R"(["\ud83dx"])",
                                     R"(["\x41"])",
                                     R"(["\u12"])",
                                     "[\"\xff\"]",
                                     "[\"\xc0\xaf\"]",
                                     "[\"\xed\xa0\x80\"]",
                                     "[\"\xf5\x80\x80\x80\"]",
                                     "[\"\xe2\x82\"]",
                                     "[\"a\nb\"]",
                                     "[1e999]",
                                     "// {}",
                                     "\xef\xbb\xbf"}) {
    ASSERT_FALSE(to_bencode(bad).has_value()) << bad;
    EXPECT_EQ(refusal(bad), Refusal::syntax) << bad;
  }
  EXPECT_EQ(refusal(std::string_view("{}\0{}", 5)), Refusal::syntax);
  EXPECT_EQ(refusal(std::string_view("{}\0", 3)), Refusal::syntax);
}

TEST(JsonFromBencode, WritesEachType) {
  EXPECT_EQ(round_trip("d1:s4:text1:ii-5e1:ll1:ai1ee1:dd1:k1:vee"),
            R"({"s":"text","i":-5,"l":["a",1],"d":{"k":"v"}})");
  EXPECT_EQ(round_trip("de"), "{}");
  EXPECT_EQ(round_trip("le"), "[]");
  EXPECT_EQ(round_trip("8:v=0\r\n\"\\\x01"), R"("v=0\r\n\"\\\u0001")");
  EXPECT_EQ(round_trip("2:\xc3\xa9"), "\"\xc3\xa9\"");
  EXPECT_EQ(round_trip("3:a\xff"
                       "b"),
            "\"a\xef\xbf\xbd"
            "b\"");
}

TEST(JsonRoundTrip, BencodeOfUtf8RoundTrips) {
  for (const std::string_view value :
       {"de", "d1:ad1:bl0:i0eeee", "d3:sdp9:v=0\r\na=\"\\e", "d1:ai-9223372036854775808ee"}) {
    EXPECT_EQ(bencoded(round_trip(value)), value);
  }
}

}  // namespace
}  // namespace millrace::json
