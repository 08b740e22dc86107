"""What every data set's configuration shares: where it lies, how it is split, corrupted and augmented."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secateur.core.errors import ConfigError
from secateur.data import checks
from secateur.data.images import IndexedImages

Split = Literal["train", "test"]


@dataclass(kw_only=True)
class DataRecipe(ABC):
    """The ``data=`` node of a configuration; one subclass per storage format.

    Args:
        name: name of the data set in records and reports; empty takes the name of the root folder.
        root: folder or file the data lies in; unused for data that ships with a library.
        first: use only so many of the first rows of the training split; null uses all.
        extra: a ``.npz`` or ``.parquet`` file with images and labels of the same classes (generated ones, say) that
            follow the training split's own rows; null: none.
        per_class: train on so many samples of every class, drawn by ``split_seed``; null takes all.
        validation_fraction: fraction of the training split held out for validation, in ``[0, 1)``.
        split_seed: seed of the validation split.
        label_noise: fraction of the pool's labels flipped to another class uniformly, in ``[0, 1)``.
        imbalance: ratio of the largest to the smallest class after long-tailed subsampling; 1 leaves classes
            alone.
        corruption_seed: seed of label noise and imbalance.
        channels: 1 or 3 converts every image to grey or RGB; null takes what the first training image has.
        image_size: side in pixels of the center crop that follows the resizing; null keeps the images' size.
        resize_size: length in pixels the shorter side is resized to first; null means ``image_size``.
        mean: per-channel mean in ``[0, 1]`` units, or null to measure it on the pool (resident data only).
        std: per-channel standard deviation, likewise.
        crop_padding: random crop after padding by so many black pixels; 0 turns it off.
        random_resized_crop: random resized crop as used for ImageNet (worker path only).
        flip: random horizontal flip.
        cutout: side of the square that is cut out, in pixels; 0 turns it off.
        resident: keep the decoded uint8 images on the training device (true), stream from workers (false), or
            decide by size (``auto``).
        resident_limit_gib: with ``auto``, the largest decoded size kept resident, in GiB.
        num_workers: worker processes of the streaming path; 0 loads in the training process.

    Raises:
        ConfigError: an argument has the wrong type, is out of its range, or contradicts another one.
    """

    name: str = ""
    root: str = ""
    first: int | None = None
    extra: str | None = None
    per_class: int | None = None
    validation_fraction: float = 0.0
    split_seed: int = 0
    label_noise: float = 0.0
    imbalance: float = 1.0
    corruption_seed: int = 0
    channels: int | None = None
    image_size: int | None = None
    resize_size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    crop_padding: int = 0
    random_resized_crop: bool = False
    flip: bool = False
    cutout: int = 0
    resident: bool | Literal["auto"] = "auto"
    resident_limit_gib: float = 4.0
    num_workers: int = 2

    def __post_init__(self) -> None:
        """Check every argument."""
        self.root = str(self.root)
        self.name = self.name or Path(self.root).expanduser().resolve().name.removesuffix(".npz")
        for key in ("first", "per_class"):
            if getattr(self, key) is not None:
                checks.check_integer(key, getattr(self, key), 1)
        for key in ("validation_fraction", "label_noise"):
            checks.check_fraction(key, getattr(self, key))
        for key in ("split_seed", "corruption_seed", "crop_padding", "cutout", "num_workers"):
            checks.check_integer(key, getattr(self, key), 0)
        for key in ("random_resized_crop", "flip"):
            checks.check_flag(key, getattr(self, key))
        checks.check_number("imbalance", self.imbalance, 1)
        checks.check_number("resident_limit_gib", self.resident_limit_gib, 0, exclusive=True)
        self.mean = checks.check_statistics("mean", self.mean)
        self.std = checks.check_statistics("std", self.std, positive=True)
        self._check_size()
        self._check_together()

    def _check_size(self) -> None:
        """Check the keys that decide the shape of an image."""
        if self.channels not in (None, 1, 3) or isinstance(self.channels, bool):
            raise ConfigError(f"data.channels must be null, 1 (grey) or 3 (RGB), got {self.channels!r}.")
        if self.image_size is not None:
            checks.check_integer("image_size", self.image_size, 1)
        if self.resize_size is not None:
            if self.image_size is None:
                raise ConfigError("data.resize_size needs data.image_size, the side of the crop that follows it.")
            checks.check_integer("resize_size", self.resize_size, self.image_size)

    def _check_together(self) -> None:
        """Check the keys that must fit one another."""
        if (self.mean is None) != (self.std is None):
            raise ConfigError("data.mean and data.std must both be given, or both be null to be measured.")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ConfigError(f"data.mean has {len(self.mean)} channels, but data.std has {len(self.std)}.")
        if self.resident is not True and self.resident is not False and self.resident != "auto":
            raise ConfigError(f"data.resident must be true, false or auto, got {self.resident!r}.")
        if self.random_resized_crop:
            if self.image_size is None:
                raise ConfigError("data.random_resized_crop needs data.image_size, the size it crops to.")
            if self.crop_padding:
                raise ConfigError("data.random_resized_crop and data.crop_padding exclude each other: set one to off.")
            if self.resident is True:
                raise ConfigError("data.random_resized_crop works on streamed images: set data.resident=false.")

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`DataError` when the data cannot be there (a missing root); decodes nothing."""

    @abstractmethod
    def load(self, split: Split) -> IndexedImages:
        """Open one split; no image is decoded."""

    @abstractmethod
    def class_names(self) -> list[str]:
        """Return the class names; their number is the number of classes."""
