"""Foreign masks and scores as tables over a pool of ours: the rows it has, its fingerprint, and the right way round."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.data.prepared import EVALUATION_BATCH, PreparedData
from secateur.extrapolation.correlation import spearman
from secateur.interop.align_checks import agreement, checked_groups, checked_share, direction_warning
from secateur.interop.direction import difficulty
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
