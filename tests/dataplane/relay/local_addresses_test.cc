// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/local_addresses.h"

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

// More would only cost memory: the slots of an address take 8 MiB.
constexpr std::uint8_t kCount = 12;

IpAddress ipv4(unsigned number) {
  return IpAddress::v4(Be32(0xc612'0000U + number));  // 198.18.0.0/15
}

IpAddress ipv6(unsigned number) {
  return IpAddress::v6({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                        static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
}

template <Family F>
AddressKey<F> key(const IpAddress& address) {
  const auto bytes = std::as_bytes(std::span(address.bytes()));
  return load<AddressKey<F>>(bytes.last(sizeof(AddressKey<F>)).data());
}

std::vector<Prefix> addresses() {
  std::vector<Prefix> all;
  for (unsigned i = 0; i < kCount; ++i) {
    all.push_back({.address = ipv4(1 + 3 * i), .length = 15});
    all.push_back({.address = ipv6(1 + 3 * i), .length = 64});
  }
  return all;
}

// The IPv4 address of which the key has this hash.
IpAddress with_hash(std::uint32_t hash) {
  constexpr std::uint32_t kInverse = 0x0e8b'2f51;  // of the factor, modulo 2^32
  static_assert(kInverse * 0x9e37'79b1U == 1);
  const auto bytes = std::bit_cast<std::array<std::uint8_t, 4>>(hash * kInverse);
  return IpAddress::v4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

class LocalAddressesTest : public testing::Test {
 protected:
  template <Family F>
  Slot* find(const IpAddress& address) const {
    const LocalAddresses<F> local(links_, 0, flows_);
    Slot* found = nullptr;
    return local.index().find(key<F>(address), found) ? found : nullptr;
  }
  Slot* slots(unsigned number) const {
    return flows_.slots(MediaAddressId{static_cast<std::uint16_t>(number)});
  }

 private:
  Link link_{0, MacAddress{}, addresses(), MediaAddressId{0}, {}, 1'000'000'000};
  std::vector<Link*> links_{&link_};
  FlowTable flows_{links_, 1'000'000'000};
};

TEST_F(LocalAddressesTest, EachAddressHasItsOwnSlots) {
  for (unsigned i = 0; i < kCount; ++i) {
    EXPECT_EQ(find<Family::ipv4>(ipv4(1 + 3 * i)), slots(2 * i)) << i;
    EXPECT_EQ(find<Family::ipv6>(ipv6(1 + 3 * i)), slots(2 * i + 1)) << i;
  }
}

TEST_F(LocalAddressesTest, OtherAddressesAreNotFound) {
  EXPECT_EQ(find<Family::ipv4>(IpAddress::v4(0, 0, 0, 0)), nullptr);
  EXPECT_EQ(find<Family::ipv6>(IpAddress::v6({})), nullptr);
  for (unsigned i = 0; i < 500; ++i) {
    if (i % 3 == 1 && i < 3 * kCount) continue;
    EXPECT_EQ(find<Family::ipv4>(ipv4(i)), nullptr) << i;
    EXPECT_EQ(find<Family::ipv6>(ipv6(i)), nullptr) << i;
  }
}

// How the table of these addresses finds each of them.
struct Probe {
  bool first, found;  // by the first probe, at all
};
std::vector<Probe> probe(const std::vector<IpAddress>& all) {
  std::vector<Prefix> prefixes;
  for (const IpAddress& address : all) prefixes.push_back({.address = address, .length = 32});
  Link link{0, MacAddress{}, prefixes, MediaAddressId{0}, {}, 1'000'000'000};
  const std::vector<Link*> links{&link};
  const FlowTable flows(links, 1'000'000'000);
  const LocalAddresses<Family::ipv4> local(links, 0, flows);
  const auto [entries, shift] = local.index();
  std::vector<Probe> probes;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto wanted = key<Family::ipv4>(all[i]);
    const std::size_t at = (detail::hash(wanted) >> shift) / sizeof(entries[0]);
    Slot* found = nullptr;
    const bool is_local = local.index().find(wanted, found);
    Slot* const own = flows.slots(MediaAddressId{static_cast<std::uint16_t>(i)});
    probes.push_back({entries[at].key == wanted, is_local && found == own});
  }
  return probes;
}

TEST(LocalAddresses, TableGrowsUntilTheFirstProbeFindsEachAddress) {
  // Equal in the upper 3, 8 and 15 bits of the hash: 65,536 entries tell them apart.
  for (const Probe& each : probe({with_hash(0x8000'0001), with_hash(0x9000'0001),
                                  with_hash(0x8080'0001), with_hash(0x8001'0001)})) {
    EXPECT_TRUE(each.first);
    EXPECT_TRUE(each.found);
  }
}

TEST(LocalAddresses, DisplacedAddressesAreFound) {
  // Equal in the upper 16 bits, at the end of the table: the second and third wrap around.
  const std::vector<Probe> probes =
      probe({with_hash(0xffff'0001), with_hash(0xffff'0002), with_hash(0xffff'0003)});
  EXPECT_TRUE(probes[0].first);
  EXPECT_FALSE(probes[1].first);
  for (const Probe& each : probes) EXPECT_TRUE(each.found);
}

TEST(LocalAddresses, OfAnotherNicOrNoneAreNotFound) {
  Link link{1, MacAddress{}, addresses(), MediaAddressId{0}, {}, 1'000'000'000};
  const std::vector<Link*> links{&link};
  const FlowTable flows(links, 1'000'000'000);
  Slot* found = nullptr;
  for (const LocalAddresses<Family::ipv4>& local : {LocalAddresses<Family::ipv4>(links, 0, flows),
                                                    LocalAddresses<Family::ipv4>({}, 0, flows)}) {
    EXPECT_FALSE(local.index().find(key<Family::ipv4>(ipv4(1)), found));
    EXPECT_FALSE(local.index().find(0, found));
    EXPECT_FALSE(local.index().find(1, found));
  }
}

}  // namespace
}  // namespace millrace
