"""Images in folders named after their class."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from secateur.core.errors import DataError
from secateur.data.checks import check_root
from secateur.data.encoded import FileImages
from secateur.data.recipe import DataRecipe, Split

TEST_FOLDERS = ("test", "val", "validation")


@dataclass(kw_only=True)
class ImageFolderData(DataRecipe):
    """A folder ``train/<class>/**/*.png`` and a folder ``test`` (or ``val``, or ``validation``) of the same form.

    Classes are the folders of ``train`` in sorted order; within a class files are sorted by name, a folder's own
    before those of its subfolders, so a ``sample_id`` stays as long as no file is added or removed. JPEG,
    PNG, TIFF, WebP, BMP and PPM are read.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "data/image_folder"

    def check(self) -> None:
        """Raise :class:`DataError` unless both folders exist."""
        for split in ("train", "test"):
            self._folder(split)

    def load(self, split: Split) -> FileImages:
        """List the files of one split.

        Raises:
            DataError: there are no class folders or no images, or the test split has a class of its own.
        """
        folder = self._folder(split)
        numbers = {name: number for number, name in enumerate(self._classes)}
        if split == "test":
            unknown = sorted({entry.name for entry in folder.iterdir() if entry.is_dir()} - set(numbers))
            if unknown:
                raise DataError(f"{folder} has the class {unknown[0]!r}, which {self._folder('train')} has not.")
        files = make_dataset(str(folder), numbers, extensions=IMG_EXTENSIONS, allow_empty=True)
        if not files:
            raise DataError(f"{folder} holds no image (looked for {', '.join(IMG_EXTENSIONS)}).")
        labels = torch.tensor([label for _, label in files], dtype=torch.int64)
        return FileImages([path for path, _ in files], labels)

    def class_names(self) -> list[str]:
        """Return the names of the class folders."""
        return list(self._classes)

    @cached_property
    def _classes(self) -> list[str]:
        folder = self._folder("train")
        try:
            names: list[str] = find_classes(str(folder))[0]
        except FileNotFoundError as error:
            raise DataError(f"{folder} has no class folders; expected {folder}/<class>/<image>.") from error
        return names

    def _folder(self, split: str) -> Path:
        """Return the folder of a split."""
        root = check_root(self.root, self.name, "a folder with train/<class>/ and test/<class>/")
        names = TEST_FOLDERS if split == "test" else (split,)
        for name in names:
            if (root / name).is_dir():
                return root / name
        raise DataError(f"data.root={root} has no folder {' or '.join(names)}.")
