"""AdaPruner's published mask files: ``{'epoch', 'acc', 'selected_data': float [N] of 0 and 1}``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import DataError

KEY = "selected_data"


@dataclass(frozen=True)
class ForeignMask:
    """A mask from elsewhere: ``keep`` bool ``[M]`` over a whole training split, and what its file says of itself."""

    keep: Tensor
    facts: Mapping[str, Any]


def read_adapruner(path: Path) -> ForeignMask:
    """Read a published mask file with ``weights_only`` loading: nothing in it is executed.

    Raises:
        DataError: the file cannot be read, lacks ``selected_data``, or that is not a vector of 0 and 1.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read as tensors alone; files that need code to load are refused.") from error
    if not isinstance(content, Mapping) or KEY not in content:
        raise DataError(f"{path} has no {KEY!r}: not a mask file of AdaPruner.")
    values = torch.as_tensor(content[KEY])
    if values.ndim != 1 or not bool(((values == 0) | (values == 1)).all()):
        raise DataError(f"{KEY} in {path} is not a vector of 0 and 1.")
    facts = {key: float(content[key]) for key in ("epoch", "acc") if key in content}
    return ForeignMask(values == 1, facts)
