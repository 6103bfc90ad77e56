// SPDX-License-Identifier: BSD-3-Clause
// A buffer of bencode: what scan() calls complete can be read to its last leaf, and writing it
// again gives the same bytes, since each value has one form only.

#include "control/protocol/ng/bencode.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace::bencode;
using State = millrace::Extent::State;

void copy(Value value, Writer& out) {
  switch (value.kind()) {
    case Value::Kind::string:
      return out.string(*value.text());
    case Value::Kind::integer:
      FUZZ_CHECK(value.integer().has_value());
      return out.integer(*value.integer());
    case Value::Kind::list:
      out.list();
      break;
    case Value::Kind::dictionary:
      out.dictionary();
      break;
  }
  Items items(value);
  while (const auto item = items.next()) copy(*item, out);
  out.end();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view buffer(reinterpret_cast<const char*>(data), size);
  const millrace::Extent extent = scan(buffer);
  FUZZ_CHECK(Value::read(buffer).has_value() ==
             (extent == millrace::Extent{State::complete, buffer.size()}));
  if (extent.state != State::complete) return 0;
  FUZZ_CHECK(extent.size <= size);

  const std::string_view value = buffer.substr(0, extent.size);
  FUZZ_CHECK(scan(value) == extent);
  FUZZ_CHECK(scan(value, value.size()) == extent);
  FUZZ_CHECK(scan(value, value.size() - 1).state == State::malformed);
  FUZZ_CHECK(scan(value.substr(0, value.size() - 1)).state == State::incomplete);
  Writer writer;
  copy(*Value::read(value), writer);
  FUZZ_CHECK(std::move(writer).take() == value);
  return 0;
}
