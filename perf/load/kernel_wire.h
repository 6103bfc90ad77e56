// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The phones on kernel UDP sockets. Works with any relay.
//
// All calls share the few sockets of their side, so thousands of calls need few file descriptors.
// It sends by sendmmsg() and receives by recvmmsg() with the kernel's receive timestamps, so a late
// read does not count as delay. A packet that a full socket rejects counts as the generator's
// failure.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/file_descriptor.h"
#include "perf/load/wire.h"

namespace millrace::loadgen {

struct KernelWireConfig {
  std::array<Endpoint, 2> first;  // each party's address and first port (even)
  unsigned ports = 2;             // RTP ports per party
  bool rtcp_ports = true;         // RTCP has separate ports
};

class KernelWire : public Wire {
 public:
  [[nodiscard]] static Result<std::unique_ptr<KernelWire>> open(const KernelWireConfig& config);
  ~KernelWire() override;

  [[nodiscard]] std::byte* claim(const Outgoing& packet) override;
  [[nodiscard]] std::span<const Sent> flush() override;
  [[nodiscard]] std::span<const Received> receive() override;
  [[nodiscard]] Endpoint endpoint(WirePort port) const override;
  [[nodiscard]] std::string trouble() const override { return trouble_; }

 private:
  struct Socket;
  struct Inbox;

  explicit KernelWire(const KernelWireConfig& config);
  [[nodiscard]] Socket& socket(WirePort port);
  [[nodiscard]] Result<void> bind(WirePort port);
  void send(Socket& from);
  [[nodiscard]] std::span<const Received> receive(std::size_t begin, std::size_t end);
  [[nodiscard]] std::span<const Received> receive(Socket& on);

  KernelWireConfig config_;
  std::vector<std::unique_ptr<Socket>> sockets_;  // RTP first, then RTCP
  std::size_t rtp_sockets_ = 0;
  std::vector<Socket*> filled_;
  std::vector<Sent> sent_;
  std::unique_ptr<Inbox> inbox_;
  std::size_t turn_ = 0;  // the socket read next
  unsigned polls_ = 0;
  std::string trouble_;
};

}  // namespace millrace::loadgen
