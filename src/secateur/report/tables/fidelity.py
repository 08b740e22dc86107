"""The fidelity of predicted scores as tables: on the terminal, Markdown and CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from secateur.report.answers import gap_text
from secateur.report.data.fidelity_rows import FidelityRow, RatioFidelity
from secateur.report.data.fidelity_run import mean_of_all
from secateur.report.data.statistics import Estimate, short
from secateur.report.tables.markup import markdown
from secateur.report.tables.terminal import STYLES, percent, ratio_text

REFERENCE = "full, other seed"
SHARE_TITLE = "share of the kept samples that was scored"
LEGEND = (
    "Spearman: predicted against full scores of the unscored samples, mean ± sample sd (n subsets)",
    "of seeds: as a share of the correlation between full scorings of different seeds",
    "tail: share of the extreme scores that is found; in brackets: by chance",
    "cost: of all that only decides the mask, in full scorings / in full trainings",
    "vs control: difference in Spearman to the best control, paired by score seed, ± half of its 95 %",
    "    t interval; ties: two one-sided tests say that it is below 0.01; undecided: neither",
    "better than chance: the 95 % interval of Spearman over its samples lies above 0, and at one ratio",
    "    that of the recall above a random mask's; no better: one of them ends below a tenth of what a",
    "    perfect prediction reaches; not shown to be better: neither",
)


@dataclass(frozen=True)
class Part:
    """One table as text.

    Attributes:
        title: what it shows, and the settings that all its lines share.
        headers: of the columns.
        numbers: which columns are set flush right.
        lines: the texts.
        first: which lines begin a new block.
        dim: which lines are references or controls.
        verdicts: of each line, for its color; empty where there is none.
    """

    title: str
    headers: list[str]
    numbers: list[bool]
    lines: list[list[str]]
    first: list[bool]
    dim: list[bool]
    verdicts: list[str]


def fidelity_parts(rows: Sequence[FidelityRow]) -> list[Part]:
    """Return the tables: per study the correlations, the recall at each ratio and the share that was measured.

    Args:
        rows: sorted as :func:`secateur.report.data.fidelity_rows.make_fidelity_rows` returns them.
    """
    parts = []
    for _, members in groupby(rows, key=lambda row: row.study):
        study = list(members)
        parts.append(_correlations(study))
        if any(ratio.recall for row in study for ratio in row.ratios):
            parts.append(_by_ratio(study, "recall of the kept set (by chance)", _recall_text, _seed_recall_text))
        if any(ratio.observed_share is not None for row in study for ratio in row.ratios):
            parts.append(_by_ratio(study, SHARE_TITLE, _observed_text, None))
    return parts


def _correlations(rows: Sequence[FidelityRow]) -> Part:
    headers = ["Spearman (n)", "of seeds", "tail", "cost", "vs control"]
    lines = [[*_values(row), f"{gap_text(row.vs_control)} {_short(row)}".strip()] for row in rows]

    def reference(block: Sequence[FidelityRow]) -> list[str] | None:
        level = mean_of_all([row.seed_spearman for row in block])
        return None if level is None else [f"{level:.3f}", "100 %", "", "1.00", ""]

    return _part(rows, "fidelity", headers, [*[True] * 4, False], lines, reference)


def _values(row: FidelityRow) -> list[str]:
    return [
        spearman_text(row.spearman),
        _share_text(row.of_seed_level),
        _with_chance(row.tail_recall, row.tail_chance),
        f"{ratio_text(row.cost_vs_full_scoring)} / {ratio_text(row.cost_choosing_vs_full)}",
    ]


def _short(row: FidelityRow) -> str:
    return short(row.verdict, row.control) if row.vs_control else row.verdict


def _by_ratio(
    rows: Sequence[FidelityRow],
    title: str,
    text: Callable[[RatioFidelity | None], str],
    reference_text: Callable[[Sequence[RatioFidelity]], str] | None,
) -> Part:
    """Return a table with a column per pruning ratio."""
    ratios = sorted({ratio.pruning_ratio for row in rows for ratio in row.ratios})
    lines = [[text(_at(row, ratio)) for ratio in ratios] for row in rows]

    def reference(block: Sequence[FidelityRow]) -> list[str] | None:
        if reference_text is None:
            return None
        texts = [reference_text([found for row in block if (found := _at(row, ratio))]) for ratio in ratios]
        return texts if any(texts) else None

    headers = [f"{percent(ratio)} pruned" for ratio in ratios]
    return _part(rows, title, headers, [True] * len(ratios), lines, reference)


def _at(row: FidelityRow, pruning_ratio: float) -> RatioFidelity | None:
    return next((ratio for ratio in row.ratios if ratio.pruning_ratio == pruning_ratio), None)


def _part(
    rows: Sequence[FidelityRow],
    title: str,
    headers: Sequence[str],
    numbers: Sequence[bool],
    values: Sequence[Sequence[str]],
    reference: Callable[[Sequence[FidelityRow]], list[str] | None],
) -> Part:
    """Put names before the values and, after each block of one subset, the level between full scorings."""
    names: dict[str, Callable[[FidelityRow], str]] = {
        "scored": lambda row: percent(row.subset_fraction),
        "epochs": lambda row: f"x{row.subset_epochs_factor:g}",
        "merge": lambda row: row.merge,
    }
    shown = {name: text for name, text in names.items() if len({text(row) for row in rows}) > 1}
    shared = {name: text(rows[0]) for name, text in names.items() if name not in shown}
    where = ", ".join(
        [", ".join(rows[0].study), *(f"{name} {text}" for name, text in shared.items() if text not in ("", "x1"))]
    )
    part = Part(
        title=f"{title}: {where}",
        headers=["extrapolation", *shown, *headers],
        numbers=[False, *(name != "merge" for name in shown), *numbers],
        **{"lines": [], "first": [], "dim": [], "verdicts": []},
    )
    for _, group in groupby(zip(rows, values, strict=True), key=lambda pair: pair[0].subset):
        block = list(group)
        for position, (row, texts) in enumerate(block):
            line = [row.label, *(text(row) for text in shown.values()), *texts]
            _add(part, line, first=position == 0, dim=row.is_control, words=row.verdict)
        if level := reference([row for row, _ in block]):
            own = ["" if name == "merge" else text(block[0][0]) for name, text in shown.items()]
            _add(part, [REFERENCE, *own, *level], first=False, dim=True, words="")
    return part


def _add(part: Part, line: list[str], *, first: bool, dim: bool, words: str) -> None:
    part.lines.append(line)
    part.first.append(first)
    part.dim.append(dim)
    part.verdicts.append(words)


def fidelity_table(rows: Sequence[FidelityRow]) -> Table:
    """Return the tables for the terminal, readable at 100 columns; those of the scored share are in the files only."""
    grid = Table.grid(padding=(0, 0))
    for part in fidelity_parts(rows):
        if not part.title.startswith(SHARE_TITLE):
            grid.add_row(_rich(part))
    grid.add_row(Text("\n".join(LEGEND), style="dim"))
    return grid


def _rich(part: Part) -> Table:
    table = Table(title=Text(part.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for position, (header, number) in enumerate(zip(part.headers, part.numbers, strict=True)):
        last = position == len(part.headers) - 1
        table.add_column(Text(header), justify="right" if number else "left", no_wrap=number and not last)
    for line, first, dim, words in zip(part.lines, part.first, part.dim, part.verdicts, strict=True):
        if first:
            table.add_section()
        style = STYLES.get(words.split(" ")[0], "dim") if words and part.headers[-1] == "vs control" else ""
        table.add_row(*(Text(text) for text in line[:-1]), Text(line[-1], style=style), style="dim" if dim else "")
    return table


def fidelity_markdown(rows: Sequence[FidelityRow]) -> str:
    """Return all tables as Markdown."""
    texts = []
    for part in fidelity_parts(rows):
        rule = ["---:" if number else "---" for number in part.numbers]
        headers, *values = ([markdown(text) for text in line] for line in (part.headers, *part.lines))
        table = "\n".join(f"| {' | '.join(line)} |" for line in (headers, rule, *values))
        texts.append(f"### {markdown(part.title)}\n\n{table}\n")
    legend = "\n".join(f"- {line.strip()}" for line in LEGEND)
    return "\n".join([*texts, legend, ""])


def fidelity_csv(rows: Sequence[FidelityRow]) -> str:
    """Return one line per row and pruning ratio, all numbers at full precision; what was not measured is empty."""
    lines = [{**_csv_row(row), **_csv_ratio(ratio)} for row in rows for ratio in row.ratios or (None,)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _csv_row(row: FidelityRow) -> dict[str, Any]:
    numbers = ("cost_choosing_vs_full", "cost_vs_full_scoring", "seed_spearman", "tail_chance", "ks", "wasserstein")
    estimates = ("spearman", "of_seed_level", "pearson", "tail_recall", "vs_control")
    names = ("data", "model", "score", "extrapolation", "label", "merge", "subset_fraction", "subset_epochs_factor")
    return {
        **{name: getattr(row, name) for name in names},
        "score_seeds": " ".join(map(str, row.score_seeds)),
        "num_subsets": len(row.score_seeds),
        "chosen": row.chosen,
        **{name: getattr(row, name) for name in numbers},
        **{key: value for name in estimates for key, value in _csv_estimate(name, getattr(row, name)).items()},
        "is_control": row.is_control,
        "chance": row.chance,
        "control": row.control,
        "verdict": row.verdict,
    }


def _csv_ratio(ratio: RatioFidelity | None) -> dict[str, Any]:
    names = ("pruning_ratio", "chance", "seed_recall", "jaccard", "jaccard_chance", "observed_share", "cost_vs_full")
    return {
        **{name: getattr(ratio, name, None) for name in names},
        **_csv_estimate("recall", ratio.recall if ratio else None),
    }


def _csv_estimate(name: str, value: Estimate | None) -> dict[str, Any]:
    keys = ("mean", "sd", "low", "high", "n")
    return {f"{name}_{key}": None if value is None else getattr(value, key) for key in keys}


def spearman_text(value: Estimate | None) -> str:
    """Return a correlation, for example ``0.612 ± 0.010 (3)``; a dash when it is not defined."""
    if value is None:
        return "-"
    spread = f" ± {value.sd:.3f}" if value.sd is not None else ""
    return f"{round(value.mean, 3) + 0.0:.3f}{spread} ({value.n})"


def _share_text(value: Estimate | None) -> str:
    if value is None:
        return "-"
    spread = f" ± {100 * value.sd:.0f}" if value.sd is not None else ""
    return f"{round(100 * value.mean) + 0:d}{spread} %"


def _with_chance(value: Estimate | None, chance: float | None) -> str:
    if value is None:
        return "-"
    return f"{value.mean:.2f}" + ("" if chance is None else f" ({chance:.2f})")


def _recall_text(ratio: RatioFidelity | None) -> str:
    return "-" if ratio is None else _with_chance(ratio.recall, ratio.chance)


def _seed_recall_text(ratios: Sequence[RatioFidelity]) -> str:
    level = mean_of_all([ratio.seed_recall for ratio in ratios])
    return "" if level is None else f"{level:.2f}"


def _observed_text(ratio: RatioFidelity | None) -> str:
    return "-" if ratio is None else percent(ratio.observed_share)
