"""Reading tensors from foreign files without executing anything in them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import DataError


def load_tensors(path: Path) -> Any:
    """Read a ``torch.save`` file with ``weights_only`` loading: nothing in it is executed.

    Raises:
        DataError: there is no such file, or it cannot be read as tensors alone.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read as tensors alone; files that need code to load are refused.") from error


def load_array(path: Path) -> Tensor:
    """Read an ``.npy`` file of numbers; pickled objects in it are refused.

    Raises:
        DataError: there is no such file, or it is no array of numbers.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a NumPy array of numbers; pickled objects are refused.") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise DataError(f"{path} is not an array of numbers.")
    return torch.from_numpy(values.astype(np.float64 if values.dtype.kind == "f" else np.int64))
