"""Runs whose rule does not keep the share that their ratio asks for: what they did keep is their ratio."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from secateur.report.run import Run

# Values of mapping.keep_by that read no ratio, or keep more than it asks for.
RULES = ("num_groups", "vote_coverage", "min_samples")
DIGITS = 2  # of the kept share: 49.7 % and 50.4 % of a pool are compared, 1.4 % and 0.6 % are not


def keeps_otherwise(run: Run) -> bool:
    """Whether groups were kept by a rule other than the pruning ratio, so that another share may be left."""
    settings = run.settings
    return (
        settings.get("mapping.keep_by") in RULES
        and run.record["pruning"].get("num_groups_kept") is not None
        and not run.is_comparison
    )


def at_realized_ratio(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, those that keep by another rule than the ratio at the ratio that they realized.

    It is one ratio for all that differ in nothing but their seeds: 1 minus the mean share they kept, of which two
    significant digits count.
    """
    alike: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in runs:
        if keeps_otherwise(run) and run.keep_fraction is not None:
            alike[_all_but_seeds(run)].append(run)
    ratios = {
        id(run): _ratio([one.keep_fraction for one in members if one.keep_fraction is not None])
        for members in alike.values()
        for run in members
    }
    return [replace(run, pruning_ratio=ratios[id(run)]) if id(run) in ratios else run for run in runs]


def _all_but_seeds(run: Run) -> tuple[Any, ...]:
    asked = run.pruning_ratio if run.settings["mapping.keep_by"] == "min_samples" else None
    return run.data, run.fingerprint, run.model, run.label, asked, repr(sorted(run.settings.items()))


def _ratio(kept: Sequence[float]) -> float:
    return round(1 - float(f"{fmean(kept):.{DIGITS}g}"), 10)
