# SPDX-License-Identifier: BSD-3-Clause
"""Test tones: generation, and detection in a recording.

Detection works on 100 ms blocks by Goertzel's algorithm (one bin of a DFT). A block has a tone if
the tone has most of the block's power and a level near the sent one.
"""

import array
import math
import wave

RATE = 8000     # G.711
LEVEL = 0.25    # amplitude of full scale, -12 dBFS
BLOCK = 800     # samples, 100 ms
SILENCE = 1e-3  # root mean square of full scale, -60 dBFS


def write_tone(path, frequency, seconds):
    step = 2 * math.pi * frequency / RATE
    samples = array.array("h", (round(32767 * LEVEL * math.sin(step * n))
                                for n in range(int(RATE * seconds))))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())


def read_samples(path):
    """All samples of a WAV file, as fractions of full scale."""
    with wave.open(str(path), "rb") as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE):
            raise ValueError(f"{path} is not 16-bit mono at {RATE} Hz")
        samples = array.array("h", file.readframes(file.getnframes()))
    return [sample / 32768 for sample in samples]


def amplitude(block, frequency):
    """The amplitude of one frequency in a block (Goertzel)."""
    coefficient = 2 * math.cos(2 * math.pi * frequency / RATE)
    before, last = 0.0, 0.0
    for sample in block:
        before, last = last, sample + coefficient * last - before
    power = last * last + before * before - coefficient * last * before
    return 2 * math.sqrt(max(power, 0.0)) / len(block)


class Recording:
    """Seconds of the expected tone, the unwanted tone and silence in a recording."""

    def __init__(self, samples, expected, unwanted):
        self.seconds = len(samples) / RATE
        self.expected = self.unwanted = self.silent = 0.0
        levels = []
        for start in range(0, len(samples) - BLOCK + 1, BLOCK):
            block = samples[start:start + BLOCK]
            rms = math.sqrt(sum(s * s for s in block) / BLOCK)
            level = amplitude(block, expected)
            # The amplitude of a pure tone is its RMS times sqrt(2). 90 % of it counts as pure.
            if rms < SILENCE:
                self.silent += BLOCK / RATE
            elif level > 0.9 * rms * math.sqrt(2) and 0.5 < level / LEVEL < 1.5:
                self.expected += BLOCK / RATE
                levels.append(level)
            if amplitude(block, unwanted) > 0.02 * LEVEL:
                self.unwanted += BLOCK / RATE
        mean = sum(levels) / len(levels) if levels else 0.0
        self.level_dbfs = 20 * math.log10(mean) if mean else -math.inf
