"""Pickles of arrays and tensors, read without executing what a pickle may ask for."""

import pickle  # noqa: TID251 - only to read, and only numbers: see _Numbers
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from secateur.core.errors import DataError

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
