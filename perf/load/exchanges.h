// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Request/reply exchanges on a relay's control socket, several outstanding at a time.
//
// Each outstanding request has its own socket, as each SIP worker of a proxy has: a UNIX stream
// that is opened per request (rtpengine and rtpproxy modules) or kept (mediaproxy module), or UDP,
// where a request has a cookie and is retransmitted after a second, five times, as the modules do
// by default. The measured time of a request ends when its whole reply is read. It starts before
// connect() if the connection is opened for the request.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/file_descriptor.h"
#include "perf/load/dialect.h"

namespace millrace::loadgen {

struct ControlAddress {
  std::string path;             // of a UNIX stream socket, or
  std::optional<Endpoint> udp;  // destination of datagrams
  bool keep = false;            // UNIX: keep connections
  std::string network;          // UDP: file of the network namespace to send from; empty: our own

  // "unix:/path" or "udp:127.0.0.1:2223".
  [[nodiscard]] static Result<ControlAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

class Exchanges {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kRetry{1};
  static constexpr unsigned kTries = 6;
  static constexpr std::chrono::seconds kPatience{10};  // timeout on streams

  struct Done {
    std::uint32_t ticket = 0;
    Result<std::string> reply;  // without its cookie
    std::chrono::nanoseconds took{};
  };

  [[nodiscard]] static Result<Exchanges> open(const ControlAddress& address, const Dialect& dialect,
                                              unsigned outstanding);

  [[nodiscard]] bool has_room() const { return !free_.empty(); }
  [[nodiscard]] std::size_t outstanding() const { return slots_.size() - free_.size(); }
  [[nodiscard]] bool delimited() const { return address_.keep; }
  // Precondition: there is room.
  void send(std::uint32_t ticket, std::string request);
  // Exchanges that are done now or within `wait`. Valid until the next call.
  [[nodiscard]] std::span<const Done> poll(std::chrono::milliseconds wait);

  // One request and its reply. Precondition: nothing is outstanding.
  [[nodiscard]] Result<std::string> ask(std::string request);

  [[nodiscard]] std::uint64_t retransmissions() const { return retransmissions_; }

 private:
  struct Slot {
    FileDescriptor socket;
    std::uint32_t ticket = 0;
    std::string request, reply, cookie;
    Clock::time_point since, sent;
    unsigned tries = 0;
    bool busy = false;
    bool unsent = false;  // the relay's backlog is full
  };

  Exchanges(ControlAddress address, const Dialect& dialect)
      : address_(std::move(address)), dialect_(&dialect) {}
  [[nodiscard]] Result<void> prepare(unsigned outstanding);
  [[nodiscard]] Result<void> watch(std::size_t slot);
  [[nodiscard]] Result<FileDescriptor> connect() const;
  void begin(std::size_t slot);
  void read(std::size_t slot);
  void check_timeouts(Clock::time_point now);
  void finish(std::size_t slot, Result<std::string> reply);

  ControlAddress address_;
  const Dialect* dialect_;
  FileDescriptor epoll_;
  std::vector<Slot> slots_;
  std::vector<std::size_t> free_;
  std::vector<Done> done_, given_;
  std::uint64_t serial_ = 0;
  std::uint64_t retransmissions_ = 0;
  Clock::time_point timeouts_checked_;
};

}  // namespace millrace::loadgen
