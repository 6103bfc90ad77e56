# SPDX-License-Identifier: BSD-3-Clause
"""Checks after each call, and the table of a call."""

import topology

SITES = (("A", "nat-a", topology.NAT_A), ("B", "nat-b", topology.NAT_B))
LEAST_RECEIVED = 0.999  # share of the packets sent after both sides had latched
LONG_MEDIAN_US, LONG_P99_US = 250, 2000  # delay added by the relay; 60 and 1000 on idle cores


def silent(screen, topo, media, pairs):
    """Without a relay: both phones sent RTP, the NATs dropped all of it, no tone arrived."""
    sites = {side: nat for side, nat, _ in SITES}
    for side, other in ("AB", "BA"):
        sent, refused = len(media.sent[side]), topo.counters(sites[other])["refused"]
        screen.check(sent > 50 and refused >= sent,
                     f"phone {side} sent {sent} RTP packets to {', '.join(media.targets[side])}; "
                     f"NAT {other} dropped {refused} packets")
    for phone, recording in pairs:
        screen.check(recording.expected == 0 and not media.sources["A"] | media.sources["B"],
                     f"{phone.name} received no tone ({recording.expected:.1f} s)")


def tones_crossed(screen, pairs, least_seconds):
    for phone, other, recording in pairs:
        screen.check(
            recording.expected >= least_seconds
            and recording.expected >= 0.9 * recording.seconds
            and abs(recording.level_dbfs + 12) < 1,
            f"{phone.name} received {other.name}'s {other.frequency} Hz for "
            f"{recording.expected:.1f} of {recording.seconds:.1f} s at "
            f"{recording.level_dbfs:.1f} dBFS (sent at -12.0)")
        screen.check(recording.unwanted == 0,
                     f"{phone.name} did not receive its own {phone.frequency} Hz")


def media_crossed(screen, media, streams):
    """All `streams` arrived, with at most 0.1 % loss, from the relay's address only."""
    screen.check(len(media.streams) == streams and all(s.received for s in media.streams),
                 f"{sum(s.received > 0 for s in media.streams)} of {streams} RTP streams arrived")
    sent, received = media.total("sent"), media.total("received")
    screen.check(sent > 0 and received >= LEAST_RECEIVED * sent,
                 f"{received} of {sent} RTP packets received: loss "
                 f"{100 * (1 - received / max(sent, 1)):.3f} % "
                 f"({media.total('early')} more sent before both sides had latched)")
    for side in "AB":
        seen = ", ".join(sorted(media.sources[side])) or "no address"
        screen.check(media.sources[side] == {topology.RELAY},
                     f"phone {side} received RTP from {seen}; Millrace is {topology.RELAY}")


def explain_delay(screen, media, reason):
    """Reports a busy machine (`reason` of machine.Meter) if delay or loss is above normal."""
    if not reason:
        return
    lost = media.total("received") < LEAST_RECEIVED * media.total("sent")
    if lost or media.delay_us(0.5) > LONG_MEDIAN_US or media.delay_us(0.99) > LONG_P99_US:
        screen.note(f"The machine is busy: {reason}.")
        screen.note(f"{'Loss' if lost else 'Delay'} comes from waiting for a core; repeat on an "
                    "idle machine.")


def relay_is_the_only_path(screen, topo):
    for side, nat, _ in SITES:
        count = topo.counters(nat)
        screen.check(count["to_elsewhere"] == count["from_elsewhere"] == count["refused"] == 0,
                     f"NAT {side}: {count['to_relay']} packets to and {count['from_relay']} from "
                     f"Millrace, {count['to_elsewhere'] + count['from_elsewhere']} by other paths, "
                     f"{count['refused']} dropped")


def call_table(screen, report, media):
    """Prints the relay's query of the call, with the added delay measured on its wire."""
    rows = []
    for tag in report["tags"].values():
        for medium in tag["medias"]:
            for stream in medium["streams"]:
                rows.append(_row(report, medium, stream, media))
    rows.sort()
    screen.table(["leg", "latched at", "relay port", "codec", "packets", "lost", "jitter",
                  "added delay p50 / p99"], rows)
    for side, _, public in SITES:
        latched = [row for row in rows if row[0] == f"{side} RTP"]
        screen.check(len(latched) == 1 and latched[0][1].startswith(public + ":"),
                     f"Millrace latched phone {side} at NAT {side}'s address {public}")


def _row(report, medium, stream, media):
    source_endpoint = stream["endpoint"]
    side = {public: side for side, _, public in SITES}.get(source_endpoint["address"], "?")
    port = stream["local port"]
    rtp = "RTP" in stream["flags"]
    source = report.get("SSRC", {}).get(str(stream.get("SSRC")), {}) if rtp else {}
    delays = [s for s in media.streams if s.relay_in == port and s.delays] if rtp else []
    delay = (f"{delays[0].delay_us(0.5):.0f} / {delays[0].delay_us(0.99):.0f} us" if delays else "")
    return [f"{side} {'RTP' if rtp else 'RTCP'}",
            f"{source_endpoint['address']}:{source_endpoint['port']}", str(port),
            medium.get("codec", "") if rtp else "", stream["stats"]["packets"],
            source.get("cumulative loss", ""),
            f"{source['jitter']} ms" if "jitter" in source else "", delay]
