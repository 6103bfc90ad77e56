// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/bencode.h"

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/exact.h"

namespace millrace::bencode {
namespace {

using State = Extent::State;

Extent scan_exact(std::string_view text, std::size_t limit = SIZE_MAX) {
  return scan(Exact(text).view(), limit);
}

TEST(BencodeScan, EndsAtTheFirstValue) {
  for (const std::string_view value :
       {"0:", "4:spam", "i0e", "i-42e", "i9223372036854775807e", "i-9223372036854775808e", "le",
        "de", "l4:spami1ee", "d3:keyl1:a1:bee", "d7:command4:pinge", "d1:bi1e1:ai2ee",
        "d1:a1:x1:a1:ye"}) {
    EXPECT_EQ(scan_exact(value), (Extent{State::complete, value.size()})) << value;
    EXPECT_EQ(scan_exact(std::string(value) + "d"), (Extent{State::complete, value.size()}))
        << value;
    for (std::size_t length = 0; length < value.size(); ++length) {
      EXPECT_EQ(scan_exact(value.substr(0, length)).state, State::incomplete)
          << value << " cut to " << length;
      EXPECT_EQ(scan_exact(value, length).state, State::malformed) << value << " limit " << length;
    }
    EXPECT_EQ(scan_exact(value, value.size()).state, State::complete) << value;
  }
}

TEST(BencodeScan, RefusesPrefixesThatCannotBecomeValid) {
  for (const std::string_view bad : {"x",
                                     "e",
                                     "-1:a",
                                     ":",
                                     " 1:a",
                                     "1;a",
                                     "03:abc",
                                     "00:",
                                     "i03e",
                                     "i-0e",
                                     "i00e",
                                     "i-e",
                                     "ie",
                                     "i+1e",
                                     "i 1e",
                                     "i1.5e",
                                     "i1x",
                                     "i9223372036854775808e",
                                     "i-9223372036854775809e",
                                     "i99999999999999999999",
                                     "d1:ae",
                                     "di1e1:ae",
                                     "dle1:ae",
                                     "dde1:ae",
                                     "d1:a1:b1:ce",
                                     "d1:ai1ei2ee",
                                     "l-1:e",
                                     "d\n"}) {
    EXPECT_EQ(scan_exact(bad).state, State::malformed) << bad;
  }
}

TEST(BencodeScan, RefusesLengthsBeyondTheLimit) {
  constexpr std::size_t kLimit = 1000;
  EXPECT_EQ(scan_exact("996:", kLimit).state, State::incomplete);
  EXPECT_EQ(scan_exact("997:", kLimit).state, State::malformed);
  EXPECT_EQ(scan_exact("l995:", kLimit).state, State::incomplete);
  EXPECT_EQ(scan_exact("l996:", kLimit).state, State::malformed);
  for (const std::string_view huge :
       {"9223372036854775807:", "9223372036854775808:", "18446744073709551615:",
        "18446744073709551614:", "18446744073709551600:", "18446744073709551616:",
        "18446744073709551619:", "99999999999999999999999999999999:"}) {
    EXPECT_EQ(scan_exact(huge, kLimit).state, State::malformed) << huge;
    EXPECT_NE(scan_exact(huge).state, State::complete) << huge;
    EXPECT_NE(scan_exact(std::string(huge) + "abcd").state, State::complete) << huge;
  }
  // Length wraps to 3 in 64 bits: must not read as "3:abc".
  EXPECT_EQ(scan_exact("18446744073709551619:abc").state, State::malformed);
  EXPECT_EQ(scan_exact("18446744073709551613:abc").state, State::malformed);
}

TEST(BencodeScan, LimitsDepth) {
  for (const std::string_view open : {"l", "d1:a"}) {
    for (const unsigned depth : {1U, kMaxDepth, kMaxDepth + 1, 1000U, 100'000U, 1'000'000U}) {
      std::string nested;
      for (unsigned i = 0; i < depth; ++i) nested += open;
      if (open == "d1:a") nested += "0:";
      nested.append(depth, 'e');
      EXPECT_EQ(scan(nested).state, depth <= kMaxDepth ? State::complete : State::malformed)
          << open << ' ' << depth;
    }
  }
}

TEST(BencodeValue, ParsesLeaves) {
  EXPECT_EQ(Value::read("4:a\0b:"), std::nullopt);
  const std::string binary("5:a\0b:\xff", 7);
  EXPECT_EQ(Value::read(binary)->text(), std::string_view("a\0b:\xff", 5));
  EXPECT_EQ(Value::read("0:")->text(), "");
  EXPECT_EQ(Value::read("i-7e")->text(), "-7");
  EXPECT_EQ(Value::read("i-7e")->integer(), -7);
  EXPECT_EQ(Value::read("2:42")->integer(), 42);
  EXPECT_EQ(Value::read("3:42x")->integer(), std::nullopt);
  EXPECT_EQ(Value::read("0:")->integer(), std::nullopt);
  EXPECT_EQ(Value::read("le")->text(), std::nullopt);
  EXPECT_EQ(Value::read("de")->integer(), std::nullopt);
  EXPECT_FALSE(Value::read("").has_value());
  EXPECT_FALSE(Value::read("i1ei2e").has_value());
  EXPECT_FALSE(Value::read("4:pin").has_value());
}

TEST(BencodeValue, IteratesInOrder) {
  const std::string_view dictionary = "d1:bi1e1:al0:e1:bdee";
  Entries entries(*Value::read(dictionary));
  std::vector<std::string_view> keys;
  std::vector<Value::Kind> kinds;
  while (const auto entry = entries.next()) {
    keys.push_back(entry->key);
    kinds.push_back(entry->value.kind());
  }
  EXPECT_EQ(keys, (std::vector<std::string_view>{"b", "a", "b"}));
  EXPECT_EQ(kinds, (std::vector{Value::Kind::integer, Value::Kind::list, Value::Kind::dictionary}));
  Items both(*Value::read(dictionary));
  std::size_t count = 0;
  while (both.next()) ++count;
  EXPECT_EQ(count, 6U);
  EXPECT_FALSE(Entries(*Value::read("l1:a1:be")).next().has_value());
  EXPECT_FALSE(Items(*Value::read("4:spam")).next().has_value());
  EXPECT_FALSE(Items(*Value::read("i1e")).next().has_value());
}

// A random value of at most `depth` levels, written by `random` into `out`.
void write_random(std::mt19937& random, unsigned depth, Writer& out) {
  const auto count = random() % 4;
  switch (random() % (depth > 1 ? 4 : 2)) {
    case 0: {
      std::string bytes(random() % 40, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      return out.string(bytes);
    }
    case 1:
      return out.integer(static_cast<std::int64_t>(random()) * (random() % 2 != 0 ? 1 : -1));
    case 2:
      out.list();
      for (unsigned i = 0; i < count; ++i) write_random(random, depth - 1, out);
      return out.end();
    default:
      out.dictionary();
      for (unsigned i = 0; i < count; ++i) {
        out.string("k" + std::to_string(i));
        write_random(random, depth - 1, out);
      }
      return out.end();
  }
}

void copy(Value value, Writer& out) {
  using Kind = Value::Kind;
  if (value.kind() == Kind::string) return out.string(*value.text());
  if (value.kind() == Kind::integer) return out.integer(*value.integer());
  if (value.kind() == Kind::list) out.list();
  if (value.kind() == Kind::dictionary) out.dictionary();
  Items items(value);
  while (const auto item = items.next()) copy(*item, out);
  out.end();
}

TEST(BencodeRoundTrip, RandomValues) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Writer first;
    write_random(random, 6, first);
    const std::string bytes = std::move(first).take();
    const auto value = Value::read(bytes);
    ASSERT_TRUE(value.has_value()) << bytes;
    Writer again;
    copy(*value, again);
    ASSERT_EQ(std::move(again).take(), bytes);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      ASSERT_EQ(scan_exact(std::string_view(bytes).substr(0, length)).state, State::incomplete);
    }
  }
}

TEST(BencodeWriter, ClampsCountersTo63Bits) {
  Writer writer;
  writer.dictionary();
  writer.entry("n", std::numeric_limits<std::uint64_t>::max());
  writer.end();
  EXPECT_EQ(std::move(writer).take(), "d1:ni9223372036854775807ee");
}

}  // namespace
}  // namespace millrace::bencode
