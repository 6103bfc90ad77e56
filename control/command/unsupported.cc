// SPDX-License-Identifier: BSD-3-Clause
#include "control/command/unsupported.h"

#include <variant>

#include "control/log.h"

namespace millrace {

void add_sentence(std::string& to, std::string_view more) {
  if (more.empty() || to.contains(more)) return;
  if (!to.empty()) to += "; ";
  to += more;
}

void report_unsupported(const Request& request, Reply& reply, std::string_view more) {
  std::string* const warning = std::visit(
      [](auto& kind) -> std::string* {
        if constexpr (requires { kind.warning; }) return &kind.warning;
        return nullptr;
      },
      reply);
  if (warning == nullptr) return;
  add_sentence(*warning, request.unsupported);
  add_sentence(*warning, more);
  if (warning->empty()) return;
  log_event(Level::warning, "request-degraded",
            {{"call-id", request.call_id}, {"reason", *warning}});
}

}  // namespace millrace
