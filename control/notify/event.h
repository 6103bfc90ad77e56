// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What happens to a call, for whoever wants to know: the common tongue between the calls, which
// tell, and the notifier, which passes it on (notify.h). Values only; an Event owns its texts.
//
// Events of one call come in the order in which they happened.

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/command/request.h"
#include "dataplane/base/net.h"

namespace millrace {

namespace event {
struct Start {};   // first offer
struct Answer {};  // first answer
// A party is heard, at an address where it was not heard before.
struct Latched {
  std::string tag;
  unsigned media = 1;  // 1-based, as m= lines are counted
  bool rtcp = false;
  Endpoint local, source;
};
struct Hold {};    // no media is to flow both ways any more
struct Resume {};  // it is again
struct Timeout {
  std::string_view reason;  // as of the End that follows
};
struct End {
  // From-tag and to-tag of a dialog that was answered.
  struct Dialog {
    std::string from_tag, to_tag;
  };
  std::string_view reason;  // "media-timeout", "deleted", ...
  Dialog tags;              // of the event
  // The relay ended the call and the proxy does not know yet: whom to tell, and of what.
  bool untold = false;
  std::vector<Dialog> dialogs;
  std::string notify_socket, notify_tag, dialog_id;  // as in Request
  CallReport report;                                 // the final statistics
};
}  // namespace event

struct Event {
  std::chrono::system_clock::time_point time;
  std::string call_id, from_tag, to_tag;
  std::variant<event::Start, event::Answer, event::Latched, event::Hold, event::Resume,
               event::Timeout, event::End>
      what;
};

// Takes events without blocking, on any thread.
using EventOutlet = std::function<void(Event)>;

}  // namespace millrace
