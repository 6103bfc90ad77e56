// SPDX-License-Identifier: BSD-3-Clause
// The relay's parsers accept the generator's requests, and the generator parses the replies.
#include <gtest/gtest.h>

#include "control/protocol/mediaproxy/mediaproxy.h"
#include "control/protocol/ng/ng.h"
#include "control/protocol/rtpp/rtpp.h"
#include "control/sdp/sdp.h"
#include "perf/load/dialect.h"
#include "tests/data.h"

namespace millrace::loadgen {
namespace {

const IpAddress kSource = IpAddress::v4(198, 18, 0, 10);

Endpoint endpoint(std::string_view text) { return Endpoint::parse(text).value(); }

struct LoadDialect : ::testing::Test {
  Signals signals{kShapes[0], false, {}};

  [[nodiscard]] Ask ask(Verb verb) const {
    return {.verb = verb,
            .call_id = "c1@load",
            .from_tag = "f1",
            .to_tag = "t1",
            .sdp_endpoint = endpoint("198.18.0.10:20000"),
            .source = kSource,
            .signals = &signals};
  }
};

TEST_F(LoadDialect, NgOfferIsParsedByTheServer) {
  const std::string bytes = ng_dialect().encode(ask(Verb::offer));
  EXPECT_EQ(ng::frame(bytes), (Extent{Extent::State::complete, bytes.size()}));
  const auto message = ng::parse(bytes);
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(message->unknown.empty()) << message->unknown.front();
  EXPECT_EQ(message->request.command, Command::offer);
  EXPECT_EQ(message->request.call_id, "c1@load");
  EXPECT_EQ(message->request.from_tag, "f1");
  EXPECT_EQ(message->request.latching.received_from, kSource);
  const auto session = sdp::parse(message->request.sdp);
  ASSERT_TRUE(session.has_value()) << session.error().message;
  ASSERT_EQ(session->sections.size(), 1);
  const sdp::Media& media = session->sections[0];
  EXPECT_EQ(media.port, UdpPort(20000));
  EXPECT_EQ(media.connection, kSource);
  EXPECT_EQ(media.rtcp, endpoint("198.18.0.10:20001"));
  EXPECT_EQ(media.codec, "PCMU/8000");
  EXPECT_FALSE(media.rtcp_mux);
}

TEST_F(LoadDialect, NgAnswerAndDelete) {
  signals.rtcp_mux = true;
  signals.directions = {"a", "b"};
  const std::string answer = ng_dialect().encode(ask(Verb::answer));
  const auto message = ng::parse(answer);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->request.command, Command::answer);
  EXPECT_EQ(message->request.to_tag, "t1");
  EXPECT_TRUE(sdp::parse(message->request.sdp)->sections[0].rtcp_mux);
  const std::string offer = ng_dialect().encode(ask(Verb::offer));
  EXPECT_EQ(ng::parse(offer)->request.placement.to_interface, "b");
  const std::string removal = ng_dialect().encode(ask(Verb::remove));
  EXPECT_EQ(ng::parse(removal)->request.command, Command::remove);
  EXPECT_EQ(ng::parse(removal)->request.removal.delay, std::chrono::seconds(0));
  const std::string ping = ng_dialect().encode({.verb = Verb::ping, .signals = &signals});
  EXPECT_EQ(ping, read_data("ng/unix_ping.bin"));
}

TEST_F(LoadDialect, NgOverIpv6AndVideo) {
  signals.shape = kShapes.back();
  Ask offer = ask(Verb::offer);
  offer.sdp_endpoint = endpoint("[2001:db8::10]:20000");
  const std::string bytes = ng_dialect().encode(offer);
  const auto session = sdp::parse(ng::parse(bytes)->request.sdp);
  ASSERT_TRUE(session.has_value());
  EXPECT_EQ(session->sections[0].type, "video");
  EXPECT_EQ(session->sections[0].connection, offer.sdp_endpoint.address);
}

TEST_F(LoadDialect, ParsesNgReplies) {
  const Dialect& ng = ng_dialect();
  EXPECT_TRUE(ng.decode(Verb::ping, read_data("ng/unix_ping_reply.bin")).has_value());
  EXPECT_FALSE(ng.decode(Verb::offer, read_data("ng/unix_ping_reply.bin")).has_value());
  const std::string sdp =
      "v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"
      "m=audio 31000 RTP/AVP 0\r\na=rtcp:31007\r\n";
  const std::string reply = "d3:sdp" + std::to_string(sdp.size()) + ":" + sdp + "6:result2:oke";
  const auto decoded = ng.decode(Verb::answer, reply);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
  EXPECT_EQ((*decoded)->rtp, endpoint("203.0.113.9:31000"));
  EXPECT_EQ((*decoded)->rtcp, endpoint("203.0.113.9:31007"));
  EXPECT_FALSE(ng.decode(Verb::remove, reply)->has_value());
  EXPECT_EQ(
      ng.decode(Verb::offer, "d6:result5:error12:error-reason16:Ran out of portse").error().message,
      "Ran out of ports");
  EXPECT_EQ(ng.decode(Verb::offer, "d6:result10:load limite").error().message, "load limit");
  for (std::size_t size = 0; size < reply.size(); ++size) {
    EXPECT_FALSE(ng.decode(Verb::answer, std::string_view(reply).substr(0, size)).has_value());
    EXPECT_EQ(ng.frame(std::string_view(reply).substr(0, size)).state, Extent::State::incomplete);
  }
}

TEST_F(LoadDialect, ParsesWorkerCyclesFromStatistics) {
  const auto cycles = worker_cycles(
      "d10:statisticsd9:dataplaned7:workersl"
      "d7:relayedi10e11:busy cyclesi700e17:cycles per secondi26ee"
      "d7:relayedi5e11:busy cyclesi50e17:cycles per secondi26eeeee6:result2:oke");
  ASSERT_TRUE(cycles.has_value());
  EXPECT_EQ(cycles->busy, 750);
  EXPECT_EQ(cycles->relayed, 15);
  EXPECT_EQ(cycles->per_second, 26);
  EXPECT_FALSE(worker_cycles("d10:statisticsde6:result2:oke").has_value());
  EXPECT_FALSE(worker_cycles("").has_value());
}

TEST_F(LoadDialect, RtpproxyCommandsMatchTheModules) {
  const Dialect& rtpproxy = rtpproxy_dialect();
  EXPECT_EQ(rtpproxy.encode(ask(Verb::ping)), "V");
  EXPECT_EQ(rtpproxy.encode(ask(Verb::offer)), "Uc0 c1@load 198.18.0.10 20000 f1;1");
  EXPECT_EQ(rtpproxy.encode(ask(Verb::answer)), "Lc0 c1@load 198.18.0.10 20000 f1;1 t1;1");
  EXPECT_EQ(rtpproxy.encode(ask(Verb::remove)), "D c1@load f1 t1");
  const Config config;
  for (const Verb verb : {Verb::ping, Verb::offer, Verb::answer, Verb::remove}) {
    EXPECT_TRUE(rtpp::parse(rtpproxy.encode(ask(verb)), config, std::nullopt).has_value());
  }
  Ask kept = ask(Verb::ping);
  kept.delimited = true;
  EXPECT_EQ(rtpproxy.encode(kept), "V\n");
}

TEST_F(LoadDialect, ParsesRtpproxyReplies) {
  const Dialect& rtpproxy = rtpproxy_dialect();
  EXPECT_TRUE(rtpproxy.decode(Verb::ping, "20040107\n").has_value());
  const auto decoded = rtpproxy.decode(Verb::offer, "31000 203.0.113.9\n");
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ((*decoded)->rtp, endpoint("203.0.113.9:31000"));
  EXPECT_EQ((*decoded)->rtcp, endpoint("203.0.113.9:31001"));
  EXPECT_EQ((*rtpproxy.decode(Verb::answer, "31000 2001:db8::9 6\n"))->rtp,
            endpoint("[2001:db8::9]:31000"));
  EXPECT_EQ(rtpproxy.decode(Verb::offer, "E71\n").error().message, "'E71'");
  EXPECT_FALSE(rtpproxy.decode(Verb::offer, "0 203.0.113.9\n").has_value());
  EXPECT_TRUE(rtpproxy.decode(Verb::remove, "0\n").has_value());
  EXPECT_FALSE(rtpproxy.decode(Verb::remove, "E50\n").has_value());
  EXPECT_EQ(rtpproxy.frame("310").state, Extent::State::incomplete);
}

TEST_F(LoadDialect, MediaproxyRequestsMatchTheModules) {
  const Dialect& mediaproxy = mediaproxy_dialect();
  for (const Verb verb : {Verb::ping, Verb::offer, Verb::answer, Verb::remove}) {
    const std::string bytes = mediaproxy.encode(ask(verb));
    EXPECT_EQ(mediaproxy::frame(bytes), (Extent{Extent::State::complete, bytes.size()}));
    EXPECT_TRUE(mediaproxy::parse(bytes).has_value());
  }
}

TEST_F(LoadDialect, ParsesMediaproxyReplies) {
  const Dialect& mediaproxy = mediaproxy_dialect();
  const auto decoded = mediaproxy.decode(Verb::offer, "203.0.113.9 40000\r\n");
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ((*decoded)->rtp, endpoint("203.0.113.9:40000"));
  EXPECT_FALSE(mediaproxy.decode(Verb::offer, "error\r\n").has_value());
  EXPECT_FALSE(mediaproxy.decode(Verb::offer, "None\r\n").has_value());
  EXPECT_TRUE(mediaproxy.decode(Verb::remove, "removed\r\n").has_value());
  EXPECT_EQ(mediaproxy.frame("203.0.113.9 40000\r").state, Extent::State::incomplete);
}

}  // namespace
}  // namespace millrace::loadgen
