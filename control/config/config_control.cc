// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_control.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace millrace {

namespace {

Endpoint read_endpoint(const toml::node& node, std::string_view key, std::string_view port) {
  const auto endpoint = Endpoint::parse(TomlReader::string(node, key));
  if (endpoint) return *endpoint;
  refuse(node, fmt::format(R"({}: {}; write "127.0.0.1:{}" or "[::1]:{}")", key,
                           endpoint.error().message, port, port));
}

Endpoint read_loopback(const toml::node& node, std::string_view key, std::string_view port) {
  const Endpoint endpoint = read_endpoint(node, key, port);
  if (endpoint.address.is_loopback()) return endpoint;
  refuse(node, fmt::format("{} {} is not a loopback address, and the control protocols have "
                           "no authentication; write \"127.0.0.1:{}\"",
                           key, endpoint.text(), endpoint.port.number()));
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

// MediaProxy's form: "O:Example, CN:*.example.com"; a comma in a value is written "\,".
std::vector<SubjectRule> parse_passport(const toml::node& node) {
  constexpr std::string_view kRemedy =
      R"(write "O:Example, CN:*.example.com", with the attributes C, ST, L, O, OU, CN and EMAIL)";
  const std::string text = TomlReader::string(node, "passport");
  std::vector<SubjectRule> rules;
  std::string rule;
  const auto add = [&] {
    const std::size_t colon = std::min(rule.find(':'), rule.size());
    const std::size_t start = std::min(rule.find_first_not_of(' '), colon);
    SubjectRule made{.attribute = rule.substr(start, colon - start),
                     .value = rule.substr(std::min(colon + 1, rule.size()))};
    const std::size_t star = made.value.find('*', 1);
    if (std::ranges::find(kSubjectAttributes, made.attribute) == kSubjectAttributes.end() ||
        made.value.empty() || (star != std::string::npos && star + 1 != made.value.size()) ||
        (star != std::string::npos && made.value.front() == '*')) {
      refuse(node, fmt::format("passport: '{}' is not an attribute of a certificate and its value, "
                               "which may start or end with '*'; {}",
                               rule, kRemedy));
    }
    rules.push_back(std::move(made));
    rule.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      add();
    } else if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == ',') {
      rule += text[++i];
    } else {
      rule += text[i];
    }
  }
  add();
  return rules;
}

std::string read_file_name(const TomlReader& reader, std::string_view key) {
  const toml::node& node =
      reader.require(key, fmt::format("{} = \"/etc/millrace/tls/{}.pem\"", key, key));
  std::string file = TomlReader::string(node, key);
  if (!file.starts_with('/')) {
    refuse(node, fmt::format("{} must be the absolute path of a PEM file; write "
                             "\"/etc/millrace/tls/{}.pem\"",
                             key, key));
  }
  return file;
}

void read_tls(const TomlReader& reader, ControlSocket& socket) {
  Tls tls;
  reader.attempt([&] { tls.certificate = read_file_name(reader, "certificate"); });
  reader.attempt([&] { tls.private_key = read_file_name(reader, "private_key"); });
  reader.attempt([&] { tls.authority = read_file_name(reader, "authority"); });
  reader.read_node("passport",
                   [&](const toml::node& node) { tls.passport = parse_passport(node); });
  socket.tls = std::move(tls);
}

// The keys that name a socket, each for some protocols.
constexpr std::array<std::string_view, 4> kTransports = {"path", "udp", "tcp", "tls"};

bool carries(std::string_view transport, ControlProtocol protocol) {
  if (protocol == ControlProtocol::mediaproxy_management) {
    return transport == "tcp" || transport == "tls";
  }
  return transport == "path" || (transport == "udp" && protocol != ControlProtocol::mediaproxy);
}

std::string_view remedy(ControlProtocol protocol) {
  switch (protocol) {
    case ControlProtocol::mediaproxy:
      return R"(this protocol runs on UNIX sockets only; write path = "/run/millrace/mediaproxy.sock")";
    case ControlProtocol::mediaproxy_management:
      return R"(this protocol runs on TCP; write tls = "192.0.2.1:25061" or tcp = "127.0.0.1:25061")";
    case ControlProtocol::ng:
    case ControlProtocol::rtpp:
      break;
  }
  return R"(TCP is for protocol = "mediaproxy-management"; write path = "/run/millrace/ng.sock" )"
         R"(or udp = "127.0.0.1:2223")";
}

// The one key of kTransports that the table has.
std::string_view find_transport(const toml::table& table, const TomlReader& reader) {
  std::vector<std::string_view> found;
  std::ranges::copy_if(kTransports, std::back_inserter(found),
                       [&](std::string_view key) { return reader.find(key) != nullptr; });
  if (found.size() == 1) return found.front();
  refuse(table, fmt::format("[[control]] has {}; write one of path = \"/run/millrace/ng.sock\", "
                            "udp = \"127.0.0.1:2223\", tcp and tls (MediaProxy's management port)",
                            found.empty() ? std::string("no path, udp, tcp or tls")
                                          : fmt::format("both {} and {}", found[0], found[1])));
}

void refuse_keys(const TomlReader& reader, std::initializer_list<std::string_view> keys,
                 std::string_view place, std::string_view transport) {
  for (const std::string_view key : keys) {
    reader.read_node(key, [&](const toml::node& node) {
      refuse(node, fmt::format("{} is for {}; remove it beside {}", key, place, transport));
    });
  }
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
                          {"protocol", "path", "udp", "tcp", "tls", "mode", "owner", "peers",
                           "certificate", "private_key", "authority", "passport"},
                          faults);
  ControlSocket socket;
  reader.read("protocol", socket.protocol,
              {{"ng", ControlProtocol::ng},
               {"rtpp", ControlProtocol::rtpp},
               {"mediaproxy", ControlProtocol::mediaproxy},
               {"mediaproxy-management", ControlProtocol::mediaproxy_management}});
  const std::string_view transport = find_transport(table, reader);
  const toml::node& name = *reader.find(transport);
  if (!carries(transport, socket.protocol)) refuse(name, std::string(remedy(socket.protocol)));
  const bool named = reader.attempt([&] {
    if (transport == "path") read_path(name, socket);
    if (transport == "udp") socket.udp = read_loopback(name, transport, "2223");
    if (transport == "tcp") socket.tcp = read_loopback(name, transport, "25061");
    if (transport == "tls") socket.tcp = read_endpoint(name, transport, "25061");
  });
  if (transport == "path") {
    read_mode(reader, socket);
    reader.read("owner", socket.owner);
    read_peers(reader, socket);
  } else {
    refuse_keys(reader, {"mode", "owner", "peers"}, "socket files", transport);
  }
  if (transport == "tls") {
    read_tls(reader, socket);
  } else {
    refuse_keys(reader, {"certificate", "private_key", "authority", "passport"}, "tls", transport);
  }
  if (!named) return;
  for (const ControlSocket& other : sockets) {
    if (other.path == socket.path && other.udp == socket.udp && other.tcp == socket.tcp) {
      refuse(name, "this control socket is listed twice; list it once");
    }
  }
  sockets.push_back(std::move(socket));
}

}  // namespace millrace
