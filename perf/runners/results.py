# SPDX-License-Identifier: BSD-3-Clause
"""Results of a benchmark run: sections of figures, tables and plots, each with its method."""

import dataclasses

# The bars: figure, comparison, goal.
GOALS = {
    "1": ("instructions per relayed packet (IPv4 RTP, 1,000 flows, statistics on)", "<=", 180),
    "2": ("(relay - io) / (testpmd csum - io), net_ring loop, 8,192 packets", "<=", 1.2),
    "3": ("relay / testpmd 5tswap, packets per second, virtio-user to vhost", ">=", 0.85),
    "4": ("cycles per packet, 1,000,000 flows / 1,000 flows", "<=", 1.8),
    "5": ("cycles per packet, bursts of 4 / bursts of 32", "<=", 1.5),
    "6": ("two workers / one (a ring each)", ">=", 1.95),
    "7": ("packets per second with 10,000 flow changes per second / without", ">=", 0.98),
    "8a": ("CPU per packet at 100 kpps on veth, rtpengine / Millrace", ">=", 3),
    "8b": ("CPU per packet at saturation on veth, rtpengine / Millrace", ">=", 3),
    "8c": ("median delay added at 100 kpps on veth, microseconds", "<=", 5),
    "9": ("loss-free calls on veth, Millrace / rtpengine", ">=", 2.4),
    "10a": ("goodput at 4 x saturation / peak", ">=", 0.95),
    "10b": ("seconds to 100 % after a flood of 2 s", "<=", 1),
    "11a": ("CPU per offer, answer and delete, rtpengine / Millrace", ">=", 20),
    "11b": ("cycles per second with 8 outstanding, Millrace / rtpengine", ">=", 10),
    "11c": ("cycles per second with 64 outstanding, Millrace / rtpengine", ">=", 10),
    "12a": ("synchronous offer, median above an echo server, microseconds", "<=", 10),
    "12b": ("synchronous offer, p99 above an echo server, microseconds", "<=", 40),
    "12c": ("the same median while 100 kpps flow, microseconds", "<=", 15),
    "13a": ("resident kB per call at 100,000 calls", "<=", 3),
    "13b": ("seconds to set up 100,000 calls", "<=", 2),
}


@dataclasses.dataclass
class Figure:
    """One measured number; `bar` is its bar's number, "" if none."""
    title: str
    value: float
    unit: str = ""
    bar: str = ""
    spread: str = ""  # interquartile range and number of values
    note: str = ""  # the limiting factor

    def goal(self):
        return "{} {}".format(*GOALS[self.bar][1:]) if self.bar else ""

    def verdict(self):
        if not self.bar:
            return ""
        _, operator, goal = GOALS[self.bar]
        return "met" if (self.value <= goal if operator == "<=" else self.value >= goal) else "missed"

    def text(self):
        digits = 0 if abs(self.value) >= 1000 else 1 if abs(self.value) >= 100 else 2
        return f"{self.value:,.{digits}f} {self.unit}".strip()


@dataclasses.dataclass
class Table:
    title: str
    columns: list
    rows: list


@dataclasses.dataclass
class Plot:
    """Bars or lines: {series: [(x, y), ...]}; x is a word for bars, a number for lines."""
    kind: str
    title: str
    x: str
    y: str
    series: dict
    log_x: bool = False


@dataclasses.dataclass
class Section:
    name: str
    title: str
    method: str
    bars: tuple
    status: str = "not run"  # or "measured", "skipped: REASON", "failed: REASON", "interrupted"
    commands: list = dataclasses.field(default_factory=list)
    conditions: dict = dataclasses.field(default_factory=dict)
    figures: list = dataclasses.field(default_factory=list)
    unmeasured: dict = dataclasses.field(default_factory=dict)  # bar: reason for no figure
    tables: list = dataclasses.field(default_factory=list)
    plots: list = dataclasses.field(default_factory=list)
    seconds: float = 0

    def ran(self, *command):
        """Records a command, once."""
        text = " ".join(map(str, command))
        if text not in self.commands:
            self.commands.append(text)

    def compare(self, bar, comparison, title="", note=""):
        """Adds a ratio as a figure."""
        ratio = comparison.ratio
        self.figures.append(Figure(title or GOALS[bar][0], ratio.median, "", bar,
                                   f"{ratio.low:.2f} to {ratio.high:.2f}, {ratio.count} pairs", note))


def verdicts(sections):
    """Rows [bar, what, goal, measured, verdict] of all bars, including unmeasured ones."""
    found = {figure.bar: figure for section in sections for figure in section.figures if figure.bar}
    why = {bar: section.unmeasured.get(bar, section.status) for section in sections
           for bar in section.bars}
    rows = []
    for bar, (what, operator, goal) in GOALS.items():
        figure = found.get(bar)
        rows.append([bar, what, f"{operator} {goal}", figure.text() if figure else "",
                     figure.verdict() if figure else why.get(bar, "not run")])
    return rows


def as_json(sections, machine):
    """The whole report as plain values."""
    plain_sections = []
    for section in sections:
        plain = dataclasses.asdict(section)
        for figure, values in zip(section.figures, plain["figures"]):
            values |= {"goal": figure.goal(), "verdict": figure.verdict()}
        plain_sections.append(plain)
    return {"machine": machine, "bars": verdicts(sections), "sections": plain_sections}
