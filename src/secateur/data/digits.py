"""The 8x8 digits that ship with scikit-learn: no download, seconds to train."""

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.core.seeds import generator
from secateur.data.images import ArrayImages
from secateur.data.recipe import DataRecipe, Split
from secateur.data.splits import stratified_rows

NUM_TEST = 360


@dataclass(kw_only=True)
class DigitsData(DataRecipe):
    """scikit-learn's handwritten digits, 8x8 grey, 10 classes.

    The data set has no official test split: a stratified fifth (360 of 1 797) is the test set, the same
    whatever the seeds. A ``sample_id`` is a row of the remaining 1 437, in scikit-learn's order. Pixels of
    0..16 are scaled to 0..255.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "data/digits"

    def check(self) -> None:
        """Do nothing: the data ships with scikit-learn."""

    def class_names(self) -> list[str]:
        """Return the ten digits."""
        return [str(digit) for digit in range(10)]

    def load(self, split: Split) -> ArrayImages:
        """Return 1 437 training or 360 test images."""
        pixels, labels = self._arrays
        is_test = torch.zeros(len(labels), dtype=torch.bool)
        is_test[stratified_rows(labels, NUM_TEST, generator(0, "digits test split"))] = True
        rows = is_test if split == "test" else ~is_test
        return ArrayImages(pixels[rows], labels[rows], f"digits {split} split")

    @cached_property
    def _arrays(self) -> tuple[Tensor, Tensor]:
        table = torch.from_numpy(_table())
        pixels = (table[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).round().to(torch.uint8)
        return pixels, table[:, -1].to(torch.int64)


def _table() -> NDArray[np.float64]:
    """Return scikit-learn's table, float64 ``[1797, 65]``: 64 pixels of 0..16, and the label.

    Its file is read as it lies, since importing scikit-learn takes longer than everything else about this data set.
    """
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # noqa: PLC0415

    return np.column_stack(load_digits(return_X_y=True))
