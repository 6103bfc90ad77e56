// SPDX-License-Identifier: BSD-3-Clause
// Every container that a phone or a proxy can grow, with its bound and the test that fills it.
//
// The containers of a call are filled here, through requests; those of other rooms by the tests
// that the table names. A container that is new gets a row and a test.

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "control/call/call.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

struct Bound {
  std::string_view container, bound, test;
};

constexpr std::array kBounds = std::to_array<Bound>({
    // Calls
    {"calls", "limits.calls, or pairs of ports", "CallBounds, CallsWithoutPorts"},
    {"dialogs of a call", "CallState::kMaxDialogs", "CallBounds, DialogsByBranch"},
    {"branches that one offer reached", "CallState::kMaxDialogs",
     "CallBranchTest, BranchesAreLimited"},
    {"tags of a party", "Leg::kMaxTags", "CallBranchTest, TagsOfAPartyAreLimited"},
    {"bytes of a tag, Call-ID, branch", "kMaxName", "CallBounds, NamesHaveALength"},
    {"bytes of metadata", "4096", "CallBounds, MetadataIsCut"},
    {"ended branches of a call", "CallState::kMaxDialogs", "CallBounds, EndedBranches"},
    {"ended dialogs of all calls", "EndedDialogs::kMax", "EndedDialogs, AreBounded"},
    {"delayed deletes", "one a dialog", "CallBounds, DelayedDeletes"},
    {"streams of a call", "limits.streams", "CallBounds, Streams"},
    {"m= lines over all re-offers", "sdp::kMaxSections", "CallBounds, SectionsOverReOffers"},
    {"streams of endpoint protocols", "limits.streams", "CallBounds, NamedStreams"},
    {"latch hints of a party", "kMaxHints", "PartyMediaTest, NewestCandidatesReplaceTheOldest"},
    {"the same, by trickling", "kMaxHints",
     "PartyMediaTest, LaterCandidatesReplaceTheOldestInAFullList"},
    {"fragments before their SDP", "8 a call", "CallBounds, EarlyFragments"},
    {"sources of unanswered offers", "pairs of ports", "CallBounds, SourcesOfOffers"},
    {"resting ports", "pairs of ports", "PortPool, HandsOutEveryPairOfEveryAddressOnce"},
    // SDP
    {"bytes, lines, m= lines of an SDP", "sdp::kMax...", "SdpParse, LimitsAreExact"},
    {"candidates of an m= line", "sdp::kMaxCandidates", "SdpFragment, CandidatesAreBounded"},
    {"m= lines of a fragment", "sdp::kMaxSections", "SdpFragment, RefusesMalformedFragments"},
    // Protocols
    {"depth of bencode", "bencode::kMaxDepth", "BencodeScan, LimitsDepth"},
    {"depth of JSON", "bencode::kMaxDepth", "JsonScan, LimitsDepth"},
    {"bytes of an ng message", "ng::kMaxMessage", "NgFrame, IsBounded"},
    {"unsupported options of a request", "one refusal a property, each warning once",
     "NgUnsupported, RepeatedOptionsAreKeptOnce"},
    {"names reported as unknown", "32 a request", "NgVocabulary, ReportedNamesAreBounded"},
    {"bytes of an rtpproxy command", "rtpp::kMaxCommand", "RtppFrame, OversizedIsMalformed"},
    {"subcommands", "4", "RtppParse, RefusesBadSubcommands"},
    // Control sockets
    {"connections", "Connections::kMaxConnections",
     "ServerTest, RefusesConnectionsPastTheLimitImmediately"},
    {"connections of a process", "Connections::kMaxPerProcess",
     "ServerTest, RefusesConnectionsOfOneProcessPastItsLimit"},
    {"unfinished requests of a process", "Connections::kMaxUnfinished",
     "ServerTest, DisconnectsAProcessWithTooManyUnfinishedRequests"},
    {"bytes of an unfinished request", "ng::kMaxMessage",
     "ConnectionTest, RefusesARequestPastTheLimit"},
    {"replies for retransmissions", "ReplyCache::Limits", "ReplyCache, CountIsBoundedOldestFirst"},
    {"bytes of these", "ReplyCache::Limits", "ReplyCache, BytesAreBounded"},
    // Notifications and log
    {"events on their way", "Notifier::kMaxPending",
     "EventStreamTest, EventsPastTheBoundAreDropped"},
    {"bytes of messages to one peer", "Outbox::kMaxBytes", "OutboxTest, TheQueueIsBoundedInBytes"},
    {"notification sockets", "Notifier::kMaxTagPeers",
     "NotifyTest, NotificationSocketsInUseAreBounded"},
    {"event readers", "EventStream::kMaxReaders", "EventStreamTest, ReadersAreLimited"},
    {"bytes for an event reader", "EventStream::kMaxBehind",
     "EventStreamTest, StalledReaderIsDisconnectedWithoutDelayingOthers"},
    {"log lines", "log.lines_per_second",
     "LineLimit, EachLevelHasItsOwnAndSuppressedLinesAreCounted"},
    {"bytes of a log value", "kMaxLogValue", "FormatLine, CutsLongValues"},
    // Packet path
    {"hints of a port", "kMaxHints", "Latch, OnlyTheFirstHintsCount"},
    {"next hops", "Neighbors::capacity", "Neighbors, TheTableIsBounded"},
    {"ICE checks that wait, of a port", "EarlyStun", "EarlyStun, IsBoundedPerSlot"},
    {"ICE checks that wait, of a worker", "EarlyStun", "EarlyStun, IsBoundedPerWorker"},
    {"parties waiting for packets of ours", "NatPunch", "NatPunch, FloodOfOffersIsBounded"},
    {"ICMP replies", "a rate", "HostIcmp, RepliesAreRateLimited"},
});

TEST(Bounds, EachNamesAnExistingTest) {
  const char* data = std::getenv("TEST_DATA");  // NOLINT(concurrency-mt-unsafe): one thread
  ASSERT_NE(data, nullptr);
  std::string all;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(std::filesystem::path(data).parent_path())) {
    if (entry.path().extension() != ".cc") continue;
    std::ifstream file(entry.path());
    all.append(std::istreambuf_iterator<char>(file), {});
  }
  for (const Bound& each : kBounds) {
    const std::string name = "(" + std::string(each.test) + ")";
    EXPECT_NE(all.find("TEST" + name) == all.npos ? all.find("TEST_F" + name) : 0, all.npos)
        << each.container << ": no test is called " << each.test;
  }
}

class CallBounds : public CallTest {
 protected:
  void SetUp() override {
    config.timeouts.delete_delay = 0s;
    config.timeouts.quarantine = 0s;
    restart();
  }
  [[nodiscard]] Request branch(int number) {
    Request result = offer(audio(kA, 4000));
    result.via_branch = keep("b" + std::to_string(number));
    return result;
  }
  [[nodiscard]] std::string warning(const Request& asked) {
    return std::get<reply::Deleted>(handle(asked)).warning;
  }
  [[nodiscard]] Request end_of(const Request& asked) {
    Request result = request(Command::remove);
    result.via_branch = asked.via_branch;
    return result;
  }
  [[nodiscard]] CallReport report() {
    return std::get<reply::Query>(handle(request(Command::query))).call;
  }
  [[nodiscard]] std::string many_streams(std::size_t count) {
    std::string body = session(kA);
    for (std::size_t i = 0; i < count; ++i) body += media("audio", 4000 + 2 * static_cast<int>(i));
    return body;
  }
};

TEST_F(CallBounds, DialogsByBranch) {
  int number = 0;
  for (; number < int{CallState::kMaxDialogs}; ++number) std::ignore = print(branch(number));
  const Request past = branch(number);
  EXPECT_EQ(reason(past),
            "The call has 64 dialogs, the limit; delete ended ones by via-branch or to-tag");
  EXPECT_EQ(statistics().ports_used, 2 * (CallState::kMaxDialogs + 1));
  std::ignore = print(branch(0));  // a dialog that it has
  EXPECT_EQ(warning(end_of(branch(1))), "");
  std::ignore = print(past);
  EXPECT_EQ(warning(request(Command::remove)), "");
  EXPECT_EQ(statistics().ports_used, 0U);
}

TEST_F(CallBounds, DialogsByToTag) {
  for (std::size_t i = 0; i < 2 * CallState::kMaxDialogs; ++i) {
    Request asked = offer(audio(kA, 4000));
    asked.to_tag = keep("T" + std::to_string(i));
    if (i < CallState::kMaxDialogs) {
      std::ignore = print(asked);
    } else {
      EXPECT_TRUE(reason(asked).starts_with("The call has 64 dialogs, the limit"));
    }
  }
  EXPECT_EQ(report().tags.size(), CallState::kMaxDialogs + 1);
}

TEST_F(CallBounds, DialogsByFromTag) {
  for (std::size_t i = 0; i < 2 * CallState::kMaxDialogs; ++i) {
    Request asked = offer(audio(kA, 4000));
    asked.from_tag = keep("F" + std::to_string(i));
    EXPECT_EQ(std::holds_alternative<reply::Sdp>(handle(asked)), i < CallState::kMaxDialogs) << i;
  }
  EXPECT_EQ(report().tags.size(), 2 * CallState::kMaxDialogs);
}

TEST_F(CallBounds, NamesHaveALength) {
  const std::string_view fits = keep(std::string(kMaxName, 'x')),
                         past = keep(std::string(kMaxName + 1, 'x'));
  using Name = std::string_view& (*)(Request&);
  const std::array<Name, 8> names = {
      [](Request& r) -> auto& { return r.call_id; },
      [](Request& r) -> auto& { return r.from_tag; },
      [](Request& r) -> auto& { return r.to_tag; },
      [](Request& r) -> auto& { return r.via_branch; },
      [](Request& r) -> auto& { return r.notify.socket; },
      [](Request& r) -> auto& { return r.notify.tag; },
      [](Request& r) -> auto& { return r.notify.dialog_id; },
      [](Request& r) -> auto& { return r.labels.label; },
  };
  for (const auto name : names) {
    Request asked = offer(audio(kA, 4000));
    name(asked) = past;
    EXPECT_TRUE(reason(asked).ends_with(" has 1025 bytes; the limit is 1024"));
    name(asked) = fits;
    std::ignore = print(asked);
    Request end = request(Command::remove, asked.call_id);
    end.from_tag = asked.from_tag;
    EXPECT_EQ(warning(end), "");
  }
}

TEST_F(CallBounds, MetadataIsCut) {
  Request asked = offer(audio(kA, 4000));
  asked.labels.metadata = keep(std::string(5000, 'x'));
  std::ignore = print(asked);
  EXPECT_EQ(report().metadata.size(), 4096U);
}

TEST_F(CallBounds, EndedBranches) {
  std::ignore = print(branch(-1));
  constexpr int kMany = 200;
  for (int i = 0; i < kMany; ++i) {
    std::ignore = print(branch(i));
    EXPECT_EQ(warning(end_of(branch(i))), "");
  }
  for (int i = kMany - int{CallState::kMaxDialogs}; i < kMany; ++i) {
    EXPECT_NE(warning(end_of(branch(i))), "") << "a late CANCEL";
  }
  EXPECT_EQ(statistics().sessions, 1U);
  // One that is forgotten is taken for that of a BYE.
  EXPECT_EQ(warning(end_of(branch(0))), "");
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallBounds, DelayedDeletes) {
  std::ignore = print(branch(0));
  std::ignore = print(branch(1));
  for (int i = 0; i < 10'000; ++i) {
    Request end = end_of(branch(i % 2));
    end.removal.delay = 30s;
    EXPECT_EQ(warning(end), "");
  }
  const Reply list = handle(request(Command::list));
  EXPECT_EQ(std::get<reply::List>(list).call_ids.size(), 1U);
  expire_after(30s);
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(statistics().deleted, 1U);
}

TEST_F(CallBounds, Streams) {
  const Request past = offer(many_streams(33));
  EXPECT_EQ(reason(past), "The offer has 33 media streams; [limits] streams allows 32 per call");
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(statistics().ports_used, 0U);
  std::ignore = print(offer(many_streams(32)));
  EXPECT_EQ(statistics().ports_used, 128U);
  EXPECT_TRUE(reason(past).starts_with("The offer has 33"));
  EXPECT_EQ(statistics().ports_used, 128U);
  // Those that are rejected take no ports.
  std::ignore = print(offer(many_streams(32) + media("video", 0)));
  config.limits.streams = 1;
  restart();
  EXPECT_TRUE(reason(offer(many_streams(2))).starts_with("The offer has 2"));
  std::ignore = print(offer(many_streams(1)));
}

TEST_F(CallBounds, SectionsOverReOffers) {
  std::ignore = print(offer(many_streams(1)));
  for (int i = 0; i < 200; ++i) {
    std::string body = many_streams(1);
    for (int k = 0; k < i; ++k) body += media("video", 0);
    const bool fits = i < int{sdp::kMaxSections};
    EXPECT_EQ(std::holds_alternative<reply::Sdp>(handle(offer(body))), fits) << i;
  }
  EXPECT_EQ(report().tags.at(0).sections.size(), sdp::kMaxSections);
}

TEST_F(CallBounds, NamedStreams) {
  const auto ask = [&](unsigned index) {
    Request asked = request(Command::offer);
    NamedMedia& named = asked.sections.emplace_back();
    named.index = index;
    named.endpoint = *endpoint(kA, 4000);
    return handle(asked);
  };
  for (unsigned index = 1; index <= 200; ++index) {
    const Reply reply = ask(index);
    const auto* const given = std::get_if<reply::Endpoints>(&reply);
    EXPECT_EQ(given != nullptr, index <= 32) << index;
    if (given != nullptr) note_port(local(given->endpoints.at(0)));
  }
  EXPECT_EQ(statistics().ports_used, 128U);
}

TEST_F(CallBounds, EarlyFragments) {
  const auto of = [&](std::string_view tag) {
    Request info = back(Command::offer,
                        "a=ice-ufrag:b\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
                        "a=candidate:1 1 UDP 1 198.18.0.111 4000 typ srflx\r\n");
    info.from_tag = tag;
    info.fragment = true;
    return info;
  };
  std::ignore = print(offer(audio(kA, 4000)));
  std::ignore = handle(of("B"));
  for (int i = 0; i < 8; ++i) std::ignore = handle(of(keep("X" + std::to_string(i))));
  std::ignore = print(answer(audio(kB, 5000, "a=mid:0\r\na=ice-ufrag:b\r\n")));
  EXPECT_EQ(report().tags.at(1).sections.at(0).hints, std::vector{*IpAddress::parse(kB)})
      << "the oldest of nine is gone";
}

// Media that is rejected takes no port, and still makes a call.
TEST_F(CallBounds, CallsWithoutPorts) {
  config.interfaces[0].port_max = UdpPort(30009);  // five pairs
  config.interfaces.pop_back();
  restart();
  for (int i = 0; i < 10; ++i) {
    Request asked = offer(session(kA) + media("audio", 0));
    asked.call_id = keep("c" + std::to_string(i));
    EXPECT_EQ(std::holds_alternative<reply::Sdp>(handle(asked)), i < 5) << i;
  }
  EXPECT_EQ(statistics().sessions, 5U);
}

TEST_F(CallBounds, SourcesOfOffers) {
  config.interfaces[0].port_max = UdpPort(30019);  // ten pairs
  restart();
  const auto source = [](int i) { return IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(i)); };
  for (int i = 0; i < 100; ++i) {
    Request asked = offer(audio(kA, 4000));
    asked.call_id = keep("c" + std::to_string(i));
    asked.latching.received_from = source(i);
    std::ignore = handle(asked);
  }
  auto held = statistics().ports_unanswered;
  EXPECT_EQ(held.all, 20U);
  ASSERT_EQ(held.most.size(), 5U);
  EXPECT_EQ(held.most[0].ports, 4U);
  // Those of an answered call are its own.
  Request first = answer(audio(kB, 5000));
  first.call_id = "c0";
  std::ignore = print(first);
  held = statistics().ports_unanswered;
  EXPECT_EQ(held.all, 16U);
  EXPECT_EQ(held.most.size(), 4U);
  for (int i = 1; i < 5; ++i) {
    EXPECT_EQ(warning(request(Command::remove, keep("c" + std::to_string(i)))), "");
  }
  EXPECT_EQ(statistics().ports_unanswered.all, 0U);
}

}  // namespace
}  // namespace millrace
