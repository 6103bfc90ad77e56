// SPDX-License-Identifier: BSD-3-Clause
// Calls whose SDPs name each other's ports: a B2BUA that takes itself out of the media path.

#include <array>

#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

const IpAddress kPublic = IpAddress::v4(192, 0, 2, 50);

class CallHairpin : public CallTest {
 protected:
  // A calls the B2BUA in call "one", which calls B in call "two" and passes on what it gets.
  void offer_both(const std::string& extra = "") {
    const Printed out = print(named("one", offer(audio(kA, 4000, extra))));
    one_out = out.local();
    const Printed further = print(named("two", offer(passed_on(out))));
    two_out = further.local();
  }
  void establish_both() {
    offer_both();
    const Printed back = print(named("two", answer(audio(kB, 5000))));
    two_in = back.local();
    one_in = print(named("one", answer(passed_on(back)))).local();
  }
  [[nodiscard]] static Request named(std::string_view call, Request request) {
    request.call_id = call;
    return request;
  }
  [[nodiscard]] static std::string passed_on(const Printed& printed) { return *printed.body; }
  [[nodiscard]] static std::optional<Endpoint> at(LocalPort port) {
    return Endpoint{kCore, port.port};
  }
  [[nodiscard]] std::string refusal(std::string_view call, const Request& asked) {
    return reason(named(call, asked));
  }

  // Ports of A and of the B2BUA in call one, of the B2BUA and of B in call two.
  LocalPort one_in, one_out, two_in, two_out;
};

TEST_F(CallHairpin, JoinsTwoCallsInside) {
  establish_both();
  EXPECT_EQ(flow(one_in).destination, at(two_in));
  EXPECT_EQ(flow(one_out).destination, endpoint(kA, 4000));
  EXPECT_EQ(flow(two_in).destination, endpoint(kB, 5000));
  EXPECT_EQ(flow(two_out).destination, at(one_out));
  EXPECT_EQ(rtcp_flow(one_in).destination, at(rtcp_port(two_in)));
  EXPECT_EQ(rtcp_flow(two_out).destination, at(rtcp_port(one_out)));
  EXPECT_EQ(statistics().ports_used, 8U);
}

TEST_F(CallHairpin, ByTheAdvertisedAddress) {
  config.interfaces[0].advertised = {kPublic};
  restart();
  establish_both();
  EXPECT_EQ(flow(one_in).destination, at(two_in));
  EXPECT_EQ(flow(two_out).destination, at(one_out));
}

// Signalling comes from the B2BUA, behind NAT-wait.
TEST_F(CallHairpin, NatWaitDoesNotWaitForAPortOfTheRelay) {
  const Printed out = print(named("one", offer(audio(kA, 4000))));
  Request second = named("two", offer(passed_on(out)));
  second.latching.nat_wait = true;
  second.latching.received_from = IpAddress::parse(kB).value();
  EXPECT_EQ(flow(print(second).local()).destination, at(out.local()));
}

TEST_F(CallHairpin, APortOfNoCallIsRefused) {
  const std::string why =
      "Media address 198.18.0.10 (m= in line 6 of the SDP) is the relay's own, and its port 4000 "
      "belongs to no call; name a port that the relay gave to a call";
  EXPECT_EQ(refusal("one", offer(audio("198.18.0.10", 4000))), why);
  establish_both();
  const int port = two_in.port.number();
  const Request again = named("three", offer(audio("198.18.0.10", port)));
  (void)print(again);
  for (const char* call : {"two", "three"}) (void)handle(named(call, request(Command::remove)));
  expire_after(std::chrono::seconds(60));
  EXPECT_NE(refusal("four", offer(audio("198.18.0.10", port))).find("belongs to no call"),
            std::string::npos);
  EXPECT_FALSE(flow(two_in).active) << "packets of call one are dropped there";
}

// A port above a pair that no call has gets no RTCP, a=rtcp with such a port is ignored.
TEST_F(CallHairpin, RtcpNeedsAPortOfACallToo) {
  establish_both();
  const int odd = two_in.port.number() + 1;
  const LocalPort alone = print(named("three", offer(audio("198.18.0.10", odd)))).local();
  EXPECT_EQ(flow(alone).destination, at(rtcp_port(two_in)));
  EXPECT_EQ(rtcp_flow(alone).destination, std::nullopt);
  const LocalPort beside =
      print(named("four", offer(audio("198.18.0.10", odd - 1, "a=rtcp:4001\r\n")))).local();
  EXPECT_EQ(rtcp_flow(beside).destination, at(rtcp_port(two_in)));
  const LocalPort elsewhere =
      print(named("five", offer(audio(kA, 4000, "a=rtcp:4001 IN IP4 198.18.0.10\r\n")))).local();
  EXPECT_EQ(rtcp_flow(elsewhere).destination, endpoint(kA, 4001));
}

TEST_F(CallHairpin, AReInviteTakesTheB2buaInAgain) {
  establish_both();
  Request moved = named("one", back(Command::offer, audio(kB, 7000)));
  (void)print(moved);
  Request taken = named("one", answer(audio(kA, 4000)));
  taken.from_tag = "B";
  taken.to_tag = "A";
  (void)print(taken);
  EXPECT_EQ(flow(one_in).destination, endpoint(kB, 7000));
}

// One request passes the relay twice, with the same tags.
class CallSpiral : public CallTest {
 protected:
  [[nodiscard]] static std::optional<Endpoint> at(LocalPort port) {
    return Endpoint{kCore, port.port};
  }
  void pass_twice() {
    const Printed first = print(offer(audio(kA, 4000)));
    one_out = first.local();
    const Printed second = print(offer(*first.body));
    two_out = second.local();
    const Printed back = print(answer(audio(kB, 5000)));
    two_in = back.local();
    one_in = print(answer(*back.body)).local();
  }
  void expect_joined(int port_of_a, int port_of_b) {
    EXPECT_EQ(flow(one_in).destination, at(two_in));
    EXPECT_EQ(flow(one_out).destination, endpoint(kA, port_of_a));
    EXPECT_EQ(flow(two_in).destination, endpoint(kB, port_of_b));
    EXPECT_EQ(flow(two_out).destination, at(one_out));
    EXPECT_EQ(statistics().ports_used, 8U);
  }

  LocalPort one_in, one_out, two_in, two_out;
};

TEST_F(CallSpiral, EachPassHasADialog) {
  pass_twice();
  expect_joined(4000, 5000);
  const Reply reply = handle(request(Command::query));
  const CallReport& report = std::get<reply::Query>(reply).call;
  ASSERT_EQ(report.tags.size(), 2U);
  for (const TagReport& tag : report.tags) EXPECT_EQ(tag.sections.size(), 2U) << tag.tag;
}

TEST_F(CallSpiral, RetransmissionsChangeNothing) {
  pass_twice();
  const std::array ports{one_in, one_out, two_in, two_out};
  pass_twice();
  const std::array again{one_in, one_out, two_in, two_out};
  EXPECT_EQ(ports, again);
  expect_joined(4000, 5000);
}

TEST_F(CallSpiral, ReInvitesOfBothPartiesPassTwiceToo) {
  pass_twice();
  Request first = offer(audio(kA, 4100));
  first.to_tag = "B";
  const Printed out = print(first);
  EXPECT_EQ(out.local(), one_out);
  Request second = offer(*out.body);
  second.to_tag = "B";
  EXPECT_EQ(print(second).local(), two_out);
  EXPECT_EQ(print(answer(*print(answer(audio(kB, 5000))).body)).local(), one_in);
  expect_joined(4100, 5000);
  const Printed in = print(back(Command::offer, audio(kB, 5100)));
  EXPECT_EQ(in.local(), two_in);
  EXPECT_EQ(print(back(Command::offer, *in.body)).local(), one_in);
  const Printed answered = print(back(Command::answer, audio(kA, 4100)));
  EXPECT_EQ(answered.local(), one_out);
  EXPECT_EQ(print(back(Command::answer, *answered.body)).local(), two_out);
  expect_joined(4100, 5100);
}

TEST_F(CallSpiral, ADeleteEndsAllPasses) {
  for (const char* to_tag : {"", "B"}) {  // with both tags too: all passes have the same
    pass_twice();
    Request end = request(Command::remove);
    end.to_tag = to_tag;
    end.removal.delay = std::chrono::seconds(0);
    (void)handle(end);
    EXPECT_EQ(statistics().ports_used, 0U) << to_tag;
  }
}

}  // namespace
}  // namespace millrace
