"""Score files of the extrapolation release (arXiv 2506.09010): JSON, ``{"<row>": score}``.

The release keeps the highest, but a file says neither which scorer made it nor which end is kept.
"""

import json
import reprlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.core.files import write_text
from secateur.interop.foreign import MAX_DIGITS, ForeignScores


def read_extrapolation(path: Path) -> ForeignScores:
    """Read a score file.

    Raises:
        DataError: it is not JSON, not a mapping from rows to numbers, or a row comes twice; the message names it.
    """
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply: not a mapping from rows to scores.") from error
    except (ValueError, OSError, MemoryError) as error:
        raise DataError(f"{path} is not readable JSON.") from error
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, tuple) for pair in pairs):
        raise DataError(f"{path} is not a mapping from rows to scores.")
    ids = torch.tensor([_row(key, path) for key, _ in pairs])
    scores = torch.tensor([_score(key, value, path) for key, value in pairs], dtype=torch.float64)
    return ForeignScores(ids, scores, higher_is_kept=None)


def write_extrapolation(path: Path, sample_id: Tensor, score: Tensor) -> Path:
    """Write scores ``[n]`` of ``sample_id [n]`` in that form, in the order given."""
    pairs = zip(sample_id.tolist(), score.tolist(), strict=True)
    return write_text(path, json.dumps({str(row): value for row, value in pairs}, allow_nan=False))


def _row(key: str, path: Path) -> int:
    if not (key.isascii() and key.isdigit()):
        raise DataError(f"{path}: {reprlib.repr(key)} is not the number of a row.")
    if len(key) > MAX_DIGITS:
        raise DataError(f"{path}: {reprlib.repr(key)} is too large for the number of a row.")
    return int(key)


def _score(key: str, value: Any, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{path}: the score of row {key} is {reprlib.repr(value)}, not a number.")
    try:
        return float(value)
    except OverflowError as error:
        raise DataError(f"{path}: the score of row {key} is too large for a number with a point.") from error
