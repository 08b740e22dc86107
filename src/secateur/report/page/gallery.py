"""Which samples of a mask are worth looking at: the extremes, the border between kept and pruned, every class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from secateur.core.errors import DataError
from secateur.report.data.arrays import MASK, SCORES, Array, Keep, Rows, read_mask, read_scores

NUM_STRIP: Final = 12
NUM_CLASS: Final = 4
NUM_CLASSES: Final = 40


@dataclass(frozen=True)
class Ranked:
    """The pool of one run: which samples are kept, and by which score.

    Attributes:
        sample_id: int64 ``[N]``, increasing.
        keep: bool ``[N]``.
        score: float64 ``[N]``, higher is kept first; None when the method has none.
        label: int64 ``[N]`` as trained on; None where no table has it.
        observed: bool ``[N]``, whether the score was measured and not predicted; None without scores.
    """

    sample_id: Rows
    keep: Keep
    score: Array | None = None
    label: Rows | None = None
    observed: Keep | None = None


@dataclass(frozen=True)
class Strip:
    """Samples that are shown in a row: a title, and pool rows in the order in which they are shown."""

    title: str
    rows: Rows


def read_ranked(folder: Path, fingerprint: str, num_rows: int | None = None) -> Ranked:
    """Read the mask of a run, and its scores where they cover the same samples.

    Args:
        folder: of the run.
        fingerprint: of the pool that both must belong to.
        num_rows: how many samples they must have; None takes any number.

    Raises:
        SecateurError: there is no mask, it is damaged, or it is of another pool.
    """
    sample_id, keep = read_mask(folder, fingerprint, num_rows)
    if not (folder / SCORES).is_file():
        return Ranked(sample_id, keep)
    scores = read_scores(folder, fingerprint, num_rows)
    if not np.array_equal(scores.sample_id, sample_id):
        raise DataError(f"{SCORES} is of other samples than {MASK}.")
    return Ranked(sample_id, keep, scores.score, scores.label, scores.observed)


def strips(ranked: Ranked, count: int = NUM_STRIP) -> list[Strip]:
    """Return the highest and the lowest scores, and both sides of the border; ties by ``sample_id``.

    Without scores: some kept and some pruned samples, spread evenly over the pool.

    Example:
        >>> import numpy as np
        >>> pool = Ranked(np.arange(4), np.array([True, False, True, False]), np.array([0.4, 0.1, 0.9, 0.2]))
        >>> [strip.rows.tolist() for strip in strips(pool, 1)]
        [[2], [0], [3], [1]]
    """
    kept, pruned = np.flatnonzero(ranked.keep), np.flatnonzero(~ranked.keep)
    if ranked.score is None:
        return [
            Strip("Some kept samples", spread_evenly(kept, 2 * count)),
            Strip("Some pruned samples", spread_evenly(pruned, 2 * count)),
        ]
    order = by_score(ranked.score)
    return [
        Strip("Highest scores", order[:count]),
        Strip("Kept with the lowest scores", order[ranked.keep[order]][-count:]),
        Strip("Pruned with the highest scores", order[~ranked.keep[order]][:count]),
        Strip("Lowest scores", order[-count:]),
    ]


def class_rows(ranked: Ranked, labels: Rows, target: int, count: int = NUM_CLASS) -> Rows:
    """Return samples of one class: those of the highest and the lowest scores, or some kept and some pruned ones.

    Args:
        ranked: the pool.
        labels: int64 ``[N]``.
        target: the class.
        count: how many from either end.
    """
    members = np.flatnonzero(labels == target)
    if ranked.score is None:
        kept, pruned = members[ranked.keep[members]], members[~ranked.keep[members]]
        num_kept = 2 * count - min(count, len(pruned))
        return np.concatenate([spread_evenly(kept, num_kept), spread_evenly(pruned, 2 * count - min(count, len(kept)))])
    order = members[by_score(ranked.score[members])]
    return order if len(order) <= 2 * count else np.concatenate([order[:count], order[-count:]])


def shown_classes(kept: Sequence[int], totals: Sequence[int], limit: int = NUM_CLASSES) -> list[int]:
    """Return the classes to show: all, or of many those of which the smallest and the largest part is kept.

    Example:
        >>> shown_classes([5, 0, 10, 4], [10, 10, 10, 10], limit=2)
        [1, 2]
    """
    present = [number for number, total in enumerate(totals) if total]
    ordered = sorted(present, key=lambda number: (kept[number] / totals[number], number))
    if len(ordered) <= limit:
        return present
    return sorted([*ordered[: limit // 2], *ordered[-(limit - limit // 2) :]])


def by_score(score: Array) -> Rows:
    """Return positions by falling score; of equal scores the first comes first."""
    return np.argsort(-score, kind="stable")


def spread_evenly(rows: Rows, count: int) -> Rows:
    """Return ``count`` of some rows at equal distances, or all when there are no more."""
    if len(rows) <= count:
        return rows
    return rows[(np.arange(count) * len(rows)) // count]


def chosen_runs(payload: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return one ``(cell, run)`` per cell that has a mask of its own: the run of the smallest seeds."""
    pairs = []
    for table in payload["tables"]:
        for key in table["cells"]:
            cell = payload["cells"][key]
            members = [payload["runs"][name] for name in cell["runs"]]
            masked = [run for run in members if not run["is_comparison"] and "mask.parquet" in run["artifacts"]]
            if masked and not cell["is_full"] and not cell["per_epoch"]:
                pairs.append((cell, min(masked, key=lambda run: (run["seed"], run["score_seed"] or 0, run["id"]))))
    return pairs
