// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/flow.h"

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

// Rule whose every field follows from one number, so that a mixture of two is seen.
Rule rule_of(std::uint32_t n) {
  const auto port = [&](std::uint32_t k) { return UdpPort(static_cast<std::uint16_t>(n + k)); };
  Rule o;
  o.flags = n;
  o.source = {IpAddress::v4(Be32(n + 1)), port(2)};
  o.destination = {IpAddress::v4(Be32(n + 3)), port(4)};
  o.hop = {static_cast<std::uint16_t>(n + 5), static_cast<std::uint16_t>(n + 6)};
  o.peer = SlotIndex((n + 7) & 0xffff);
  o.ip_delta = static_cast<std::uint16_t>(n + 8);
  o.udp_delta = static_cast<std::uint16_t>(n + 9);
  o.clock_rate = n + 10;
  return o;
}

bool is_whole(const Rule& o) {
  const Rule e = rule_of(o.flags);
  return o.source == e.source && o.destination == e.destination && o.hop == e.hop &&
         o.peer == e.peer && o.ip_delta == e.ip_delta && o.udp_delta == e.udp_delta &&
         o.clock_rate == e.clock_rate;
}

TEST(AddressWords, RoundTripBothFamilies) {
  AddressWords words{};
  EXPECT_EQ(load_address(words), IpAddress());
  for (const char* text : {"192.0.2.1", "2001:db8::1:2", "::"}) {
    const IpAddress address = *IpAddress::parse(text);
    store_address(words, address);
    EXPECT_EQ(load_address(words), address) << text;
    EXPECT_EQ(words[0].load(), address.words()[0]) << text;
    EXPECT_EQ(words[1].load(), address.words()[1]) << text;
  }
}

TEST(PartyAddresses, RoundTripBothFamilies) {
  for (const auto& [family, network] :
       {std::pair{Family::ipv4, "192.0.2."}, std::pair{Family::ipv6, "2001:db8::"}}) {
    const auto address = [&](std::size_t i) {
      return *IpAddress::parse(network + std::to_string(i));
    };
    std::vector<PartyAddresses::Word> words(PartyAddresses::kCount *
                                            PartyAddresses::words_of(family));
    PartyAddresses addresses(words.data(), family);
    for (std::size_t i = 0; i < PartyAddresses::kCount; ++i) addresses.store(i, address(i));
    for (std::size_t i = 0; i < PartyAddresses::kCount; ++i) {
      EXPECT_EQ(addresses.load(i), address(i));
    }
    EXPECT_EQ(addresses.find(address(7), kMaxHints), 7U);
    EXPECT_EQ(addresses.find(address(7), 7), kMaxHints) << "beyond the count";
    EXPECT_EQ(addresses.find(address(PartyAddresses::kRemote), kMaxHints), kMaxHints) << "no hint";
  }
}

// Words of one family never match an address of the other.
TEST(PartyAddresses, FamiliesDoNotMatch) {
  std::array<PartyAddresses::Word, PartyAddresses::kCount> words{};
  PartyAddresses addresses(words.data(), Family::ipv4);
  addresses.store(0, IpAddress::v4(192, 0, 2, 1));
  EXPECT_EQ(addresses.find(*IpAddress::parse("2001:db8::c000:201"), kMaxHints), kMaxHints);
  EXPECT_EQ(addresses.find(IpAddress(), kMaxHints), kMaxHints);
}

TEST(RecordPorts, CountsHintsInForceAndProposedOnes) {
  RecordPorts ports;
  EXPECT_EQ(ports.hints(), 0U);
  ports.agreed_hints = 3;
  ports.proposed_hints = 0b001;
  EXPECT_EQ(ports.hints(), 3U);
  ports.proposed_hints = 0b1000'0001;
  EXPECT_EQ(ports.hints(), kMaxHints);
  EXPECT_TRUE(ports.proposes(7));
  EXPECT_FALSE(ports.proposes(6));
  EXPECT_FALSE(ports.proposes(kMaxHints));
}

TEST(Rule, RoundTrip) {
  RuleLine line;
  for (const std::uint32_t n : {1U, 0x1234U, 0xffff'fff0U}) {
    RuleLock::lock(line).commit(rule_of(n));
    const auto read = read_rule(line);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->flags, n);
    EXPECT_TRUE(is_whole(*read));
  }
}

TEST(Rule, RoundTripIpv6) {
  RuleLine line;
  Rule rule;
  rule.source = {IpAddress::parse("2001:db8::1").value(), UdpPort(5000)};
  rule.destination = {IpAddress::parse("2001:db8:ffff::2").value(), UdpPort(6000)};
  RuleLock::lock(line).commit(rule);
  EXPECT_EQ(read_rule(line)->source, rule.source);
  EXPECT_EQ(read_rule(line)->destination, rule.destination);
}

TEST(Rule, OneWriterAtATime) {
  RuleLine line;
  {
    const auto held = RuleLock::try_lock(line);
    ASSERT_TRUE(held);
    EXPECT_FALSE(RuleLock::try_lock(line));
  }
  EXPECT_TRUE(read_rule(line));
  EXPECT_TRUE(RuleLock::try_lock(line));
}

TEST(Rule, ReadersGetTheOldValuesUntilTheCommit) {
  RuleLine line;
  RuleLock::lock(line).commit(rule_of(1));
  RuleLock lock = RuleLock::lock(line);
  ASSERT_TRUE(read_rule(line));
  EXPECT_EQ(read_rule(line)->flags, 1U);
  lock.commit(rule_of(2));
  EXPECT_EQ(read_rule(line)->flags, 2U);
}

TEST(Rule, ReaderGivesUpAfterABoundedWait) {
  RuleLine line;
  line.head |= RuleLine::kStoring;
  EXPECT_FALSE(read_rule(line));
}

TEST(Rule, LockWithoutCommitChangesNothing) {
  RuleLine line;
  RuleLock::lock(line).commit(rule_of(42));
  const std::uint64_t head = line.head;
  {
    const RuleLock lock = RuleLock::lock(line);
  }
  EXPECT_EQ(line.head, head);
}

TEST(Rule, SequenceCountWrapsWithoutTouchingTheFlags) {
  RuleLine line;
  line.head = 0xffff'fffc;
  RuleLock::lock(line).commit(rule_of(7));
  EXPECT_EQ(read_rule(line)->flags, 7U);
  EXPECT_EQ(line.head & 0xffff'ffff, 0U);
}

TEST(Rule, ReadersNeverGetAMixture) {
  constexpr std::uint32_t kWrites = 20'000;
  constexpr std::uint32_t kReads = 1'000;
  RuleLine line;
  RuleLock::lock(line).commit(rule_of(0));
  std::atomic<int> writing{2};
  std::atomic<std::uint64_t> mixed{0}, reads{0}, writes{0};
  std::vector<std::jthread> threads;
  for (std::uint32_t w = 0; w < 2; ++w) {
    threads.emplace_back([&, w] {
      for (std::uint32_t i = 0; i < kWrites || reads < kReads; ++i) {
        if (i % 2 == 0) {
          RuleLock::lock(line).commit(rule_of(i * 2 + w));
          ++writes;
        } else if (auto lock = RuleLock::try_lock(line)) {
          lock->commit(rule_of(i * 2 + w));
          ++writes;
        }
      }
      --writing;
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&] {
      while (writing > 0) {
        if (const auto rule = read_rule(line)) {
          ++reads;
          if (!is_whole(*rule)) ++mixed;
        }
      }
    });
  }
  threads.clear();
  EXPECT_EQ(mixed, 0U);
  EXPECT_GE(writes, kWrites);
  EXPECT_EQ(static_cast<std::uint32_t>(line.head),
            static_cast<std::uint32_t>(RuleLine::kStep * (writes + 1)));
}

}  // namespace
}  // namespace millrace
