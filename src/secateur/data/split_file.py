"""Images listed in a split file, as published with CoOp for downstream data sets."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from secateur.core.errors import ConfigError, DataError
from secateur.data.checks import check_root
from secateur.data.encoded import FileImages
from secateur.data.recipe import DataRecipe, Split


@dataclass(kw_only=True)
class SplitFileData(DataRecipe):
    """A JSON file ``{"train": [[path, label, class name], ...], "val": [...], "test": [...]}`` and a folder of images.

    The format of the splits of Zhou et al., IJCV 2022, arXiv 2109.01134 (CoOp). The file's ``val`` entries are left
    out: validation is taken from training as for every data set. ``sample_id`` is the place in ``train``.

    Args:
        split_file: the JSON file, absolute or relative to the root.
        image_folder: folder the paths are relative to, inside the root.

    Raises:
        ConfigError: there is no split file given, or an argument is out of range.
    """

    NAME: ClassVar[str] = "data/split_file"
    split_file: str = ""
    image_folder: str = ""

    def __post_init__(self) -> None:
        """Check every argument."""
        super().__post_init__()
        if not self.split_file:
            raise ConfigError("data.split_file must be given: the JSON file with the train and test entries.")

    def check(self) -> None:
        """Raise :class:`DataError` unless the split file is there and readable."""
        self._entries("train")

    def load(self, split: Split) -> FileImages:
        """List the images of one split.

        Raises:
            DataError: the file is unreadable, or has no entries of the split.
        """
        folder, entries = self._root() / self.image_folder, self._entries(split)
        labels = torch.tensor([int(label) for _, label, _ in entries], dtype=torch.int64)
        return FileImages([folder / path for path, _, _ in entries], labels)

    def class_names(self) -> list[str]:
        """Return the names by label; a label without a training image is called by its number."""
        names = {int(label): str(name) for split in ("train", "test") for _, label, name in self._entries(split)}
        return [names.get(label, str(label)) for label in range(max(names) + 1)]

    def _entries(self, split: str) -> list[list[Any]]:
        entries = self._content.get(split)
        if not isinstance(entries, list) or not entries or any(len(entry) != 3 for entry in entries):
            raise DataError(f"{self._path()} has no {split!r} list of [path, label, class name].")
        return entries

    @cached_property
    def _content(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self._path().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self._path()} is not a readable JSON file.") from error
        if not isinstance(content, dict):
            raise DataError(f"{self._path()} is not a split file: it holds no train and test lists.")
        return content

    def _root(self) -> Path:
        return check_root(self.root, self.name, "the folder of the images")

    def _path(self) -> Path:
        return self._root() / self.split_file
