"""The table in other forms: CSV with everything, Markdown and LaTeX as printed."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from secateur.report.statistics import Estimate
from secateur.report.summary import Row
from secateur.report.table import LEGEND, headers, row_texts

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
    for (data, model), members in groupby(rows, key=lambda row: (row.data, row.model)):
        lines = [headers(baseline), ["---", *["---:"] * 3, "---", "---", "---:"]]
        lines += [[text.replace("|", "\\|") for text in row_texts(row, baseline)] for row in members]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {data}, {model}\n\n{table}\n")
    legend = "\n".join(f"- {line.strip()}" for line in LEGEND)
    return "\n".join([*parts, legend, ""])


def to_latex(rows: Sequence[Row], baseline: str) -> str:
    """Return one ``tabular`` per data set and model, for the package booktabs."""
    parts = ["% needs \\usepackage{booktabs}", *(f"% {line}" for line in LEGEND)]
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        blocks = [list(members) for _, members in groupby(group, key=lambda row: row.pruning_ratio)]
        body = "\n\\midrule\n".join("\n".join(_latex_row(row, baseline) for row in block) for block in blocks)
        parts += [
            f"\n% {data}, {model}\n\\begin{{tabular}}{{lrrrllr}}\n\\toprule",
            _latex_line(headers(baseline)),
            f"\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}",
        ]
    return "\n".join(parts) + "\n"


def _latex_row(row: Row, baseline: str) -> str:
    return _latex_line(row_texts(row, baseline))


def _latex_line(texts: Sequence[str]) -> str:
    escaped = ["".join(LATEX_ESCAPES.get(character, character) for character in text) for text in texts]
    signed = [f"${text[0]}${text[1:]}" if text[:1] in ("+", "-") and len(text) > 1 else text for text in escaped]
    return " & ".join(signed) + r" \\"
