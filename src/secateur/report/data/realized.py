"""The ratio at which runs stand: as asked for, or as realized where that is something else."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from secateur.core.ratio import keep_count
from secateur.report.data.run import FULL, RANDOM, Run

ROUNDING = 1e-9
DIGITS = 2  # of the kept share: 49.7 % and 50.4 % of a pool are compared, 1.4 % and 0.6 % are not


def is_realized(run: Run) -> bool:
    """Whether a run stands at what it realized: its record says that this need not be the ratio asked for."""
    return (run.per_epoch or not run.follows_ratio) and not run.is_comparison and run.realized_ratio is not None


def at_realized_ratio(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, those that need not keep what was asked for at the ratio that they realized.

    It is one ratio for all that differ in nothing but their seeds: their mean realized ratio, where two significant
    digits of what is left count. Where these agree with the ratio asked for, or with one at which other runs of the
    table stand, it is that ratio. What a run was compared with stands beside it; where random subsets that were trained
    beside a method have another size than their ratio keeps, they are all a yardstick of that method alone.

    A run that was asked for no ratio (its mask is from a file) stands at the ratio of other runs that keeps exactly as
    many samples, if there is one.
    """
    alike: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    grid: dict[tuple[str, str, str], set[float]] = defaultdict(set)
    for run in runs:
        if is_realized(run):
            alike[_all_but_seeds(run)].append(run)
        elif run.label != FULL and not run.is_comparison and run.asked_ratio is not None:
            grid[_pool(run)].add(run.pruning_ratio)
    ratios: dict[str, float] = {}
    for members in alike.values():
        realized = fmean(run.realized_ratio for run in members if run.realized_ratio is not None)
        ratio = placed(realized, members[0].asked_ratio, grid[_pool(members[0])])
        ratios.update((run.run_key, ratio) for run in members)
    ratios.update((run.run_key, _of_equal_size(run, grid[_pool(run)])) for run in runs if _is_sized(run))
    parents = {run.run_key: run for run in runs if not run.is_comparison}
    moved = [_moved(run, ratios) for run in runs]
    of_another_size = {
        _all_but_seeds(parent)
        for run in moved
        if _is_subset_beside(run) and (parent := _parent(run, parents)) and not _is_of_its_ratio(run)
    }
    return [_beside(run, _parent(run, parents), of_another_size) if _is_subset_beside(run) else run for run in moved]


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


def _is_sized(run: Run) -> bool:
    """Whether a run stands where others that keep as many samples do: it was asked for no ratio, and kept a mask."""
    known = run.keep_fraction is not None and run.num_total is not None
    return known and run.asked_ratio is None and not run.is_comparison and not is_realized(run)


def _of_equal_size(run: Run, ratios: Collection[float]) -> float:
    """Return the ratio nearest to a run's that keeps exactly as many samples; where there is none its own."""
    assert run.keep_fraction is not None
    assert run.num_total is not None
    num_kept = round(run.keep_fraction * run.num_total)
    equal = [ratio for ratio in ratios if _num_kept(run.num_total, ratio) == num_kept]
    return min(equal, key=lambda ratio: (abs(ratio - run.pruning_ratio), ratio), default=run.pruning_ratio)


def _num_kept(num_total: int, ratio: float) -> int:
    """Return how many samples a ratio keeps of a pool; 0 where it keeps none, which no run can be asked for."""
    return keep_count(num_total, ratio) if round(num_total * (1 - ratio)) else 0


def _moved(run: Run, ratios: dict[str, float]) -> Run:
    """Return a run at its ratio, and a random subset at that of the run that it was trained beside."""
    key = run.run_key.split("/")[0] if _is_subset_beside(run) else run.run_key
    return replace(run, pruning_ratio=ratios.get(key, run.pruning_ratio))


def _is_subset_beside(run: Run) -> bool:
    """Whether a run is a random subset that another run trained beside it."""
    return run.is_comparison and run.label != FULL


def _parent(run: Run, parents: Mapping[str, Run]) -> Run | None:
    """Return the run that a baseline was trained beside; None where it is not among those that are read."""
    return parents.get(run.run_key.split("/")[0])


def _beside(run: Run, parent: Run | None, of_another_size: Collection[tuple[Any, ...]]) -> Run:
    """Return a random subset as one of its ratio, or as a yardstick: one decision for all seeds of a method.

    Args:
        run: the subset, at the ratio of the run that it was trained beside.
        parent: that run.
        of_another_size: the methods of which a subset has another size than its ratio keeps.
    """
    if parent is None or _all_but_seeds(parent) not in of_another_size:
        return replace(run, asked_ratio=run.pruning_ratio)
    return replace(
        run,
        label=f"{RANDOM} [as many as {parent.label}]",
        is_yardstick=True,
        settings=parent.settings,
        asked_ratio=parent.asked_ratio,
    )


def _is_of_its_ratio(run: Run) -> bool:
    """Whether a random subset has the size that its ratio keeps; one of unknown size counts as such."""
    if run.kept_in_comparison is None or run.num_total is None:
        return True
    return round(run.kept_in_comparison * run.num_total) == _num_kept(run.num_total, run.pruning_ratio)


def _pool(run: Run) -> tuple[str, str, str]:
    return run.data, run.fingerprint, run.model


def _all_but_seeds(run: Run) -> tuple[Any, ...]:
    return *_pool(run), run.label, run.asked_ratio, repr(sorted(run.settings.items()))
