// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/text.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Decimal, RequiresTheWholeTextInRange) {
  EXPECT_EQ(decimal<std::uint16_t>("0"), 0);
  EXPECT_EQ(decimal<std::uint16_t>("0065535"), 65535);
  EXPECT_EQ(decimal<std::uint16_t>("65536"), std::nullopt);
  EXPECT_EQ(decimal<std::uint32_t>("127", 127), 127U);
  EXPECT_EQ(decimal<std::uint32_t>("128", 127), std::nullopt);
  EXPECT_EQ(decimal<std::uint32_t>("4294967296"), std::nullopt);
  EXPECT_EQ(decimal<std::int64_t>("-9223372036854775808"),
            std::numeric_limits<std::int64_t>::min());
  for (const char* text : {"", " 1", "1 ", "+1", "-1", "1x", "0x1", "1.0", "one"}) {
    EXPECT_EQ(decimal<unsigned>(text), std::nullopt) << text;
  }
  EXPECT_EQ(decimal<unsigned>(std::string_view("1\0", 2)), std::nullopt);
}

TEST(Lower, ChangesAsciiLettersOnly) {
  for (int i = 0; i < 256; ++i) {
    const char c = static_cast<char>(i);
    EXPECT_EQ(lower(c), i >= 'A' && i <= 'Z' ? static_cast<char>(i + 32) : c) << i;
  }
}

TEST(Text, KeepsTextsOfAnyLength) {
  for (std::size_t size = 0; size < 300; ++size) {
    std::string text(size, 'x');
    if (size > 0) text.back() = '\0';
    const Text kept(text);
    EXPECT_EQ(kept, text);
    EXPECT_EQ(kept.empty(), size == 0);
    text.assign(size, 'y');
    EXPECT_EQ(std::string_view(kept).find('y'), std::string_view::npos) << "it owns its bytes";
  }
}

TEST(Text, CopiesAndMoves) {
  for (const std::size_t size : {0U, 15U, 16U, 200U}) {
    const std::string text(size, 'x');
    Text first(text), copy(first), moved(std::move(first));
    EXPECT_EQ(copy, text);
    EXPECT_EQ(moved, text);
    Text assigned("something else, that is long");
    assigned = copy;
    EXPECT_EQ(assigned, copy);
    assigned = std::move(moved);
    EXPECT_EQ(assigned, text);
    assigned = std::string_view("short");
    EXPECT_EQ(assigned, "short");
    assigned = *&assigned;
    EXPECT_EQ(assigned, "short");
  }
}

TEST(Text, ComparesByItsBytes) {
  EXPECT_EQ(Text("same and not that short"), Text("same and not that short"));
  EXPECT_NE(Text("same and not that short"), Text("same and not that shorx"));
  EXPECT_NE(Text("a"), Text("ab"));
  std::vector<Text> many(100, Text("a text on the heap, for sure"));
  many.erase(many.begin(), many.begin() + 50);
  EXPECT_EQ(many.back(), "a text on the heap, for sure");
}

TEST(TextHelpers, QuoteIsPrintableAndShort) {
  EXPECT_EQ(quote("a\n'\xff!"), "'a?'?!'");
  EXPECT_EQ(quote(std::string(64, 'x')), "'" + std::string(64, 'x') + "'");
  EXPECT_EQ(quote(std::string(65, 'x')), "'" + std::string(64, 'x') + "...'");
}

TEST(TextHelpers, TimeInUtcHasMicroseconds) {
  using std::chrono::system_clock;
  const auto at = [](std::int64_t micros) {
    return utc_text(system_clock::time_point(std::chrono::microseconds(micros)));
  };
  EXPECT_EQ(at(1'767'323'045'000'901), "2026-01-02T03:04:05.000901Z");
  EXPECT_EQ(at(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(at(-1), "1969-12-31T23:59:59.999999Z");
}

TEST(TextHelpers, ComparesNamesWithoutCase) {
  EXPECT_TRUE(equal_ignoring_case("Udp", "uDP"));
  EXPECT_FALSE(equal_ignoring_case("udp", "udp "));
}

}  // namespace
}  // namespace millrace
