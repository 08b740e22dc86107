"""report.html: one file that needs nothing else."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from secateur.report.load import LeftOut
from secateur.report.summary import Row
from secateur.report.table import LEGEND, headers, row_texts

STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --paper: #ffffff; --line: #d8d8d8; --dim: #666666;
  --good: #00734f; --bad: #b04a00; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --paper: #16181b; --line: #3a3d42;
  --dim: #a0a0a0; --good: #3fc499; --bad: #f09a4a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .7rem; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid var(--line); } tr.first td { border-top: 1px solid var(--line); }
.number { text-align: right; } .good { color: var(--good); } .bad { color: var(--bad); }
.dim { color: var(--dim); font-size: .9rem; }
figure { background: #ffffff; margin: 1rem 0; padding: .5rem; border-radius: 6px; }
figure svg { max-width: 100%; height: auto; }
code { font-size: .85rem; overflow-wrap: anywhere; }
"""


def to_html(
    rows: Sequence[Row],
    baseline: str,
    answers: Sequence[str],
    notes: Sequence[str],
    left_out: Sequence[LeftOut],
    figures: Sequence[Path],
) -> str:
    """Return the page.

    Args:
        rows: the table.
        baseline: label of the method that the others are compared with.
        answers: did it pay? one line per ratio.
        notes: what is missing or must be known.
        left_out: records that do not enter the table.
        figures: SVG files, one per data set and model, in the order of the rows.
    """
    parts = ["<h1>Did pruning pay?</h1>", _list(answers)]
    groups = groupby(rows, key=lambda row: (row.data, row.model))
    for ((data, model), members), figure in zip(groups, figures, strict=True):
        parts += [f"<h2>{escape(data)}, {escape(model)}</h2>", _table(list(members), baseline), _figure(figure)]
    parts.append("<p class='dim'>" + "<br>".join(escape(line) for line in LEGEND) + "</p>")
    if notes:
        parts += ["<h2>Missing, or to be known</h2>", _list(notes)]
    if left_out:
        parts += [f"<h2>Records left out ({len(left_out)})</h2>", _left_out(left_out)]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Secateur report</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _left_out(records: Sequence[LeftOut]) -> str:
    items = [f"<li>{r.kind}: <code>{escape(str(r.path))}</code>: {escape(r.reason)}</li>" for r in records]
    return f"<ul>{''.join(items)}</ul>"


def _table(rows: Sequence[Row], baseline: str) -> str:
    classes = ["", *["number"] * 3, "", "", "number"]
    head = "".join(f"<th class='{c}'>{escape(h)}</th>" for c, h in zip(classes, headers(baseline), strict=True))
    lines = [f"<tr>{head}</tr>"]
    ratio = None
    for row in rows:
        colors = [_color(verdict) for verdict in ("", "", "", "", row.verdict_baseline, row.verdict_full, "")]
        texts = zip(row_texts(row, baseline), classes, colors, strict=True)
        cells = "".join(f"<td class='{f'{cls} {color}'.strip()}'>{escape(text)}</td>" for text, cls, color in texts)
        lines.append(f"<tr{' class=first' if row.pruning_ratio != ratio else ''}>{cells}</tr>")
        ratio = row.pruning_ratio
    return "<div class='wide'><table>" + "\n".join(lines) + "</table></div>"


def _color(verdict: str) -> str:
    return {"above": "good", "matches": "good", "below": "bad"}.get(verdict.split(" ")[0], "")


def _figure(path: Path) -> str:
    """Return an SVG file's element, without the XML prolog."""
    text = path.read_text(encoding="utf-8")
    return f"<figure>{text[text.index('<svg') :]}</figure>"
