"""The table in other forms: CSV with everything, Markdown and LaTeX as printed."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from secateur.report.statistics import Estimate
from secateur.report.summary import Row
from secateur.report.table import Column, columns, legend

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "[": "{[}",  # after a line break a bracket would be read as its argument
    ">": "$>$",
}


def to_csv(rows: Sequence[Row], baseline: str) -> str:
    """Return one line per row with all numbers at full precision, accuracies and differences as fractions."""
    buffer = io.StringIO()
    lines = [_csv_row(row, baseline) for row in rows]
    writer = csv.DictWriter(buffer, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _csv_row(row: Row, baseline: str) -> dict[str, Any]:
    return {
        "data": row.data,
        "model": row.model,
        "method": row.label,
        "pruning_ratio": row.pruning_ratio,
        "keep_fraction": row.keep_fraction,
        "seeds": " ".join(map(str, row.seeds)),
        "num_masks": row.num_masks,
        **_csv_estimate("accuracy", row.accuracy),
        **_csv_estimate("robust_accuracy", row.robust_accuracy),
        "baseline": baseline,
        **_csv_estimate("vs_baseline", row.vs_baseline),
        "verdict_baseline": row.verdict_baseline,
        **_csv_estimate("vs_full", row.vs_full),
        "verdict_full": row.verdict_full,
        "cost_vs_full": row.cost_vs_full,
        "cost_vs_full_amortized": row.cost_vs_full_amortized,
    }


def _csv_estimate(name: str, value: Estimate | None) -> dict[str, Any]:
    keys = ("mean", "sd", "low", "high", "n")
    return {f"{name}_{key}": None if value is None else getattr(value, key) for key in keys}


def to_markdown(rows: Sequence[Row], baseline: str) -> str:
    """Return one table per data set and model."""
    parts = []
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        members = list(group)
        shown = columns(members, baseline)
        lines = [[column.header for column in shown], ["---:" if column.number else "---" for column in shown]]
        lines += [[column.text(row).replace("|", "\\|") for column in shown] for row in members]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {data}, {model}\n\n{table}\n")
    explained = "\n".join(f"- {line.strip()}" for line in legend(rows))
    return "\n".join([*parts, explained, ""])


def to_latex(rows: Sequence[Row], baseline: str) -> str:
    """Return one ``tabular`` per data set and model, for the package booktabs."""
    parts = ["% needs \\usepackage{booktabs}", *(f"% {line}" for line in legend(rows))]
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        members = list(group)
        shown = columns(members, baseline)
        blocks = [list(alike) for _, alike in groupby(members, key=lambda row: row.pruning_ratio)]
        body = "\n\\midrule\n".join("\n".join(_latex_row(row, shown) for row in block) for block in blocks)
        parts += [
            f"\n% {data}, {model}\n\\begin{{tabular}}{{{''.join('lr'[column.number] for column in shown)}}}\n\\toprule",
            _latex_line([column.header for column in shown]),
            f"\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}",
        ]
    return "\n".join(parts) + "\n"


def _latex_row(row: Row, shown: Sequence[Column]) -> str:
    return _latex_line([column.text(row) for column in shown])


def _latex_line(texts: Sequence[str]) -> str:
    escaped = ["".join(LATEX_ESCAPES.get(character, character) for character in text) for text in texts]
    signed = [f"${text[0]}${text[1:]}" if text[:1] in ("+", "-") and len(text) > 1 else text for text in escaped]
    return " & ".join(signed) + r" \\"
