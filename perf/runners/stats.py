# SPDX-License-Identifier: BSD-3-Clause
"""Medians of interleaved measurements: A, B, B, A, so that other load affects both sides."""

import dataclasses
import statistics

PAIRS = 9


@dataclasses.dataclass
class Spread:
    """Median and interquartile range of some values."""
    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values):
        values = sorted(values)
        if not values:
            raise ValueError("no values")
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def text(self, digits=1):
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclasses.dataclass
class Comparison:
    """Two sides and the ratio of their pairs."""
    a: Spread
    b: Spread
    ratio: Spread  # a / b, pair by pair

    @classmethod
    def of(cls, pairs):
        pairs = list(pairs)
        return cls(Spread.of(a for a, _ in pairs), Spread.of(b for _, b in pairs),
                   Spread.of(a / b for a, b in pairs))


def interleave(a, b, pairs=PAIRS, step=lambda: None):
    """Calls a() and b() in turn, alternating the first; returns [(a's, b's), ...]."""
    found = []
    for i in range(pairs):
        if i % 2 == 0:
            first, second = a(), b()
        else:
            second, first = b(), a()
        found.append((first, second))
        step()
    return found
