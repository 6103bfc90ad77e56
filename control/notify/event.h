// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Call events: published by the calls, delivered by the notifier (notify.h). Values only; an Event
// owns its texts. Events of one call are published in chronological order.

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/command/report.h"
#include "dataplane/base/net.h"

namespace millrace {

namespace event {
struct Start {};     // first offer
struct Answered {};  // first answer
// A party latched to a new source.
struct Latched {
  std::string tag;
  unsigned media = 1;  // 1-based, as m= lines are counted
  bool rtcp = false;
  Endpoint local, source;
};
struct Hold {};    // no stream is sendrecv any more
struct Resume {};  // a stream is sendrecv again
struct Timeout {
  std::string_view reason;  // as in the End that follows
};
struct End {
  // Tags of an answered dialog.
  struct Dialog {
    std::string from_tag, to_tag;
  };
  std::string_view reason;    // "media-timeout", "deleted", ...
  Dialog tags;                // of the Event
  bool notify_proxy = false;  // the relay ended the call, so its proxy must be notified
  std::vector<Dialog> dialogs;
  std::string notify_socket, notify_tag, dialog_id;  // of Request::notify
  CallReport report;                                 // final statistics
};
}  // namespace event

struct Event {
  std::chrono::system_clock::time_point time;
  std::string call_id, from_tag, to_tag;
  std::variant<event::Start, event::Answered, event::Latched, event::Hold, event::Resume,
               event::Timeout, event::End>
      what;
};

// Called on any thread; must not block.
using EventOutlet = std::function<void(Event)>;

}  // namespace millrace
