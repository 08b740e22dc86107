"""TDDS's released pair of files: ids in ascending order of their scores, and the scores, sorted.

``score_*.npy`` is *not* in sample order: its i-th number belongs to the i-th id of ``data_mask_*.npy``. The samples
that are kept stand at the end; a higher score is kept first.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.interop.foreign import ForeignScores
from secateur.interop.tensors import load_array


def read_tdds(mask: Path, scores: Path | None) -> ForeignScores:
    """Read the pair, or the list of ids alone, whose places then are the scores.

    Args:
        mask: ``data_mask_win*_ep*.npy``.
        scores: ``score_win*_ep*.npy``; None: the direction of the list cannot be checked, and is unknown.

    Raises:
        DataError: a file cannot be read, they are no pair, or the scores are not in ascending order.
    """
    ids = load_array(mask)
    if scores is None:
        return ForeignScores(ids, torch.arange(len(ids), dtype=torch.float64), None, {"scores": "places in the list"})
    values = load_array(scores).to(torch.float64)
    if ids.shape == values.shape and not bool((values[1:] >= values[:-1]).all()):
        descending = bool((values[1:] <= values[:-1]).all())
        raise DataError(
            f"{scores} is {'in descending order' if descending else 'not sorted'}, but the release writes scores in "
            f"ascending order, the i-th of the i-th id in {mask.name}: "
            + ("are these the files of another code?" if descending else "is it aligned with the samples already?")
        )
    return ForeignScores(ids, values, higher_is_kept=True)


def write_tdds(mask: Path, scores: Path, sample_id: Tensor, score: Tensor) -> tuple[Path, Path]:
    """Write scores ``[n]`` of ``sample_id [n]`` as such a pair; ties by ascending id."""
    order = torch.argsort(score, stable=True)
    with mask.open("wb") as file:
        np.save(file, sample_id[order].numpy(), allow_pickle=False)
    with scores.open("wb") as file:
        np.save(file, score[order].numpy(), allow_pickle=False)
    return mask, scores
