# SPDX-License-Identifier: BSD-3-Clause
"""The steps of the tests in MediaProxy's repository (test/*.py), with media compared byte by byte.

Their names are in the names of these tests. docs/protocols.md lists the differences.
"""

import random
import struct
import time

from smoke.bed import CALLEE, CALLER, RelayCase
from smoke.mediaproxy import Dispatcher
from smoke.phone import open_path, receive, transfer
from smoke.relay import SLOWNESS

MEDIA, SILENT = 2 * SLOWNESS, 5 * SLOWNESS  # seconds
TYPES = {"audio": 0, "video": 96}


class Party:
    """One end of a call with a phone per stream; None stands for port 0."""

    def __init__(self, case, space, address, tag):
        self.case, self.space, self.address, self.tag = case, space, address, tag
        self.types, self.phones, self.cseq = [], [], 1

    def set_media(self, *types):
        """New streams, each on a port of its own; "-" before the type: port 0."""
        self.types = [name.lstrip("-") for name in types]
        self.phones = [None if name.startswith("-") else self.new_phone() for name in types]

    def new_phone(self):
        return self.case.phone(self.space, self.address)

    def move(self, at=0):
        self.phones[at] = self.new_phone()

    def send_to(self, address, ports):
        for phone, port in zip(self.phones, ports, strict=True):
            if phone and port:
                phone.to, phone.rtcp_to = (address, port), (address, port + 1)

    def media(self, direction="sendrecv", address=None, ice=None):
        return ",".join(f"{name}:{address or self.address}:{phone.port if phone else 0}:{direction}"
                        + (f":ice={ice}" if ice else "")
                        for name, phone in zip(self.types, self.phones, strict=True))


class MediaproxyStepsTest(RelayCase):
    settings = {"timeouts": {"offer": MEDIA, "media": MEDIA, "silent": SILENT, "quarantine": 0}}

    def setUp(self):
        super().setUp()
        self.proxy = Dispatcher(self.relay.mediaproxy_socket)
        self.addCleanup(self.proxy.stream.close)
        self.opened = False
        self.call_id = f"{self._testMethodName}-{random.getrandbits(32)}"
        self.caller = Party(self, self.bed.caller, CALLER, "caller-tag")
        self.callee = Party(self, self.bed.callee, CALLEE, "callee-tag")

    def update(self, party, kind="request", final=False, **media):
        """`party`'s SDP in a request or reply; returns where the other party sends to from now."""
        other = self.callee if party is self.caller else self.caller
        first, second = (party, other) if kind == "request" else (other, party)
        where = self.proxy.update(
            dialog_id="12345:67890", call_id=self.call_id, cseq=first.cseq, from_tag=first.tag,
            to_tag=second.tag, from_uri="a@example.com", to_uri="b@example.com", user_agent="UA",
            type=kind, media=party.media(**media))
        other.send_to(*where)
        if final:
            first.cseq += 1
        return where

    def exchange(self, first=None, second=None, final=True, **media):
        """An offer of `first` and the answer of `second`."""
        first, second = first or self.caller, second or self.callee
        return (self.update(first, **media), self.update(second, "reply", final, **media))

    def set_media(self, *types):
        self.caller.set_media(*types)
        self.callee.set_media(*types)

    def pairs(self):
        return [(a, b, TYPES[name]) for a, b, name in
                zip(self.caller.phones, self.callee.phones, self.caller.types) if a and b]

    def assert_media(self):
        """Random payloads pass both ways in each stream, from the port that its receiver sends to.

        RTCP too. Only the first packets of a test may find the next hop unresolved.
        """
        for one, other, payload_type in self.pairs():
            for sender, receiver in ((one, other), (other, one)):
                if not self.opened:
                    self.assertTrue(open_path(sender, receiver, 3.0 * SLOWNESS))
            self.opened = True
            for sender, receiver in ((one, other), (other, one)):
                packets = [sender.packet(random.randbytes(512), payload_type) for _ in range(20)]
                self.assert_received(*transfer(sender, receiver, datagrams=packets),
                                     source=receiver.to)
                report = sender.send_rtcp()
                self.assert_received([report], receive(receiver.rtcp, 2.0, 1),
                                     source=receiver.rtcp_to)

    def session(self):
        """None: no such call."""
        found = [each for each in self.proxy.sessions() if each["call_id"] == self.call_id]
        return found[0] if found else None

    def statuses(self):
        return [stream["status"] for stream in self.session()["streams"]]

    def remove(self, by):
        other = self.callee if by is self.caller else self.caller
        reply = self.proxy.command("remove", call_id=self.call_id, from_tag=by.tag,
                                   to_tag=other.tag)
        self.assertEqual((reply, self.session()), ("removed", None))

    def assert_expires(self, seconds):
        self.wait_for(lambda: self.session() is None, "the session expires",
                      seconds + 3 * SLOWNESS)

    def test_setup1_unanswered_invite_expires(self):
        self.set_media("audio")
        self.update(self.caller)
        self.assertEqual(self.session()["streams"], [])
        self.assert_expires(MEDIA)

    def test_setup2_call(self):
        self.set_media("audio")
        self.exchange()
        self.assert_media()
        self.remove(self.callee)

    def test_setup3_call_without_bye_expires(self):
        self.set_media("audio")
        self.exchange()
        self.assert_media()
        self.assertEqual(self.statuses(), ["active"])
        self.assert_expires(MEDIA)

    def test_setup3_call_with_one_silent_party_stays(self):
        self.set_media("audio")
        self.exchange()
        self.assert_media()
        caller, callee = self.caller.phones[0], self.callee.phones[0]
        for _ in range(10 * (MEDIA + 2)):
            self.assert_received([caller.send()], receive(callee.rtp, 1.0, 1))
            time.sleep(0.1)
        self.assertEqual(self.statuses(), ["active"])
        self.remove(self.caller)

    def test_setup4_sdp_in_ack_repeats_the_offer(self):
        self.set_media("audio")
        offered, _ = self.exchange(final=False)
        self.assert_media()
        self.assertEqual(self.update(self.caller, final=True), offered)
        self.assert_media()
        self.remove(self.callee)

    def test_setup5_late_offer(self):
        self.set_media("audio")
        self.update(self.callee, "reply")
        self.update(self.caller, final=True)
        self.assert_media()
        self.remove(self.callee)

    def test_setup6_two_of_three_streams_rejected(self):
        self.caller.set_media("audio", "video", "audio")
        self.callee.set_media("-audio", "-video", "audio")
        (_, offered), (_, answered) = self.exchange()
        self.assertNotIn(0, offered)
        self.assertEqual((answered[:2], answered[2] > 0), ([0, 0], True))
        self.assert_media()
        self.assertEqual(self.statuses(), ["rejected", "rejected", "active"])
        self.remove(self.callee)

    def test_setup7_offer_with_port_zero(self):
        self.caller.set_media("-audio")
        self.callee.set_media("audio")
        for _, ports in self.exchange():
            self.assertEqual(ports, [0])
        self.remove(self.callee)

    def hold(self, caller, callee):
        """Media, a hold that outlives the media timeout, media again on the same ports."""
        self.set_media("audio")
        before = self.exchange()
        self.assert_media()
        self.update(self.caller, **caller)
        self.update(self.callee, "reply", final=True, **callee)
        self.assertEqual(self.statuses(), ["on hold"])
        silent = receive(self.caller.phones[0].rtp, MEDIA + 1.5)
        self.assert_silent(silent)
        self.assertEqual(self.statuses(), ["on hold"])
        self.assertEqual(self.exchange(), before)
        self.assertEqual(self.statuses(), ["active"])
        self.assert_media()
        self.remove(self.caller)

    def test_hold1_by_direction(self):
        self.hold({"direction": "sendonly"}, {"direction": "recvonly"})

    def test_hold2_by_address(self):
        self.hold({"address": "0.0.0.0"}, {"address": "0.0.0.0"})

    def test_hold3_expires(self):
        self.set_media("audio")
        self.exchange()
        self.assert_media()
        self.update(self.caller, direction="sendonly")
        self.update(self.callee, "reply", final=True, direction="recvonly")
        self.assert_silent(receive(self.caller.phones[0].rtp, MEDIA + 0.5))
        self.assertEqual(self.statuses(), ["on hold"])
        self.assert_expires(SILENT)

    def test_update1_answer_moves_the_early_media(self):
        self.set_media("audio")
        _, early = self.exchange(final=False)
        self.assert_media()
        to = self.callee.phones[0].to
        self.callee.move()
        self.callee.send_to(to[0], [to[1]])
        self.assertEqual(self.update(self.callee, "reply", final=True), early)
        self.assert_media()
        self.remove(self.caller)

    def test_update2_callee_removes_video(self):
        self.set_media("audio", "video")
        self.exchange()
        self.assert_media()
        for party in (self.caller, self.callee):
            party.types, party.phones = party.types[:1], party.phones[:1]
        self.exchange(self.callee, self.caller)
        self.assert_media()
        self.assertEqual(self.statuses(), ["active", "closed"])
        self.remove(self.caller)

    def test_update3_streams_come_and_go(self):
        self.set_media("video")
        self.exchange()
        self.assert_media()
        for party in (self.caller, self.callee):
            party.types += ["audio", "audio"]
            party.phones += [party.new_phone(), party.new_phone()]
        self.exchange()
        self.assert_media()
        for party in (self.caller, self.callee):
            party.types, party.phones = party.types[2:], party.phones[2:]
        self.exchange()  # the second audio stream takes the place of the video stream
        self.assert_media()
        self.assertEqual(self.statuses(), ["active", "closed", "closed"])
        self.remove(self.caller)

    def test_update4_callee_changes_its_port(self):
        self.set_media("audio")
        _, answered = self.exchange()
        self.assert_media()
        self.callee.move()
        offered, _ = self.exchange(self.callee, self.caller)
        self.assertEqual(offered, answered)
        self.assert_media()
        self.remove(self.caller)

    def test_update5_fork(self):
        """Early media of one gateway, then of another with a new tag, which answers elsewhere."""
        self.set_media("audio")
        where, _ = self.exchange(final=False)
        self.assert_media()
        for final in (False, True):
            self.callee.tag = "newtotag"
            self.callee.move()
            self.callee.send_to(*where)
            self.update(self.callee, "reply", final)
            self.assert_media()
        self.assertEqual(self.session()["to_tag"], "newtotag")
        self.remove(self.caller)

    def test_update6_video_goes_and_returns(self):
        self.set_media("audio", "video")
        before = self.exchange()
        self.assert_media()
        videos = [party.phones[1] for party in (self.caller, self.callee)]
        self.caller.phones[1] = self.callee.phones[1] = None
        for _, ports in self.exchange(self.callee, self.caller):
            self.assertEqual(ports[1], 0)
        self.assert_media()
        self.assertEqual(self.statuses(), ["active", "closed"])
        self.caller.phones[1], self.callee.phones[1] = videos
        after = self.exchange(self.callee, self.caller)
        self.assertEqual([ports[0] for _, ports in after], [ports[0] for _, ports in before[::-1]])
        self.assert_media()
        self.assertEqual(self.statuses(), ["active", "active"])
        self.remove(self.caller)

    def probe(self):
        """STUN binding requests pass both ways."""
        [(one, other, _)] = self.pairs()
        for sender, receiver in ((one, other), (other, one)):
            probes = [struct.pack("!HHI12s", 1, 0, 0x2112A442, random.randbytes(12))
                      for _ in range(5)]
            self.assertTrue(open_path(sender, receiver, 3.0 * SLOWNESS, probes[0]))
            self.assert_received(*transfer(sender, receiver, datagrams=probes))

    def test_ice1_relay_is_not_selected(self):
        self.set_media("audio")
        self.exchange(ice="yes")
        self.probe()
        self.assert_expires(MEDIA)
        self.assertRegex(self.relay.text(), rf"ice-direct-path call-id={self.call_id}")
        self.remove(self.callee)

    def test_ice2_relay_is_selected(self):
        self.set_media("audio")
        self.exchange(ice="yes")
        self.probe()
        self.exchange(self.callee, self.caller, ice="yes")
        self.assert_media()
        self.remove(self.caller)

    def test_multi_calls_at_once(self):
        """Four calls; the RTP port of one party is odd."""
        calls = []
        for number in range(4):
            self.call_id = f"multi-{number}"
            self.caller = Party(self, self.bed.caller, CALLER, "caller-tag")
            self.callee = Party(self, self.bed.callee, CALLEE, "callee-tag")
            self.set_media("audio")
            if number == 1:
                odd = self.caller.phones[0]
                odd.rtp, odd.rtcp, odd.port = odd.rtcp, odd.rtp, odd.port + 1
            self.exchange()
            calls.append((self.call_id, self.caller, self.callee))
        for self.call_id, self.caller, self.callee in calls:
            if self.caller.phones[0].port % 2 == 0:
                self.assert_media()
            else:
                [(one, other, _)] = self.pairs()
                self.assertTrue(open_path(one, other, 3.0 * SLOWNESS))
                self.assert_both_ways(one, other)
        for self.call_id, self.caller, self.callee in calls:
            self.remove(self.callee)

    def test_other_types_relay_any_datagram(self):
        """MediaProxy's tests send 512 random bytes; audio and video need RTP here."""
        self.caller.types = self.callee.types = ["message"]
        self.caller.phones, self.callee.phones = ([self.caller.new_phone()],
                                                  [self.callee.new_phone()])
        self.exchange()
        one, other = self.caller.phones[0], self.callee.phones[0]
        for sender, receiver in ((one, other), (other, one)):
            data = [random.randbytes(512) for _ in range(20)]
            self.assertTrue(open_path(sender, receiver, 3.0 * SLOWNESS, data[0]))
            self.assert_received(*transfer(sender, receiver, datagrams=data), source=receiver.to)
        self.remove(self.caller)
