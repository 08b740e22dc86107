"""One row per method and ratio: accuracy, paired comparisons, verdicts and cost."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

from secateur.report.cells import Cell
from secateur.report.run import FULL, Run, recipe_for
from secateur.report.spread import Spread, spread
from secateur.report.statistics import Comparison, Estimate, holm, verdict
from secateur.report.two_seeds import Values, compare_runs, estimate_runs


@dataclass(frozen=True)
class Row:
    """What a report says about one cell.

    Attributes:
        data: name of the data set.
        model: the finally trained model.
        label: the method.
        pruning_ratio: fraction removed, as asked for; as realized where the rule does not read the ratio.
        keep_fraction: mean share of the pool that was kept; None when not recorded.
        seeds: the training seeds.
        num_masks: number of different score seeds.
        accuracy: test accuracy after the last epoch over the seeds, in ``[0, 1]``.
        vs_baseline: paired difference to the baseline at the same ratio; None when there is none.
        vs_full: paired difference to full data.
        verdict_baseline: what ``vs_baseline`` says, in words; empty for the baseline and for full data.
        verdict_full: what ``vs_full`` says; empty for full data.
        cost_vs_full: mean cost in units of one full training; None when a run did not measure it.
        cost_vs_full_amortized: the same when the mask is reused without end.
        selected_on_test: the mask was chosen on the test set: no verdict.
        robust_accuracy: accuracy on the attacked test set over the seeds; None when a run did not measure it.
        worst_class_accuracy: accuracy of the worst class over the seeds; None when a run did not measure it.
        spread: how much of the accuracy's spread is the mask's, how much the training's.
        runs: the runs behind it.
        rank: its rank at its ratio, see :mod:`secateur.report.ranks`; None before it is known, and for full data.
        num_ranked: how many methods share that ranking.
        best: the highest mean at its ratio, over at least two seeds.
    """

    data: str
    model: str
    label: str
    pruning_ratio: float
    keep_fraction: float | None
    seeds: tuple[int, ...]
    num_masks: int
    accuracy: Estimate
    vs_baseline: Comparison | None
    vs_full: Comparison | None
    verdict_baseline: str
    verdict_full: str
    cost_vs_full: float | None
    cost_vs_full_amortized: float | None
    selected_on_test: bool = False
    robust_accuracy: Estimate | None = None
    worst_class_accuracy: Estimate | None = None
    spread: Spread | None = None
    runs: tuple[Run, ...] = ()
    rank: float | None = None
    num_ranked: int = 0
    best: bool = False

    @property
    def is_full(self) -> bool:
        """Whether this is training on all data."""
        return is_method(self.label, FULL)


def make_rows(cells: Sequence[Cell], baseline: str = "random") -> list[Row]:
    """Return the rows: by data set and model, full data first, then by ratio, the baseline before the others.

    Args:
        cells: from :func:`secateur.report.cells.make_cells`.
        baseline: label of the method that the others are compared with.
    """
    references = defaultdict(list)
    for cell in cells:
        if is_method(cell.label, FULL) or is_method(cell.label, baseline):
            references[cell.data, cell.model, is_method(cell.label, FULL), cell.pruning_ratio].append(cell)
    rows = [
        _row(
            cell,
            baseline,
            references[cell.data, cell.model, False, cell.pruning_ratio],
            references[cell.data, cell.model, True, 0.0],
        )
        for cell in cells
    ]
    corrected = _corrected(_corrected(rows, "vs_baseline"), "vs_full")
    return sorted(
        corrected,
        key=lambda row: (
            *(row.data, row.model, not row.is_full, row.pruning_ratio),
            *(not is_method(row.label, baseline), row.label),
        ),
    )


def several_baselines(cells: Sequence[Cell], baseline: str) -> list[str]:
    """Return the labels of a baseline that one method could be compared with alike; empty where it is never in doubt.

    Args:
        cells: from :func:`secateur.report.cells.make_cells`.
        baseline: label of the method that the others are compared with.
    """
    alike: dict[tuple[str, str, float, str], set[str]] = defaultdict(set)
    for cell in cells:
        if is_method(cell.label, baseline):
            alike[cell.data, cell.model, cell.pruning_ratio, repr(sorted(cell.recipe.items()))].add(cell.label)
    return sorted({label for labels in alike.values() if len(labels) > 1 for label in labels})


def _corrected(rows: Sequence[Row], which: Literal["vs_baseline", "vs_full"]) -> list[Row]:
    """Add Holm's p values; a family is all comparisons of one table (data set and model) with the same reference."""
    families: dict[tuple[str, str], list[tuple[int, Comparison]]] = defaultdict(list)
    for position, row in enumerate(rows):
        difference: Comparison | None = getattr(row, which)
        if difference is not None and difference.p_t is not None and not row.selected_on_test:
            families[row.data, row.model].append((position, difference))
    changed = list(rows)
    for family in families.values():
        adjusted = holm([difference.p_t or 0.0 for _, difference in family])
        for (position, difference), p in zip(family, adjusted, strict=True):
            comparison: Any = {which: replace(difference, p_holm=p)}
            changed[position] = replace(rows[position], **comparison)
    return changed


def is_method(label: str, method: str) -> bool:
    """Return whether a label is a method, whatever settings tell it apart."""
    return label == method or label.startswith(f"{method} [")


def _row(cell: Cell, baseline: str, baselines: Sequence[Cell], fulls: Sequence[Cell]) -> Row:
    full = is_method(cell.label, FULL)
    vs_baseline, says_baseline = _compare(cell, baselines, baseline, "ties")
    vs_full, says_full = _compare(cell, fulls, FULL, "matches")
    if full or is_method(cell.label, baseline):
        vs_baseline, says_baseline = None, ""
    if full:
        vs_full, says_full = None, ""
    selected_on_test = any(run.selected_on_test for run in cell.runs)
    if selected_on_test:
        says_baseline = says_full = "selected on test: no verdict"
    return Row(
        data=cell.data,
        model=cell.model,
        label=cell.label,
        pruning_ratio=cell.pruning_ratio,
        keep_fraction=_mean([run.keep_fraction for run in cell.runs]),
        seeds=cell.seeds,
        num_masks=cell.num_masks,
        accuracy=estimate_runs(cell.accuracy, cell.resolution),
        vs_baseline=vs_baseline,
        vs_full=vs_full,
        verdict_baseline=says_baseline,
        verdict_full=says_full,
        cost_vs_full=_mean([run.cost_vs_full for run in cell.runs]),
        cost_vs_full_amortized=_mean([run.cost_vs_full_amortized for run in cell.runs]),
        selected_on_test=selected_on_test,
        robust_accuracy=_estimate_or_none(cell.robust_accuracy, cell.resolution),
        worst_class_accuracy=_estimate_or_none(cell.worst_class_accuracy, cell.class_resolution),
        spread=spread(cell.accuracy),
        runs=cell.runs,
    )


def _estimate_or_none(values: Values, resolution: float) -> Estimate | None:
    return estimate_runs(values, resolution) if values else None


def _compare(cell: Cell, references: Sequence[Cell], name: str, equal: str) -> tuple[Comparison | None, str]:
    """Compare with what the runs were compared with themselves, or the reference of the same final recipe."""
    values, own = cell.accuracy, cell.compared_with(name)
    if own:
        difference = compare_runs(values, own, cell.resolution)
        return difference, verdict(difference, name, equal)
    if not references:
        return None, f"no {name} run"
    recipe = recipe_for(name, cell.recipe)
    alike = [reference for reference in references if recipe_for(name, reference.recipe) == recipe]
    if not alike:
        return None, f"no {name} run with the same {_differing(recipe, references[0].recipe)}"
    difference = compare_runs(values, alike[0].accuracy, cell.resolution)
    return difference, verdict(difference, name, equal)


def _differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return keys[0] + (f" (and {len(keys) - 1} more)" if len(keys) > 1 else "")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if values and len(known) == len(values) else None
