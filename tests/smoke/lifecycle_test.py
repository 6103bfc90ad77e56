# SPDX-License-Identifier: BSD-3-Clause
"""Start, stop and restart of the daemon."""

import os
import signal
import socket
import subprocess
import time

from smoke.bed import Call, Case
from smoke.phone import Traffic
from smoke.relay import PROGRAM, SLOWNESS


class LifecycleTest(Case):
    def test_invalid_config_exits_2_and_names_the_line(self):
        relay = self.new_relay({"timeouts": {"media": "soon"}})
        line = relay.config.read_text().split("\n").index('media = "soon"') + 1
        self.assertEqual(relay.spawn().wait(10), 2)
        self.assertRegex(relay.text(), rf"millrace\.toml:{line}:\d+: .*media")

    def test_check_option_validates_and_exits(self):
        good = self.new_relay()
        with self.bed.relay:  # the namespace that has the interface
            result = subprocess.run([PROGRAM, "--config", good.config, "--check"], timeout=10,
                                    capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertFalse(good.socket.exists())

    def test_error_names_the_missing_device(self):
        relay = self.new_relay({"interface": {"device": "net_af_packet0,iface=nosuch0"}})
        self.assertNotEqual(relay.spawn().wait(10 * SLOWNESS), 0)
        self.assertIn("nosuch0", relay.text())

    def refusal(self, *prefix, settings=None):
        """Stdout and stderr of a start that must fail, under `prefix` (prlimit, setpriv)."""
        relay = self.new_relay(settings)
        with self.bed.relay:
            done = subprocess.run([*prefix, PROGRAM, "--config", relay.config], timeout=30 * SLOWNESS,
                                  capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stdout, done.stderr

    def test_error_names_missing_rights_and_the_remedy(self):
        _, error = self.refusal("setpriv", "--bounding-set=-net_raw")
        self.assertRegex(error, "AF_PACKET needs CAP_NET_RAW.*AmbientCapabilities=")
        _, error = self.refusal("prlimit", "--memlock=65536", "setpriv", "--bounding-set=-ipc_lock")
        self.assertRegex(error, "16384 KiB of locked memory.*may lock 64 KiB.*LimitMEMLOCK=")
        self.assertNotIn("not permitted", error)

    def test_invalid_eal_argument_is_a_one_line_error(self):
        output, error = self.refusal(settings={"dataplane": {"eal": ["--foo"]}})
        self.assertEqual(output, "")
        self.assertRegex(error, r"\AEAL: FATAL: [^\n]*\n"  # DPDK's own alert
                                r"millrace: eal: DPDK does not take these arguments: --foo; .*\n\Z")

    def test_sigterm_under_traffic(self):
        relay = self.new_relay().start()
        with Traffic(self.call(relay.ng)) as traffic:
            self.wait_for(lambda: traffic.passes(20), "media both ways")
            start = time.monotonic()
            relay.check_stop()
            self.assertLess(time.monotonic() - start, 2 * SLOWNESS)
        self.assertFalse(relay.socket.exists(), "the socket file is left behind")

    def test_sigint_stops_the_daemon(self):
        relay = self.new_relay().start()
        relay.process.send_signal(signal.SIGINT)
        self.assertEqual(relay.process.wait(2 * SLOWNESS), 0)

    def test_second_instance_exits_and_the_first_keeps_running(self):
        first = self.new_relay().start()
        with Traffic(self.call(first.ng)) as traffic:
            same_socket = self.new_relay(folder=first.folder)
            self.assertNotIn(same_socket.spawn().wait(10 * SLOWNESS), (0, None))
            self.assertIn(str(first.socket), same_socket.text())
            same_device = self.new_relay()
            self.assertNotIn(same_device.spawn().wait(10 * SLOWNESS), (0, None))
            self.assertRegex(same_device.text(), "relay0|2223")
            self.assertEqual(first.ng.command("ping")["result"], "pong")
        self.assertEqual(traffic.lost, 0)
        first.check_stop()

    def test_stale_socket_is_replaced(self):
        killed = self.new_relay().start()
        killed.process.kill()
        killed.process.wait()
        self.assertTrue(killed.socket.exists())
        again = self.new_relay(folder=killed.folder).start()
        self.call(again.ng)
        again.check_stop()

    def test_regular_file_at_the_socket_path_is_kept(self):
        relay = self.new_relay()
        relay.socket.write_text("precious")
        self.assertNotIn(relay.spawn().wait(10 * SLOWNESS), (0, None))
        self.assertEqual(relay.socket.read_text(), "precious")
        self.assertIn(str(relay.socket), relay.text())

    def test_restart_drops_old_calls_and_accepts_new_ones(self):
        relay = self.new_relay().start()
        old = self.call(relay.ng)
        relay.check_stop()
        relay.start()
        self.assertIn("warning", old.delete(), "an unknown call: a warning, not an error")
        self.call(relay.ng)
        relay.check_stop()

    def test_vanishing_clients_do_not_disturb_live_calls(self):
        """Clients close in the middle of a request or before they read the reply."""
        relay = self.new_relay().start()
        call = self.call(relay.ng)
        with Traffic(call) as traffic:
            for number in range(50):
                client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                client.connect(str(relay.socket))
                client.send(b"d7:command4:ping" + (b"e" if number % 2 else b""))
                client.close()
        self.assertEqual(traffic.lost, 0)
        self.assertLess(len(os.listdir(f"/proc/{relay.process.pid}/fd")), 100)
        relay.check_stop()

    def test_control_socket_has_mode_0660(self):
        relay = self.new_relay().start()
        self.assertEqual(relay.socket.stat().st_mode & 0o777, 0o660)
        relay.check_stop()

    def test_offer_logs_the_call_id(self):
        relay = self.new_relay().start()
        call = Call(relay.ng, *self.phones())
        call.offer()
        relay.check_stop()
        self.assertIn(call.call_id, relay.log.read_text())
