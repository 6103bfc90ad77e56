// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_notify.h"

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "control/config/config_control.h"

namespace millrace {

namespace {

std::string read_path(const toml::node& node, std::string_view key, std::string_view example) {
  std::string path = TomlReader::string(node, key);
  if (!names_socket_file(path) || path.size() > kMaxSocketPath) {
    refuse(node, fmt::format("{} must be the absolute path of a socket file, {} bytes at most; "
                             "write \"{}\"",
                             key, kMaxSocketPath, example));
  }
  return path;
}

std::string_view example_path(NotifyType type) {
  switch (type) {
    case NotifyType::kamailio:
      return "/run/kamailio/kamailio_rpc.sock";
    case NotifyType::opensips:
      return "/run/opensips/mi.sock";
    case NotifyType::events:
      break;
  }
  return "/run/millrace/events.sock";
}

std::string_view default_reply_path(NotifyType type) {
  return type == NotifyType::kamailio ? "/run/millrace/kamailio-replies.sock"
                                      : "/run/millrace/opensips-replies.sock";
}

}  // namespace

void read_notify(const toml::table& table, std::vector<Notify>& all, ConfigFaults& faults) {
  const TomlReader reader(table, "[[notify]]", {"type", "path", "reply_path", "mode", "owner"},
                          faults);
  Notify notify;
  read_mode(reader, notify.own);
  reader.read("owner", notify.own.owner);
  static_cast<void>(reader.require("type", R"(type = "kamailio", "opensips" or "events")"));
  if (!reader.read("type", notify.type,
                   {{"kamailio", NotifyType::kamailio},
                    {"opensips", NotifyType::opensips},
                    {"events", NotifyType::events}})) {
    return;
  }
  const std::string_view example = example_path(notify.type);
  const toml::node& path = reader.require("path", fmt::format("path = \"{}\"", example));
  const toml::node* own = &path;
  if (notify.type == NotifyType::events) {
    notify.own.path = read_path(path, "path", example);
    if (const toml::node* reply_path = reader.find("reply_path")) {
      refuse(*reply_path, "reply_path is for the replies of a proxy; remove it beside events");
    }
  } else {
    notify.proxy = read_path(path, "path", example);
    notify.own.path = default_reply_path(notify.type);
    if (const toml::node* reply_path = reader.find("reply_path")) {
      own = reply_path;
      notify.own.path = read_path(*reply_path, "reply_path", notify.own.path);
    }
  }
  for (const Notify& other : all) {
    if (other.own.path != notify.own.path &&
        (notify.proxy.empty() || other.proxy != notify.proxy)) {
      continue;
    }
    refuse(*own, other.proxy == notify.proxy
                     ? std::string("this socket is listed twice; list it once")
                     : fmt::format("{} is another [[notify]]'s socket; write reply_path = "
                                   "\"/run/millrace/replies-2.sock\"",
                                   notify.own.path));
  }
  all.push_back(std::move(notify));
}

}  // namespace millrace
