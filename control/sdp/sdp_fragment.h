// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Candidates that come after the SDP (trickle ICE): application/trickle-ice-sdpfrag, RFC 8840
// section 9, as a SIP INFO carries it.
//
// A fragment is lines of an SDP without its head: a=ice-ufrag for all, then for each media a pseudo
// m= (its port and formats mean nothing), a=mid and the candidates that are new, or that were told
// before (section 4.4). An a=mid before the first m= begins a media, too. What is read is what a
// relay can use; what it does not understand is ignored.

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace::sdp {

struct FragmentMedia {
  std::string mid;  // names the media of the SDP (RFC 5888); empty: by its place
  std::string ufrag;
  std::vector<IpAddress> candidates;  // as Media::candidates
};

// Fails with "line N: ..." that says what is wrong and what would be right.
[[nodiscard]] Result<std::vector<FragmentMedia>> parse_fragment(std::string_view body);

}  // namespace millrace::sdp
