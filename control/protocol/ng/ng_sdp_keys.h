// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Keys and flags of an ng offer or answer that edit its SDP (control/command/edits.h).
//
// The parser of requests (ng_request.h) passes each key and flag that is not in its own tables.
// SdpKeys sets the matching members of Request::edits and collects unknown words. The number of
// edits is limited: each is compared with every line of the SDP. Edits past the limit are not
// stored, and the parser refuses the request. Private to the parser of requests.

#include <cstddef>
#include <string_view>

#include "control/protocol/ng/ng_unsupported.h"
#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {

// Counts edits against sdp::kMaxEdits.
class EditLimit {
 public:
  // False: the limit is exceeded.
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
  SdpKeys(Request& request, Unknown& unknown, Unsupported& unsupported)
      : request_(request), unknown_(unknown), unsupported_(unsupported) {}

  // False: not an SDP key. `expected` is set if the value is malformed.
  [[nodiscard]] bool key(std::string_view name, bencode::Value value, Expected& expected);
  // False: not an SDP flag.
  [[nodiscard]] bool flag(std::string_view name);
  // The request has more than sdp::kMaxEdits edits; those past the limit were not stored.
  [[nodiscard]] bool too_many_edits() const { return limit_.exceeded(); }

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
  Unsupported& unsupported_;
  EditLimit limit_;
};

}  // namespace millrace::ng
