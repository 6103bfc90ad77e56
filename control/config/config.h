// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The configuration: the values of one TOML file (configs/carrier.toml lists every key).
//
// Values only. read_config() parses a file and refuses unknown keys, wrong types and values out of
// range, each with line, column, fault and remedy. It reports all faults of a file, not only the
// first. Nothing here touches a device.

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/net.h"
#include "dataplane/config.h"
#include "dataplane/path.h"

namespace millrace {

// The control side of an interface; its device side is in DataplaneConfig::interfaces, at the same
// index.
struct Interface {
  std::string name;
  std::vector<std::string> aliases;  // further names
  std::vector<IpAddress> addresses;  // media addresses
  std::vector<MediaAddressId> ids;   // of `addresses`, in the same order
  // Printed in SDP in place of the address of the same family (1:1 NAT, cloud); one per family at
  // most.
  std::vector<IpAddress> advertised;
  UdpPort port_min{30000};
  UdpPort port_max{40000};  // inclusive
  Latching latching = Latching::restricted;

  [[nodiscard]] bool is_named(std::string_view text) const {
    return name == text || std::ranges::find(aliases, text) != aliases.end();
  }
};

// Bytes of a UNIX socket's path, at most.
inline constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un{}.sun_path) - 1;

enum class ControlProtocol : std::uint8_t { ng, rtpp, mediaproxy, mediaproxy_management };

// An attribute of a certificate's subject and its value. A value that starts or ends with '*'
// matches any text there.
struct SubjectRule {
  std::string attribute;  // of kSubjectAttributes
  std::string value;
};
inline constexpr std::array<std::string_view, 7> kSubjectAttributes = {"C",  "ST", "L",    "O",
                                                                       "OU", "CN", "EMAIL"};

// TLS with client certificates. PEM files, read at start.
struct Tls {
  std::string certificate;            // the server's, with its chain
  std::string private_key;            // of the certificate
  std::string authority;              // CAs of the clients, and their revocation lists, if any
  std::vector<SubjectRule> passport;  // all must match the client's certificate
};

struct ControlSocket {
  ControlProtocol protocol = ControlProtocol::ng;
  std::string path;                // UNIX stream socket, or
  std::optional<Endpoint> udp;     // loopback UDP, or
  std::optional<Endpoint> tcp;     // TCP: on loopback, or with TLS
  std::optional<Tls> tls;          // on `tcp`
  unsigned mode = 0660;            // of the socket file
  std::string owner;               // "user" or "user:group"; empty = the process's own
  std::vector<std::string> peers;  // users that may connect beside root and our own; empty = all
};

enum class NotifyType : std::uint8_t { kamailio, opensips, events };

// Call event notifications of one peer.
struct Notify {
  NotifyType type = NotifyType::events;
  std::string proxy;  // kamailio, opensips: the proxy's own datagram socket
  ControlSocket own;  // events: for readers to connect; else for the proxy's replies
};

// 0 = off, where a timeout may be off.
struct Timeouts {
  std::chrono::seconds media{60};     // no packets of either party, media expected both ways
  std::chrono::seconds party{0};      // one latched party stopped, the other still sends
  std::chrono::seconds silent{3600};  // no packets, all streams on hold or one-way
  std::chrono::seconds offer{240};    // unanswered or provisionally answered offer
  std::chrono::seconds final{0};      // age of the whole call
  std::chrono::seconds delete_delay{30};
  std::chrono::seconds notify{10};      // age limit of notifications; a stop waits as long
  std::chrono::seconds quarantine{60};  // before a released port is used again
};

struct Limits {
  std::uint32_t calls = 0;     // 0 = as many as there are port pairs
  std::uint32_t streams = 32;  // per call: m= lines with ports; MediaProxy's own limit
};

enum class LogFormat : std::uint8_t { text, json };

struct Log {
  std::string level = "info";
  LogFormat format = LogFormat::text;
  std::uint32_t lines_per_second = 1000;  // above: dropped, counted, reported once a second
};

struct Config {
  DataplaneConfig dataplane;
  std::vector<Interface> interfaces;
  std::vector<ControlSocket> control;
  std::vector<Notify> notify;
  Timeouts timeouts;
  Limits limits;
  Log log;
};

// All faults of a refused file, by line and column.
struct ConfigRefusal {
  std::vector<std::string> messages;   // "file:line:column: fault; remedy"
  LogFormat format = LogFormat::text;  // log.format, if it could be read

  [[nodiscard]] std::string text() const;  // one message per line
};
inline constexpr std::size_t kMaxConfigMessages = 20;  // the last one counts the remaining faults

[[nodiscard]] std::expected<Config, ConfigRefusal> read_config(const std::filesystem::path& file);
// As read_config, from text; messages name the file `name`.
[[nodiscard]] std::expected<Config, ConfigRefusal> parse_config(std::string_view text,
                                                                std::string_view name);

}  // namespace millrace
