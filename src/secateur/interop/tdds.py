"""TDDS's released pair of files: ids in ascending order of their scores, and the scores, sorted.

``score_*.npy`` is *not* in sample order: its i-th number belongs to the i-th id of ``data_mask_*.npy``. The samples
that are kept stand at the end; a higher score is kept first.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.core.files import write_bytes
from secateur.interop.foreign import ForeignScores
from secateur.interop.tensors import load_array


def read_tdds(mask: Path, scores: Path | None, *, insist: bool = False) -> ForeignScores:
    """Read the pair, or the list of ids alone, whose places then are the scores.

    Args:
        mask: ``data_mask_win*_ep*.npy``.
        scores: ``score_win*_ep*.npy``; None: the direction of the list cannot be checked, and is unknown.
        insist: take ids that ascend as their scores do, which looks like sorted scores with the ids of a table.

    Raises:
        DataError: a file cannot be read, they are no pair, the scores are not in ascending order, or the ids ascend.
    """
    ids = load_array(mask)
    if scores is None:
        places = torch.arange(len(ids), dtype=torch.float64)
        found = ForeignScores(ids, places, None, {"scores": "places in the list"})
    else:
        values = load_array(scores).to(torch.float64)
        if ids.shape == values.shape:
            _check_ascending(values, scores, mask)
        found = ForeignScores(ids, values, higher_is_kept=True)
    if not insist:
        _check_ids(found, mask)
    return found


def write_tdds(mask: Path, scores: Path, sample_id: Tensor, score: Tensor) -> tuple[Path, Path]:
    """Write scores ``[n]`` of ``sample_id [n]`` as such a pair; ties by ascending id."""
    order = torch.argsort(score, stable=True)
    for path, values in ((mask, sample_id[order]), (scores, score[order])):
        content = BytesIO()
        np.save(content, values.numpy(), allow_pickle=False)
        write_bytes(path, content.getvalue())
    return mask, scores


def _check_ascending(values: Tensor, scores: Path, mask: Path) -> None:
    if bool((values[1:] >= values[:-1]).all()):
        return
    if bool(torch.isnan(values).any()):
        raise DataError(f"{scores} has {int(torch.isnan(values).sum())} scores that are not a number.")
    descending = bool((values[1:] <= values[:-1]).all())
    raise DataError(
        f"{scores} is {'in descending order' if descending else 'not sorted'}, but the release writes scores in "
        f"ascending order, the i-th of the i-th id in {mask.name}: "
        + ("are these the files of another code?" if descending else "is it aligned with the samples already?")
    )


def _check_ids(found: ForeignScores, mask: Path) -> None:
    """Refuse ids in ascending order beside sorted scores: the scores of a real pair would rise from row to row.

    Equal scores are no such case: there is nothing that could have been sorted.
    """
    ids, score = found.sample_id, found.score
    if len(ids) > 2 and bool((ids[1:] > ids[:-1]).all()) and float(score[0]) < float(score[-1]):
        raise DataError(
            f"The ids in {mask} are in ascending order, and the scores are sorted: so every score would be higher "
            "than that of the row before. The release sorts its scores, and they belong to the ids of its own "
            "data_mask_*.npy; with other ids they are noise. If the scores really rise with the rows, add --insist."
        )
