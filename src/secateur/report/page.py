"""report.html: one file that needs nothing else."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from secateur.report.fidelity import FidelityRow
from secateur.report.fidelity_table import LEGEND as FIDELITY_LEGEND
from secateur.report.fidelity_table import Part, fidelity_parts
from secateur.report.load import MASK_ONLY, LeftOut
from secateur.report.summary import Row
from secateur.report.table import columns, legend

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
    more: str = "",
) -> str:
    """Return the page.

    Args:
        rows: the table.
        baseline: label of the method that the others are compared with.
        answers: did it pay? one line per ratio.
        notes: what is missing or must be known.
        left_out: records that do not enter the table.
        figures: SVG files, one per data set and model, in the order of the rows.
        more: another section, after the tables.
    """
    parts = ["<h1>Did pruning pay?</h1>", _list(answers)] if rows else []
    groups = groupby(rows, key=lambda row: (row.data, row.model))
    for ((data, model), members), figure in zip(groups, figures, strict=True):
        parts += [f"<h2>{escape(data)}, {escape(model)}</h2>", _table(list(members), baseline), _figure(figure)]
    if rows:
        parts.append(_legend(legend(rows)))
    if more:
        parts.append(more)
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


def fidelity_section(rows: Sequence[FidelityRow], answers: Sequence[str], figures: Sequence[Path]) -> str:
    """Return the section on the fidelity of predicted scores.

    Args:
        rows: sorted as :func:`secateur.report.fidelity.make_fidelity_rows` returns them.
        answers: what they say, in words.
        figures: SVG files.
    """
    parts = ["<h1>How good are the predicted scores?</h1>", _list(answers)]
    for part in fidelity_parts(rows):
        parts += [f"<h2>{escape(part.title)}</h2>", _fidelity_table(part)]
    return "\n".join([*parts, *map(_figure, figures), _legend(FIDELITY_LEGEND)])


def _fidelity_table(part: Part) -> str:
    numbers = ["number" if number else "" for number in part.numbers]
    head = "".join(f"<th class='{c}'>{escape(h)}</th>" for c, h in zip(numbers, part.headers, strict=True))
    lines = [f"<tr>{head}</tr>"]
    for line, first, verdict in zip(part.lines, part.first, part.verdicts, strict=True):
        classes = [*numbers[:-1], f"{numbers[-1]} {_color(verdict)}".strip()]
        cells = "".join(f"<td class='{cls}'>{escape(text)}</td>" for text, cls in zip(line, classes, strict=True))
        lines.append(f"<tr{' class=first' if first else ''}>{cells}</tr>")
    return "<div class='wide'><table>" + "\n".join(lines) + "</table></div>"


def _legend(lines: Sequence[str]) -> str:
    return "<p class='dim'>" + "<br>".join(escape(line) for line in lines) + "</p>"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _left_out(records: Sequence[LeftOut]) -> str:
    """Return one item per record; those that were to make a mask only are no fault and share one."""
    items = [
        f"<li>{r.kind}: <code>{escape(str(r.path))}</code>: {escape(r.reason)}</li>"
        for r in records
        if r.kind != MASK_ONLY
    ]
    alone = [record.reason for record in records if record.kind == MASK_ONLY]
    items += [f"<li>{len(alone)} {MASK_ONLY}: {escape(alone[0])}</li>"] if alone else []
    return f"<ul>{''.join(items)}</ul>"


def _table(rows: Sequence[Row], baseline: str) -> str:
    shown = columns(rows, baseline)
    head = "".join(f"<th class='{'number' if c.number else ''}'>{escape(c.header)}</th>" for c in shown)
    lines = [f"<tr>{head}</tr>"]
    ratio = None
    for row in rows:
        cells = "".join(
            f"<td class='{'number' if c.number else _color(c.verdict(row))}'>{escape(c.text(row))}</td>" for c in shown
        )
        lines.append(f"<tr{' class=first' if row.pruning_ratio != ratio else ''}>{cells}</tr>")
        ratio = row.pruning_ratio
    return "<div class='wide'><table>" + "\n".join(lines) + "</table></div>"


def _color(verdict: str) -> str:
    return {"above": "good", "matches": "good", "below": "bad"}.get(verdict.split(" ")[0], "")


def _figure(path: Path) -> str:
    """Return an SVG file's element, without the XML prolog."""
    text = path.read_text(encoding="utf-8")
    return f"<figure>{text[text.index('<svg') :]}</figure>"
