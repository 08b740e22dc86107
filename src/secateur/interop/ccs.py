"""CCS's score files: a pickle of ``{name: [N]}``, in sample order, with ``targets`` and several scores at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.interop.foreign import ForeignScores
from secateur.interop.safe_pickle import load_pickle

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
        DataError: the file cannot be read safely, or it has no such score.
    """
    content = load_pickle(path)
    if not isinstance(content, Mapping):
        raise DataError(f"{path} is not a mapping from names to scores: not a score file of CCS.")
    columns = {str(name): values for name, value in content.items() if (values := _vector(value)) is not None}
    names = sorted(set(columns) - {TARGETS, "last_correctness"})
    if column is None and len(names) == 1:
        column = names[0]
    if column not in names:
        raise DataError(f"{path} has the scores {', '.join(names) or 'none'}; choose one with --column.")
    score = columns[column]
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
        values = torch.as_tensor(value).to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return values if values.ndim == 1 else None
