"""Waterbirds: the bird is the class, the place behind it is a group that correlates with it."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.data.checks import check_root
from secateur.data.encoded import FileImages
from secateur.data.recipe import DataRecipe, Split

COLUMNS = ("img_filename", "y", "place", "split")
SPLITS = {"train": "0", "test": "2"}


@dataclass(kw_only=True)
class WaterbirdsData(DataRecipe):
    """Waterbirds (Sagawa et al., ICLR 2020, arXiv:1911.08731): a folder with images and ``metadata.csv``.

    The table has the columns ``img_filename, y, place, split``; rows of split 0 train and those of split 2 test,
    in the file's order. The official validation rows (split 1) are left out: validation is taken from training as
    for every data set. ``groups`` of a split holds the place (0 land, 1 water) for worst-group accuracy.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "data/waterbirds"

    def check(self) -> None:
        """Raise :class:`DataError` unless the table exists."""
        self._metadata()

    def class_names(self) -> list[str]:
        """Return the two kinds of birds."""
        return ["landbird", "waterbird"]

    def load(self, split: Split) -> FileImages:
        """List the images of one split.

        Raises:
            DataError: the table lacks a column or holds something other than integers.
        """
        rows = [row for row in self._rows if row["split"] == SPLITS[split]]
        folder = self._metadata().parent
        paths = [folder / row["img_filename"] for row in rows]
        labels, places = (self._integers(rows, column) for column in ("y", "place"))
        return FileImages(paths, labels, groups=places, group_names=("land", "water"))

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        with self._metadata().open(newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
            if missing:
                raise DataError(f"{self._metadata()} lacks the column {missing[0]!r}.")
            return list(reader)

    def _integers(self, rows: Iterable[dict[str, str]], column: str) -> Tensor:
        try:
            return torch.tensor([int(row[column]) for row in rows], dtype=torch.int64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{self._metadata()}: column {column!r} must hold integers only.") from error

    def _metadata(self) -> Path:
        path = check_root(self.root, self.name, "a folder with metadata.csv") / "metadata.csv"
        if not path.is_file():
            raise DataError(f"data.root={self.root} has no metadata.csv.")
        return path
