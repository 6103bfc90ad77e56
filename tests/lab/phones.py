# SPDX-License-Identifier: BSD-3-Clause
"""Softphones: baresip without sound devices; plays a tone file and records what it receives."""

import tones
import topology
from processes import Failure

MODULES = "/usr/lib/baresip/modules"


class Phone:
    """One subscriber. start() starts baresip; hang_up() stops it, which sends BYE."""

    def __init__(self, programs, directory, name, address, namespace, frequency, ice=False):
        self.programs, self.name, self.namespace = programs, name, namespace
        self.address, self.frequency = address, frequency
        self.ice = ice
        self.home = directory / name
        self.home.mkdir()
        self.uri = f"sip:{name}@{topology.PROXY}"
        self.program = None
        tones.write_tone(self.home / "tone.wav", frequency, 60)
        (self.home / "accounts").write_text(
            f"<{self.uri}>;auth_pass=none;regint=85;answermode=auto;audio_codecs=PCMU"
            f"{';medianat=ice' if ice else ''}\n")

    def start(self, *commands, run_for=None):
        """Starts the phone; `commands` as typed to it, `run_for` seconds until it hangs up."""
        self.recordings = self.home / f"recordings-{len(list(self.home.glob('recordings-*')))}"
        self.recordings.mkdir()
        (self.home / "config").write_text(self._config())
        arguments = [word for command in commands for word in ("-e", command)]
        if run_for:
            arguments += ["-t", run_for]
        self.program = self.programs.start(
            self.name, ["baresip", "-4", "-f", self.home, *arguments], self.namespace)
        return self

    def _config(self):
        return f"""
sip_listen {self.address}:5060
rtp_ports 20000-29999
rtcp_mux no
jitter_buffer_delay 1-5
audio_source aufile,{self.home}/tone.wav
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
snd_path {self.recordings}
module_path {MODULES}
module g711.so
module aufile.so
module sndfile.so
{"module ice.so" if self.ice else ""}
module_tmp account.so
module_app menu.so
"""

    def wait_registered(self, timeout=8):
        self.program.wait_until(lambda: "200 OK" in self.program.log_text(), timeout,
                                "its registration")

    def wait_in_call(self, timeout=8):
        self.program.wait_until(lambda: "Call established" in self.program.log_text(), timeout,
                                "an established call")

    def hang_up(self):
        self.program.stop()

    def recording_of(self, other):
        """Measures the tone of the other phone in the recording of the last call."""
        files = sorted(self.recordings.glob("dump-*-dec.wav"))
        if not files:
            return tones.Recording([], other.frequency, self.frequency)
        if len(files) > 1:
            raise Failure(f"{self.name} made {len(files)} recordings: {self.recordings}")
        return tones.Recording(tones.read_samples(files[0]), other.frequency, self.frequency)
