"""Read tensors and pickles from foreign files without executing anything in them."""

import pickle  # noqa: TID251 - only to read, and only numbers: see _Numbers
import tokenize
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import DataError

WHOLE = {*(torch.uint8, torch.uint16, torch.uint32, torch.uint64), *(torch.int8, torch.int16, torch.int32, torch.int64)}
NUMBERS = {*WHOLE, torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64}
# What NumPy raises for a broken header or body, besides a lack of memory.
BROKEN = (OSError, ValueError, TypeError, EOFError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile)


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
    """Read an ``.npy`` file of numbers ``[n]``; pickled objects in it are refused.

    Raises:
        DataError: there is no such file, or it is no array of numbers in one dimension.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (MemoryError, OverflowError) as error:
        raise DataError(f"{path} claims to hold more numbers than fit into memory: it may be damaged.") from error
    except BROKEN as error:
        raise DataError(f"{path} is not a NumPy array of numbers; pickled objects are refused.") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise DataError(f"{path} is not an array of numbers.")
    if values.ndim != 1:
        raise DataError(f"{path} must hold numbers [n], got an array of shape {list(values.shape)}.")
    if values.dtype == np.uint64 and len(values) and int(values.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{path} holds {int(values.max())}, which is beyond int64.")
    return torch.from_numpy(values.astype(np.float64 if values.dtype.kind == "f" else np.int64))


def dense_vector(value: Any, what: str) -> Tensor:
    """Return what a foreign file holds as numbers ``[n]``: bool, int64 or float64, without a graph.

    Args:
        value: anything that a file may hold.
        what: its name and the file's, for messages.

    Raises:
        DataError: it is not numbers in one dimension, or not all of them are there (sparse, expanded, ``meta``).
    """
    try:
        values = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise DataError(f"{what} is not a list of numbers.") from error
    if values.layout != torch.strided or values.is_nested or values.is_meta or values.dtype not in NUMBERS:
        kind = "nested" if values.is_nested else f"{values.layout} {values.dtype} on {values.device}"
        raise DataError(f"{what} is not a dense tensor of real numbers ({kind.replace('torch.', '')}).")
    if values.ndim != 1:
        raise DataError(f"{what} must be numbers [n], got the shape {list(values.shape)}.")
    # A view that repeats few numbers costs nothing in the file, and all of the memory once it is used.
    if values.numel() * values.element_size() > values.untyped_storage().nbytes():
        raise DataError(f"{what} claims {values.numel()} numbers, but the file holds fewer.")
    return _widened(values.detach(), what)


def _widened(values: Tensor, what: str) -> Tensor:
    if values.dtype == torch.bool:
        return values
    if values.dtype not in WHOLE:
        return values.to(torch.float64)
    whole = values.to(torch.int64)
    if values.dtype == torch.uint64 and bool((whole < 0).any()):  # these wrap around
        raise DataError(f"{what} holds numbers beyond int64.")
    return whole


# Names that a pickle of numbers, text, containers, NumPy arrays and tensors mentions. None of them runs foreign code.
ALLOWED = {
    *(("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor"), ("collections", "OrderedDict")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
}
# What a tensor's pickle calls for its numbers unpickles again, without any limit; ours does not.
BYTES_OF_TENSOR = ("torch.storage", "_load_from_bytes")


def load_pickle(path: Path) -> Any:
    """Read a pickle that holds nothing but plain values, NumPy arrays and tensors (on the CPU).

    Raises:
        DataError: there is no such file, it is damaged, or it holds anything else; the message names what.
    """
    try:
        with path.open("rb") as file:
            return _Numbers(file).load()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except _RefusedError as error:
        raise DataError(
            f"{path} holds {error}, which only code can make; pickles with anything but numbers are refused. "
            "Save its arrays with numpy.savez or torch.save where you trust it."
        ) from error
    except Exception as error:  # whatever damaged bytes make an unpickler raise
        raise DataError(f"{path} is not a pickle that can be read ({type(error).__name__}).") from error


class _RefusedError(Exception):
    pass


class _Numbers(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == BYTES_OF_TENSOR:
            return _storage
        if (module, name) not in ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return super().find_class(module, name)


def _storage(content: bytes) -> Any:
    return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
