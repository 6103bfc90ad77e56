# SPDX-License-Identifier: BSD-3-Clause
"""Kamailio's mediaproxy module with the shipped example configuration."""

import json
import signal
import time

from smoke.mediaproxy import Dispatcher
from smoke.phone import endpoints, transfer
from smoke.proxy import ROOT
from smoke.relay import ADDRESS, SECOND_ADDRESS, SLOWNESS
from smoke.sip import Dialog, SipCase

CONFIG = ROOT / "configs" / "kamailio-mediaproxy.cfg"


class MediaproxyTest(SipCase):
    def setUp(self):
        super().setUp()
        self.relay = self.new_relay().start()
        self.start_proxy(CONFIG, f'MR_MEDIAPROXY="{self.relay.mediaproxy_socket}"')

    def ask(self, line):
        """Sends a management command; returns the reply."""
        client = Dispatcher(self.relay.mediaproxy_socket)
        self.addCleanup(client.stream.close)
        return json.loads(client.ask(line))

    def stream(self):
        """The one stream of the one session."""
        [session] = self.ask("sessions")
        [stream] = session["streams"]
        return stream

    def test_whole_call(self):
        self.whole_call()
        self.relay.check_stop()

    def test_sessions_report_the_state_of_a_call(self):
        dialog = Dialog(self.alice, self.bob)
        offered, answered = dialog.set_up()
        for sdp in (offered, answered):
            self.assertIn(endpoints(sdp)[0][0], (ADDRESS, SECOND_ADDRESS))
        self.assert_talking()
        [session] = self.ask("sessions")
        self.assertEqual((session["call_id"], session["from_tag"], session["to_tag"]),
                         (dialog.call_id, *dialog.tags.values()))
        self.assertEqual(session["streams"][0]["status"], "active")
        self.assertGreaterEqual(session["streams"][0]["caller_packets"], 20)
        self.assertGreaterEqual(session["streams"][0]["callee_packets"], 20)

        held = dialog.set_up(offer=self.alice.phone.sdp("sendonly"),
                             answer=self.bob.phone.sdp("recvonly"))
        self.assertEqual([endpoints(sdp) for sdp in held],
                         [endpoints(sdp) for sdp in (offered, answered)])
        self.assertEqual(self.stream()["status"], "on hold")
        self.assert_received(*transfer(self.alice.phone, self.bob.phone))  # music on hold

        resumed = dialog.set_up(self.bob)  # the callee resumes the call
        self.assertEqual([endpoints(sdp) for sdp in resumed],
                         [endpoints(sdp) for sdp in (answered, offered)])
        self.assertEqual(self.stream()["status"], "active")
        self.assert_talking()

        dialog.bye()
        [summary] = self.ask("summary")
        self.assertEqual((summary["session_count"], summary["stream_count"]), (0, {}))
        self.relay.check_stop()

    def test_drain_ends_with_the_last_call(self):
        dialog = Dialog(self.alice, self.bob)
        dialog.set_up()
        self.relay.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 5 * SLOWNESS
        while self.ask("summary")[0]["status"] != "halting":
            self.assertLess(time.monotonic(), deadline)
        self.assertIn("503", Dialog(self.alice, self.bob).refused())
        self.assert_talking()
        self.assertIsNone(self.relay.process.poll())
        dialog.bye()
        self.assertEqual(self.relay.process.wait(5 * SLOWNESS), 0)

    def test_without_the_relay_calls_are_refused(self):
        self.relay.check_stop()
        self.assertIn("503", Dialog(self.alice, self.bob).refused())
