// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/local_addresses.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

// Enough that some addresses share an entry: 32 entries of each family. More would only cost
// memory: the slots of an address take 8 MiB.
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
