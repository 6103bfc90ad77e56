// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Calls over a real data plane whose two devices carry nothing: SDP in, SDP and flows out.

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "control/call/calls.h"
#include "control/sdp/sdp.h"

namespace millrace {

inline Interface make_interface(std::string name, IpAddress address, std::uint16_t id) {
  Interface interface;
  interface.name = std::move(name);
  interface.addresses = {address};
  interface.ids = {MediaAddressId{id}};
  return interface;
}

// Where A and B are.
inline constexpr const char* kA = "198.18.0.100";
inline constexpr const char* kB = "198.18.0.200";

inline const IpAddress kCore = IpAddress::v4(198, 18, 0, 10);   // media address 0
inline const IpAddress kEdge = IpAddress::v4(203, 0, 113, 10);  // media address 1

inline Config two_interfaces() {
  Config config;
  config.interfaces = {make_interface("core", kCore, 0), make_interface("edge", kEdge, 1)};
  config.dataplane.worker_cores = {1};
  config.dataplane.memory_mb = 128;
  config.dataplane.mbufs = 8192;
  config.dataplane.idle_sleep_us = 1000;
  config.dataplane.eal = {"--no-shconf", "--no-pci", "--no-telemetry"};
  config.dataplane.interfaces = {
      {"core", "net_null0,no-rx=1", {{kCore, 24}}},
      {"edge", "net_null1,no-rx=1", {{kEdge, 24}}},
  };
  return config;
}

// EAL starts once a process.
class DataplaneEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    auto started = Dataplane::start(two_interfaces().dataplane);
    ASSERT_TRUE(started) << started.error().message;
    dataplane() = std::move(*started);
  }
  void TearDown() override { dataplane().reset(); }

  static std::unique_ptr<Dataplane>& dataplane() {
    static std::unique_ptr<Dataplane> instance;
    return instance;
  }
};

inline const auto* const kEnvironment =
    testing::AddGlobalTestEnvironment(new DataplaneEnvironment);  // gtest owns it

// An SDP with the session's c= and no media.
inline std::string session(std::string_view address) {
  const std::string family = address.find(':') == std::string_view::npos ? "IP4 " : "IP6 ";
  const std::string where = "IN " + family + std::string(address) + "\r\n";
  return "v=0\r\no=- 1 1 " + where + "s=x\r\nc=" + where + "t=0 0\r\n";
}

inline std::string media(std::string_view type, int port, std::string_view rest = "") {
  return "m=" + std::string(type) + " " + std::to_string(port) + " RTP/AVP 0 8\r\n" +
         std::string(rest);
}

inline std::string audio(std::string_view address, int port, std::string_view rest = "") {
  return session(address) + media("audio", port, rest);
}

inline LocalPort local_port(std::optional<IpAddress> address, UdpPort port) {
  return {MediaAddressId{static_cast<std::uint16_t>(address == kEdge ? 1 : 0)}, port};
}

// The SDP of a reply, parsed.
struct Printed {
  std::shared_ptr<const std::string> body;  // shared: `session` views it
  sdp::Session session;

  explicit Printed(std::string text) : body(std::make_shared<std::string>(std::move(text))) {
    auto parsed = sdp::parse(*body);
    EXPECT_TRUE(parsed) << *body;
    if (parsed) session = std::move(*parsed);
  }

  // The relay's RTP port of section `index`.
  [[nodiscard]] LocalPort local(std::size_t index = 0) const {
    const sdp::Media& at = session.sections.at(index);
    return local_port(at.connection, at.port);
  }
  [[nodiscard]] unsigned port(std::size_t index = 0) const {
    return session.sections.at(index).port.number();
  }
};

class CallsTest : public testing::Test {
 protected:
  using Clock = Calls::Clock;

  void SetUp() override { restart(); }
  // Every test leaves the pools and the data plane as it found them.
  void TearDown() override {
    calls.reset();
    for (const LocalPort port : noted_ports) EXPECT_FALSE(flow(port).active) << port.port.number();
  }

  // After a change of `config`.
  void restart() { calls = std::make_unique<Calls>(config, *DataplaneEnvironment::dataplane()); }

  [[nodiscard]] static FlowReport flow(LocalPort port) {
    return DataplaneEnvironment::dataplane()->read(port);
  }
  [[nodiscard]] static FlowReport rtcp_flow(LocalPort port) { return flow(rtcp_port(port)); }
  [[nodiscard]] static LocalPort rtcp_port(LocalPort port) {
    return {port.address, port.port.next()};
  }
  [[nodiscard]] static LocalPort local(const Endpoint& relay) {
    return local_port(relay.address, relay.port);
  }
  // The destination of media that arrives at `relay`.
  [[nodiscard]] static std::optional<Endpoint> destination(const Endpoint& relay) {
    return flow(local(relay)).destination;
  }
  [[nodiscard]] static std::optional<Endpoint> endpoint(std::string_view address, int port) {
    return Endpoint{*IpAddress::parse(address), UdpPort(static_cast<std::uint16_t>(port))};
  }

  [[nodiscard]] static Request request(Command command, std::string_view call = "call") {
    Request result;
    result.command = command;
    result.call_id = call;
    result.from_tag = "A";
    return result;
  }
  [[nodiscard]] Request offer(std::string body) {
    Request result = request(Command::offer);
    result.sdp = keep(std::move(body));
    return result;
  }
  [[nodiscard]] Request answer(std::string body) {
    Request result = request(Command::answer);
    result.to_tag = "B";
    result.sdp = keep(std::move(body));
    return result;
  }

  // Owns a text for the rest of the test: a Request views its source.
  [[nodiscard]] std::string_view keep(std::string text) {
    return texts.emplace_back(std::move(text));
  }

  [[nodiscard]] Reply handle(const Request& asked) { return calls->handle(asked, now); }
  // The same, for a codec: std::function<Reply(const Request&)>.
  [[nodiscard]] auto handler() {
    return [this](const Request& asked) { return handle(asked); };
  }
  // Expects the request to succeed.
  [[nodiscard]] Printed print(const Request& asked) {
    const Reply reply = handle(asked);
    const auto* sdp = std::get_if<reply::Sdp>(&reply);
    const auto* failure = std::get_if<reply::Failure>(&reply);
    EXPECT_NE(sdp, nullptr) << (failure != nullptr ? failure->reason : "");
    Printed printed(sdp != nullptr ? sdp->body : session("198.18.0.10"));
    for (std::size_t i = 0; i < printed.session.sections.size(); ++i) {
      if (printed.port(i) != 0) note_port(printed.local(i));
    }
    return printed;
  }
  // Expects success; returns the relay's endpoints: one per stream of the request, or all of the
  // call if an update has no streams.
  [[nodiscard]] std::vector<Endpoint> relay_endpoints(const Request& asked) {
    const Reply reply = handle(asked);
    const auto* endpoints = std::get_if<reply::Endpoints>(&reply);
    const auto* failure = std::get_if<reply::Failure>(&reply);
    EXPECT_NE(endpoints, nullptr) << (failure != nullptr ? failure->reason : "");
    if (endpoints == nullptr) return std::vector<Endpoint>(asked.sections.size());
    if (!asked.sections.empty() || !asked.all_sections) {
      EXPECT_EQ(endpoints->endpoints.size(), asked.sections.size());
    }
    for (const Endpoint& each : endpoints->endpoints) {
      if (each.port != UdpPort(0)) note_port(local(each));
    }
    return endpoints->endpoints;
  }
  // Expects failure; returns the reason.
  [[nodiscard]] std::string reason(const Request& asked) {
    const Reply reply = handle(asked);
    const auto* failure = std::get_if<reply::Failure>(&reply);
    EXPECT_NE(failure, nullptr);
    return failure != nullptr ? failure->reason : "";
  }
  // Notes an RTP port of a reply: it and its RTCP port must be free at the end of the test.
  void note_port(LocalPort port) { noted_ports.insert(noted_ports.end(), {port, rtcp_port(port)}); }
  [[nodiscard]] StatisticsReport statistics() const { return calls->statistics(now); }
  void expire_after(std::chrono::milliseconds time) {
    while (calls->expire(now + time)) {
    }
    now += time;
  }

  Config config = two_interfaces();
  std::unique_ptr<Calls> calls;
  Clock::time_point now = Clock::now();
  std::vector<LocalPort> noted_ports;
  std::deque<std::string> texts;
};

}  // namespace millrace
