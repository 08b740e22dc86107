"""The ratio at which runs stand: as asked for, or as realized where that is something else."""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from secateur.core.ratio import keep_count
from secateur.report.run import FULL, RANDOM, Run

ROUNDING = 1e-9
DIGITS = 2  # of the kept share: 49.7 % and 50.4 % of a pool are compared, 1.4 % and 0.6 % are not


def is_realized(run: Run) -> bool:
    """Whether a run stands at what it realized: its record says that this need not be the ratio asked for."""
    return (run.per_epoch or not run.follows_ratio) and not run.is_comparison and run.realized_ratio is not None


def at_realized_ratio(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, those that need not keep what was asked for at the ratio that they realized.

    It is one ratio for all that differ in nothing but their seeds: their mean realized ratio, where two significant
    digits of what is left count. Where these agree with the ratio asked for, or with one at which other runs of the
    table stand, it is that ratio. What a run was compared with stands beside it; a random subset that has another size
    than its ratio keeps is a yardstick of that run alone.
    """
    alike: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    grid: dict[tuple[str, str, str], set[float]] = defaultdict(set)
    for run in runs:
        if is_realized(run):
            alike[_all_but_seeds(run)].append(run)
        elif run.label != FULL and not run.is_comparison:
            grid[_pool(run)].add(run.pruning_ratio)
    ratios: dict[str, float] = {}
    for members in alike.values():
        realized = fmean(run.realized_ratio for run in members if run.realized_ratio is not None)
        ratio = placed(realized, members[0].asked_ratio, grid[_pool(members[0])])
        ratios.update((run.run_key, ratio) for run in members)
    parents = {run.run_key: run for run in runs if not run.is_comparison}
    return [_beside(run, parents, ratios) if run.is_comparison else _moved(run, ratios) for run in runs]


def placed(realized: float, asked: float | None, others: Collection[float] = ()) -> float:
    """Return the ratio at which a realized one stands.

    Args:
        realized: mean share that was left out.
        asked: the ratio asked for; None where there is none.
        others: ratios at which other runs stand.

    Example:
        >>> placed(0.3662, 0.7), placed(0.8749, 0.875), placed(0.3662, 0.7, [0.5, 0.365])
        (0.37, 0.875, 0.365)
    """
    known = ([] if asked is None else [asked]) + sorted(others, key=lambda ratio: (abs(ratio - realized), ratio))
    left = 1 - realized
    half = 10.0 ** (math.floor(math.log10(left)) - DIGITS + 1) / 2 if left > 0 else 0.0  # half of the last digit
    agreeing = (ratio for ratio in known if abs(ratio - realized) <= half + ROUNDING)
    return next(agreeing, round(1 - float(f"{left:.{DIGITS}g}"), 10))


def _moved(run: Run, ratios: dict[str, float]) -> Run:
    return replace(run, pruning_ratio=ratios.get(run.run_key, run.pruning_ratio))


def _beside(run: Run, parents: dict[str, Run], ratios: dict[str, float]) -> Run:
    """Return a baseline at the ratio of the run that it was trained beside."""
    if run.label == FULL:
        return run
    key = run.run_key.split("/")[0]
    moved = replace(run, pruning_ratio=ratios.get(key, run.pruning_ratio))
    parent = parents.get(key)
    if parent is None or _is_of_its_ratio(moved):
        return replace(moved, asked_ratio=moved.pruning_ratio)
    return replace(
        moved,
        label=f"{RANDOM} [as many as {parent.label}]",
        is_yardstick=True,
        settings=parent.settings,
        asked_ratio=parent.asked_ratio,
    )


def _is_of_its_ratio(run: Run) -> bool:
    """Whether a random subset has the size that its ratio keeps; one of unknown size counts as such."""
    if run.kept_in_comparison is None or run.num_total is None:
        return True
    return round(run.kept_in_comparison * run.num_total) == keep_count(run.num_total, run.pruning_ratio)


def _pool(run: Run) -> tuple[str, str, str]:
    return run.data, run.fingerprint, run.model


def _all_but_seeds(run: Run) -> tuple[Any, ...]:
    return *_pool(run), run.label, run.asked_ratio, repr(sorted(run.settings.items()))
