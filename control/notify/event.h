// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Call events, as the calls publish them and the notifier (notify.h) delivers them. Values only; an
// Event owns its texts. Events of one call are published in the order in which they happened.

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/command/report.h"
#include "control/command/request.h"
#include "dataplane/base/net.h"

namespace millrace {

namespace event {
struct Start {};   // first offer
struct Answer {};  // first answer
// A party's media arrives from a new address.
struct Latched {
  std::string tag;
  unsigned media = 1;  // 1-based, as m= lines are counted
  bool rtcp = false;
  Endpoint local, source;
};
struct Hold {};    // no stream is to flow both ways any more
struct Resume {};  // one is again
struct Timeout {
  std::string_view reason;  // that of the End that follows
};
struct End {
  // Tags of an answered dialog.
  struct Dialog {
    std::string from_tag, to_tag;
  };
  std::string_view reason;    // "media-timeout", "deleted", ...
  Dialog tags;                // of the Event
  bool notify_proxy = false;  // the relay ended the call: its proxy does not know yet
  std::vector<Dialog> dialogs;
  std::string notify_socket, notify_tag, dialog_id;  // of Request::notify
  CallReport report;                                 // final statistics
};
}  // namespace event

struct Event {
  std::chrono::system_clock::time_point time;
  std::string call_id, from_tag, to_tag;
  std::variant<event::Start, event::Answer, event::Latched, event::Hold, event::Resume,
               event::Timeout, event::End>
      what;
};

// Called on any thread; must not block.
using EventOutlet = std::function<void(Event)>;

}  // namespace millrace
