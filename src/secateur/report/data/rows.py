"""One row per method and ratio: accuracy, paired comparisons, verdicts and cost."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

from secateur.report.data.cells import Cell, is_method
from secateur.report.data.equality import Margin
from secateur.report.data.run import FULL, Run, recipe_for
from secateur.report.data.spread import Spread, spread
from secateur.report.data.statistics import Comparison, Estimate, holm, verdict
from secateur.report.data.two_seeds import Masks, Values, by_seed, compare_runs, estimate_runs, is_one_draw, used_masks

ONE_AGAINST_ONE = "one mask against one mask: no verdict"
THIS_MASK = "this mask"


@dataclass(frozen=True)
class Row:
    """What a report says about one cell.

    Attributes:
        data: name of the data set.
        model: the finally trained model.
        label: the method.
        pruning_ratio: fraction removed, as asked for; as realized where that need not be the same.
        keep_fraction: mean share of the pool that was kept; None when not recorded, and where nothing is kept for good.
        seeds: the training seeds.
        num_masks: number of different masks.
        accuracy: test accuracy after the last epoch over the seeds, in ``[0, 1]``.
        vs_baseline: paired difference to the baseline at the same ratio; None when there is none.
        vs_full: paired difference to full data.
        verdict_baseline: what ``vs_baseline`` says, in words; empty for the baseline and for full data.
        verdict_full: what ``vs_full`` says; empty for full data.
        cost_vs_full: mean cost in units of one full training; None when a run did not measure it.
        cost_vs_full_amortized: the same when the mask is reused without end.
        selected_on_test: the mask was chosen on the test set: no verdict.
        one_mask: all seeds were trained on one mask: verdicts hold for this mask and count for no method.
        baseline_counts: whether the comparison with the baseline may count for the method.
        is_yardstick: a random subset of another size than its ratio keeps, trained for one method.
        is_comparison: a baseline that other runs trained beside them.
        asked_ratio: the ratio asked for; None where the method reads none.
        is_realized: whether ``pruning_ratio`` is what was realized, and not what was asked for.
        visited_share: mean share of the visits that was trained on, for methods that choose anew in every epoch.
        num_seen: mean number of distinct samples that were trained on, for these.
        margin: two results count as equal where they differ by less; None where nothing says how large that is.
        baseline: label of the method that the others are compared with.
        has_full: whether there is full data to compare with, of whose error the margin is a share.
        robust_accuracy: accuracy on the attacked test set over the seeds; None when a run did not measure it.
        worst_class_accuracy: accuracy of the worst class over the seeds; None when a run did not measure it.
        spread: how much of the accuracy's spread is the mask's, how much the training's.
        runs: the runs behind it.
        rank: its rank at its ratio, see :mod:`secateur.report.data.league`; None before it is known or if it has none.
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
    one_mask: bool = False
    baseline_counts: bool = True
    is_yardstick: bool = False
    is_comparison: bool = False
    asked_ratio: float | None = None
    is_realized: bool = False
    visited_share: float | None = None
    num_seen: float | None = None
    margin: float | None = None
    baseline: str = ""
    has_full: bool = False
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

    @property
    def counts(self) -> bool:
        """Whether what is said of the row is said of its method: it is ranked, set in bold and may have paid."""
        return not (self.selected_on_test or self.one_mask or self.is_yardstick)

    @property
    def per_epoch(self) -> bool:
        """Whether another subset was trained on in every epoch, so that nothing was kept for good."""
        return any(run.per_epoch for run in self.runs)


def make_rows(cells: Sequence[Cell], baseline: str = "random", margin: Margin | None = None) -> list[Row]:
    """Return the rows: by data set and model, full data first, then by ratio, the baseline before the others.

    Args:
        cells: from :func:`secateur.report.data.cells.make_cells`.
        baseline: label of the method that the others are compared with.
        margin: how near results are that count as equal; None: the default.
    """
    references = defaultdict(list)
    for cell in cells:
        if (cell.is_full or is_method(cell.label, baseline)) and not cell.is_yardstick:
            references[cell.data, cell.model, cell.is_full, cell.pruning_ratio].append(cell)
    rows = [
        _row(
            cell,
            baseline,
            references[cell.data, cell.model, False, cell.pruning_ratio],
            references[cell.data, cell.model, True, 0.0],
            margin or Margin(),
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
        cells: from :func:`secateur.report.data.cells.make_cells`.
        baseline: label of the method that the others are compared with.
    """
    alike: dict[tuple[str, str, float, str], set[str]] = defaultdict(set)
    for cell in cells:
        if is_method(cell.label, baseline) and not cell.is_yardstick:
            alike[cell.data, cell.model, cell.pruning_ratio, repr(sorted(cell.recipe.items()))].add(cell.label)
    return sorted({label for labels in alike.values() if len(labels) > 1 for label in labels})


def _corrected(rows: Sequence[Row], which: Literal["vs_baseline", "vs_full"]) -> list[Row]:
    """Add Holm's p values, of differences and of equalities.

    A family is all comparisons of one table (data set and model) with the same reference. Those that hold for one mask
    only are a family of their own: they are no statements about methods, and do not make these harder to prove.
    """
    families: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        difference: Comparison | None = getattr(row, which)
        if difference is not None and difference.p_t is not None and not row.selected_on_test:
            counts = row.counts and (which == "vs_full" or row.baseline_counts)
            families[row.data, row.model, counts].append(position)
    changed = list(rows)
    for positions in families.values():
        for p, adjusted in (("p_t", "p_holm"), ("p_equal", "p_equal_holm")):
            known = [i for i in positions if getattr(getattr(changed[i], which), p) is not None]
            for i, value in zip(known, holm([getattr(getattr(changed[i], which), p) for i in known]), strict=True):
                better: Any = {which: replace(getattr(changed[i], which), **{adjusted: value})}
                changed[i] = replace(changed[i], **better)
    return changed


@dataclass(frozen=True)
class _Reference:
    """What a cell is compared with: accuracies and draws by ``(seed, score_seed)``, or why there is nothing."""

    values: Values
    draws: Masks | None = None
    one_mask: bool = False
    missing: str = ""


def _row(cell: Cell, baseline: str, baselines: Sequence[Cell], fulls: Sequence[Cell], margin: Margin) -> Row:
    to_baseline, to_full = _reference(cell, baselines, baseline), _reference(cell, fulls, FULL)
    if cell.is_full or is_method(cell.label, baseline):
        to_baseline = _Reference({})
    if cell.is_full:
        to_full = _Reference({})
    within = margin.of(_mean_of(to_full if to_full.values else to_baseline), cell.resolution)
    vs_baseline, says_baseline, one_baseline = _compare(cell, to_baseline, baseline, "ties", within)
    vs_full, says_full, _ = _compare(cell, to_full, FULL, "matches", within)
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
        accuracy=estimate_runs(cell.accuracy, cell.resolution, cell.draws),
        vs_baseline=vs_baseline,
        vs_full=vs_full,
        verdict_baseline=says_baseline,
        verdict_full=says_full,
        cost_vs_full=_mean([run.cost_vs_full for run in cell.runs]),
        cost_vs_full_amortized=_mean([run.cost_vs_full_amortized for run in cell.runs]),
        selected_on_test=selected_on_test,
        one_mask=cell.has_one_mask,
        baseline_counts=not one_baseline,
        is_yardstick=cell.is_yardstick,
        is_comparison=cell.is_comparison,
        asked_ratio=cell.asked_ratio,
        is_realized=cell.is_realized,
        visited_share=_mean([run.visited_share for run in cell.runs]),
        num_seen=_mean([run.num_seen for run in cell.runs]),
        margin=within,
        baseline=baseline,
        has_full=bool(to_full.values),
        robust_accuracy=_estimate_or_none(cell.robust_accuracy, cell.resolution, cell.draws),
        worst_class_accuracy=_estimate_or_none(cell.worst_class_accuracy, cell.class_resolution, cell.draws),
        spread=spread(cell.accuracy_by_draw),
        runs=cell.runs,
    )


def _estimate_or_none(values: Values, resolution: float, draws: Masks) -> Estimate | None:
    return estimate_runs(values, resolution, draws) if values else None


def _reference(cell: Cell, references: Sequence[Cell], name: str) -> _Reference:
    """Return what the runs were compared with themselves, or the reference of the same final recipe."""
    if own := cell.compared_with(name):
        return _Reference(own, None if name == FULL else cell.draws_compared_with(name))
    if not references:
        at = f" at {round(100 * cell.pruning_ratio, 1):g} %" if cell.is_realized and name != FULL else " run"
        return _Reference({}, missing=f"no {name}{at}")
    recipe = recipe_for(name, cell.recipe)
    alike = [reference for reference in references if recipe_for(name, reference.recipe) == recipe]
    if not alike:
        differing = _differing(recipe, references[0].recipe)
        return _Reference({}, missing=f"no {name} run with the same {differing}")
    found = alike[0]
    return _Reference(found.accuracy, None if found.is_full else found.draws, found.has_one_mask)


def _compare(
    cell: Cell, reference: _Reference, name: str, equal: str, margin: float | None
) -> tuple[Comparison | None, str, bool]:
    """Return the paired difference, what it says, and whether the reference is the same mask for all seeds."""
    if not reference.values:
        return None, reference.missing, False
    values, draws = cell.accuracy, cell.draws
    difference = compare_runs(values, reference.values, cell.resolution, draws, reference.draws)
    used = {} if reference.draws is None else used_masks(values, reference.draws)
    one_reference = reference.one_mask or is_one_draw(used)
    if difference is None or difference.n < 2:
        return difference, verdict(difference, name, equal), one_reference
    if cell.has_one_mask and one_reference:
        return difference.untested(), ONE_AGAINST_ONE, True
    only = THIS_MASK if cell.has_one_mask else f"one mask of {name}" if one_reference else ""
    difference = difference.within(margin)
    return difference, verdict(difference, name, equal, only), one_reference


def _mean_of(reference: _Reference) -> float | None:
    """Return the mean accuracy of a reference over its training seeds; None where there is none."""
    return fmean(by_seed(reference.values).values()) if reference.values else None


def _differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return keys[0] + (f" (and {len(keys) - 1} more)" if len(keys) > 1 else "")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if values and len(known) == len(values) else None
