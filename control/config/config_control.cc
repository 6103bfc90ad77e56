// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_control.h"

#include <cstdint>
#include <utility>

#include <fmt/format.h>

namespace millrace {

namespace {

void read_udp(const toml::node& node, ControlSocket& socket) {
  const auto endpoint = Endpoint::parse(TomlReader::string(node, "udp"));
  if (!endpoint) {
    refuse(node, fmt::format(R"(udp: {}; write "127.0.0.1:2223" or "[::1]:2223")",
                             endpoint.error().message));
  }
  if (!endpoint->address.is_loopback()) {
    refuse(node, fmt::format("udp {} is not a loopback address, and the control protocols have "
                             "no authentication; write \"127.0.0.1:{}\"",
                             endpoint->text(), endpoint->port.number()));
  }
  socket.udp = *endpoint;
}

void read_path(const toml::node& node, ControlSocket& socket) {
  socket.path = TomlReader::string(node, "path");
  if (!names_socket_file(socket.path)) {
    refuse(node,
           "path must be the absolute path of a socket file; write \"/run/millrace/ng.sock\"");
  }
  if (socket.path.size() > kMaxSocketPath) {
    refuse(node, fmt::format("path has {} bytes, but a UNIX socket's has {} at most; write a "
                             "shorter one, e.g. \"/run/millrace/ng.sock\"",
                             socket.path.size(), kMaxSocketPath));
  }
  if (socket.path.find_first_of(":=") != std::string::npos) {
    refuse(node,
           "path contains ':' or '=', which proxy modules parse as a port or a "
           "weight; write a path without them");
  }
}

void read_peers(const TomlReader& reader, ControlSocket& socket) {
  const auto read = [&](const toml::node& node) {
    constexpr std::string_view kExample = R"(peers = ["kamailio"])";
    const toml::array& array = TomlReader::array(node, "peers", kExample);
    if (array.empty()) {
      refuse(node, fmt::format("peers is empty, which admits no user; write {}, or remove it "
                               "to admit all users that the socket's mode admits",
                               kExample));
    }
    for (const toml::node& element : array) {
      reader.attempt([&] { socket.peers.push_back(TomlReader::string(element, "peer")); });
    }
  };
  reader.read_node("peers", read);
}

}  // namespace

bool names_socket_file(std::string_view path) {
  return path.starts_with('/') && !path.ends_with('/');
}

void read_mode(const TomlReader& reader, ControlSocket& socket) {
  constexpr std::int64_t kHighest = 0777;
  reader.read_node("mode", [&](const toml::node& node) {
    const auto* value = node.as_integer();
    if (value == nullptr) refuse(node, "mode must be an octal number without quotes; write 0o660");
    if ((value->flags() & toml::value_flags::format_as_octal) == toml::value_flags::none) {
      refuse(node, "mode is not octal; write 0o660");
    }
    if (**value < 0 || **value > kHighest) {
      refuse(node, fmt::format("mode is 0o{:o}; it must be from 0o0 to 0o777", **value));
    }
    socket.mode = static_cast<unsigned>(**value);
  });
}

void read_control(const toml::table& table, std::vector<ControlSocket>& sockets,
                  ConfigFaults& faults) {
  const TomlReader reader(table, "[[control]]",
                          {"protocol", "path", "udp", "mode", "owner", "peers"}, faults);
  ControlSocket socket;
  reader.read("protocol", socket.protocol,
              {{"ng", ControlProtocol::ng},
               {"rtpp", ControlProtocol::rtpp},
               {"mediaproxy", ControlProtocol::mediaproxy}});
  const toml::node* path = reader.find("path");
  const toml::node* udp = reader.find("udp");
  if ((path == nullptr) == (udp == nullptr)) {
    refuse(table, fmt::format("[[control]] has {} path and udp; write one of path = "
                              "\"/run/millrace/ng.sock\" and udp = \"127.0.0.1:2223\"",
                              path == nullptr ? "neither" : "both"));
  }
  if (udp != nullptr && socket.protocol == ControlProtocol::mediaproxy) {
    refuse(*udp,
           "this protocol runs on UNIX sockets only; write path = "
           "\"/run/millrace/mediaproxy.sock\"");
  }
  const bool named =
      reader.attempt([&] { path != nullptr ? read_path(*path, socket) : read_udp(*udp, socket); });
  if (udp != nullptr) {
    for (const std::string_view key : {"mode", "owner", "peers"}) {
      reader.read_node(key, [&](const toml::node& node) {
        refuse(node, fmt::format("{} is for socket files; remove it beside udp", key));
      });
    }
  } else {
    read_mode(reader, socket);
    reader.read("owner", socket.owner);
    read_peers(reader, socket);
  }
  if (!named) return;
  for (const ControlSocket& other : sockets) {
    if (other.path == socket.path && other.udp == socket.udp) {
      refuse(path != nullptr ? *path : *udp, "this control socket is listed twice; list it once");
    }
  }
  sockets.push_back(std::move(socket));
}

}  // namespace millrace
