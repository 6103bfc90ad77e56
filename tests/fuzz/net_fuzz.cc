// SPDX-License-Identifier: BSD-3-Clause
// Address and prefix text: what is read is written and read again as the same value.

#include <cstdint>
#include <string_view>

#include "dataplane/base/net.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto address = millrace::IpAddress::parse(text)) {
    const auto again = millrace::IpAddress::parse(address->text());
    FUZZ_CHECK(again && *again == *address);
  }
  if (const auto prefix = millrace::Prefix::parse(text)) {
    const auto again = millrace::Prefix::parse(prefix->text());
    FUZZ_CHECK(again && *again == *prefix);
  }
  return 0;
}
