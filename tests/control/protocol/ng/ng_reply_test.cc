// SPDX-License-Identifier: BSD-3-Clause
#include <chrono>
#include <utility>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/protocol/ng/json.h"
#include "control/protocol/ng/ng.h"
#include "dataplane/stats.h"

namespace millrace::ng {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using std::chrono::system_clock;

Json as_json(const Reply& reply, SsrcReporting ssrcs = SsrcReporting::both) {
  return Json::parse(encode("", Encoding::json, reply, ssrcs));
}

Endpoint endpoint(std::string_view address, std::uint16_t port) {
  return {*IpAddress::parse(address), UdpPort(port)};
}

// Where reports of all reasons count this one.
constexpr std::size_t at(DropReason reason) { return std::to_underlying(reason); }

// A call of two parties: the caller is latched and sends, the callee has not latched yet.
CallReport call() {
  StreamReport rtp;
  rtp.local_endpoint = endpoint("198.18.0.10", 30'000);
  rtp.advertised = endpoint("192.168.1.10", 6000);
  rtp.flow.latched = endpoint("203.0.113.7", 41'234);
  rtp.flow.latched_for = 9s;
  rtp.flow.destination = endpoint("203.0.113.9", 5000);
  rtp.flow.stranger = endpoint("203.0.113.66", 6666);
  rtp.flow.drops[at(DropReason::wrong_source) - kFirstFlowReason] = 3;
  rtp.flow.drops[at(DropReason::rtp_malformed) - kFirstFlowReason] = 1;
  rtp.flow.forwarded = 499;
  rtp.flow.packets = 500;
  rtp.flow.bytes = 86'000;
  rtp.flow.refused = 3;
  rtp.flow.malformed = 1;
  rtp.flow.idle = 1500ms;
  rtp.flow.ssrc = 0xDEADBEEF;
  rtp.flow.extended_highest_sequence = 65'600;
  rtp.flow.lost = -2;
  rtp.flow.jitter = 40;
  StreamReport rtcp;
  rtcp.local_endpoint = endpoint("198.18.0.10", 30'001);
  rtcp.rtcp = true;
  rtcp.flow.packets = 5;
  rtcp.flow.bytes = 400;
  const QualitySample sample{.mos_tenths = 41,
                             .loss_percent = 2,
                             .jitter_ms = 7,
                             .round_trip = 140'000us,
                             .leg = 40'000us,
                             .age = 4s};
  StreamReport far_rtp = rtp;
  far_rtp.local_endpoint = endpoint("2001:db8::1", 30'002);
  far_rtp.flow = {};
  far_rtp.rtcp_mux = true;

  MediaReport audio;
  audio.type = "audio";
  audio.protocol = "RTP/AVP";
  audio.codec = "PCMU/8000";
  audio.streams = {rtp, rtcp};
  audio.quality = QualityReport{.ssrc = 0xDEADBEEF,
                                .samples = 13,
                                .complete = 12,
                                .average = sample,
                                .lowest = sample,
                                .highest = sample};
  audio.hints = {IpAddress::v4(203, 0, 113, 7)};
  MediaReport far_audio = audio;
  far_audio.receives = false;
  far_audio.blocked = far_audio.dtmf_blocked = true;
  far_audio.streams = {far_rtp};
  far_audio.quality.reset();

  const auto at = [](std::chrono::seconds time) {
    return Moment{system_clock::time_point(1'700'000'000s + 123'456us + time), {}};
  };
  CallReport report;
  report.call_id = "call@host";
  report.created = at(0s);
  report.last_signal = at(4s);
  report.reported = at(10s);
  report.tags = {{"alice", "z9hG4bK1", at(0s), "bob", {audio}, ""},
                 {"bob", "", at(1s), "alice", {far_audio}, ""}};
  return report;
}

TEST(MediaReport, LatchedForIsTheLongestOfItsStreams) {
  MediaReport media;
  EXPECT_EQ(media.latched_for(), std::nullopt);
  media.streams.resize(2);
  EXPECT_EQ(media.latched_for(), std::nullopt);
  media.streams[1].flow.latched_for = 3s;
  EXPECT_EQ(media.latched_for(), 3s);
  media.streams[0].flow.latched_for = 4s;
  EXPECT_EQ(media.latched_for(), 4s);
}

TEST(MediaReport, JitterInMillisecondsOfItsClock) {
  const auto jitter_ms = [](std::uint32_t ticks, std::uint32_t clock_hz) {
    MediaReport media;
    media.clock_hz = clock_hz;
    FlowReport flow;
    flow.jitter = ticks;
    return media.jitter_ms(flow);
  };
  EXPECT_EQ(jitter_ms(0, 8000), 0U);
  EXPECT_EQ(jitter_ms(7, 8000), 0U);
  EXPECT_EQ(jitter_ms(8, 8000), 1U);
  EXPECT_EQ(jitter_ms(960, 48'000), 20U);
  EXPECT_EQ(jitter_ms(0xffff'ffff, 8000), 536'870'911U) << "no overflow of 32 bits";
  EXPECT_EQ(jitter_ms(3, 0), 3000U) << "unknown clock";
}

TEST(NgReply, ShortRepliesMatchByteForByte) {
  EXPECT_EQ(encode("", Encoding::bencode, reply::Pong{}), "d6:result4:ponge");
  EXPECT_EQ(encode("1_2_3", Encoding::bencode, reply::Pong{}), "1_2_3 d6:result4:ponge");
  EXPECT_EQ(encode("1_2_3", Encoding::json, reply::Pong{}), R"(1_2_3 {"result":"pong"})");
  EXPECT_EQ(encode("", Encoding::bencode, reply::Failure{"Ran out of ports"}),
            "d6:result5:error12:error-reason16:Ran out of portse");
  EXPECT_EQ(encode("", Encoding::bencode, reply::LoadLimit{"Parallel session limit reached"}),
            "d6:result10:load limit7:message30:Parallel session limit reachede");
  EXPECT_EQ(encode("", Encoding::bencode, reply::Deleted{}), "d6:result2:oke");
  EXPECT_EQ(
      encode("", Encoding::bencode, reply::Deleted{{}, "Call-ID not found or tags didn't match"}),
      "d6:result2:ok7:warning38:Call-ID not found or tags didn't matche");
  EXPECT_EQ(encode("", Encoding::bencode, reply::List{{"a@b", "c"}}),
            "d6:result2:ok5:callsl3:a@b1:cee");
  EXPECT_EQ(encode("", Encoding::bencode, reply::List{}), "d6:result2:ok5:callslee");
}

TEST(NgReply, SdpIsBinarySafe) {
  const std::string body("v=0\r\ns=\0\xff:e\r\n", 13);
  EXPECT_EQ(encode("c", Encoding::bencode, reply::Sdp{body}),
            "c d6:result2:ok3:sdp13:" + body + "e");
  EXPECT_EQ(as_json(reply::Sdp{"v=0\r\ns=\"\\\r\n"})["sdp"], "v=0\r\ns=\"\\\r\n");
}

TEST(NgReply, QueryHasTimesAndTotals) {
  const Json reply = as_json(reply::Query{call()});
  EXPECT_EQ(reply["result"], "ok");
  EXPECT_EQ(reply["created"], 1'700'000'000);
  EXPECT_EQ(reply["created_us"], 123'456);
  EXPECT_EQ(reply["created_ts"], 1'700'000'000'123'456);
  EXPECT_EQ(reply["last signal"], 1'700'000'004);
  EXPECT_EQ(reply["last redis update"], 0);
  EXPECT_EQ(reply["totals"], Json::parse(R"({"RTP": {"packets": 500, "bytes": 86000, "errors": 4},
                                             "RTCP": {"packets": 5, "bytes": 400, "errors": 0}})"));
  EXPECT_EQ(reply["SSRC"], Json::parse(R"({"3735928559": {"packets": 500, "bytes": 86000,
      "last RTP seq": 65600, "cumulative loss": -2, "jitter": 5,
      "average MOS": {"MOS": 41, "round-trip time": 140000, "round-trip time leg": 40000,
                      "jitter": 7, "packet loss": 2, "samples": 12},
      "lowest MOS": {"MOS": 41, "round-trip time": 140000, "round-trip time leg": 40000,
                     "jitter": 7, "packet loss": 2, "reported at": 1700000006},
      "highest MOS": {"MOS": 41, "round-trip time": 140000, "round-trip time leg": 40000,
                      "jitter": 7, "packet loss": 2, "reported at": 1700000006}}})"));
}

TEST(NgReply, NoMosWithoutCompleteSamples) {
  CallReport report = call();
  report.tags[0].sections[0].quality = QualityReport{.ssrc = 0xDEADBEEF,
                                                     .samples = 4,
                                                     .average = {.loss_percent = 2, .jitter_ms = 7},
                                                     .lowest = {},
                                                     .highest = {}};
  const Json source = as_json(reply::Query{report})["SSRC"]["3735928559"];
  EXPECT_EQ(source["average MOS"],
            Json::parse(R"({"round-trip time leg": 0, "jitter": 7, "packet loss": 2,
                            "samples": 0})"));
  EXPECT_FALSE(source.contains("lowest MOS"));
  EXPECT_FALSE(source.contains("highest MOS"));
}

TEST(NgReply, LabelAndMetadataAreReportedIfGiven) {
  CallReport report = call();
  EXPECT_FALSE(as_json(reply::Query{report}).contains("metadata"));
  EXPECT_FALSE(as_json(reply::Query{report})["tags"]["alice"].contains("label"));
  report.metadata = "tenant=7";
  report.tags[0].label = "A";
  EXPECT_EQ(as_json(reply::Query{report})["metadata"], "tenant=7");
  EXPECT_EQ(as_json(reply::Query{report})["tags"]["alice"]["label"], "A");
}

TEST(NgReply, DoneIsOkWithAnOptionalWarning) {
  EXPECT_EQ(encode("c", Encoding::bencode, reply::Done{}), "c d6:result2:oke");
  EXPECT_EQ(encode("", Encoding::bencode, reply::Done{"but"}), "d6:result2:ok7:warning3:bute");
}

TEST(NgReply, RejectedMediaIsNotInitialized) {
  CallReport report = call();
  MediaReport& media = report.tags[0].sections[0];
  media.live = media.sends = media.receives = false;
  EXPECT_TRUE(as_json(reply::Query{report})["tags"]["alice"]["medias"][0]["flags"].empty());
}

TEST(NgReply, QueryHasTagsSectionsAndStreams) {
  Json tags = as_json(reply::Query{call()})["tags"];
  tags["alice"]["medias"][0]["streams"][0]["ingress SSRCs"].clear();  // see below
  ASSERT_EQ(tags.size(), 2U);
  const Json& alice = tags["alice"];
  EXPECT_EQ(alice["tag"], "alice");
  EXPECT_EQ(alice["via-branch"], "z9hG4bK1");
  EXPECT_EQ(alice["created"], 1'700'000'000);
  EXPECT_EQ(alice["subscriptions"], Json::parse(R"([{"tag": "bob", "type": "offer/answer"}])"));
  EXPECT_EQ(alice["subscribers"], alice["subscriptions"]);
  const Json& media = alice["medias"][0];
  EXPECT_EQ(media["index"], 1);
  EXPECT_EQ(media["type"], "audio");
  EXPECT_EQ(media["protocol"], "RTP/AVP");
  EXPECT_EQ(media["codec"], "PCMU/8000");
  EXPECT_EQ(media["flags"], Json::parse(R"(["initialized", "send", "recv"])"));
  ASSERT_EQ(media["streams"].size(), 2U);
  EXPECT_EQ(media["streams"][0], Json::parse(R"({
      "local port": 30000, "local address": "198.18.0.10", "family": "IPv4",
      "endpoint": {"family": "IPv4", "address": "203.0.113.7", "port": 41234},
      "advertised endpoint": {"family": "IPv4", "address": "192.168.1.10", "port": 6000},
      "last packet": 1700000008, "last user packet": 1700000008, "SSRC": 3735928559,
      "latched at": 1700000001,
      "sent to": {"family": "IPv4", "address": "203.0.113.9", "port": 5000},
      "last refused": {"family": "IPv4", "address": "203.0.113.66", "port": 6666},
      "flags": ["RTP", "filled", "confirmed"], "ingress SSRCs": [],
      "stats": {"packets": 500, "bytes": 86000, "errors": 4},
      "forwarded": 499, "drops": {"wrong_source": 3, "rtp_malformed": 1}})"));
  EXPECT_EQ(media["may be heard from"], Json::parse(R"(["203.0.113.7"])"));
  EXPECT_EQ(media["streams"][1]["flags"], Json::parse(R"(["RTCP"])"));
  EXPECT_EQ(media["streams"][1]["endpoint"]["port"], 0);
  EXPECT_EQ(media["streams"][1]["last packet"], 0);

  const Json& far = tags["bob"]["medias"][0];
  EXPECT_FALSE(tags["bob"].contains("via-branch"));
  EXPECT_EQ(far["flags"],
            Json::parse(R"(["initialized", "recv", "rtcp-mux", "blocked", "DTMF blocked"])"));
  EXPECT_EQ(far["streams"][0]["family"], "IPv6");
  EXPECT_EQ(far["streams"][0]["endpoint"], far["streams"][0]["advertised endpoint"]);
  EXPECT_EQ(far["streams"][0]["flags"], Json::parse(R"(["RTP", "RTCP", "filled"])"));
}

TEST(NgReply, StatisticsOfSourcesAreGlobalAndInline) {
  const auto medias = [](const Json& reply, const char* tag) {
    return reply["tags"][tag]["medias"][0];
  };
  const Json both = as_json(reply::Query{call()});
  Json expected = both["SSRC"]["3735928559"];
  expected["SSRC"] = 3735928559;
  for (const Json& at : {medias(both, "alice"), medias(both, "alice")["streams"][0]}) {
    ASSERT_EQ(at["ingress SSRCs"].size(), 1U);
    EXPECT_EQ(at["ingress SSRCs"][0], expected);
  }
  EXPECT_FALSE(medias(both, "alice")["streams"][1].contains("ingress SSRCs")) << "RTCP";
  EXPECT_TRUE(medias(both, "bob")["ingress SSRCs"].empty()) << "has sent nothing";

  for (const Reply& reply : {Reply(reply::Query{call()}), Reply(reply::Deleted{call(), ""})}) {
    const Json inlined = as_json(reply, SsrcReporting::inlined);
    EXPECT_FALSE(inlined.contains("SSRC"));
    EXPECT_EQ(inlined["tags"], both["tags"]);
    const Json global = as_json(reply, SsrcReporting::global);
    EXPECT_EQ(global["SSRC"], both["SSRC"]);
    const Json none = as_json(reply, SsrcReporting::none);
    EXPECT_FALSE(none.contains("SSRC"));
    EXPECT_EQ(none["tags"], global["tags"]);
    EXPECT_FALSE(medias(none, "alice").contains("ingress SSRCs"));
    EXPECT_FALSE(medias(none, "alice")["streams"][0].contains("ingress SSRCs"));
    EXPECT_EQ(none["totals"], both["totals"]);
  }
}

TEST(NgReply, UnansweredBranchesAreNamedByTheirVia) {
  CallReport report;
  report.tags = {{"alice", "", {}, "", {}, ""}, {"", "z9hG4bK7", {}, "alice", {}, ""}};
  const Json tags = as_json(reply::Query{report})["tags"];
  EXPECT_EQ(tags["z9hG4bK7"]["tag"], "");
  EXPECT_TRUE(tags["alice"]["subscriptions"].empty());
}

TEST(NgReply, SourcesWithOneSsrcAreSummed) {
  CallReport report = call();
  report.tags[1].sections[0].streams[0].flow = report.tags[0].sections[0].streams[0].flow;
  const Json reply = as_json(reply::Query{report});
  ASSERT_EQ(reply["SSRC"].size(), 1U);
  EXPECT_EQ(reply["SSRC"]["3735928559"]["packets"], 1000);
  EXPECT_EQ(reply["totals"]["RTP"]["packets"], 1000);
}

TEST(NgReply, DeleteReportsTheSameAsQuery) {
  const Json deleted = as_json(reply::Deleted{call(), ""});
  EXPECT_EQ(deleted, as_json(reply::Query{call()}));
}

TEST(NgReply, BothEncodingsAreEquivalent) {
  const Reply query = reply::Query{call()};
  const std::string bencode = encode("", Encoding::bencode, query);
  EXPECT_EQ(frame(bencode), (Frame{Frame::State::complete, bencode.size()}));
  EXPECT_EQ(json::from_bencode(bencode), encode("", Encoding::json, query));
}

TEST(NgReply, Statistics) {
  StatisticsReport report;
  report.sessions = 7;
  report.sessions_total = 100;
  report.sessions_rejected = 2;
  report.offer_timeouts = 3;
  report.deleted = 88;
  report.offers = 101;
  report.errors = 4;
  report.ports_used = 28;
  report.ports_unanswered = {.all = 12,
                             .most = {{IpAddress::v4(192, 0, 2, 1), 8}, {std::nullopt, 4}}};
  report.packets = 1'000'000;
  report.uptime = 18s;
  const Json statistics = as_json(reply::Statistics{report})["statistics"];
  EXPECT_EQ(statistics["currentstatistics"]["sessionsown"], 7);
  EXPECT_EQ(statistics["currentstatistics"]["sessionstotal"], 7);
  EXPECT_EQ(statistics["totalstatistics"]["uptime"], "18");
  EXPECT_EQ(statistics["totalstatistics"]["managedsessions"], 100);
  EXPECT_EQ(statistics["totalstatistics"]["rejectedsessions"], 2);
  EXPECT_EQ(statistics["totalstatistics"]["offertimeoutsessions"], 3);
  EXPECT_EQ(statistics["totalstatistics"]["regularterminatedsessions"], 88);
  EXPECT_EQ(statistics["totalstatistics"]["relayedpackets"], 1'000'000);
  EXPECT_EQ(statistics["controlstatistics"]["totaloffercount"], 101);
  EXPECT_EQ(statistics["controlstatistics"]["totalerrorcount"], 4);
  EXPECT_EQ(statistics["ports"]["used"], 28);
  EXPECT_EQ(statistics["ports"]["unanswered"], 12);
  EXPECT_EQ(statistics["ports"]["unanswered by source"],
            Json::parse(R"([{"source": "192.0.2.1", "ports": 8},
                            {"source": "unknown", "ports": 4}])"));
}

TEST(NgReply, StatisticsOfTheDataPlane) {
  WorkerReport worker;
  worker.core = 3;
  worker.rx_packets = 50;
  worker.relayed = 48;
  worker.pierced = 7;
  worker.bursts[2] = 25;
  worker.drops.resize(drop_reasons().size());
  worker.drops[at(DropReason::frame_truncated)] = 2;
  StatisticsReport report;
  report.dataplane.workers = {worker};
  report.dataplane.neighbors = {
      {.interface = "public", .address = IpAddress::v4(192, 0, 2, 1), .mac = {}, .age = {}}};
  report.dataplane.devices = {{.device = "0000:3b:00.0",
                               .node = 0,
                               .link_up = true,
                               .link_mbps = 25000,
                               .link_changes = 2,
                               .imissed = 3,
                               .ierrors = 4,
                               .rx_nombuf = 5,
                               .oerrors = 6}};
  report.dataplane.mbufs = 1024;
  const Json statistics = as_json(reply::Statistics{report})["statistics"];
  const Json& printed = statistics["workers"][0];
  EXPECT_EQ(printed["core"], 3);
  EXPECT_EQ(printed["received"], 50);
  EXPECT_EQ(printed["relayed"], 48);
  EXPECT_EQ(printed["pierced"], 7);
  EXPECT_EQ(printed["bursts"].size(), 33U);
  EXPECT_EQ(printed["bursts"][2], 25);
  EXPECT_EQ(printed["drops"].size(), 1U) << "reasons that did not occur are left out";
  EXPECT_EQ(printed["drops"]["frame_truncated"], 2);
  EXPECT_EQ(statistics["devices"], Json::array({{{"device", "0000:3b:00.0"},
                                                 {"link", "up"},
                                                 {"link changes", 2},
                                                 {"mbps", 25000},
                                                 {"imissed", 3},
                                                 {"ierrors", 4},
                                                 {"rx_nombuf", 5},
                                                 {"oerrors", 6}}}));
  EXPECT_EQ(statistics["neighbors"][0]["mac"], "unresolved");
  EXPECT_EQ(statistics["buffers"]["all"], 1024);
}

}  // namespace
}  // namespace millrace::ng
