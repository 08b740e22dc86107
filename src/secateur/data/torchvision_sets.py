"""Data sets that torchvision reads. Which attribute of a torchvision class holds what is configuration."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from secateur.core.errors import ConfigError, DataError
from secateur.core.seeds import generator
from secateur.core.store import locked
from secateur.data import checks
from secateur.data.encoded import FileImages
from secateur.data.images import ArrayImages, IndexedImages, array_pixels
from secateur.data.recipe import DataRecipe, Split
from secateur.data.splits import stratified_rows


@dataclass(kw_only=True)
class TorchvisionData(DataRecipe):
    """A class of ``torchvision.datasets``; its rows are the ``sample_id`` in torchvision's own order.

    torchvision reads its lists and checks its checksums; images are then taken as arrays or as file names, and
    labels as a list, so nothing is decoded before it is needed. Without an official test split, files are put in
    path order and a stratified part is the test set, the same whatever the seeds.

    Args:
        dataset: name of the class, for example ``CIFAR10``.
        folder: folder under ``data.root`` to hand to torchvision; empty hands over ``data.root`` itself.
        needs: paths under that folder without which the data cannot be there.
        train_splits: keyword arguments of the constructor for the training data; several are joined in order.
        test_split: the same for the test data, or null when there is no official test split.
        test_fraction: part of the data that becomes the test set then.
        images_from: attribute with the pixels ``[M, ...]``, the file names, or ``(file name, label)`` pairs.
        labels_from: attribute with the labels ``[M]``.
        names_from: attribute with the class names (a list, or a mapping from name to number); null uses numbers.
        download: let torchvision download what is missing.

    Raises:
        ConfigError: torchvision has no such class, or an argument is out of range.
    """

    NAME: ClassVar[str] = "data/torchvision"
    dataset: str = ""
    folder: str = ""
    needs: Sequence[str] = ()
    train_splits: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [{}])
    test_split: Mapping[str, Any] | None = None
    test_fraction: float = 0.2
    images_from: str = "data"
    labels_from: str = "targets"
    names_from: str | None = "classes"
    download: bool = False

    def __post_init__(self) -> None:
        """Check every argument."""
        super().__post_init__()
        if not hasattr(datasets, self.dataset):
            raise ConfigError(f"data.dataset must be a class of torchvision.datasets, got {self.dataset!r}.")
        checks.check_fraction("test_fraction", self.test_fraction)
        checks.check_flag("download", self.download)
        if not self.train_splits:
            raise ConfigError("data.train_splits must name at least one split; use [{}] for no arguments.")
        if self.test_split is None and self.test_fraction == 0:
            raise ConfigError("data.test_fraction must be above 0 when data.test_split is null.")

    def check(self) -> None:
        """Raise :class:`DataError` unless the files torchvision needs are there, or may be downloaded."""
        if self.download:
            return
        checks.check_root(self.root, self.name, "the folder torchvision keeps its data sets in")
        for needed in self.needs:
            if not (self._root / needed).exists():
                raise DataError(
                    f"{self.name}: {self._root / needed} does not exist. {self._parquet_hint()}Set data.root to the "
                    f"folder that holds it, or data.download=true if torchvision can download it."
                )

    def load(self, split: Split) -> IndexedImages:
        """Open one split.

        Raises:
            DataError: torchvision cannot read it.
        """
        if self.test_split is not None:
            return self._train if split == "train" else self._images([self.test_split])
        labels = self._train.labels
        num_test = round(len(labels) * self.test_fraction)
        is_test = torch.zeros(len(labels), dtype=torch.bool)
        is_test[stratified_rows(labels, num_test, generator(0, f"{self.dataset} test split"))] = True
        return _select(self._train, is_test if split == "test" else ~is_test)

    def class_names(self) -> list[str]:
        """Return torchvision's class names, or the label values."""
        if self.names_from is None:
            return [str(label) for label in range(int(self._train.labels.max()) + 1)]
        names = getattr(self._open(self.train_splits[0]), self.names_from)
        if isinstance(names, Mapping):
            names = sorted(names, key=lambda name: names[name])
        return [name if isinstance(name, str) else ", ".join(map(str, name)) for name in names]

    def _parquet_hint(self) -> str:
        """Return which other reader the folder is for, or nothing."""
        root = Path(self.root).expanduser()
        shards = [path for folder in (root, root / "data") for path in sorted(folder.glob("train*.parquet"))]
        return f"Found {shards[0].relative_to(root)} here: use data=parquet. " if shards else ""

    @property
    def _root(self) -> Path:
        return Path(self.root).expanduser() / self.folder

    @cached_property
    def _train(self) -> IndexedImages:
        images = self._images(self.train_splits)
        if self.test_split is None and isinstance(images, FileImages):  # torchvision's order may be the disk's
            order = sorted(range(len(images)), key=lambda row: images.paths[row])
            return _select(images, torch.tensor(order, dtype=torch.int64))
        return images

    def _open(self, split: Mapping[str, Any]) -> Any:
        """Construct the torchvision data set of one split; the last one of each split is kept."""
        key = repr(sorted(split.items()))
        if key not in self._opened:
            keywords = {**split, "download": True} if self.download else dict(split)
            lock = self._root / ".secateur-download.lock"  # one of all processes and jobs downloads
            alone = locked(lock, f"the download of {self.name}", lambda line: None) if self.download else nullcontext()
            try:
                with alone:
                    self._opened[key] = getattr(datasets, self.dataset)(str(self._root), **keywords)
            except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
                reason = str(error).split("\n", 1)[0]
                raise DataError(f"torchvision cannot read {self.name} in {self._root}: {reason}") from error
        return self._opened[key]

    @cached_property
    def _opened(self) -> dict[str, Any]:
        return {}

    def _images(self, splits: Sequence[Mapping[str, Any]]) -> IndexedImages:
        """Return the images of some splits, joined in order."""
        opened = [self._open(split) for split in splits]
        labels = torch.cat([self._labels(part) for part in opened])
        images = [getattr(part, self.images_from) for part in opened]
        if isinstance(images[0], np.ndarray | Tensor):
            pixels = torch.cat([array_pixels(np.asarray(part), self.name) for part in images])
            return ArrayImages(pixels, labels, self.name)
        files = [entry if isinstance(entry, str | Path) else entry[0] for part in images for entry in part]
        return FileImages(files, labels)

    def _labels(self, opened: Any) -> Tensor:
        values = getattr(opened, self.labels_from)
        pairs = len(values) > 0 and isinstance(values[0], tuple)
        return torch.as_tensor([value[1] for value in values] if pairs else np.asarray(values)).to(torch.int64)


def _select(images: IndexedImages, rows: Tensor) -> IndexedImages:
    """Return some rows (bool ``[M]``, or int64) of an array or of files."""
    if isinstance(images, ArrayImages):
        return ArrayImages(images.pixels[rows], images.labels[rows], images.source)
    if not isinstance(images, FileImages):
        raise TypeError(f"cannot select rows of {type(images).__name__}")
    numbers = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
    return FileImages([images.paths[row] for row in numbers.tolist()], images.labels[numbers])
