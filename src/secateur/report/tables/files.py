"""The table in other forms: CSV with everything, Markdown and LaTeX as printed."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from secateur.report.data.equality import Margin
from secateur.report.data.league import MeanRank, mean_ranks
from secateur.report.data.rows import Row
from secateur.report.data.spread import Spread
from secateur.report.data.statistics import Comparison, Estimate
from secateur.report.tables.markup import flat, latex, markdown
from secateur.report.tables.terminal import Column, columns, legend, table_notes

LATEX_NEEDS = "% needs \\usepackage{booktabs}"
LATEX_FONTS = "% some names are in letters that pdfLaTeX has not: use XeLaTeX or LuaLaTeX with a font that has them"


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
        "asked_ratio": row.asked_ratio,
        "keep_fraction": row.keep_fraction,
        "per_epoch": row.per_epoch,
        "visited_share": row.visited_share,
        "num_seen": row.num_seen,
        "compare_with": row.is_comparison,
        "seeds": " ".join(map(str, row.seeds)),
        "num_masks": row.num_masks,
        "one_mask": row.one_mask,
        "counts": row.counts,
        **_csv_estimate("accuracy", row.accuracy),
        **_csv_estimate("robust_accuracy", row.robust_accuracy),
        **_csv_estimate("worst_class_accuracy", row.worst_class_accuracy),
        **_csv_spread(row.spread or Spread("one run")),
        "rank": row.rank,
        "num_ranked": row.num_ranked or None,
        "baseline": baseline,
        "margin": row.margin,
        **_csv_comparison("vs_baseline", row.vs_baseline),
        "verdict_baseline": row.verdict_baseline,
        **_csv_comparison("vs_full", row.vs_full),
        "verdict_full": row.verdict_full,
        "cost_vs_full": row.cost_vs_full,
        "cost_vs_full_amortized": row.cost_vs_full_amortized,
    }


def _csv_estimate(name: str, value: Estimate | None) -> dict[str, Any]:
    keys = ("mean", "sd", "low", "high", "n")
    return {f"{name}_{key}": None if value is None else getattr(value, key) for key in keys}


def _csv_comparison(name: str, value: Comparison | None) -> dict[str, Any]:
    tests = ("p_t", "p_exact", "p_holm", "p_equal", "p_equal_holm", "detectable")
    return {
        **_csv_estimate(name, value),
        **{f"{name}_{key}": None if value is None else getattr(value, key) for key in tests},
    }


def _csv_spread(value: Spread) -> dict[str, Any]:
    return {
        "spread_design": value.design,
        "train_sd": value.train_sd,
        "score_sd": value.score_sd,
        "residual_sd": value.residual_sd,
    }


def to_markdown(rows: Sequence[Row], baseline: str, margin: Margin | None = None) -> str:
    """Return one table per data set and model, and one of mean ranks where several methods were run."""
    parts = []
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        members = list(group)
        shown = columns(members, baseline, wide=True)
        lines = [
            [markdown(column.header) for column in shown],
            ["---:" if column.number else "---" for column in shown],
        ]
        lines += [[_markdown_cell(row, column) for column in shown] for row in members]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {markdown(f'{data}, {model}')}\n\n{table}\n")
        if below := table_notes(members, margin):
            parts.append("\n".join(f"- {markdown(line)}" for line in below) + "\n")
        if ranks := mean_ranks(members):
            parts.append(_markdown_ranks(ranks))
    explained = "\n".join(f"- {line.strip()}" for line in legend(rows, wide=True))
    return "\n".join([*parts, explained, ""])


def _markdown_cell(row: Row, column: Column) -> str:
    text = markdown(column.text(row))
    return f"**{text}**" if column.bold(row) else text


def _markdown_ranks(ranks: Sequence[MeanRank]) -> str:
    lines = ["| method | mean rank (ratios) |", "| --- | ---: |"]
    lines += [f"| {markdown(rank.method)} | {_mean_rank_text(rank)} |" for rank in ranks]
    return "\n".join(line for line in lines) + "\n"


def _mean_rank_text(rank: MeanRank) -> str:
    return f"{rank.mean_rank:.2f} ({len(rank.by_ratio)})"


def to_latex(rows: Sequence[Row], baseline: str, margin: Margin | None = None) -> str:
    """Return one ``tabular`` per data set and model, and one of mean ranks, for the package booktabs."""
    parts = [LATEX_NEEDS, *(f"% {line}" for line in legend(rows, wide=True))]
    if any(ord(character) > ord("ÿ") for row in rows for character in row.label):
        parts.insert(1, LATEX_FONTS)
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        members, table = list(group), flat(f"{data}, {model}")
        shown = columns(members, baseline, wide=True)
        blocks = [list(alike) for _, alike in groupby(members, key=lambda row: row.pruning_ratio)]
        body = "\n\\midrule\n".join("\n".join(_latex_row(row, shown) for row in block) for block in blocks)
        parts.append("\n".join([f"\n% {table}", *(f"% {line}" for line in table_notes(members, margin))]))
        parts.append(_latex_table([column.header for column in shown], [column.number for column in shown], body))
        if ranks := mean_ranks(members):
            lines = [_latex_line([latex(rank.method), latex(_mean_rank_text(rank))]) for rank in ranks]
            parts.append(f"\n% {table}: mean ranks")
            parts.append(_latex_table(["method", "mean rank (ratios)"], [False, True], "\n".join(lines)))
    return "\n".join(parts) + "\n"


def _latex_table(headers: Sequence[str], numbers: Sequence[bool], body: str) -> str:
    """Return a tabular."""
    form = "".join("lr"[number] for number in numbers)
    head = _latex_line([latex(header) for header in headers])
    return f"\\begin{{tabular}}{{{form}}}\n\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}"


def _latex_row(row: Row, shown: Sequence[Column]) -> str:
    texts = [(latex(column.text(row)), column.bold(row)) for column in shown]
    return _latex_line([f"\\textbf{{{text}}}" if bold else text for text, bold in texts])


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join(texts) + r" \\"
