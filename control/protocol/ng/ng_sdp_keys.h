// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The keys and flags of an ng offer or answer that say how its SDP is to be printed. Private to the
// reader of requests (ng_request.h), which asks here about what it does not know itself.

#include <cstddef>
#include <string_view>

#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {

// Counts edits against sdp::kMaxEdits.
class EditBudget {
 public:
  // False: these are too many.
  [[nodiscard]] bool take(std::size_t edits = 1) {
    exceeded_ |= edits > left_;
    if (!exceeded_) left_ -= edits;
    return !exceeded_;
  }
  [[nodiscard]] bool exceeded() const { return exceeded_; }

 private:
  std::size_t left_ = sdp::kMaxEdits;
  bool exceeded_ = false;
};

class SdpKeys {
 public:
  SdpKeys(Request& request, Unknown& unknown) : request_(request), unknown_(unknown) {}

  // False: not a key of these. `expected` tells what its value should have been.
  [[nodiscard]] bool key(std::string_view name, bencode::Value value, Expected& expected);
  // False: not a flag of these.
  [[nodiscard]] bool flag(std::string_view name);
  // More than sdp::kMaxEdits were asked for: those past it are not in the request.
  [[nodiscard]] bool too_many_edits() const { return budget_.exceeded(); }

 private:
  Expected replace(bencode::Value value);
  Expected ice(bencode::Value value);
  Expected ice_candidate(bencode::Value value);
  Expected transport_protocol(bencode::Value value);
  Expected rtcp_mux(bencode::Value value);
  Expected bundle(bencode::Value value);
  Expected codec(bencode::Value value);
  Expected sdp_attr(bencode::Value value);
  Expected sdp_media_remove(bencode::Value value);

  void mux_word(std::string_view name);
  void bundle_word(std::string_view name);
  void replace_word(std::string_view name);
  bool codec_word(std::string_view name);
  bool attribute_word(std::string_view name);

  Request& request_;
  Unknown& unknown_;
  EditBudget budget_;
};

}  // namespace millrace::ng
