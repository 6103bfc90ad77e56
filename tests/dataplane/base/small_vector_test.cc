// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/small_vector.h"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Words = SmallVector<std::string, 2>;

// Long enough for the heap, so that ASan sees a lost or a shared one.
std::string word(int number) {
  return "a word that std::string allocates " + std::to_string(number);
}

TEST(SmallVector, GrowsToTheHeapAndKeepsItsElements) {
  Words words;
  for (int i = 0; i < 10; ++i) {
    words.push_back(word(i));
    ASSERT_EQ(words.size(), static_cast<std::size_t>(i) + 1);
    for (int j = 0; j <= i; ++j) ASSERT_EQ(words[static_cast<std::size_t>(j)], word(j));
  }
  EXPECT_EQ(words.front(), word(0));
  EXPECT_EQ(words.back(), word(9));
}

TEST(SmallVector, AnElementMayBeAddedAgain) {
  Words words{word(0)};
  for (int i = 0; i < 9; ++i) words.push_back(words.front());
  for (const std::string& each : words) EXPECT_EQ(each, word(0));
}

TEST(SmallVector, CopiesAreApartAndMovesLeaveNothing) {
  for (const std::size_t count : {0U, 1U, 2U, 3U, 9U}) {
    Words words;
    for (std::size_t i = 0; i < count; ++i) words.push_back(word(static_cast<int>(i)));
    Words copy = words;
    EXPECT_EQ(copy, words);
    if (count > 0) {
      copy[0] += "!";
      EXPECT_NE(copy, words);
    }
    const Words before = words;
    Words moved = std::move(words);
    EXPECT_EQ(moved, before);
    EXPECT_TRUE(words.empty());  // NOLINT(bugprone-use-after-move): promised
    words = copy;
    EXPECT_EQ(words, copy);
    words = std::move(moved);
    EXPECT_EQ(words, before);
  }
}

// Against std::vector, by random operations.
TEST(SmallVector, BehavesAsAVector) {
  std::mt19937 dice(1);
  Words words;
  std::vector<std::string> expected;
  for (int step = 0; step < 20'000; ++step) {
    const std::size_t at = expected.empty() ? 0 : dice() % expected.size();
    const auto offset = static_cast<std::ptrdiff_t>(at);
    switch (dice() % 6) {
      case 0:
      case 1:
        words.push_back(word(step));
        expected.push_back(word(step));
        break;
      case 2:
        if (expected.empty()) break;
        words.erase(words.begin() + at);
        expected.erase(expected.begin() + offset);
        break;
      case 3:
        words.erase(words.begin() + at, words.end());
        expected.erase(expected.begin() + offset, expected.end());
        break;
      case 4: {
        const std::size_t size = dice() % 6;
        words.resize(size);
        expected.resize(size);
        break;
      }
      default:
        words = Words(words);
    }
    ASSERT_TRUE(std::ranges::equal(words, expected)) << step;
  }
}

struct Fails {
  Fails() = default;
  Fails(const Fails&) { throw std::runtime_error("copy"); }
  Fails(Fails&&) noexcept = default;
  Fails& operator=(Fails&&) noexcept = default;
  ~Fails() = default;
  std::string text = word(0);
};

TEST(SmallVector, AFailedCopyLeavesTheListAsItWas) {
  SmallVector<Fails, 1> list;
  list.emplace_back();
  EXPECT_THROW(list.push_back(list.front()), std::runtime_error);
  EXPECT_EQ(list.size(), 1U);
  EXPECT_THROW((SmallVector<Fails, 1>(list)), std::runtime_error);
  EXPECT_EQ(list.front().text, word(0));
}

TEST(Boxed, HasTheSemanticsOfItsValue) {
  Boxed<std::string> none, one(word(1));
  EXPECT_FALSE(none);
  EXPECT_NE(none, one);
  Boxed<std::string> copy = one;
  EXPECT_EQ(copy, one);
  *copy += "!";
  EXPECT_NE(copy, one);
  EXPECT_EQ(none.ensure(), "");
  none = one;
  EXPECT_EQ(none, one);
  none.reset();
  EXPECT_EQ(none, Boxed<std::string>());
}

}  // namespace
}  // namespace millrace
