"""Images in NumPy archives."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from secateur.core.errors import DataError
from secateur.data.checks import check_root
from secateur.data.images import ArrayImages, array_pixels
from secateur.data.recipe import DataRecipe, Split


class _Names(NamedTuple):
    """Names of the two arrays of a split."""

    images: str
    labels: str


ONE_SPLIT = (_Names("images", "labels"), _Names("x", "y"), _Names("image", "label"))


@dataclass(kw_only=True)
class NpzData(DataRecipe):
    """One ``.npz`` file with both splits, or a folder with ``train.npz`` and ``test.npz``.

    A file with both splits holds ``x_train, y_train, x_test, y_test`` or ``train_images, train_labels,
    test_images, test_labels``; a file of one split holds ``images, labels``, ``x, y`` or ``image, label``. Images are
    uint8 ``[M, H, W]`` or ``[M, H, W, C]`` with C = 1 or 3, labels are integers ``[M]``. Class names are the array
    ``class_names`` if there is one, otherwise the label values. Nothing in the file is unpickled.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "data/npz"

    def check(self) -> None:
        """Raise :class:`DataError` unless the files exist."""
        for split in ("train", "test"):
            self._file(split)

    def load(self, split: Split) -> ArrayImages:
        """Read one split.

        Raises:
            DataError: the file is not an archive, or its arrays have other names, shapes or types.
        """
        return read_labelled(self._file(split), self._names(split))

    def class_names(self) -> list[str]:
        """Return the names in the file, or the label values."""
        arrays = _read(self._file("train"))
        if "class_names" in arrays:
            return [str(name) for name in arrays["class_names"]]
        return [str(label) for label in range(int(self.load("train").labels.max()) + 1)]

    def _names(self, split: str) -> list[_Names]:
        if self._root().is_dir():
            return list(ONE_SPLIT)
        return [_Names(f"x_{split}", f"y_{split}"), _Names(f"{split}_images", f"{split}_labels")]

    def _root(self) -> Path:
        return check_root(self.root, self.name, "an .npz file, or a folder with train.npz and test.npz")

    def _file(self, split: str) -> Path:
        root = self._root()
        path = root / f"{split}.npz" if root.is_dir() else root
        if not path.is_file():
            raise DataError(f"data.root={root} has no {split}.npz; give that file, or one .npz with both splits.")
        return path


def read_labelled(path: Path, names: Sequence[_Names] = ONE_SPLIT) -> ArrayImages:
    """Read images and labels from an archive.

    Args:
        path: the ``.npz`` file.
        names: pairs of array names, the first that is there is taken.

    Raises:
        DataError: the file is not an archive, or its arrays have other names, shapes or types.
    """
    arrays = _read(path)
    for name in names:
        if {name.images, name.labels} <= arrays.keys():
            labels = arrays[name.labels].reshape(-1)
            if not np.issubdtype(labels.dtype, np.integer):
                raise DataError(f"{path}: {name.labels} must be integers, got {labels.dtype}.")
            pixels = array_pixels(arrays[name.images], f"{path} {name.images}")
            return ArrayImages(pixels, torch.from_numpy(labels.astype(np.int64)), f"{path} {name.images}")
    wanted = " or ".join(f"{name.images} and {name.labels}" for name in names)
    raise DataError(f"{path} must hold {wanted}; it holds {', '.join(sorted(arrays)) or 'nothing'}.")


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz file of plain arrays.") from error
