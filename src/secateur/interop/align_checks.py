"""Is a foreign file the right way round? Held against what it is said to keep, and against what else it holds."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.data.prepared import PreparedData
from secateur.extrapolation.correlation import spearman
from secateur.interop.foreign import ForeignScores

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
