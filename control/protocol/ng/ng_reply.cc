// SPDX-License-Identifier: BSD-3-Clause
// Encodes ng replies in rtpengine's layout: same keys, without those that have no value here.
// Always written as bencode, then converted for JSON.

#include <algorithm>
#include <map>
#include <utility>

#include "control/command/quality.h"
#include "control/protocol/ng/bencode.h"
#include "control/protocol/ng/json.h"
#include "control/protocol/ng/ng.h"

namespace millrace::ng {
namespace {

using bencode::Writer;
using std::chrono::system_clock;

std::int64_t seconds(system_clock::time_point time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::int64_t seconds_ago(system_clock::time_point now, std::chrono::nanoseconds age) {
  return seconds(now - std::chrono::duration_cast<system_clock::duration>(age));
}

struct Sums {
  std::uint64_t packets = 0, bytes = 0, errors = 0;

  void add(const FlowReport& flow) {
    packets += flow.packets;
    bytes += flow.bytes;
    errors += flow.refused + flow.malformed;
  }
};

// Keys are literals: their length prefix is a constant (Writer).
void write(Writer& out, const auto& key, const Sums& sums) {
  out.dictionary(key);
  out.entry("packets", sums.packets);
  out.entry("bytes", sums.bytes);
  out.entry("errors", sums.errors);
  out.end();
}

// An unknown endpoint is 0.0.0.0 port 0: clients expect the key.
void write(Writer& out, const auto& key, const std::optional<Endpoint>& endpoint) {
  const Endpoint e = endpoint.value_or(Endpoint{IpAddress::v4(0, 0, 0, 0), UdpPort(0)});
  out.dictionary(key);
  out.entry("family", name_of(e.address.family()));
  out.entry("address", e.address);
  out.entry("port", std::int64_t{e.port.number()});
  out.end();
}

// One RTP source of a call, by SSRC. Sums up parties with the same random SSRC.
struct Source {
  Sums sums;
  std::uint32_t last_sequence = 0;
  std::int64_t lost = 0;
  std::uint64_t jitter_ms = 0;
  std::optional<QualityReport> quality;  // from the receiving party's RTCP
};

// In rtpengine's units: tenths of MOS, percent, milliseconds, microseconds. Omits an unknown MOS,
// as clients would average a 0.
void write(Writer& out, const auto& key, const QualitySample& sample, const auto& last_key,
           std::uint64_t last) {
  out.dictionary(key);
  if (sample.mos_tenths != 0) {
    out.entry("MOS", std::uint64_t{sample.mos_tenths});
    out.entry("round-trip time", static_cast<std::uint64_t>(sample.round_trip.count()));
  }
  out.entry("round-trip time leg", static_cast<std::uint64_t>(sample.leg.count()));
  out.entry("jitter", std::uint64_t{sample.jitter_ms});
  out.entry("packet loss", std::uint64_t{sample.loss_percent});
  out.entry(last_key, last);
  out.end();
}

using Sources = std::map<std::uint32_t, Source>;

void write(Writer& out, const Source& source, system_clock::time_point now) {
  out.entry("packets", source.sums.packets);
  out.entry("bytes", source.sums.bytes);
  out.entry("last RTP seq", std::int64_t{source.last_sequence});
  out.entry("cumulative loss", source.lost);
  out.entry("jitter", source.jitter_ms);
  if (!source.quality) return;
  const QualityReport& quality = *source.quality;
  const auto at = [&](const QualitySample& sample) {
    return static_cast<std::uint64_t>(seconds_ago(now, sample.age));
  };
  write(out, "average MOS", quality.average, "samples", quality.complete);
  if (quality.complete == 0) return;
  write(out, "lowest MOS", quality.lowest, "reported at", at(quality.lowest));
  write(out, "highest MOS", quality.highest, "reported at", at(quality.highest));
}

void write_sources(Writer& out, const Sources& sources, system_clock::time_point now) {
  out.dictionary("SSRC");
  for (const auto& [ssrc, source] : sources) {
    out.dictionary(std::to_string(ssrc));
    write(out, source, now);
    out.end();
  }
  out.end();
}

// Common to the tags of a report.
struct Context {
  system_clock::time_point now;
  const Sources* inlined;  // to repeat in `ingress SSRCs`; null: none
};

// rtpengine has the list in the media section, earlier versions and Kamailio in its RTP stream.
void write_ingress(Writer& out, const StreamReport& stream, const Context& context) {
  if (context.inlined == nullptr || stream.rtcp) return;
  out.list("ingress SSRCs");
  if (stream.flow.ssrc) {
    out.dictionary();
    out.entry("SSRC", std::int64_t{*stream.flow.ssrc});
    write(out, context.inlined->at(*stream.flow.ssrc), context.now);
    out.end();
  }
  out.end();
}

void write(Writer& out, const StreamReport& stream, const Context& context) {
  const FlowReport& flow = stream.flow;
  const system_clock::time_point now = context.now;
  const std::int64_t last_packet = flow.idle ? seconds_ago(now, *flow.idle) : 0;
  out.dictionary();
  out.entry("local port", std::int64_t{stream.local_endpoint.port.number()});
  out.entry("local address", stream.local_endpoint.address);
  out.entry("family", name_of(stream.local_endpoint.address.family()));
  write(out, "endpoint", flow.latched ? flow.latched : stream.advertised);
  write(out, "advertised endpoint", stream.advertised);
  out.entry("last packet", last_packet);
  out.entry("last user packet", last_packet);
  if (flow.latched_for) out.entry("latched at", seconds_ago(now, *flow.latched_for));
  if (flow.destination) write(out, "sent to", flow.destination);
  if (flow.stranger) write(out, "last refused", flow.stranger);
  if (flow.ssrc) out.entry("SSRC", std::int64_t{*flow.ssrc});
  out.list("flags");
  if (!stream.rtcp) out.string("RTP");
  if (stream.rtcp || stream.rtcp_mux) out.string("RTCP");
  if (stream.advertised) out.string("filled");
  if (flow.latched) out.string("confirmed");
  if (flow.nat_punch) out.string("pierce NAT");
  out.end();
  write_ingress(out, stream, context);
  Sums sums;
  sums.add(flow);
  write(out, "stats", sums);
  out.entry("forwarded", flow.forwarded);
  out.dictionary("drops");
  for (std::size_t i = 0; i < flow.drops.size(); ++i) {
    const std::uint64_t count = flow.drops[i];
    if (count != 0) out.entry(flow_drop_reasons()[i].name, count);
  }
  out.end();
  out.end();
}

// Flags are the relay's view, as in rtpengine: "recv" if the party sends.
void write(Writer& out, const MediaReport& media, const Context& context) {
  out.dictionary();
  out.entry("index", std::int64_t{media.index});
  out.entry("type", media.type);
  out.entry("protocol", media.protocol);
  if (!media.codec.empty()) out.entry("codec", media.codec);
  out.list("streams");
  for (const StreamReport& stream : media.streams) write(out, stream, context);
  out.end();
  out.list("flags");
  if (media.live) out.string("initialized");
  if (media.receives) out.string("send");
  if (media.sends) out.string("recv");
  if (std::ranges::any_of(media.streams, &StreamReport::rtcp_mux)) out.string("rtcp-mux");
  if (media.blocked) out.string("blocked");
  if (media.silenced) out.string("silenced");
  if (media.dtmf_blocked) out.string("DTMF blocked");
  out.end();
  for (const StreamReport& stream : media.streams) write_ingress(out, stream, context);
  out.list("may be heard from");
  for (const IpAddress& hint : media.hints) out.string(hint);
  out.end();
  out.end();
}

// Subscriptions and subscribers of a tag: its peer, in both directions.
void write_peer(Writer& out, const auto& key, const std::string& peer) {
  out.list(key);
  if (!peer.empty()) {
    out.dictionary();
    out.entry("tag", peer);
    out.entry("type", "offer/answer");
    out.end();
  }
  out.end();
}

// A branch without an answer has no tag yet; its key is the via-branch.
void write(Writer& out, const TagReport& tag, const Context& context) {
  out.dictionary(tag.tag.empty() ? tag.via_branch : tag.tag);
  out.entry("tag", tag.tag);
  if (!tag.via_branch.empty()) out.entry("via-branch", tag.via_branch);
  if (!tag.label.empty()) out.entry("label", tag.label);
  out.entry("created", seconds(tag.created.wall));
  write_peer(out, "subscriptions", tag.peer_tag);
  write_peer(out, "subscribers", tag.peer_tag);
  out.list("medias");
  for (const MediaReport& media : tag.sections) write(out, media, context);
  out.end();
  out.end();
}

void write(Writer& out, const CallReport& call, SsrcReporting ssrcs) {
  Sums rtp;
  Sums rtcp;
  Sources sources;
  std::map<std::uint32_t, QualityReport> qualities;
  for (const TagReport& tag : call.tags) {
    for (const MediaReport& media : tag.sections) {
      if (const auto& quality = media.quality) {
        QualityReport& merged = qualities[quality->ssrc];
        merged = merge(merged, *quality);
      }
      for (const StreamReport& stream : media.streams) {
        (stream.rtcp ? rtcp : rtp).add(stream.flow);
        if (stream.rtcp || !stream.flow.ssrc) continue;
        Source& source = sources[*stream.flow.ssrc];
        source.sums.add(stream.flow);
        source.last_sequence = stream.flow.extended_highest_sequence;
        source.lost += stream.flow.lost;
        source.jitter_ms = media.jitter_ms(stream.flow);
      }
    }
  }
  for (auto& [ssrc, source] : sources) {
    if (const auto found = qualities.find(ssrc); found != qualities.end()) {
      source.quality = found->second;
    }
  }
  const auto created =
      std::chrono::floor<std::chrono::microseconds>(call.created.wall.time_since_epoch()).count();
  out.entry("created", seconds(call.created.wall));
  out.entry("created_us", std::int64_t{created - seconds(call.created.wall) * 1'000'000});
  out.entry("created_ts", std::int64_t{created});
  out.entry("last signal", seconds(call.last_signal.wall));
  out.entry("last redis update", std::int64_t{0});
  if (!call.metadata.empty()) out.entry("metadata", call.metadata);
  const bool global = ssrcs == SsrcReporting::both || ssrcs == SsrcReporting::global;
  const bool inlined = ssrcs == SsrcReporting::both || ssrcs == SsrcReporting::inlined;
  if (global) write_sources(out, sources, call.reported.wall);
  const Context context{call.reported.wall, inlined ? &sources : nullptr};
  out.dictionary("tags");
  for (const TagReport& tag : call.tags) write(out, tag, context);
  out.end();
  out.dictionary("totals");
  write(out, "RTP", rtp);
  write(out, "RTCP", rtcp);
  out.end();
}

// Counters per worker and NIC, neighbor entries and mbufs, for fault diagnosis.
void write(Writer& out, const DataplaneReport& dataplane) {
  out.list("workers");
  for (const WorkerReport& worker : dataplane.workers) {
    out.dictionary();
    out.entry("core", std::uint64_t{worker.core});
    out.entry("received", worker.rx_packets);
    out.entry("sent", worker.tx_packets);
    out.entry("relayed", worker.relayed);
    out.entry("pierced", worker.pierced);
    out.entry("busy cycles", worker.busy_cycles);
    out.entry("idle cycles", worker.idle_cycles);
    out.entry("cycles per second", worker.cycles_per_second);
    out.list("bursts");
    for (const std::uint64_t polls : worker.bursts) out.integer(static_cast<std::int64_t>(polls));
    out.end();
    out.dictionary("drops");
    for (std::size_t i = 0; i < worker.drops.size(); ++i) {
      if (worker.drops[i] != 0) out.entry(drop_reasons()[i].name, worker.drops[i]);
    }
    out.end();
    out.end();
  }
  out.end();
  out.list("devices");
  for (const DeviceReport& device : dataplane.devices) {
    out.dictionary();
    out.entry("device", device.device);
    out.entry("link", device.link_up ? "up" : "down");
    out.entry("link changes", device.link_changes);
    if (device.link_mbps != 0) out.entry("mbps", std::uint64_t{device.link_mbps});
    out.entry("imissed", device.imissed);
    out.entry("ierrors", device.ierrors);
    out.entry("rx_nombuf", device.rx_nombuf);
    out.entry("oerrors", device.oerrors);
    out.end();
  }
  out.end();
  out.list("neighbors");
  for (const NeighborReport& neighbor : dataplane.neighbors) {
    out.dictionary();
    out.entry("interface", neighbor.interface);
    out.entry("address", neighbor.address);
    out.entry("mac", neighbor.mac ? neighbor.mac->text() : "unresolved");
    out.end();
  }
  out.end();
  out.dictionary("buffers");
  out.entry("free", std::uint64_t{dataplane.mbufs_free});
  out.entry("all", std::uint64_t{dataplane.mbufs});
  out.end();
}

void write(Writer& out, const StatisticsReport& s) {
  out.dictionary("statistics");
  out.dictionary("currentstatistics");
  out.entry("sessionsown", s.sessions);
  out.entry("sessionsforeign", std::uint64_t{0});
  out.entry("sessionstotal", s.sessions);
  out.entry("transcodedmedia", std::uint64_t{0});
  out.end();
  out.dictionary("totalstatistics");
  out.entry("uptime", std::to_string(s.uptime.count()));
  out.entry("managedsessions", s.sessions_total);
  out.entry("rejectedsessions", s.sessions_rejected);
  out.entry("timeoutsessions", s.timeouts);
  out.entry("silenttimeoutsessions", s.silent_timeouts);
  out.entry("finaltimeoutsessions", s.final_timeouts);
  out.entry("offertimeoutsessions", s.offer_timeouts);
  out.entry("regularterminatedsessions", s.deleted);
  out.entry("icedirectsessions", s.ice_direct);
  out.entry("relayedpackets", s.packets);
  out.entry("relayedbytes", s.bytes);
  out.entry("relayedpacketerrors", s.packet_errors);
  out.end();
  out.dictionary("controlstatistics");
  out.entry("totalpingcount", s.pings);
  out.entry("totaloffercount", s.offers);
  out.entry("totalanswercount", s.answers);
  out.entry("totaldeletecount", s.deletes);
  out.entry("totalquerycount", s.queries);
  out.entry("totallistcount", s.lists);
  out.entry("totalerrorcount", s.errors);
  out.end();
  out.dictionary("ports");
  out.entry("used", s.ports_used);
  out.entry("free", s.ports_free);
  out.entry("unanswered", s.ports_unanswered.all);
  out.list("unanswered by source");
  for (const auto& [address, ports] : s.ports_unanswered.most) {
    out.dictionary();
    out.entry("source", address ? address->text() : "unknown");
    out.entry("ports", ports);
    out.end();
  }
  out.end();
  out.end();
  write(out, s.dataplane);
  out.end();
}

// Writes the entries of each kind of reply, `result` first.
struct Entries {
  Writer& out;
  SsrcReporting ssrcs;

  void operator()(const reply::Pong&) const { out.entry("result", "pong"); }
  void operator()(const reply::Done& done) const {
    out.entry("result", "ok");
    if (!done.warning.empty()) out.entry("warning", done.warning);
  }
  void operator()(const reply::Sdp& sdp) const {
    out.entry("result", "ok");
    out.entry("sdp", sdp.body);
    if (!sdp.warning.empty()) out.entry("warning", sdp.warning);
  }
  // Unreachable: an ng offer or answer has an SDP, and no ng command requests a summary.
  void operator()(const reply::Endpoints&) const { (*this)(reply::Failure{"No SDP body"}); }
  void operator()(const reply::Summary&) const { (*this)(reply::Failure{"No SDP body"}); }
  void operator()(const reply::Query& query) const {
    out.entry("result", "ok");
    write(out, query.call, ssrcs);
  }
  void operator()(const reply::Deleted& deleted) const {
    out.entry("result", "ok");
    if (!deleted.warning.empty()) out.entry("warning", deleted.warning);
    if (deleted.call) write(out, *deleted.call, ssrcs);
  }
  void operator()(const reply::List& list) const {
    out.entry("result", "ok");
    out.list("calls");
    for (const std::string& call_id : list.call_ids) out.string(call_id);
    out.end();
  }
  void operator()(const reply::Statistics& statistics) const {
    out.entry("result", "ok");
    write(out, statistics.report);
  }
  void operator()(const reply::Failure& failure) const {
    out.entry("result", "error");
    out.entry("error-reason", failure.reason);
  }
  void operator()(const reply::LoadLimit& refused) const {
    out.entry("result", "load limit");
    out.entry("message", refused.message);
  }
};

// The cookie and a space, with capacity for the reply.
std::string head(std::string_view cookie) {
  constexpr std::size_t kUsual = 2048;  // bytes of a typical reply
  std::string written;
  written.reserve(kUsual);
  written += cookie;
  if (!cookie.empty()) written += ' ';
  return written;
}

}  // namespace

std::string encode(std::string_view cookie, Encoding encoding, const Reply& reply,
                   SsrcReporting ssrcs) {
  Writer writer(encoding == Encoding::json ? std::string() : head(cookie));
  writer.dictionary();
  std::visit(Entries{writer, ssrcs}, reply);
  writer.end();
  std::string written = std::move(writer).take();
  if (encoding == Encoding::json) return head(cookie) + json::from_bencode(written);
  return written;
}

}  // namespace millrace::ng
