// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/named_media.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/control/call/calls_fixture.h"

namespace millrace {
namespace {

NamedMedia named(unsigned index, std::string_view address, std::uint16_t port,
                 std::string_view type = "audio") {
  NamedMedia media;
  media.index = index;
  media.type = type;
  media.endpoint = {IpAddress::parse(address).value(), UdpPort(port)};
  return media;
}

class NamedMediaTest : public CallsTest {
 protected:
  [[nodiscard]] static Request with(Request asked, std::vector<NamedMedia> sections) {
    asked.sections = std::move(sections);
    return asked;
  }
  [[nodiscard]] static Request offer(std::vector<NamedMedia> sections) {
    return with(request(Command::offer), std::move(sections));
  }
  [[nodiscard]] static Request answer(std::vector<NamedMedia> sections) {
    Request result = with(request(Command::answer), std::move(sections));
    result.to_tag = "B";
    return result;
  }
};

TEST_F(NamedMediaTest, OfferAndAnswerJoinTheTwoSides) {
  const Endpoint to_b = relay_endpoints(offer({named(1, kA, 4000)})).at(0);
  const Endpoint to_a = relay_endpoints(answer({named(1, kB, 5000)})).at(0);
  EXPECT_EQ(to_b.address, kCore);
  EXPECT_EQ(to_b.port.number() % 2, 0);
  EXPECT_NE(to_a, to_b);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
  EXPECT_EQ(rtcp_flow(local(to_a)).destination, endpoint(kB, 5001));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
  EXPECT_EQ(statistics().ports_used, 4U);
  // The same once more changes nothing.
  EXPECT_EQ(relay_endpoints(offer({named(1, kA, 4000)})).at(0), to_b);
  EXPECT_EQ(relay_endpoints(answer({named(1, kB, 5000)})).at(0), to_a);
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(NamedMediaTest, StreamsMayBeAddedOneByOne) {
  const Endpoint audio_to_b = relay_endpoints(offer({named(1, kA, 4000)})).at(0);
  const Endpoint video_to_b = relay_endpoints(offer({named(2, kA, 4002, "video")})).at(0);
  EXPECT_EQ(statistics().ports_used, 8U);
  const Endpoint audio_to_a = relay_endpoints(answer({named(1, kB, 5000)})).at(0);
  EXPECT_EQ(destination(audio_to_a), endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 8U);
  const Endpoint video_to_a = relay_endpoints(answer({named(2, kB, 5002, "video")})).at(0);
  EXPECT_EQ(destination(audio_to_a), endpoint(kB, 5000));
  EXPECT_EQ(destination(audio_to_b), endpoint(kA, 4000));
  EXPECT_EQ(destination(video_to_a), endpoint(kB, 5002));
  EXPECT_EQ(destination(video_to_b), endpoint(kA, 4002));

  Request moved = offer({named(2, kA, 4102, "video")});
  moved.to_tag = "B";
  EXPECT_EQ(relay_endpoints(moved).at(0), video_to_b);
  EXPECT_EQ(destination(video_to_b), endpoint(kA, 4002));
  std::ignore = relay_endpoints(answer({named(2, kB, 5002, "video")}));
  EXPECT_EQ(destination(video_to_b), endpoint(kA, 4102));
  EXPECT_EQ(destination(audio_to_b), endpoint(kA, 4000));
}

TEST_F(NamedMediaTest, RepliesInRequestOrder) {
  const auto to_b = relay_endpoints(offer({named(2, kA, 4002, "video"), named(1, kA, 4000)}));
  const auto again = relay_endpoints(offer({named(1, kA, 4000), named(2, kA, 4002, "video")}));
  EXPECT_EQ(again.at(0), to_b.at(1));
  EXPECT_EQ(again.at(1), to_b.at(0));
}

TEST_F(NamedMediaTest, RejectedStreamHasPortZeroAndReturnsItsPorts) {
  const auto to_b = relay_endpoints(offer({named(1, kA, 4000), named(2, kA, 4002, "video")}));
  const auto to_a = relay_endpoints(answer({named(1, kB, 5000), named(2, kB, 0, "video")}));
  EXPECT_EQ(to_a.at(1), (Endpoint{kCore, UdpPort(0)}));
  EXPECT_EQ(destination(to_a.at(0)), endpoint(kB, 5000));
  EXPECT_FALSE(flow(local(to_b.at(1))).active);
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(NamedMediaTest, RejectedMediaMayBeOfferedAgain) {
  std::ignore = relay_endpoints(offer({named(1, kA, 4000), named(2, kA, 4002, "video")}));
  std::ignore = relay_endpoints(answer({named(1, kB, 5000), named(2, kB, 0, "video")}));
  std::ignore = relay_endpoints(offer({named(1, kA, 4000)}));
  EXPECT_NE(relay_endpoints(offer({named(2, kA, 4002, "video")})).at(0).port, UdpPort(0));
  std::ignore = relay_endpoints(answer({named(1, kB, 5000)}));
  const Endpoint video = relay_endpoints(answer({named(2, kB, 5002, "video")})).at(0);
  EXPECT_EQ(destination(video), endpoint(kB, 5002));
}

TEST_F(NamedMediaTest, HoldByAddressStopsDelivery) {
  const Endpoint to_b = relay_endpoints(offer({named(1, kA, 4000)})).at(0);
  std::ignore = relay_endpoints(answer({named(1, kB, 5000)}));
  Request hold = offer({named(1, "0.0.0.0", 4000)});
  hold.to_tag = "B";
  EXPECT_EQ(relay_endpoints(hold).at(0), to_b);
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
  std::ignore = relay_endpoints(answer({named(1, kB, 5000)}));
  EXPECT_FALSE(destination(to_b));
  Request resume = offer({named(1, kA, 4000)});
  resume.to_tag = "B";
  EXPECT_EQ(relay_endpoints(resume).at(0), to_b);
  std::ignore = relay_endpoints(answer({named(1, kB, 5000)}));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
}

TEST_F(NamedMediaTest, OneCallMayMixNamesAndSdp) {
  const Endpoint to_b = relay_endpoints(offer({named(1, kA, 4000)})).at(0);
  const Request body = CallsTest::answer(audio(kB, 5000));
  const Printed to_a = print(body);
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
  EXPECT_EQ(flow(to_a.local()).destination, endpoint(kB, 5000));
}

TEST_F(NamedMediaTest, ReturnsTheAdvertisedOrTheGivenAddress) {
  config.interfaces[0].advertised = {IpAddress::parse("192.0.2.50").value()};
  restart();
  EXPECT_EQ(relay_endpoints(offer({named(1, kA, 4000)})).at(0).address,
            IpAddress::parse("192.0.2.50"));
  Request given = answer({named(1, kB, 5000)});
  given.placement.media_address = IpAddress::parse("192.0.2.60").value();
  EXPECT_EQ(relay_endpoints(given).at(0).address, IpAddress::parse("192.0.2.60"));
}

TEST_F(NamedMediaTest, RefusesUnusableStreams) {
  EXPECT_EQ(reason(offer({named(1, "127.0.0.1", 4000)})),
            "Media address 127.0.0.1 (media 1) cannot be sent to: it is loopback, link-local, "
            "multicast, broadcast or reserved; name an address that the relay can reach");
  EXPECT_EQ(reason(offer({named(0, kA, 4000)})),
            "Media number 0 is out of range; count from 1 to 64");
  EXPECT_EQ(reason(offer({named(65, kA, 4000)})),
            "Media number 65 is out of range; count from 1 to 64");
  EXPECT_EQ(reason(offer({named(3, kA, 4000), named(3, kA, 4002)})),
            "Media number 3 is named twice");
  EXPECT_EQ(reason(offer({})), "No SDP body in message");
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(NamedMediaTest, MediaThatWasNotOfferedIsRejected) {
  std::ignore = relay_endpoints(offer({named(1, kA, 4000)}));
  const auto to_a = relay_endpoints(answer({named(1, kB, 5000), named(2, kB, 5002, "video")}));
  EXPECT_EQ(destination(to_a.at(0)), endpoint(kB, 5000));
  EXPECT_EQ(to_a.at(1), (Endpoint{kCore, UdpPort(0)}));
  EXPECT_EQ(statistics().ports_used, 4U);
}

// MediaProxy's reply has one address for all.
TEST_F(NamedMediaTest, AllStreamsOfAPartyShareOneAddress) {
  config.interfaces[0].addresses.push_back(kEdge);
  config.interfaces[0].ids.push_back(MediaAddressId{1});
  config.interfaces.pop_back();
  config.dataplane.interfaces.pop_back();
  restart();
  for (int i = 0; i < 20; ++i) {
    const std::string call = "call" + std::to_string(i);
    std::vector<NamedMedia> sections;
    for (unsigned k = 1; k <= 4; ++k) sections.push_back(named(k, kA, 4000));
    Request asked = offer(sections);
    asked.call_id = call;
    const auto first = relay_endpoints(asked);
    sections.push_back(named(5, kA, 4000));
    asked.sections = sections;
    for (const Endpoint& each : relay_endpoints(asked))
      EXPECT_EQ(each.address, first.at(0).address);
  }
}

TEST(NameSections, TypeSelectsTheProtocol) {
  const auto session = name_sections(std::vector{named(1, kA, 4000), named(3, kA, 4002, "image")});
  ASSERT_TRUE(session);
  ASSERT_EQ(session->sections.size(), 3U);
  EXPECT_TRUE(session->sections[0].rtp);
  EXPECT_EQ(session->sections[0].rtcp.port, UdpPort(4001));
  EXPECT_FALSE(session->sections[1].given);
  EXPECT_FALSE(session->sections[2].rtp);
  EXPECT_TRUE(session->sections[2].relayable);
  NamedMedia application = named(1, kA, 4000, "application");
  EXPECT_FALSE(name_sections(std::vector{application})->sections[0].rtp);
  application.protocol = "RTP/AVP";
  EXPECT_TRUE(name_sections(std::vector{application})->sections[0].rtp);
}

TEST(NameSections, DirectionFollowsSendsAndReceives) {
  NamedMedia media = named(1, kA, 4000);
  const auto direction = [&] { return name_sections(std::vector{media})->sections[0].direction; };
  EXPECT_EQ(direction(), sdp::Direction::sendrecv);
  media.receives = false;
  EXPECT_EQ(direction(), sdp::Direction::sendonly);
  media.sends = false;
  EXPECT_EQ(direction(), sdp::Direction::inactive);
  media.receives = true;
  EXPECT_EQ(direction(), sdp::Direction::recvonly);
}

}  // namespace
}  // namespace millrace
