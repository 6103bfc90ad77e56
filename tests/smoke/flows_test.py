# SPDX-License-Identifier: BSD-3-Clause
"""SIP call flows through Kamailio's modules rtpengine, rtpproxy and mediaproxy."""

import re

from smoke.flows import FlowCase
from smoke.phone import open_path, receive, transfer
from smoke.sip import Agent, Dialog, body

VIDEO = "m=video {} RTP/AVP 96\r\n"
T38 = "image {} udptl t38"


class Flows:
    """Every flow, for a FlowCase with a module."""

    def test_refused_reinvite(self):
        """RFC 3261 section 14.1: the call goes on as if there had been no re-INVITE."""
        dialog = self.talking()
        alice, bob = self.alice.phone, self.bob.phone
        refused = {
            "same": alice.sdp(),
            "moved port": alice.sdp(media="audio 4100 RTP/AVP 0"),
            "moved address": alice.sdp(address="198.18.0.77"),
            "0.0.0.0": alice.sdp(address="0.0.0.0"),
            "inactive": alice.sdp("inactive"),
            "T.38": alice.sdp(media=T38.format(4200)),
            "T.38 on the same port": alice.sdp(media=T38.format(alice.port)),
            "video": alice.sdp() + VIDEO.format(alice.port + 2),
        }
        used = self.ports()
        for what, sdp in refused.items():
            with self.subTest(what):
                self.refuse(dialog, self.alice, sdp)
                self.assert_both_ways(alice, bob)
                self.assert_media(alice, bob)
        with self.subTest("by the callee"):
            self.refuse(dialog, self.bob, bob.sdp(media="audio 5100 RTP/AVP 0"))
            self.assert_both_ways(alice, bob)
        for agent in (self.alice, self.bob):  # after the refused video, one m= line of each party
            with self.subTest(f"refresh by {agent.name}"):
                self.refuse(dialog, self.alice, refused["video"])
                dialog.set_up(agent)
                self.assert_both_ways(alice, bob)
                self.assert_media(alice, bob)
        self.assertEqual(self.ports(), used)
        self.end(dialog)

    def test_moved_address_accepted(self):
        dialog = self.talking()
        self.move(self.alice)
        dialog.set_up()
        self.assert_media(self.alice.phone, self.bob.phone)
        self.end(dialog)

    def test_fork_with_two_answers(self):
        """A BYE of one branch has its tags and leaves the other branch in place."""
        for agent in (self.bob, self.carol):
            agent.address = "sip:group@127.0.0.1"
            self.assertTrue(agent.register())
        one, two = Dialog(self.alice, self.bob), Dialog(self.alice, self.carol)
        two.call_id, two.tags[self.alice] = one.call_id, one.tags[self.alice]
        one.request(self.alice, "INVITE", self.alice.phone.sdp())
        invites = [agent.receive("INVITE") for agent in (self.bob, self.carol)]
        two.cseq[self.alice] = one.cseq[self.alice]
        for dialog, invite in zip((one, two), invites):
            dialog.callee.reply(invite, "180 Ringing", dialog.tags[dialog.callee])
            self.alice.receive("SIP/2.0 180")
        self.answer(one, invites[0])
        self.assert_media(self.alice.phone, self.bob.phone)
        if self.module == "rtpengine":
            self.carol.headers = ["X-Flags: new-branch"]
        self.carol.reply(invites[1], "200 OK", two.tags[self.carol], self.carol.phone.sdp())
        answered = self.alice.receive("SIP/2.0 200")
        self.carol.reply(self.carol.receive("CANCEL"), "200 OK")  # crossed by its 200
        two.established(self.alice, invites[1], answered)
        two.request(self.alice, "ACK")
        self.carol.receive("ACK")
        self.assert_media(self.alice.phone, self.carol.phone)
        if self.module != "rtpengine":
            # The command of the second 200 does not tell that it is of another phone.
            return self.end(one)
        self.alice.headers = ["X-Flags: to-tag"]  # without it the module sends the from-tag alone
        one.bye()
        self.assertEqual(self.calls(), [one.call_id])
        self.assert_both_ways(self.alice.phone, self.carol.phone)
        return self.end(two)

    def test_late_200_after_bye(self):
        """A retransmitted 200 makes no call again."""
        dialog = Dialog(self.alice, self.bob)
        invite, _ = self.ring(dialog)
        self.answer(dialog, invite)
        self.assert_media(self.alice.phone, self.bob.phone)
        self.end(dialog)
        self.bob.reply(invite, "200 OK", dialog.tags[self.bob], self.bob.phone.sdp())
        self.alice.receive("SIP/2.0 200")
        self.assertEqual(self.calls(), [])
        self.assertEqual(self.ports(), 0)

    def delayed_offer(self, dialog, agent):
        """INVITE without SDP, the offer in its 200, the answer in the ACK."""
        other, first = dialog.other(agent), not dialog.targets
        dialog.request(agent, "INVITE")
        invite = other.receive("INVITE")
        self.assertEqual(body(invite), "")
        other.reply(invite, "200 OK", dialog.tags[other], other.phone.sdp())
        offered = agent.receive("SIP/2.0 200")
        if first:
            dialog.established(agent, "Contact: <" + self.alice.contact.split("<")[1] + "\r\n" +
                               invite + agent.phone.sdp(), offered)
        dialog.request(agent, "ACK", agent.phone.sdp())
        answered = body(other.receive("ACK"))
        agent.phone.connect(body(offered))
        other.phone.connect(answered)

    def test_delayed_offer(self):
        dialog = Dialog(self.alice, self.bob)
        self.delayed_offer(dialog, self.alice)
        self.assert_media(self.alice.phone, self.bob.phone)
        self.end(dialog, self.bob)

    def test_answer_in_ack_of_reinvite(self):
        dialog = self.talking()
        for agent in (self.alice, self.bob):
            self.move(dialog.other(agent))
            self.delayed_offer(dialog, agent)
            self.assert_media(self.alice.phone, self.bob.phone)
        self.end(dialog)

    def test_hold_and_resume(self):
        dialog = self.talking()
        alice, bob = self.alice.phone, self.bob.phone
        for agent, offer, answer in ((self.alice, "sendonly", "recvonly"),
                                     (self.bob, "recvonly", "sendonly"),
                                     (self.alice, "inactive", "inactive")):
            other = dialog.other(agent)
            offered, answered = dialog.set_up(agent, agent.phone.sdp(offer),
                                              other.phone.sdp(answer))
            self.assertIn(f"a={offer}\r", offered)
            self.assertIn(f"a={answer}\r", answered)
            if offer != "inactive":
                self.assert_received(*transfer(alice, bob))  # music on hold
            self.assertEqual(self.calls(), [dialog.call_id])
            dialog.set_up(other)
            self.assert_media(alice, bob)
        self.end(dialog)

    def test_asymmetric_phone(self):
        """Phones that send from another port than they receive on."""
        if not self.asymmetric:
            self.skipTest("the module has no flag for it")
        senders = []
        for agent in (self.alice, self.bob):
            agent.headers = [f"X-Flags: {self.asymmetric}"]
            sender = self.phone(agent.phone.space, agent.host)
            senders.append(sender)
        dialog = Dialog(self.alice, self.bob)
        dialog.set_up()
        for sender, agent in zip(senders, (self.alice, self.bob)):
            sender.to = agent.phone.to
        for sender, agent in zip(senders, (self.bob, self.alice)):
            self.assertTrue(open_path(sender, agent.phone), "nothing passes")
        for sender, agent in zip(senders, (self.bob, self.alice)):
            self.assert_received(*transfer(sender, agent.phone), source=agent.phone.to)
        self.end(dialog)

    def test_hairpin(self):
        """Carol is a B2BUA that passes SDPs on unchanged: the relay joins both calls inside."""
        one, two = Dialog(self.alice, self.carol), Dialog(self.carol, self.bob)
        one.request(self.alice, "INVITE", self.alice.phone.sdp())
        invite = self.carol.receive("INVITE")
        two.request(self.carol, "INVITE", body(invite))
        onward = self.bob.receive("INVITE")
        self.bob.reply(onward, "200 OK", two.tags[self.bob], self.bob.phone.sdp())
        answered = self.carol.receive("SIP/2.0 200")
        two.established(self.carol, onward, answered)
        two.request(self.carol, "ACK")
        self.bob.receive("ACK")
        self.answer(one, invite, body(answered))
        self.assertEqual(len(self.calls()), 2)
        self.assert_media(self.alice.phone, self.bob.phone)
        one.bye()
        self.end(two)

    def test_spiral(self):
        """A subscriber whose contact is another one of the same proxy: INVITEs pass twice."""
        forward = Agent(self.bed.relay, "bob", "127.0.0.1", 5099, None)
        self.addCleanup(forward.close)
        forward.address, forward.contact = "sip:forward@127.0.0.1", "Contact: <sip:bob@127.0.0.1>"
        self.assertTrue(forward.register())
        self.bob.address = "sip:forward@127.0.0.1"
        dialog = Dialog(self.alice, self.bob)
        dialog.set_up()
        self.assertEqual(self.calls(), [dialog.call_id])
        self.assert_media(self.alice.phone, self.bob.phone)
        self.move(self.alice)
        dialog.set_up()
        self.assert_media(self.alice.phone, self.bob.phone)
        self.end(dialog)

    def test_early_media(self):
        """Media before the 183 is dropped; from the 183 on it passes, without the 200."""
        dialog = Dialog(self.alice, self.bob)
        dialog.request(self.alice, "INVITE", self.alice.phone.sdp())
        invite = self.bob.receive("INVITE")
        self.bob.phone.connect(body(invite))
        for _ in range(5):
            self.bob.phone.send()
        self.assert_silent(receive(self.alice.phone.rtp, 0.1), "before the 183")
        self.bob.reply(invite, "183 Session Progress", dialog.tags[self.bob], self.bob.phone.sdp())
        self.alice.phone.connect(body(self.alice.receive("SIP/2.0 183")))
        self.assert_received(*transfer(self.bob.phone, self.alice.phone))
        self.answer(dialog, invite)
        self.assert_media(self.alice.phone, self.bob.phone)
        self.end(dialog)

    def test_video_refused_in_the_answer(self):
        alice, bob = self.alice.phone, self.bob.phone
        dialog = Dialog(self.alice, self.bob)
        _, answered = dialog.set_up(offer=alice.sdp() + VIDEO.format(alice.port + 2),
                                    answer=bob.sdp() + VIDEO.format(0))
        self.assertEqual(re.findall(r"^m=video (\d+)", answered, re.M), ["0"])
        self.assert_media(alice, bob)
        used = self.ports()
        # The refused line stays in later offers (RFC 3264 section 8.2).
        dialog.set_up(self.bob, offer=bob.sdp() + VIDEO.format(0),
                      answer=alice.sdp() + VIDEO.format(0))
        self.assert_media(alice, bob)
        self.assertEqual(self.ports(), used)
        self.end(dialog)

    def test_reinvite_with_the_sdp_of_another_party(self):
        """An attended transfer by a B2BUA: alice's signalling, carol's media."""
        dialog = self.talking()
        dialog.set_up(offer=self.carol.phone.sdp())
        moved, self.carol.phone.to = self.carol.phone, self.alice.phone.to
        moved.rtcp_to = self.alice.phone.rtcp_to
        self.assert_media(moved, self.bob.phone)
        dialog.set_up()  # and back
        self.assert_media(self.alice.phone, self.bob.phone)
        self.end(dialog)

    def test_update(self):
        dialog = self.talking()
        for agent in (self.alice, self.bob):
            other = dialog.other(agent)
            self.move(agent)
            dialog.request(agent, "UPDATE", agent.phone.sdp())
            other.reply(other.receive("UPDATE"), "200 OK", dialog.tags[other], other.phone.sdp())
            agent.receive("SIP/2.0 200")
            self.assert_media(self.alice.phone, self.bob.phone)
            dialog.request(agent, "UPDATE", agent.phone.sdp(media="audio 4300 RTP/AVP 0"))
            other.reply(other.receive("UPDATE"), "491 Request Pending", dialog.tags[other])
            agent.receive("SIP/2.0 491")
            self.assert_both_ways(self.alice.phone, self.bob.phone)
        self.end(dialog)

    def test_cancel(self):
        dialog = Dialog(self.alice, self.bob)
        invite, _ = self.ring(dialog, "183 Session Progress")
        self.assertEqual(self.calls(), [dialog.call_id])
        head = self.alice.last.decode().partition("\r\n\r\n")[0].replace("INVITE", "CANCEL")
        lines = [line for line in head.split("\r\n") if not line.startswith("Content-")]
        self.alice.socket.sendto("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(),
                                 ("127.0.0.1", 5060))
        self.alice.receive("SIP/2.0 200")
        self.bob.reply(self.bob.receive("CANCEL"), "200 OK", dialog.tags[self.bob])
        self.bob.reply(invite, "487 Request Terminated", dialog.tags[self.bob])
        self.bob.receive("ACK")
        self.alice.receive("SIP/2.0 487")
        self.alice.acknowledge()
        self.assertEqual(self.calls(), [])
        self.assertEqual(self.ports(), 0)

    def test_serial_failover(self):
        """Bob had early media and fails; the proxy tries carol, who answers."""
        dialog, next_one = Dialog(self.alice, self.bob), Dialog(self.alice, self.carol)
        invite, early = self.ring(dialog, "183 Session Progress")
        self.alice.phone.connect(body(early))
        self.assert_received(*transfer(self.bob.phone, self.alice.phone))
        self.bob.reply(invite, "503 Service Unavailable", dialog.tags[self.bob])
        self.bob.receive("ACK")
        next_one.call_id, next_one.tags[self.alice] = dialog.call_id, dialog.tags[self.alice]
        next_one.cseq[self.alice] = dialog.cseq[self.alice]
        self.answer(next_one, self.carol.receive("INVITE"))
        self.assert_media(self.alice.phone, self.carol.phone)
        self.bob.phone.send()
        self.assert_silent(receive(self.alice.phone.rtp, 0.1), "of the failed phone")
        self.end(next_one)


for name, flag in (("rtpengine", "asymmetric"), ("rtpproxy", "a"), ("mediaproxy", None)):
    title = f"{name.capitalize()}FlowsTest"
    globals()[title] = type(title, (Flows, FlowCase), {
        "module": name, "asymmetric": flag, "__module__": __name__})
