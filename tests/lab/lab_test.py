# SPDX-License-Identifier: BSD-3-Clause
"""Unit tests of the lab's instruments: each check must fail on faulty input."""

import contextlib
import io
import math
import pathlib
import socket
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import checks
import machine
import ng
import tones
import topology
from media import Media
from screen import Screen


def tone(frequency, seconds, level=tones.LEVEL):
    return [level * math.sin(2 * math.pi * frequency * n / tones.RATE)
            for n in range(int(seconds * tones.RATE))]


class Tones(unittest.TestCase):
    def test_finds_the_sent_tone(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "tone.wav")
            tones.write_tone(path, 440, 2)
            recording = tones.Recording(tones.read_samples(path), 440, 1000)
        self.assertAlmostEqual(recording.expected, 2.0, 3)
        self.assertAlmostEqual(recording.level_dbfs, -12.04, 1)
        self.assertEqual((recording.unwanted, recording.silent), (0, 0))

    def test_rejects_another_tone(self):
        recording = tones.Recording(tone(1000, 1), 440, 1000)
        self.assertEqual(recording.expected, 0)
        self.assertAlmostEqual(recording.unwanted, 1.0, 3)

    def test_detects_an_echo_below_the_tone(self):
        mixed = [a + b for a, b in zip(tone(440, 1), tone(1000, 1, 0.1 * tones.LEVEL))]
        self.assertGreater(tones.Recording(mixed, 440, 1000).unwanted, 0.9)

    def test_measures_silence_and_gaps(self):
        recording = tones.Recording(tone(440, 1) + [0.0] * tones.RATE, 440, 1000)
        self.assertAlmostEqual(recording.expected, 1.0, 3)
        self.assertAlmostEqual(recording.silent, 1.0, 3)
        self.assertEqual(tones.Recording([], 440, 1000).expected, 0)


class Bencode(unittest.TestCase):
    message = {"command": "query", "call-id": "1:x e", "limit": -3, "flags": ["a", {"b": []}]}

    def test_round_trip(self):
        self.assertEqual(ng.decode(ng.encode(self.message))[0], self.message)

    def test_truncated_input_is_refused(self):
        whole = ng.encode(self.message)
        for size in range(len(whole)):
            with self.assertRaises(ValueError, msg=whole[:size]):
                ng.decode(whole[:size])


def capture(path, datagrams):
    """Writes (time, source, destination, ssrc, sequence) as a pcap of RTP."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for time, source, destination, ssrc, sequence in sorted(datagrams):
            rtp = struct.pack("!BBHII", 128, 0, sequence, 0, ssrc)
            udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(rtp), 0)
            ip = bytes([69]) + bytes(8) + b"\x11" + bytes(2)
            ip += socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
            frame = bytes(12) + b"\x08\x00" + ip + udp + rtp
            out.write(struct.pack("<IIII", int(time), round(time % 1 * 1e9), len(frame),
                                  len(frame)) + frame)


class Wire:
    """A call of 100 packets each way, 20 ms apart. B starts 30 ms after A; both use SSRC 1."""

    def __init__(self, lost=(), stranger=None, delay=1e-4):
        a, b = (topology.PHONE_A, 20000), (topology.PHONE_B, 20000)
        nat_a, nat_b = (topology.NAT_A, 20000), (topology.NAT_B, 5000)
        relay_a, relay_b = (topology.RELAY, 30000), (topology.RELAY, 30002)
        self.a, self.b, self.relay = [], [], []
        for sequence in range(100):
            for begin, own, out, nat, enter, leave, other, far, end in (
                    (10.0, self.a, self.b, nat_a, relay_a, relay_b, nat_b, a, b),
                    (10.03, self.b, self.a, nat_b, relay_b, relay_a, nat_a, b, a)):
                time = begin + sequence * 0.02
                own.append((time, far, enter, 1, sequence))
                self.relay.append((time + 1e-4, nat, enter, 1, sequence))
                if own is self.a and time < 10.03 or own is self.b and sequence in lost:
                    continue
                self.relay.append((time + 1e-4 + delay, leave, other, 1, sequence))
                out.append((time + 2e-4 + delay, stranger or leave, end, 1, sequence))

    def media(self):
        with tempfile.TemporaryDirectory() as directory:
            paths = [pathlib.Path(directory, f"{name}.pcap") for name in ("a", "b", "relay")]
            for path, datagrams in zip(paths, (self.a, self.b, self.relay)):
                capture(path, datagrams)
            return Media(*paths)


def failures(media, streams=2):
    with contextlib.redirect_stdout(io.StringIO()):
        screen = Screen(1)
        checks.media_crossed(screen, media, streams)
    return screen.failed


class Accounting(unittest.TestCase):
    def test_a_clean_call_passes(self):
        media = Wire().media()
        self.assertEqual(failures(media), [])
        # Early: A's packets at 10.00 and 10.02, sent before B's first, and B's first, sent before
        # it latched. B's last two, sent after A's last, are not counted.
        self.assertEqual(media.total("early"), 3)
        self.assertEqual((media.total("sent"), media.total("received")), (195, 195))
        self.assertAlmostEqual(media.delay_us(0.5), 100, 0)

    def test_one_packet_in_200_lost_fails(self):
        media = Wire(lost={50}).media()
        self.assertEqual(media.total("sent") - media.total("received"), 1)
        self.assertEqual(len(failures(media)), 1)

    def test_one_way_audio_fails(self):
        media = Wire(lost=range(100)).media()
        self.assertEqual(len(failures(media)), 3)  # streams, loss, no source at phone A

    def test_media_from_a_stranger_fails(self):
        self.assertEqual(len(failures(Wire(stranger=("198.18.0.66", 9)).media())), 2)


class BusyMachine(unittest.TestCase):
    """Ticks are (all, idle, stolen)."""

    def test_idle_machine_is_no_reason(self):
        self.assertIsNone(machine.reason((0, 0, 0), (1000, 400, 10), 1.5, 2))
        self.assertIsNone(machine.reason((5, 5, 5), (5, 5, 5), 1.5, 2))

    def test_reports_stolen_time(self):
        self.assertEqual(machine.reason((100, 50, 0), (1100, 550, 30), 1.5, 2),
                         "other guests of its host took 3 % of the CPU time")

    def test_reports_busy_cores(self):
        self.assertEqual(machine.reason((0, 0, 0), (1000, 20, 0), 21, 2),
                         "its 2 cores were 98 % busy, load average 21.0")

    def test_reads_proc_stat_of_this_kernel(self):
        total, idle, stolen = machine.read_times()
        self.assertGreater(total, idle)
        self.assertGreaterEqual(total - idle, stolen)

    @staticmethod
    def explained(media, reason="its cores were 98 % busy"):
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            checks.explain_delay(Screen(1), media, reason)
        return shown.getvalue()

    def test_busy_machine_is_reported_for_delay_and_loss_only(self):
        self.assertEqual(self.explained(Wire().media()), "")
        self.assertEqual(self.explained(Wire(delay=0.002).media(), None), "")
        self.assertIn("98 % busy.\n      Delay", self.explained(Wire(delay=0.002).media()))
        self.assertIn("98 % busy.\n      Loss", self.explained(Wire(lost={50}).media()))
        self.assertIn("Loss", self.explained(Wire(lost=range(100)).media()))


if __name__ == "__main__":
    unittest.main()
