// SPDX-License-Identifier: BSD-3-Clause
// A buffer of JSON: it converts to bencode and back to equivalent JSON; parsed as an
// ng message it gives a Request or an error reply in JSON.

#include "control/protocol/ng/json.h"
#include "control/protocol/ng/ng.h"
#include "tests/fuzz/check.h"

using namespace millrace;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view buffer(reinterpret_cast<const char*>(data), size);
  const Extent extent = json::scan(buffer);
  FUZZ_CHECK(extent.state != Extent::State::complete || extent.size <= size);
  if (const auto transcript = json::to_bencode(buffer)) {
    const auto value = bencode::Value::read(*transcript);
    FUZZ_CHECK(value.has_value());
    FUZZ_CHECK(transcript->size() <= 4 * size + 16);
    FUZZ_CHECK(json::to_bencode(json::from_bencode(*transcript)) == *transcript);
    if (value->kind() == bencode::Value::Kind::dictionary && buffer.starts_with('{')) {
      FUZZ_CHECK(extent.state == Extent::State::complete);
      FUZZ_CHECK(buffer.find_first_not_of(" \t\r\n", extent.size) == buffer.npos);
    }
  }

  const auto message = ng::parse(buffer);
  if (!message && buffer.starts_with('{')) {
    FUZZ_CHECK(json::scan(message.error()) ==
               (Extent{Extent::State::complete, message.error().size()}));
  }
  return 0;
}
