"""CCS's score files: a pickle of ``{name: [N]}``, in sample order, with ``targets`` and several scores at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.interop.foreign import ForeignScores
from secateur.interop.tensors import dense_vector, load_pickle

TARGETS = "targets"
# Whether a higher value is a harder sample: harder is kept first. Anything else is taken as the user says.
HARDER = {
    **dict.fromkeys(("el2n", "forgetting", "entropy", "loss"), True),
    **dict.fromkeys(("accumulated_margin", "correctness"), False),
}


def read_ccs(path: Path, column: str | None) -> ForeignScores:
    """Read one score of a file; nothing in the pickle is executed.

    Args:
        path: ``data-score-*.pickle``.
        column: which one; None if the file has one only.

    Raises:
        DataError: the file cannot be read safely, it has no such score, or its labels are not one per score.
    """
    content = load_pickle(path)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} is not a mapping from names to scores: not a score file of CCS.")
    named = {name: _vector(value) for name, value in content.items() if isinstance(name, str)}
    columns = {name: values for name, values in named.items() if values is not None}
    names = sorted(set(columns) - {TARGETS, "last_correctness"})
    if column is None and len(names) == 1:
        column = names[0]
    if column not in names:
        raise DataError(f"{path} has the scores {', '.join(names) or 'none'}; choose one with --column.")
    score = columns[column]
    if TARGETS in content and (TARGETS not in columns or len(columns[TARGETS]) != len(score)):
        found = f"{len(columns[TARGETS])} labels" if TARGETS in columns else "no list of labels"
        raise DataError(
            f"{path} has {len(score)} scores of {column!r}, but {found} in {TARGETS!r}: it is damaged, or "
            "that is not one score per sample."
        )
    same = {name: values for name, values in columns.items() if len(values) == len(score)}
    others = {name: (1 if HARDER[name] else -1) * same[name] for name in names if name in HARDER and name in same}
    return ForeignScores(
        torch.arange(len(score)),
        score,
        HARDER.get(column),
        {"column": column},
        target=same.get(TARGETS),
        harder={name: values for name, values in others.items() if name != column},
    )


def _vector(value: Any) -> Tensor | None:
    """Return numbers ``[N]`` as float64, or None for what is something else."""
    if not isinstance(value, Tensor | np.ndarray | list):
        return None
    try:
        return dense_vector(value, "a column").to(torch.float64)
    except DataError:  # text, matrices, objects: not a score, which the list of scores then shows
        return None
