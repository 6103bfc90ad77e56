# SPDX-License-Identifier: BSD-3-Clause
"""Media commands of the proxy: statistics, block, silence, DTMF."""

import struct
import time

from smoke.bed import CALLEE, CALLER, Call, RelayCase
from smoke.ng import Refused
from smoke.phone import receive, transfer

AUDIO = "audio PORT RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000"


def ntp_middle(seconds):
    return int(seconds * 65536) % 2**32


def sender_report(phone):
    """A sender report without blocks (RFC 3550 section 6.4.1), and the LSR that refers to it."""
    middle = ntp_middle(time.time())
    return struct.pack("!BBHIIIIII", 0x80, 200, 6, phone.ssrc, middle >> 16,
                       middle << 16 & 0xffffffff, phone.timestamp, 0, 0), middle


def receiver_report(phone, about, lsr, delay, lost=0, jitter=0):
    """A receiver report with one block (section 6.4.2); `delay` (DLSR) in seconds."""
    return struct.pack("!BBHIIIIIII", 0x81, 201, 7, phone.ssrc, about.ssrc, lost << 24,
                       about.sequence, jitter, lsr, int(delay * 65536))


def arrives(sock, data):
    """True if `data` arrives within 2 s; ignores other datagrams."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if any(packet.data == data for packet in receive(sock, 0.2, 1)):
            return True
    return False


class MediaTest(RelayCase):
    def started(self, **keys):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        call.offer(caller.sdp(media=AUDIO), label="A", **keys)
        call.answer(callee.sdp(media=AUDIO), label="B")
        self.assert_open(call)
        caller.drain()
        callee.drain()
        return call

    def command(self, name, call, **keys):
        return self.ng.command(name, call_id=call.call_id, **keys)

    def stream(self, call, tag, component=0):
        return call.query()["tags"][tag]["medias"][0]["streams"][component]

    def rtcp_packets(self, call):
        return call.query()["totals"]["RTCP"]["packets"]

    def report(self, sender, reader, mux=False, waits=0.0, **figures):
        """Exchanges a sender report of `sender` and a receiver report of `reader`, `waits` s later."""
        def pass_on(phone, other, data):
            (phone.send if mux else phone.send_rtcp)(data)
            self.assertTrue(arrives(other.rtp if mux else other.rtcp, data), "passes unchanged")

        report, lsr = sender_report(sender)
        pass_on(sender, reader, report)
        asked = time.monotonic()
        time.sleep(waits)
        waited = time.monotonic() - asked
        pass_on(reader, sender, receiver_report(reader, sender, lsr, waited, **figures))

    def quality(self, call, phone):
        """The average MOS of the stream that `phone` sends."""
        return call.query()["SSRC"][str(phone.ssrc)]["average MOS"]

    def test_query_reports_rtcp_quality(self):
        call = self.started(metadata="tenant=7")
        caller, callee = call.caller, call.callee
        # The relay sends RTCP to a party only after that party's RTCP has latched.
        for phone in (callee, caller):
            phone.send_rtcp()
        receive(callee.rtcp, 1, 1)
        self.report(caller, callee, lost=26, jitter=80)
        early = self.quality(call, caller)
        self.assertNotIn("MOS", early, "the caller's leg is unknown")
        self.assertEqual((early["packet loss"], early["jitter"], early["samples"]), (10, 10, 0))
        self.report(callee, caller)
        self.report(caller, callee, waits=0.2, lost=26, jitter=80)
        stats = call.query()
        self.assertEqual(stats["metadata"], "tenant=7")
        self.assertEqual(stats["tags"][call.from_tag]["label"], "A")
        source = stats["SSRC"][str(caller.ssrc)]
        average = source["average MOS"]
        self.assertEqual(average["samples"], 1)
        self.assertEqual(average["packet loss"], 10)
        self.assertEqual(average["jitter"], 10)
        self.assertGreater(average["round-trip time"], 0)
        self.assertLess(average["round-trip time"], 150_000, "µs: without the DLSR")
        self.assertIn(average["MOS"], range(30, 42), "10 % lost")
        self.assertLessEqual(abs(source["lowest MOS"]["reported at"] - time.time()), 3)
        self.assertEqual(stats["totals"]["RTCP"]["errors"], 0)
        deleted = call.delete()
        self.assertEqual(deleted["SSRC"][str(caller.ssrc)]["average MOS"], average)

    def test_quality_survives_reoffers_and_blocks(self):
        for mux in (False, True):
            with self.subTest(mux=mux):
                caller, callee = self.phones()
                call = Call(self.ng, caller, callee)
                call.offer(caller.sdp(mux=mux))
                call.answer(callee.sdp(mux=mux))
                self.assert_open(call)
                self.assert_both_ways(caller, callee)
                # The relay sends RTCP to a party only after that party's RTCP has latched.
                for sent, phone in enumerate(() if mux else (callee, caller, callee), 1):
                    phone.send_rtcp()
                    self.wait_for(lambda sent=sent: self.rtcp_packets(call) == sent, "RTCP")
                self.report(caller, callee, mux, lost=26)
                self.report(callee, caller, mux)
                self.report(caller, callee, mux, lost=26)
                before = self.quality(call, caller)
                self.assertEqual(before["samples"], 1)
                for direction, answered in (("sendrecv", "sendrecv"), ("sendonly", "recvonly"),
                                            ("sendrecv", "sendrecv")):
                    call.offer(caller.sdp(direction, mux=mux))
                    call.answer(callee.sdp(answered, mux=mux))
                    self.assertEqual(self.quality(call, caller), before, direction)
                for command in ("block media", "unblock media"):
                    self.command(command, call)
                    self.assertEqual(self.quality(call, caller), before, command)
                # rtcp-mux toggles, so RTCP moves to other ports.
                call.offer(caller.sdp(mux=not mux))
                call.answer(callee.sdp(mux=not mux))
                self.assertEqual(self.quality(call, caller), before, "mux")
                self.assertGreaterEqual(self.rtcp_packets(call), 0 if mux else 6,
                                        "packets on the former RTCP port")
                deleted = call.delete()
                self.assertEqual(deleted["SSRC"][str(caller.ssrc)]["average MOS"], before)

    def test_query_reports_endpoints_and_drops(self):
        call = self.started()
        stream = self.stream(call, call.to_tag)
        self.assertEqual(stream["advertised endpoint"]["port"], call.callee.port)
        self.assertEqual(stream["endpoint"]["address"], CALLEE)
        self.assertLessEqual(abs(stream["latched at"] - time.time()), 5)
        self.assertEqual(stream["sent to"]["address"], CALLER)
        media = call.query()["tags"][call.to_tag]["medias"][0]
        self.assertEqual(media["may be heard from"], [CALLEE])
        # A stranger at another address sends to the callee's port.
        stranger = self.phone(self.bed.attacker, "198.18.0.66")
        stranger.to = call.callee.to
        for _ in range(3):
            stranger.send()
        call.callee.send(b"\x80\x00")
        self.assert_open(call)
        stream = self.stream(call, call.to_tag)
        self.assertEqual(stream["drops"], {"wrong_source": 3, "rtp_malformed": 1})
        self.assertEqual(stream["last refused"],
                         {"family": "IPv4", "address": "198.18.0.66", "port": stranger.port})
        call.delete()

    def test_block_and_unblock_media(self):
        call = self.started()
        caller, callee = call.caller, call.callee
        self.command("block media", call, from_tag=call.from_tag)
        self.assert_silent(transfer(caller, callee, 5, patience=0.3)[1])
        self.assert_received(*transfer(callee, caller, 5))
        flags = call.query()["tags"][call.from_tag]["medias"][0]["flags"]
        self.assertIn("blocked", flags)
        self.assertEqual(self.stream(call, call.from_tag)["drops"]["media_blocked"], 5)
        self.command("block media", call)
        self.assert_silent(transfer(callee, caller, 5, patience=0.3)[1])
        self.command("unblock media", call)
        self.assert_received(*transfer(callee, caller, 5))
        self.command("unblock media", call, label="A")
        self.assert_received(*transfer(caller, callee, 5))
        call.delete()

    def test_silenced_media_arrives_as_silence(self):
        call = self.started()
        self.command("silence media", call, label="A")
        sent, got = transfer(call.caller, call.callee, 5)
        self.assertEqual(sorted(packet.data for packet in got),
                         sorted(data[:12] + b"\xff" * 160 for data in sent))
        self.command("unsilence media", call, label="A")
        self.assert_received(*transfer(call.caller, call.callee, 5))
        call.delete()

    def test_blocked_dtmf(self):
        call = self.started()
        caller, callee = call.caller, call.callee

        def digits():
            return [caller.packet(b"\x05\x0a\x00\xa0", 101) for _ in range(3)]

        self.assert_received(*transfer(caller, callee, datagrams=digits()))
        self.command("block DTMF", call, address=CALLER)
        self.assert_silent(transfer(caller, callee, datagrams=digits(), patience=0.3)[1])
        self.assert_received(*transfer(caller, callee, 5))
        self.command("unblock DTMF", call, address=CALLER)
        self.assert_received(*transfer(caller, callee, datagrams=digits()))
        self.assertEqual(self.stream(call, call.from_tag)["drops"]["dtmf_blocked"], 3)
        call.delete()

    def test_unsupported_commands_are_errors(self):
        call = self.started()
        for command in ("start recording", "play media", "subscribe request", "publish"):
            with self.assertRaisesRegex(Refused, f'^Command "{command}" is not supported: '):
                self.command(command, call, from_tag=call.from_tag)
        with self.assertRaisesRegex(Refused, "^Failed to match address to any tag$"):
            self.command("block media", call, address="198.18.0.99")
        call.delete()
