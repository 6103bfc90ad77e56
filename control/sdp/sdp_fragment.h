// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// ICE candidates sent after the SDP (trickle ICE): application/trickle-ice-sdpfrag (RFC 8840
// section 9) in a SIP INFO.
//
// A fragment has no session part except a=ice-ufrag. Each section has a pseudo m= (its port and
// formats are ignored), a=mid, and candidates, new or repeated (section 4.4). An a=mid before the
// first m= also starts a section. The parser checks the form of each line and reads a=ice-ufrag,
// a=mid and a=candidate; other lines are ignored. Limits are those of sdp.h.

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace::sdp {

struct FragmentMedia {
  std::string mid;  // identifies the section of the SDP (RFC 5888); empty: identified by order
  std::string ufrag;
  std::vector<IpAddress> candidates;  // as Media::candidates
  friend bool operator==(const FragmentMedia&, const FragmentMedia&) = default;
};

// Parses a fragment. Errors are "line N: FAULT; REMEDY".
[[nodiscard]] Result<std::vector<FragmentMedia>> parse_fragment(std::string_view body);

}  // namespace millrace::sdp
