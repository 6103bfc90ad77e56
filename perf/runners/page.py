# SPDX-License-Identifier: BSD-3-Clause
"""The report as one self-contained HTML page."""

import html

import plots
import results

STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1a1a1a;--soft:#666;--line:#ddd;--code:#f4f4f4;
--met:#1b7837;--missed:#b2182b}
@media(prefers-color-scheme:dark){:root{--back:#161616;--text:#e8e8e8;--soft:#9a9a9a;--line:#3a3a3a;
--code:#222;--met:#7fbf7b;--missed:#f4a582}}
body{background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif;max-width:58rem;
margin:2rem auto;padding:0 1rem}h1,h2{line-height:1.2}h2{margin-top:2.5rem}
table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;color:var(--soft)}
td,th{border-bottom:1px solid var(--line);padding:.25rem .8rem .25rem 0;text-align:left;
vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
pre{background:var(--code);padding:.6rem;overflow-x:auto;font-size:12px}.soft{color:var(--soft)}
.met{color:var(--met);font-weight:600}.missed{color:var(--missed);font-weight:600}
svg{max-width:100%;height:auto;display:block;margin:1rem 0}
"""


def cell(value):
    words = html.escape(str(value))
    if value in ("met", "missed"):
        return f'<td class="{value}">{words}</td>'
    return f'<td class="n">{words}</td>' if isinstance(value, (int, float)) else f"<td>{words}</td>"


def table(columns, rows, caption=""):
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    return f"<table><caption>{html.escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def section(part):
    out = [f'<h2 id="{part["name"]}">{html.escape(part["title"])}</h2>']
    if part["status"] != "measured":
        out.append(f"<p><strong>{html.escape(part['status'])}</strong></p>")
    out.append(f"<p>{html.escape(part['method'])}</p>")
    if part["figures"]:
        rows = []
        for figure in part["figures"]:
            value = results.Figure(**{key: figure[key] for key in
                                      ("title", "value", "unit", "bar", "spread", "note")})
            rows.append([figure["bar"], figure["title"], figure["goal"], value.text(),
                         figure["spread"], figure["verdict"], figure["note"]])
        out.append(table(["bar", "figure", "goal", "measured", "spread", "verdict", "limit"], rows))
    if part["unmeasured"]:
        out.append(table(["bar", "not measured, reason"], part["unmeasured"].items()))
    out += [plots.draw(plot) for plot in part["plots"]]
    out += [table(each["columns"], each["rows"], each["title"]) for each in part["tables"]]
    if part["conditions"]:
        out.append(table(["condition", ""], part["conditions"].items()))
    if part["commands"]:
        out.append("<pre>" + html.escape("\n".join(part["commands"])) + "</pre>")
    return "\n".join(out)


def render(report):
    machine = "".join(f"<tr><th>{html.escape(key)}</th><td>{html.escape(str(value))}</td></tr>"
                      for key, value in report["machine"].items())
    return "\n".join([
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        f"<title>Millrace: benchmarks</title><style>{STYLE}</style>",
        "<h1>Millrace: benchmarks</h1>",
        "<p>Every figure is a ratio of two sides measured in turn within one run, or a count of"
        " instructions. Figures are medians; the spread is the interquartile range.</p>",
        table(["bar", "what", "goal", "measured", "verdict"], report["bars"]),
        f"<table><caption>Machine</caption>{machine}</table>",
        *map(section, report["sections"]), "</html>", ""])
