# SPDX-License-Identifier: BSD-3-Clause
"""Parallel forking: each phone that answers becomes a party; the last to answer has the media."""

from smoke.bed import ATTACKER, Call, RelayCase
from smoke.media_test import arrives, receiver_report
from smoke.ng import Refused
from smoke.phone import receive, transfer


class ForkTest(RelayCase):
    def packets(self, call):
        """{tag: RTP packets counted by the relay}."""
        return {tag: party["medias"][0]["streams"][0]["stats"]["packets"]
                for tag, party in call.query()["tags"].items()}

    def loss(self, call):
        """Loss of the caller's stream in percent, as reported by RTCP."""
        return call.query()["SSRC"][str(call.caller.ssrc)]["average MOS"]["packet loss"]

    def assert_counted(self, call, expected):
        self.assertEqual(self.packets(call), expected)
        stats = call.query()
        self.assertEqual(stats["totals"]["RTP"]["packets"], sum(expected.values()))
        return stats

    def test_last_branch_to_answer_has_the_media(self):
        before = self.ng.statistics()["ports"]["used"]
        caller, first = self.phones()
        second = self.phone(self.bed.attacker, ATTACKER)
        one = Call(self.ng, caller, first)
        # The same call, seen by the second phone.
        two = Call(self.ng, caller, second)
        two.call_id, two.from_tag = one.call_id, one.from_tag
        second.connect(one.offer(flags=["new-branch"]))
        first_answer = one.answer(flags=["new-branch"])
        self.assert_open(one)
        self.assert_both_ways(caller, first)
        counts = self.packets(one)
        self.assertGreaterEqual(counts[one.to_tag], 20)
        # The first phone reports 25 % loss of the caller's stream.
        for phone in (first, caller):
            phone.send_rtcp()
        receive(first.rtcp, 1, 1)
        report = first.send_rtcp(receiver_report(first, caller, 0, 0, lost=64))
        self.assertTrue(arrives(caller.rtcp, report))
        self.assertEqual(self.loss(one), 25)

        two.answer(flags=["new-branch"])
        self.assertEqual(caller.to[1], int(first_answer.split("m=audio ")[1].split()[0]))
        self.assert_open(two)
        self.assert_both_ways(caller, second)
        first.send()
        self.assert_silent(receive(caller.rtp, 0.1), "the first phone is still relayed")
        stats = one.query()
        self.assertEqual(self.loss(one), 25, "from before the fork moved the media")
        tags = stats["tags"]
        self.assertEqual(tags[one.to_tag]["subscriptions"], [])
        self.assertEqual(tags[two.to_tag]["subscriptions"],
                         [{"tag": one.from_tag, "type": "offer/answer"}])
        kept, now = (tags[tag]["medias"][0]["streams"][0] for tag in (one.to_tag, two.to_tag))
        self.assertEqual(kept["stats"]["packets"], counts[one.to_tag])
        self.assertEqual(kept["endpoint"]["address"], first.address)
        self.assertEqual(kept["local port"], now["local port"])
        self.assertEqual(now["endpoint"]["address"], second.address)
        self.assertEqual(now["stats"]["errors"], 1, "from the first phone")
        self.assertEqual(stats["SSRC"][str(first.ssrc)]["packets"], counts[one.to_tag])
        self.assertEqual(stats["SSRC"][str(second.ssrc)]["packets"], now["stats"]["packets"])
        self.assertEqual(stats["totals"]["RTP"]["packets"], sum(self.packets(one).values()))

        two.delete(to_tag=two.to_tag, flags=["to-tag"], delete_delay=0)
        self.assertEqual(set(self.packets(one)), {one.from_tag, one.to_tag})
        counts = self.packets(one)
        sent, got = transfer(first, caller, 10)
        self.assert_received(sent, got, source=caller.to)
        self.assert_received(*transfer(caller, first, 10), source=first.to)
        counts = {tag: count + 10 for tag, count in counts.items()}
        stats = self.assert_counted(one, counts)
        self.assertEqual(stats["SSRC"][str(first.ssrc)]["packets"], counts[one.to_tag])
        self.assertEqual(stats["SSRC"][str(first.ssrc)]["last RTP seq"] % 65536, first.sequence)

        final = one.delete(delete_delay=0)
        self.assertEqual(final["totals"]["RTP"]["packets"], sum(counts.values()))
        with self.assertRaises(Refused):
            one.query()
        self.assertEqual(self.ng.statistics()["ports"]["used"], before)
