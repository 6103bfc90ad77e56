// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the operator decides: the values of one TOML file (configs/carrier.toml lists every key).
//
// Values only; read_config() turns a file into them and refuses what is unknown, of the wrong type
// or out of range, with line, column, what is wrong and what would be right. All faults of a file
// are reported, not only the first. Nothing here touches a device.

#include <sys/un.h>

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

// An interface as the control side sees it; its device side is in DataplaneConfig::interfaces, at
// the same index.
struct Interface {
  std::string name;
  std::vector<IpAddress> addresses;  // media addresses
  std::vector<MediaAddressId> ids;   // theirs in the data plane, in the same order
  // Printed in SDP in place of the address of their family (1:1 NAT, cloud); one of each at most.
  std::vector<IpAddress> advertised;
  UdpPort port_min{30000};
  UdpPort port_max{40000};  // inclusive
  Latching latching = Latching::restricted;
};

// The longest path that a UNIX socket can have.
inline constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un{}.sun_path) - 1;

enum class ControlProtocol : std::uint8_t { ng, rtpp, mediaproxy };

struct ControlSocket {
  ControlProtocol protocol = ControlProtocol::ng;
  std::string path;                // UNIX stream socket, or
  std::optional<Endpoint> udp;     // loopback UDP
  unsigned mode = 0660;            // of the socket file
  std::string owner;               // "user" or "user:group"; empty = as started
  std::vector<std::string> peers;  // users that may connect, beside root and our own; empty = all
};

enum class NotifyType : std::uint8_t { kamailio, opensips, events };

// Who is told what happens to calls.
struct Notify {
  NotifyType type = NotifyType::events;
  std::string proxy;  // kamailio, opensips: the proxy's own datagram socket
  ControlSocket own;  // events: where readers connect; else where the proxy's replies come to
};

// Zero = never, where a timeout may be off.
struct Timeouts {
  std::chrono::seconds media{60};     // no packets on a stream that should have them
  std::chrono::seconds party{0};      // one party, once heard, is silent; the other talks on
  std::chrono::seconds silent{3600};  // on hold
  std::chrono::seconds offer{180};    // offered, never answered
  std::chrono::seconds final{0};      // age of the whole call
  std::chrono::seconds delete_delay{30};
  std::chrono::seconds notify{10};      // a notification is tried, and a stop waits for them
  std::chrono::seconds quarantine{60};  // a freed port rests
};

struct Limits {
  std::uint32_t calls = 0;     // 0 = as many as there are pairs of ports
  std::uint32_t streams = 32;  // of a call: m= lines that have ports; MediaProxy's own bound
};

enum class LogFormat : std::uint8_t { text, json };

struct Log {
  std::string level = "info";
  LogFormat format = LogFormat::text;
  std::uint32_t lines_per_second = 1000;  // past it: dropped, counted, and told once a second
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

// Why a file is refused: all its faults, in the order of their places.
struct ConfigRefusal {
  std::vector<std::string> messages;   // "file:line:column: what is wrong; what would be right"
  LogFormat format = LogFormat::text;  // of log lines, as far as the file could be read

  [[nodiscard]] std::string text() const;  // one message a line
};
inline constexpr std::size_t kMaxConfigMessages = 20;  // the last one counts those past it

[[nodiscard]] std::expected<Config, ConfigRefusal> read_config(const std::filesystem::path& file);
// As read_config, from text; `name` stands for the file in messages.
[[nodiscard]] std::expected<Config, ConfigRefusal> parse_config(std::string_view text,
                                                                std::string_view name);

}  // namespace millrace
