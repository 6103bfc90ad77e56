# SPDX-License-Identifier: BSD-3-Clause
"""What must be true after each call, and the table of a call."""

import topology

SITES = (("A", "nat-a", topology.NAT_A), ("B", "nat-b", topology.NAT_B))
LEAST_RECEIVED = 0.999  # of what was sent once both sides were heard
LONG_MEDIAN_US, LONG_P99_US = 250, 2000  # added by the relay; on idle cores 60 and 1000


def silent(screen, topo, media, pairs):
    """Without a relay: both spoke, the NATs refused it all, neither heard a thing."""
    sites = {side: nat for side, nat, _ in SITES}
    for side, other in ("AB", "BA"):
        sent, refused = len(media.sent[side]), topo.counters(sites[other])["refused"]
        screen.check(sent > 50 and refused >= sent,
                     f"phone {side} sent {sent} RTP packets to {', '.join(media.targets[side])}; "
                     f"NAT {other} refused {refused} packets")
    for phone, heard in pairs:
        screen.check(heard.expected == 0 and not media.sources["A"] | media.sources["B"],
                     f"{phone.name} heard nothing (tone in {heard.expected:.1f} s)")


def tones_crossed(screen, pairs, least_seconds):
    for phone, other, heard in pairs:
        screen.check(
            heard.expected >= least_seconds and heard.expected >= 0.9 * heard.seconds
            and abs(heard.level_dbfs + 12) < 1,
            f"{phone.name} heard {other.name}'s {other.frequency} Hz in {heard.expected:.1f} of "
            f"{heard.seconds:.1f} s at {heard.level_dbfs:.1f} dBFS (sent at -12.0)")
        screen.check(heard.unwanted == 0, f"{phone.name} did not hear its own {phone.frequency} Hz")


def media_crossed(screen, media, streams):
    """`streams` directions, all relayed, all but 0.1 % received, from nobody but the relay."""
    screen.check(len(media.streams) == streams and all(s.received for s in media.streams),
                 f"{sum(s.received > 0 for s in media.streams)} of {streams} RTP streams arrived")
    sent, received = media.total("sent"), media.total("received")
    screen.check(sent > 0 and received >= LEAST_RECEIVED * sent,
                 f"{received} of {sent} RTP packets received: loss "
                 f"{100 * (1 - received / max(sent, 1)):.3f} % "
                 f"(besides {media.total('early')} sent before both sides were heard)")
    for side in "AB":
        seen = ", ".join(sorted(media.sources[side])) or "nobody"
        screen.check(media.sources[side] == {topology.RELAY},
                     f"phone {side} saw RTP from {seen}; Millrace is {topology.RELAY}")


def explain_delay(screen, media, reason):
    """Names the busy machine where delay or loss shows it. `reason`: of machine.Meter."""
    if not reason:
        return
    lost = media.total("received") < LEAST_RECEIVED * media.total("sent")
    if lost or media.delay_us(0.5) > LONG_MEDIAN_US or media.delay_us(0.99) > LONG_P99_US:
        screen.note(f"The machine is busy: {reason}.")
        screen.note(f"{'Loss' if lost else 'Delay'} is time spent waiting for a core; repeat on a "
                    "quiet machine.")


def no_other_way(screen, topo):
    for side, nat, _ in SITES:
        count = topo.counters(nat)
        screen.check(count["to_elsewhere"] == count["from_elsewhere"] == count["refused"] == 0,
                     f"NAT {side}: {count['to_relay']} packets to and {count['from_relay']} from "
                     f"Millrace, {count['to_elsewhere'] + count['from_elsewhere']} any other way, "
                     f"{count['refused']} refused")


def call_table(screen, report, media):
    """The call as the relay knows it, with the delay that it added as the wire saw it."""
    rows = []
    for tag in report["tags"].values():
        for medium in tag["medias"]:
            for stream in medium["streams"]:
                rows.append(_row(report, medium, stream, media))
    rows.sort()
    screen.table(["leg", "latched at", "relay port", "codec", "packets", "lost", "jitter",
                  "added delay p50 / p99"], rows)
    for side, _, public in SITES:
        heard = [row for row in rows if row[0] == f"{side} RTP"]
        screen.check(len(heard) == 1 and heard[0][1].startswith(public + ":"),
                     f"Millrace latched phone {side} at NAT {side}'s address {public}")


def _row(report, medium, stream, media):
    place = stream["endpoint"]
    side = {public: side for side, _, public in SITES}.get(place["address"], "?")
    port = stream["local port"]
    rtp = "RTP" in stream["flags"]
    source = report.get("SSRC", {}).get(str(stream.get("SSRC")), {}) if rtp else {}
    delays = [s for s in media.streams if s.relay_in == port and s.delays] if rtp else []
    delay = (f"{delays[0].delay_us(0.5):.0f} / {delays[0].delay_us(0.99):.0f} us" if delays else "")
    return [f"{side} {'RTP' if rtp else 'RTCP'}", f"{place['address']}:{place['port']}", str(port),
            medium.get("codec", "") if rtp else "", stream["stats"]["packets"],
            source.get("cumulative loss", ""),
            f"{source['jitter']} ms" if "jitter" in source else "", delay]
