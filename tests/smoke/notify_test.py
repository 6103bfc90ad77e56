# SPDX-License-Identifier: BSD-3-Clause
"""Call notifications, and real Kamailio that acts on them."""

import json
import pathlib
import select
import shutil
import signal
import socket
import tempfile
import time
import unittest

from smoke.bed import CALLEE, CALLER, Case
from smoke.ng import connected
from smoke.phone import Traffic
from smoke.proxy import MISSING, Children, Kamailio, Sipp
from smoke.relay import GATEWAY, SLOWNESS


class Events:
    """A reader of the relay's event stream."""

    def __init__(self, path):
        self.socket = connected(path)
        self.text = b""

    def until(self, event, seconds):
        """Reads events up to the first of this kind; returns them."""
        deadline = time.monotonic() + seconds
        while True:
            *lines, _ = self.text.split(b"\n")
            seen = [json.loads(line) for line in lines]
            for index, line in enumerate(seen):
                if line["event"] == event:
                    return seen[:index + 1]
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {event} within {seconds} s, but {seen}")
            self.socket.settimeout(left)
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                continue
            if not piece:
                raise AssertionError(f"the stream ended before {event}: {seen}")
            self.text += piece


class EventsTest(Case):
    """The event stream, without a proxy."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-events-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.relay = self.new_relay({
            "notify": {"type": "events", "path": str(self.folder / "events.sock")},
            "timeouts": {"media": 2}}).start()
        self.events = Events(self.folder / "events.sock")
        self.addCleanup(self.events.socket.close)

    def test_events_of_a_call_from_start_to_end(self):
        call = self.call(self.relay.ng)
        with Traffic(call) as traffic:
            seen = self.events.until("latched", 3 * SLOWNESS)
            self.wait_for(lambda: traffic.passes(51), "media both ways")
        self.assertEqual([line["event"] for line in seen], ["start", "answer", "latched"])
        self.assertEqual(seen[2]["source"].split(":")[0], {
            call.from_tag: CALLER, call.to_tag: CALLEE}[seen[2]["tag"]])
        call.delete()
        end = self.events.until("end", 3 * SLOWNESS)[-1]
        self.assertEqual((end["call-id"], end["reason"]), (call.call_id, "deleted"))
        for party in end["parties"]:
            rtp = party["medias"][0]["streams"][0]
            self.assertGreater(rtp["packets"], 50)
            self.assertEqual(rtp["lost"], 0)
        self.relay.check_stop()

    def test_events_of_media_timeout_and_forced_end(self):
        silent = self.call(self.relay.ng)
        seen = self.events.until("end", 8 * SLOWNESS)
        self.assertEqual([line["event"] for line in seen[-2:]], ["timeout", "end"])
        self.assertEqual((seen[-1]["call-id"], seen[-1]["reason"]),
                         (silent.call_id, "media-timeout"))
        self.events.text = b""
        last = self.call(self.relay.ng)
        self.relay.check_stop()
        end = self.events.until("end", 3 * SLOWNESS)[-1]
        self.assertEqual((end["call-id"], end["reason"]), (last.call_id, "forced"))


class FakeProxy:
    """A proxy's JSON-RPC socket, which answers requests while `run` is active."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.calls = []

    def run(self, process):
        """Answers requests until the relay has exited."""
        while process.poll() is None:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            data, sender = self.socket.recvfrom(65536)
            request = json.loads(data)
            self.calls.append(request["params"][0])
            self.socket.sendto(json.dumps({"jsonrpc": "2.0", "id": request["id"],
                                           "result": {}}).encode(), sender)


class MassEndTest(Case):
    """Many calls end at once."""

    calls = 5000  # more than the relay ends per tick

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-stop-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.rpc = self.folder / "rpc.sock"

    def start(self, calls, notify, media=60):
        relay = self.new_relay({
            "interface": {"ports": [10000, 60000]},
            "notify": {"type": "kamailio", "path": str(self.rpc),
                       "reply_path": str(self.folder / "replies.sock")},
            "timeouts": {"notify": notify, "media": media}}).start()
        sdp = ("v=0\r\no=- 1 1 IN IP4 {0}\r\ns=x\r\nc=IN IP4 {0}\r\nt=0 0\r\n"
               "m=audio 4000 RTP/AVP 0\r\n")
        for number in range(calls):
            keys = {"call_id": f"call-{number}", "from_tag": "a"}
            relay.ng.command("offer", sdp=sdp.format(CALLER), **keys)
            relay.ng.command("answer", sdp=sdp.format(CALLEE), to_tag="b", **keys)
        return relay

    def test_proxy_is_notified_of_every_call(self):
        proxy = FakeProxy(self.rpc)
        self.addCleanup(proxy.socket.close)
        relay = self.start(self.calls, 30)
        relay.process.send_signal(signal.SIGTERM)
        proxy.run(relay.process)
        self.assertEqual(relay.process.wait(), 0)
        self.assertEqual(len(set(proxy.calls)), self.calls)
        self.assertNotIn("notifications-lost", relay.log.read_text())

    def test_mass_timeout_is_logged(self):
        relay = self.start(60, 1, media=2)
        self.wait_for(lambda: not relay.ng.statistics()["currentstatistics"]["sessionsown"],
                      "the end of all calls", 20 * SLOWNESS)
        self.assertRegex(relay.log.read_text(), r"mass-timeout .*calls=\d+")
        relay.check_stop()

    def test_dead_proxy_delays_the_stop_by_the_notify_timeout(self):
        relay = self.start(3, 1)
        begin = time.monotonic()
        self.assertEqual(relay.stop(20), 0)
        self.assertGreater(time.monotonic() - begin, 1)
        self.assertRegex(relay.text(), "notifications-lost .*calls=3")

    def test_second_signal_stops_at_once(self):
        relay = self.start(3, 30)
        relay.process.send_signal(signal.SIGTERM)
        self.wait_for(lambda: "stopping" in relay.text(), "the stop")
        begin = time.monotonic()
        self.assertEqual(relay.stop(30), 0)
        self.assertLess(time.monotonic() - begin, 20)


@unittest.skipIf(MISSING, f"not installed: {' '.join(MISSING)}")
class KamailioTest(Case):
    """Debian's Kamailio with the shipped configuration, between two SIPp that send RTP."""

    workers = 2

    def setUp(self):
        super().setUp()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-proxy-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.children = Children(folder)
        self.addCleanup(self.children.close)
        self.relay = self.new_relay({
            "notify": {"type": "kamailio", "path": str(folder / "rpc.sock"),
                       "reply_path": str(folder / "replies.sock")},
            "timeouts": {"party": 2}}).start()
        self.kamailio = Kamailio(self.children, self.bed.wire, GATEWAY, self.relay.socket,
                                 self.workers)
        self.addCleanup(self.kamailio.probe.socket.close)
        self.caller = Sipp(self.children, self.bed.caller, CALLER, GATEWAY)
        self.callee = Sipp(self.children, self.bed.callee, CALLEE, GATEWAY)
        self.assertEqual(self.callee.run("register", "-m", 1).wait(10 * SLOWNESS), 0)

    def wait_for(self, condition, what, seconds=10.0 * SLOWNESS, logs=None):
        super().wait_for(condition, what, seconds,
                         logs or (lambda: f"{self.relay.text()}\n{self.kamailio.log()[-2000:]}"))

    def sessions(self):
        try:
            return self.relay.ng.statistics()["currentstatistics"]["sessionsown"]
        except OSError:  # the relay is starting
            return 0

    def both_send_media(self):
        """Both parties of the one call have sent more than 10 RTP packets."""
        calls = self.relay.ng.command("list", limit=9)["calls"]
        if not calls:  # counted already, its offer is not finished
            return False
        tags = self.relay.ng.command("query", call_id=calls[0])["tags"].values()
        return len(tags) == 2 and all(tag["medias"][0]["streams"][0]["stats"]["packets"] > 10
                                      for tag in tags)

    def test_power_cut_of_a_phone_sends_bye_to_its_peer(self):
        # The callee sends RTP until it gets a BYE and exits with status 0 only then.
        callee = self.callee.run("callee", "-m", 1)
        caller = self.caller.run("caller", "-m", 1, "-d", 600_000)
        self.wait_for(lambda: self.sessions() == 1, "the call")
        self.wait_for(self.both_send_media, "media both ways")
        self.assertIsNone(callee.poll())
        caller.send_signal(signal.SIGKILL)
        cut = time.monotonic()
        self.assertEqual(callee.wait(15 * SLOWNESS), 0)
        self.assertGreater(time.monotonic() - cut, 1.5)  # not before the timeout
        self.assertEqual(self.sessions(), 0)
        self.wait_for(lambda: "notification-sent" in self.relay.log.read_text(), "the notification",
                      3 * SLOWNESS)
        self.assertRegex(self.relay.log.read_text(), "notification-sent .*answer=ok")
        self.relay.check_stop()


@unittest.skipIf(MISSING, f"not installed: {' '.join(MISSING)}")
class RestartTest(KamailioTest):
    """One SIP worker: a blocked worker delays the next message of every sender."""

    workers = 1
    test_power_cut_of_a_phone_sends_bye_to_its_peer = None

    def longest_answer(self, seconds):
        """The longest time that an OPTIONS waited for its answer."""
        longest, deadline = 0.0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            waited = self.kamailio.probe.ask(patience=2.0)
            self.assertIsNotNone(waited, "no answer to OPTIONS")
            longest = max(longest, waited)
            time.sleep(0.005)
        return longest

    def test_relay_restart_blocks_no_sip_worker(self):
        self.callee.run("callee", "-aa")
        calls = self.caller.run("caller", "-r", 10, "-d", 300, "-l", 50)
        self.wait_for(lambda: self.sessions() > 0, "the call")
        waits = {"before": self.longest_answer(1)}
        for how in (signal.SIGKILL, signal.SIGTERM):
            self.relay.process.send_signal(how)
            waits[f"down by {how.name}"] = self.longest_answer(2)
            self.relay.process.wait(5 * SLOWNESS)
            self.relay.spawn()
            waits[f"starting after {how.name}"] = self.longest_answer(3)
            self.wait_for(lambda: self.sessions() > 0, "a call after the restart")
        self.assertIsNone(calls.poll())
        print(" ".join(f"{name} {wait * 1000:.1f} ms" for name, wait in waits.items()))
        for name, wait in waits.items():
            self.assertLess(wait, 0.1 * SLOWNESS, name)
        self.relay.check_stop()


if __name__ == "__main__":
    unittest.main()
