// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fuzz/world.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <memory>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "control/server/codecs.h"
#include "tests/fuzz/check.h"

namespace millrace::fuzz {
namespace {

constexpr std::uint64_t kHz = 2'000'000'000;
constexpr std::chrono::milliseconds kStart = std::chrono::hours(1);
constexpr std::size_t kLargestReply = 65507;        // UDP's
constexpr std::chrono::milliseconds kMostCpu{500};  // of a step: 100 times a usual one under ASan

IpAddress ip(const char* text) { return IpAddress::parse(text).value(); }

const std::array<std::vector<Prefix>, 2>& own_addresses() {
  static const std::array<std::vector<Prefix>, 2> all{
      std::vector{Prefix{ip("198.18.0.1"), 24}, Prefix{ip("2001:db8:a::1"), 64}},
      std::vector{Prefix{ip("203.0.113.1"), 24}, Prefix{ip("2001:db8:b::1"), 64}}};
  return all;
}

rte_mempool& packet_buffers() {
  static rte_mempool* const pool = [] {
    std::array<std::string, 8> words{"fuzz",     "--no-huge",        "--no-shconf",
                                     "--no-pci", "--no-telemetry",   "-m",
                                     "64",       "--log-level=error"};
    std::array<char*, 8> args{};
    std::ranges::transform(words, args.begin(), [](std::string& word) { return word.data(); });
    FUZZ_CHECK(rte_eal_init(static_cast<int>(args.size()), args.data()) >= 0);
    return rte_pktmbuf_pool_create("packets", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  }();
  FUZZ_CHECK(pool != nullptr);
  return *pool;
}

// Links are made anew for every input, in the same place: the flow table, whose 125 MB are made
// once, keeps pointers to them.
struct Ground {
  std::array<std::optional<Link>, 2> links;
  std::optional<FlowTable> flows;

  std::array<Link*, 2> renew() {
    (void)packet_buffers();  // EAL
    links[0].emplace(0, MacAddress{{2, 0, 0, 0, 0, 1}}, own_addresses()[0], MediaAddressId{0},
                     std::vector{ip("198.18.0.254"), ip("fe80::fe")}, kHz);
    links[1].emplace(1, MacAddress{{2, 0, 0, 0, 0, 2}}, own_addresses()[1], MediaAddressId{2},
                     std::vector<IpAddress>{}, kHz);
    const std::array<Link*, 2> all{&*links[0], &*links[1]};
    if (!flows) flows.emplace(all, kHz);
    return all;
  }
};
Ground& ground() {
  static Ground ground;
  return ground;
}

Tsc to_tsc(std::chrono::milliseconds time) {
  return Tsc{static_cast<std::uint64_t>(time.count()) * (kHz / 1000)};
}

// The state of the Dataplane below.
struct Bench {
  FlowTable* flows = nullptr;
  NatPunch* nat_punch = nullptr;
  const std::chrono::milliseconds* time = nullptr;
};
Bench& bench() {
  static Bench bench;
  return bench;
}

Interface interface(const char* name, std::size_t link, Latching latching) {
  Interface out;
  out.name = name;
  for (const Prefix& own : own_addresses()[link]) {
    out.ids.push_back(MediaAddressId{static_cast<std::uint16_t>(2 * link + out.addresses.size())});
    out.addresses.push_back(own.address);
  }
  out.port_min = UdpPort(kFirstPort);
  out.port_max = UdpPort(kFirstPort + kPorts - 1);
  out.latching = latching;
  return out;
}

Config config_of(const Settings& settings) {
  Config config;
  config.interfaces = {interface("core", 0, settings.latching[0]),
                       interface("edge", 1, settings.latching[1])};
  for (std::size_t link = 0; link < 2; ++link) {
    config.dataplane.interfaces.push_back(
        {config.interfaces[link].name, "none", own_addresses()[link]});
  }
  config.timeouts.quarantine = settings.quarantine;
  config.limits.calls = settings.calls;
  return config;
}

}  // namespace
}  // namespace millrace::fuzz

// The data plane's face over the bench, instead of dataplane.cc's over devices and workers.
namespace millrace {

struct Dataplane::Impl {};

Dataplane::Dataplane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Dataplane::~Dataplane() = default;

Result<std::unique_ptr<Dataplane>> Dataplane::start(const DataplaneConfig& /*config*/) {
  return std::unique_ptr<Dataplane>(new Dataplane(std::make_unique<Impl>()));
}
void Dataplane::publish(const Path& path) {
  const fuzz::Bench& bench = fuzz::bench();
  bench.flows->publish(path, fuzz::to_tsc(*bench.time));
  for (const Side* side : {&path.a, &path.b}) {
    if (side->nat_punch) bench.nat_punch->add(SlotIndex(side->local));
  }
}
void Dataplane::withdraw(LocalPort port) { fuzz::bench().flows->withdraw(port); }
FlowReport Dataplane::read(LocalPort port) const {
  return fuzz::bench().flows->read(port, fuzz::to_tsc(*fuzz::bench().time));
}
std::optional<QualityReport> Dataplane::read_quality(LocalPort port) const {
  return fuzz::bench().flows->read_quality(port, fuzz::to_tsc(*fuzz::bench().time));
}
DataplaneReport Dataplane::report() const { return {}; }

}  // namespace millrace

namespace millrace::fuzz {

// Fails when a step took too much CPU; waiting for a busy machine does not count.
class World::CpuTime {
 public:
  CpuTime() : since_(now()) {}
  ~CpuTime() { FUZZ_CHECK(now() - since_ < kMostCpu); }
  CpuTime(const CpuTime&) = delete;
  CpuTime& operator=(const CpuTime&) = delete;

 private:
  static std::chrono::nanoseconds now() {
    timespec spent{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
  }
  std::chrono::nanoseconds since_;
};

World::World(const Settings& settings)
    : settings_(settings),
      config_(config_of(settings)),
      time_(kStart),
      links_(ground().renew()),
      flows_(*ground().flows),
      host_(links_, packet_buffers(), stats_, kHz),
      relay_(flows_, links_, host_, tx_, stats_),
      nat_punch_(flows_, links_, packet_buffers()),
      dataplane_(Dataplane::start(config_.dataplane).value()),
      calls_(std::make_unique<Calls>(config_, *dataplane_)),
      buffers_(rte_mempool_avail_count(&packet_buffers())) {
  bench() = {&flows_, &nat_punch_, &time_};
  calls_->publish_events([](const Event&) {});
}

World::~World() {
  while (calls_->end_portion() != 0) {
  }
  for (int i = 0; i < 2; ++i) (void)pass(settings_.quarantine + std::chrono::seconds(1));
  FUZZ_CHECK(calls_->statistics(clock()).ports_free == 4U * kPorts);
  calls_.reset();
  time_ += std::chrono::hours(1);  // nothing is kept that long
  relay_.send_kept(to_tsc(time_));
  (void)sent();
  FUZZ_CHECK(!relay_.keeps());
  FUZZ_CHECK(rte_mempool_avail_count(&packet_buffers()) == buffers_);
  for (std::uint16_t address = 0; address < 4; ++address) {
    for (std::uint16_t port = kFirstPort; port < kFirstPort + kPorts; ++port) {
      const LocalPort local{MediaAddressId{address}, UdpPort(port)};
      FUZZ_CHECK(!flows_.read(local, to_tsc(time_)).active);
    }
  }
}

Calls::Clock::time_point World::clock() const { return Calls::Clock::time_point(time_); }

// Every address in a text that a proxy sent, however it is written there: fields may be joined to
// it by colons.
void World::name_addresses(std::string_view text) {
  const auto name = [&](std::string_view word) {
    if (const auto address = IpAddress::parse(word)) named_.insert(*address);
  };
  for (const std::string_view alphabet :
       {std::string_view("0123456789."), std::string_view("0123456789.abcdefABCDEF:")}) {
    for (std::size_t begin = 0; begin < text.size();) {
      begin = std::min(text.find_first_of(alphabet, begin), text.size());
      const std::size_t end = std::min(text.find_first_not_of(alphabet, begin), text.size());
      std::string_view word = text.substr(begin, end - begin);
      begin = end;
      if (word.size() > 64) continue;  // longer than any address with two fields beside it
      for (; !word.empty(); word.remove_prefix(std::min(word.find(':', 1), word.size()))) {
        const std::string_view tail = word.substr(word.starts_with(':') ? 1 : 0);
        name(word);
        for (std::size_t size = tail.size(); size != tail.npos; size = tail.rfind(':', size - 1)) {
          name(tail.substr(0, size));
          if (size == 0) break;
        }
      }
    }
  }
}

void World::request(ControlProtocol protocol, std::string_view message,
                    const std::optional<IpAddress>& peer) {
  name_addresses(message);
  if (peer) named_.insert(*peer);
  const CpuTime bounded;
  const Codec& codec = codec_of(protocol);
  const bool datagram = peer && codec.cookie != nullptr;
  if (datagram && codec.cookie(message).empty()) return;
  if (!datagram) {
    const Extent extent = codec.frame(message, true);
    FUZZ_CHECK(extent.size <= message.size());
    if (extent.state == Extent::State::malformed) FUZZ_CHECK(!codec.refuse(message).empty());
    if (extent.state != Extent::State::complete) return;
    message = message.substr(0, extent.size);
  }
  const Handler handle = [&](const Request& asked) { return calls_->handle(asked, clock()); };
  const ServeResult answer = codec.serve(message, {.handle = handle,
                                                   .config = config_,
                                                   .max_reply = datagram ? kLargestReply : SIZE_MAX,
                                                   .peer = datagram ? peer : std::nullopt});
  const std::string_view reply = answer.reply;
  FUZZ_CHECK(!datagram || reply.size() <= kLargestReply);
  if (reply.empty()) return;
  if (protocol == ControlProtocol::ng) {
    FUZZ_CHECK(codec.frame(reply, true) == (Extent{Extent::State::complete, reply.size()}));
  } else {
    FUZZ_CHECK(reply.ends_with('\n') || datagram);
  }
  if (datagram) FUZZ_CHECK(reply.starts_with(codec.cookie(message)));
}

std::vector<Frame> World::sent() {
  std::vector<Frame> frames;
  for (std::size_t link = 0; link < tx_.size(); ++link) {
    for (rte_mbuf* const packet : std::span(tx_[link].packets).first(tx_[link].count)) {
      const auto* const data = rte_pktmbuf_mtod(packet, const std::byte*);
      FUZZ_CHECK(packet->pkt_len == packet->data_len);
      frames.push_back({link, Bytes(data, data + packet->data_len)});
      rte_pktmbuf_free(packet);
    }
    tx_[link].clear();
  }
  for (const Frame& frame : frames) check_sent(frame);
  return frames;
}

bool World::is_udp(const Bytes& frame) {
  if (frame.size() < 42) return false;
  const std::uint16_t type = test::get16(frame, 12);
  if (type == 0x0800) return frame[23] == std::byte{17};
  return type == 0x86dd && frame.size() >= 62 && frame[20] == std::byte{17};
}

// A datagram is sent to an address that a request named and that is not the relay's, from a port
// that has a flow.
void World::check_sent(const Frame& frame) {
  if (!is_udp(frame.bytes)) return;
  const bool v4 = test::get16(frame.bytes, 12) == 0x0800;
  const Endpoint to = test::destination_of(frame.bytes);
  const Endpoint from = test::source_of(frame.bytes);
  FUZZ_CHECK(is_named(to.address));
  for (const auto& own : own_addresses()) {
    FUZZ_CHECK(std::ranges::find(own, to.address, &Prefix::address) == own.end());
  }
  const std::vector<Prefix>& own = own_addresses()[frame.link];
  const auto at = std::ranges::find(own, from.address, &Prefix::address);
  FUZZ_CHECK(at != own.end());
  const auto id =
      static_cast<std::uint16_t>(2 * frame.link + static_cast<std::size_t>(at - own.begin()));
  FUZZ_CHECK(flows_.read({MediaAddressId{id}, from.port}, to_tsc(time_)).active);
  if (v4) FUZZ_CHECK(ipv4_checksum_ok(frame.bytes.data() + 14));
}

std::vector<Frame> World::receive(std::size_t link, const Bytes& frame) {
  // Open latching accepts any source and sends the other side's media to it.
  if (latching(link) == Latching::open && is_udp(frame)) {
    named_.insert(test::source_of(frame).address);
  }
  const CpuTime bounded;
  rte_mbuf* packet = rte_pktmbuf_alloc(&packet_buffers());
  FUZZ_CHECK(packet != nullptr && frame.size() <= rte_pktmbuf_tailroom(packet));
  char* const room = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size()));
  std::ranges::copy(frame, reinterpret_cast<std::byte*>(room));
  relay_.burst(link, {&packet, 1}, to_tsc(time_));
  return sent();
}

void World::expire() {
  for (int i = 0; i < 4 && calls_->expire(clock()); ++i) {
  }
}

std::vector<Frame> World::pass(std::chrono::milliseconds time) {
  const CpuTime bounded;
  time_ += time;
  const Tsc now = to_tsc(time_);
  host_.housekeep(now, tx_);
  std::vector<Frame> frames = sent();
  const auto take = [&] { std::ranges::move(sent(), std::back_inserter(frames)); };
  if (nat_punch_.due(now)) {
    nat_punch_.send_due(now, tx_, stats_);
    take();
  }
  if (relay_.keeps()) {
    relay_.send_kept(now);
    take();
  }
  expire();
  return frames;
}

void World::check() {
  active_.clear();
  for (std::uint16_t address = 0; address < 4; ++address) {
    for (std::uint16_t port = kFirstPort; port < kFirstPort + kPorts; ++port) {
      const LocalPort local{MediaAddressId{address}, UdpPort(port)};
      const auto rule = read_rule(flows_.slot(SlotIndex(local)).rule);
      FUZZ_CHECK(rule);
      if (rule->has(flow_flag::kActive)) active_.push_back(local);
    }
  }
  const StatisticsReport report = calls_->statistics(clock());
  FUZZ_CHECK(report.ports_used + report.ports_free <= 4U * kPorts);
  FUZZ_CHECK(active_.size() <= report.ports_used);
  if (calls_->sessions() == 0) FUZZ_CHECK(report.ports_used == 0);
}

}  // namespace millrace::fuzz
