"""Foreign masks and scores as tables over a pool of ours: the rows it has, its fingerprint, and the right way round."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import DataError
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.data.prepared import EVALUATION_BATCH, PreparedData
from secateur.extrapolation.correlation import spearman
from secateur.interop.foreign import ForeignMask, ForeignRows, ForeignScores


@dataclass(frozen=True)
class Imported:
    """A foreign mask over our pool.

    Attributes:
        mask: the mask.
        num_outside: kept rows of the file that are not in the pool (validation, imbalance) and were dropped.
        class_counts: kept samples per class, int64 ``[C]``.
        remarks: what was found out about the file's direction.
    """

    mask: Mask
    num_outside: int
    class_counts: Tensor
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedScores:
    """Foreign scores over our pool, higher = kept first.

    Attributes:
        table: the scores.
        num_outside: rows of the file that are not in the pool and were dropped.
        remarks: what was found out about the file's direction.
    """

    table: ScoreTable
    num_outside: int
    remarks: tuple[str, ...] = ()


def adopt(
    foreign: ForeignMask | ForeignRows,
    data: PreparedData,
    source: str,
    *,
    higher_is_kept: bool | None = None,
    pruning_ratio: float | None = None,
) -> Imported:
    """Lay a foreign mask over the pool.

    Args:
        foreign: covers the whole training split in its order, or lists rows of it.
        data: the data set it belongs to.
        source: the file's format, written into the mask.
        higher_is_kept: false where a 1, or being listed, means that a sample is removed; None: as the format says.
        pruning_ratio: what the file is said to prune, which is checked over the pool and over the whole training
            split; None: what its name says, if anything.

    Raises:
        DataError: it belongs to other data, or its direction contradicts what it is said to keep.
    """
    listed = _full_length(foreign, data)
    keep = ~listed if higher_is_kept is False else listed
    asked = None if pruning_ratio is None else 1 - pruning_ratio
    share = checked_share(keep, data, asked if asked is not None else foreign.facts.get("keep_fraction"))
    groups = checked_groups(keep, data, foreign.facts.get("num_groups_kept"))
    checks = [check for check in (share, groups) if check is not None]
    checked = any(check.tells_direction for check in checks)
    in_pool = keep[data.pool]
    if not bool(in_pool.any()):
        raise DataError("The file keeps no sample of the pool.")
    metadata = {"imported_from": source, **foreign.facts, "direction_checked": checked}
    mask = Mask(data.pool, in_pool, data.fingerprint, metadata, num_rows=len(data.labels))
    counts = torch.bincount(data.labels[mask.kept_ids], minlength=data.num_classes)
    remarks = [check.remark for check in checks]
    if not checked:
        remarks.append(direction_warning(share, groups, given=higher_is_kept is not None))
    return Imported(mask, int(keep.sum()) - mask.num_kept, counts, tuple(remarks))


def adopt_scores(
    foreign: ForeignScores, data: PreparedData, source: str, *, higher_is_kept: bool | None = None
) -> ImportedScores:
    """Lay foreign scores over the pool and turn them the right way round.

    The direction is what the user says, else what the format says. Where neither does, the error says whether the
    higher scores are of the images that look harder.

    Args:
        foreign: scores of at least every row of the pool.
        data: the data set they belong to.
        source: the file's format, written into the table.
        higher_is_kept: the direction; None: see above.

    Raises:
        DataError: a row of the pool has no score, the file is of other data, its direction is not known, or the other
            measures in the file say the opposite.
    """
    num_train = len(data.labels)
    _check_rows(foreign.sample_id, data)
    _check_targets(foreign, data)
    score = torch.full((num_train,), float("nan"), dtype=torch.float64)
    score[foreign.sample_id] = foreign.score
    present = torch.zeros(num_train, dtype=torch.bool)
    present[foreign.sample_id] = True
    missing = data.pool[~present[data.pool]]
    if len(missing):
        raise DataError(
            f"The file has no score for {len(missing)} of the {len(data.pool)} samples of the pool; the first is "
            f"sample_id {int(missing[0])}. A score table covers the pool."
        )
    kept, remarks = _direction(foreign, score, data, higher_is_kept)
    table = ScoreTable(
        sample_id=data.pool,
        label=data.pool_labels,
        score=score[data.pool] if kept else -score[data.pool],
        observed=torch.ones(len(data.pool), dtype=torch.bool),
        fingerprint=data.fingerprint,
        metadata={"imported_from": source, **foreign.facts, "higher_was": "kept" if kept else "pruned"},
    )
    return ImportedScores(table, len(foreign.sample_id) - len(data.pool), tuple(remarks))


def _full_length(foreign: ForeignMask | ForeignRows, data: PreparedData) -> Tensor:
    """Return the file's ones as bool ``[M]`` over the training split."""
    num_train = len(data.labels)
    if isinstance(foreign, ForeignRows):
        _check_rows(foreign.sample_id, data)
        listed = torch.zeros(num_train, dtype=torch.bool)
        listed[foreign.sample_id] = True
        return listed
    if len(foreign.keep) != num_train:
        raise DataError(
            f"The file has {len(foreign.keep)} rows, but the training split of {data.name} has {num_train}: "
            "it was made for other data."
        )
    return foreign.keep


def _check_rows(sample_id: Tensor, data: PreparedData) -> None:
    num_train = len(data.labels)
    if not len(sample_id):
        raise DataError("The file lists no row.")
    if int(sample_id.max()) >= num_train:
        raise DataError(
            f"The file has row {int(sample_id.max())}, but the training split of {data.name} has {num_train} rows: it "
            "was made for other data."
        )


def _check_targets(foreign: ForeignScores, data: PreparedData) -> None:
    """Check the labels in the file against the data set's own."""
    if foreign.target is None:
        return
    # Compared as the file has them: a label of NaN, or of 0.5, is a wrong one and not a whole number after all.
    wrong = (data.clean_labels[foreign.sample_id].double() != foreign.target.double()).nonzero().flatten()
    if len(wrong):
        row = int(foreign.sample_id[wrong[0]])
        raise DataError(
            f"The file says that row {row} is of class {float(foreign.target[wrong[0]]):g}, {data.name} says "
            f"{int(data.clean_labels[row])} ({len(wrong)} rows differ): it was made for other data, or in "
            "another order."
        )


def _direction(foreign: ForeignScores, score: Tensor, data: PreparedData, asked: bool | None) -> tuple[bool, list[str]]:
    """Return whether higher is kept, and how that is known."""
    remarks = agreement(foreign, asked)
    if asked is not None:
        return asked, [f"direction: higher is {_word(asked)}, as given", *remarks]
    if foreign.higher_is_kept is not None:
        kept = foreign.higher_is_kept
        return kept, [f"direction: higher is {_word(kept)}, by the format", *remarks]
    correlation = spearman(score[data.pool], _difficulty(data))
    raise DataError(
        f"The file does not say which end of its scores is kept. Rank correlation with how hard the images look: "
        f"{correlation:+.2f}; most scorers keep the hard end, Dynamic Uncertainty need not. Say which: "
        "--higher-is-kept or --higher-is-pruned."
    )


def _difficulty(data: PreparedData) -> Tensor:
    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        return ((batch.x, batch.y) for batch in data.eval_loader(data.pool, EVALUATION_BATCH))

    return difficulty(batches, data.num_classes)


def _word(kept: bool) -> str:
    return "kept" if kept else "pruned"


SLACK = 0.03  # a released mask misses the share it is named after by up to two points
OPPOSITE = -0.9  # two measures of difficulty that agree this badly are one of them the wrong way round
SIGMAS = 3.0  # a rank correlation of n unrelated samples has a standard deviation of 1 / sqrt(n)

ADVICE = (
    "it lists what was removed, or its direction was given the wrong way round. Then add (or leave out) "
    "--higher-is-pruned."
)


@dataclass(frozen=True)
class Check:
    """What a mask was held against, and whether its opposite would have failed."""

    remark: str
    tells_direction: bool


def checked_share(keep: Tensor, data: PreparedData, expected: float | None) -> Check | None:
    """Compare the kept share with the one it should have; a file of the removed samples has the other one.

    A release counts over its whole training split, a file that was made for a pool (one of ours, written as not kept
    everywhere else) over that pool; nothing in a file says which it is.

    Args:
        keep: bool ``[M]`` over the training split.
        data: the data set it belongs to.
        expected: the share it is said to keep; None: nothing says one.

    Returns:
        What was found; None where there is nothing to compare with.

    Raises:
        DataError: neither share fits.
    """
    if expected is None:
        return None
    shares = {"training split": float(keep.double().mean()), "pool": float(keep[data.pool].double().mean())}
    opposite_fits = any(abs(1 - share - expected) <= SLACK for share in shares.values())
    for of, share in shares.items():
        if abs(share - expected) <= SLACK:
            return Check(f"keeps {share:.3f} of the {of}, as expected ({expected:.3f})", not opposite_fits)
    told = " and ".join(f"{share:.3f} of the {of}" for of, share in shares.items())
    if opposite_fits:
        raise DataError(f"The file would keep {told}, but {expected:.3f} is expected: {ADVICE}")
    raise DataError(f"The file keeps {told}, but {expected:.3f} is expected.")


def checked_groups(keep: Tensor, data: PreparedData, num_groups_kept: int | None) -> Check | None:
    """Compare the number of whole classes that are kept with the one in the file's name.

    Args:
        keep: bool ``[M]`` over the training split.
        data: the data set it belongs to.
        num_groups_kept: the number in the name; None: there is none.

    Returns:
        What was found; None where there is nothing to compare with.

    Raises:
        DataError: it keeps another number of whole classes.
    """
    if num_groups_kept is None:
        return None
    every = torch.arange(len(keep))
    counts = next((found for rows in (every, data.pool) if (found := _whole_classes(keep, data, rows))), None)
    if counts is None:
        remark = "keeps parts of classes: it is not of label or feature mapping, and its name does not tell a direction"
        return Check(remark, False)
    whole, removed = counts
    if whole == num_groups_kept:
        return Check(f"keeps {whole} whole classes, as its name says", whole != removed)
    if removed == num_groups_kept:
        raise DataError(
            f"The file would keep {whole} whole classes, but its name says {num_groups_kept} of {data.num_classes}: "
            f"{ADVICE}"
        )
    raise DataError(f"The file keeps {whole} whole classes, but its name says {num_groups_kept}.")


def direction_warning(share: Check | None, groups: Check | None, *, given: bool) -> str:
    """Return what to say where nothing told the direction of a mask.

    Args:
        share: what :func:`checked_share` found.
        groups: what :func:`checked_groups` found.
        given: whether a person gave the direction; else it is the format's.
    """
    taken = f"it was taken {'as given' if given else 'by the format'}"
    advice = "--pruning-ratio R, what the file is said to remove, checks it unless that is about a half"
    if share is None and groups is None:
        return f"WARNING: the direction was not checked, nothing says how much the file keeps; {taken}. {advice}"
    told = f"WARNING: the direction could not be checked, the opposite one would fit as well; {taken}"
    return told if share is not None else f"{told}. {advice}"


def agreement(foreign: ForeignScores, asked: bool | None) -> list[str]:
    """Compare a score with the other measures in its file that say what is hard.

    Args:
        foreign: the scores.
        asked: the direction that a person gave; None: the format's counts.

    Returns:
        Remarks; with a warning where a measure says the opposite by more than chance.

    Raises:
        DataError: a measure says the very opposite, and nobody gave the direction.
    """
    kept = foreign.higher_is_kept if asked is None else asked
    if not foreign.harder or kept is None:
        return []
    sign = 1.0 if kept else -1.0
    found = {name: sign * spearman(foreign.score, values) for name, values in foreign.harder.items()}
    chance = SIGMAS / math.sqrt(max(len(foreign.score), 1))
    against = {name: value for name, value in found.items() if value < -chance}
    remarks = [f"rank correlation with what is harder in the file: {_told(found)}"]
    if not against:
        return remarks
    if asked is None and min(against.values()) <= OPPOSITE:
        raise DataError(
            f"By the format, higher is {'kept' if kept else 'pruned'}, but that is the opposite of what is harder in "
            f"the file: {_told(against)} (rank correlation). Say which end is kept: --higher-is-kept or "
            "--higher-is-pruned."
        )
    return [*remarks, f"WARNING: that is against {_told(against)}: is it the wrong way round?"]


def _whole_classes(keep: Tensor, data: PreparedData, rows: Tensor) -> tuple[int, int] | None:
    """Return how many classes are kept and removed whole among some rows; None where one is in parts."""
    labels, kept_rows = data.clean_labels[rows], keep[rows]
    kept = torch.bincount(labels[kept_rows], minlength=data.num_classes)
    size = torch.bincount(labels, minlength=data.num_classes)
    if not bool(((kept == 0) | (kept == size)).all()):
        return None
    return int(((kept == size) & (size > 0)).sum()), int(((kept == 0) & (size > 0)).sum())


def _told(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:+.2f}" for name, value in found.items())


SIDE = 16  # images are compared at this size

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


def difficulty(batches: Batches, num_classes: int) -> Tensor:
    """Return how much nearer each image is to the mean image of another class than to that of its own.

    Two passes over the images, which are averaged down to 16 x 16 pixels; nothing is trained.

    Args:
        batches: called twice; yields ``(x [B, C, H, W], y [B])`` in one fixed order.
        num_classes: number of classes, at least 2.

    Returns:
        float32 ``[N]``: distance to the own class's mean minus the smallest distance to another one; higher = harder.
    """
    sums: Tensor | None = None
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for x, y in batches():
        small = _small(x)
        if sums is None:
            sums = torch.zeros(num_classes, small.shape[1], dtype=torch.float64)
        sums.index_add_(0, y.cpu(), small.double())
        counts += torch.bincount(y.cpu(), minlength=num_classes)
    if sums is None:
        return torch.zeros(0)
    means = (sums / counts.clamp(min=1)[:, None]).float()
    absent = counts == 0
    return torch.cat([_margin(_small(x), y.cpu(), means, absent) for x, y in batches()])


def _small(x: Tensor) -> Tensor:
    """Return images ``[B, C, H, W]`` as vectors ``[B, D]`` of at most 16 x 16 pixels per channel."""
    x = x.detach().float().cpu()
    height, width = (min(SIDE, size) for size in x.shape[-2:])
    return F.adaptive_avg_pool2d(x, (height, width)).flatten(1)


def _margin(x: Tensor, y: Tensor, means: Tensor, absent: Tensor) -> Tensor:
    distances = torch.cdist(x, means)
    own = distances.gather(1, y[:, None])
    others = distances.masked_fill(absent, float("inf")).scatter(1, y[:, None], float("inf"))
    return (own - others.amin(dim=1, keepdim=True)).squeeze(1)
