// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Keys and flags of an ng offer or answer that choose interfaces and addresses (Placement in
// control/command/request.h).
//
// The parser of requests (ng_request.h) passes each key and flag that is not in its own tables.
// Names are not checked here: control/ports/realm.h knows the interfaces. Private to the parser of
// requests.

#include <string_view>

#include "control/command/request.h"
#include "control/protocol/ng/bencode.h"
#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {

class PlacementKeys {
 public:
  explicit PlacementKeys(Placement& placement) : placement_(placement) {}

  // False: not a key of these. `expected` is set if the value is malformed.
  [[nodiscard]] bool key(std::string_view name, bencode::Value value, Expected& expected);
  // Interfaces as flags: the sender's, then the receiver's. The key `direction` overrides them.
  [[nodiscard]] bool flag(std::string_view name);

 private:
  Expected direction(bencode::Value value);
  Expected inbound_peer(bencode::Value value);
  Expected outbound_peer(bencode::Value value);
  Expected media_address(bencode::Value value);
  Expected address_family(bencode::Value value);

  Placement& placement_;
  bool directed_ = false;  // by `direction`
};

}  // namespace millrace::ng
