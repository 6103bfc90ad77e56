# SPDX-License-Identifier: BSD-3-Clause
"""SVG plots without other libraries: horizontal bars and lines, for light and dark mode."""

import html
import math

WIDTH, MARGIN, ROW = 640, 16, 22
STYLE = """<style>
.t{font:13px system-ui,sans-serif;fill:#222}.s{font:11px system-ui,sans-serif;fill:#555}
.g{stroke:#ccc;stroke-width:1}.c0{fill:#2166ac;stroke:#2166ac}.c1{fill:#d6604d;stroke:#d6604d}
.c2{fill:#4d9221;stroke:#4d9221}.c3{fill:#8073ac;stroke:#8073ac}.l{fill:none;stroke-width:2}
@media(prefers-color-scheme:dark){.t{fill:#eee}.s{fill:#aaa}.g{stroke:#444}
.c0{fill:#67a9cf;stroke:#67a9cf}.c1{fill:#ef8a62;stroke:#ef8a62}.c2{fill:#a1d76a;stroke:#a1d76a}
.c3{fill:#b2abd2;stroke:#b2abd2}}
</style>"""


def number(value):
    """Short form: 0.123, 12.3, 1,234; from 10,000 on with the unit k, M or G."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.3g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ticks(high, wanted=5):
    """Round values from 0 to at least `high`."""
    if high <= 0:
        return [0, 1]
    rough = high / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    return [step * i for i in range(math.ceil(high / step - 1e-9) + 1)]


def text(x, y, words, kind="s", anchor="start"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">' \
           f"{html.escape(str(words))}</text>"


def rule(x1, y1, x2, y2):
    return f'<line class="g" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def legend(series, y):
    out, x = [], MARGIN
    for i, name in enumerate(series):
        out += [f'<rect class="c{i % 4}" x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10"/>',
                text(x + 14, y, name)]
        x += 32 + 6.2 * len(name)
    return out


def svg(height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" role="img">{STYLE}' + "".join(parts) + "</svg>\n")


def bars(plot):
    """Rows of bars: one row per word, with one bar per series."""
    words = [word for points in plot["series"].values() for word, _ in points]
    words = list(dict.fromkeys(words))
    values = {name: dict(points) for name, points in plot["series"].items()}
    marks = ticks(max(y for points in plot["series"].values() for _, y in points))
    left = MARGIN + 8 + max(6.3 * len(str(word)) for word in words)
    scale = (WIDTH - left - 60) / marks[-1]
    top = 62 if len(values) > 1 else 44
    thickness = 16 if len(values) == 1 else 12
    row = len(values) * thickness + 8
    bottom = top + row * len(words)
    out = [text(MARGIN, 20, plot["title"], "t")]
    out += legend(values, 42) if len(values) > 1 else []
    for mark in marks:
        out += [rule(left + mark * scale, top, left + mark * scale, bottom),
                text(left + mark * scale, bottom + 14, number(mark), anchor="middle")]
    for r, word in enumerate(words):
        y = top + r * row + 4
        out.append(text(left - 6, y + row / 2, word, anchor="end"))
        for i, name in enumerate(values):
            if word not in values[name]:
                continue
            value = values[name][word]
            out.append(f'<rect class="c{i % 4}" x="{left:.1f}" y="{y + i * thickness:.1f}" '
                       f'width="{max(value, 0) * scale:.1f}" height="{thickness - 2}"/>')
            out.append(text(left + max(value, 0) * scale + 4, y + (i + 0.75) * thickness,
                            number(value)))
    out.append(text(WIDTH - MARGIN, bottom + 32, plot["y"], anchor="end"))
    return svg(bottom + 42, out)


def lines(plot):
    """Lines over numbers, with a mark at each point."""
    xs = sorted({x for points in plot["series"].values() for x, _ in points})
    marks = ticks(max(y for points in plot["series"].values() for _, y in points))
    left, right, top, bottom = MARGIN + 44, WIDTH - MARGIN - 10, 58, 270
    place = (lambda x: math.log10(x)) if plot["log_x"] else float
    low, high = place(xs[0]), place(xs[-1])

    def at(x, y):
        share = (place(x) - low) / (high - low) if high > low else 0.5
        return left + share * (right - left), bottom - y / marks[-1] * (bottom - top)

    out = [text(MARGIN, 20, plot["title"], "t"), *legend(plot["series"], 42)]
    for mark in marks:
        _, y = at(xs[0], mark)
        out += [rule(left, y, right, y), text(left - 6, y + 4, number(mark), anchor="end")]
    shown = xs if len(xs) <= 8 else xs[::math.ceil(len(xs) / 8)]
    out += [text(at(x, 0)[0], bottom + 16, number(x), anchor="middle") for x in shown]
    for i, points in enumerate(plot["series"].values()):
        places = [at(x, y) for x, y in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline class="c{i % 4} l" style="fill:none" points="{path}"/>')
        out += [f'<circle class="c{i % 4}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    out += [text(right, bottom + 34, plot["x"], anchor="end"), text(MARGIN, 56, plot["y"])]
    return svg(bottom + 44, out)


def draw(plot):
    return bars(plot) if plot["kind"] == "bars" else lines(plot)
