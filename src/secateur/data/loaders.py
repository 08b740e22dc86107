"""What all loaders share, and the one whose images are resident on the device.

Loaders are stateless. ``__iter__`` is a generator, so nothing of an epoch is computed before its first batch is
asked for, and all randomness is a function of ``(seed, epoch, sample_id)``: a resumed run sees what an
undisturbed one sees. None draws from a global random number generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.data.augment import Augmentation, Normalization, Workspace
from secateur.data.batch import Batch
from secateur.data.order import EpochOrder
from secateur.data.resident import ResidentImages


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """What both loaders need to know.

    Args:
        order: which samples an epoch visits.
        labels: label of every row, int64 ``[M]``.
        image_shape: ``(C, H, W)`` of a batch's images.
        normalization: applied to every image.
        batch_size: samples per batch, at least 1.
        augmentation: what is done to training images, or None to evaluate.
        seed: seed of the augmentation.
        drop_last: leave out the last batch of an epoch when it is smaller.
        device: where batches are wanted.
        channels_last: memory format of the images.
        part: this process's number among those that divide every batch, and how many they are; each yields its slice.
    """

    order: EpochOrder
    labels: Tensor
    image_shape: tuple[int, int, int]
    normalization: Normalization
    batch_size: int
    augmentation: Augmentation | None = None
    seed: int = 0
    drop_last: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    channels_last: bool = False
    part: tuple[int, int] = (0, 1)


def batch_sizes(num_samples: int, batch_size: int, drop_last: bool) -> list[int]:
    """Return the sizes of an epoch's batches.

    A single sample that would be left over joins the batch before it: batch normalization cannot train on one.

    Example:
        >>> batch_sizes(10, 4, drop_last=False), batch_sizes(9, 4, drop_last=False), batch_sizes(9, 4, drop_last=True)
        ([4, 4, 2], [4, 5], [4, 4])
    """
    full, rest = divmod(num_samples, batch_size)
    sizes = [batch_size] * full
    if rest == 0 or drop_last:
        return sizes
    if rest == 1 and full:
        return [*sizes[:-1], batch_size + 1]
    return [*sizes, rest]


class ImageLoader(ABC):
    """An iterable of :class:`Batch` whose length may differ between epochs.

    Args:
        settings: see :class:`LoaderSettings`.

    Raises:
        ConfigError: the batch size is not a positive integer, or ``drop_last`` would leave no batch.
    """

    batch_sampler: None = None  # Lightning looks for it on whatever has a sampler

    def __init__(self, settings: LoaderSettings) -> None:
        size = settings.batch_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"batch_size must be a positive integer, got {size!r}.")
        if settings.drop_last and settings.order.num_samples(0) < size:
            raise ConfigError(
                f"batch_size={size} with drop_last leaves none of {settings.order.num_samples(0)} samples. "
                "Use a smaller batch."
            )
        self.settings = settings
        self.epoch = 0
        self._workspace = Workspace()
        self._scale, self._shift = settings.normalization.factors(settings.device)
        self._labels = settings.labels.to(settings.device)

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        return self.settings.batch_size

    @property
    def sampler(self) -> Self:
        """The loader itself: Lightning calls ``loader.sampler.set_epoch(epoch)`` before every epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches of the current epoch."""
        num_samples = self.settings.order.num_samples(self.epoch)
        return len(batch_sizes(num_samples, self.batch_size, self.settings.drop_last))

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the current epoch; everything is computed from the first ``next()`` on."""
        number, parts = self.settings.part
        yield from self._load([ids.tensor_split(parts)[number] for ids in self._batches()])

    def divided(self, part: int, parts: int) -> Iterator[Batch]:
        """Yield all batches of the current epoch, but read the images of every ``parts``-th only, from ``part`` on.

        The others come with labels and ids and without images: ``x`` is ``[0, C, H, W]``.
        """
        batches = self._batches()
        loaded = self._load(batches[part::parts])
        nothing = torch.empty(0, *self.settings.image_shape, device=self.settings.device)
        for number, ids in enumerate(batches):
            if number % parts == part:
                yield next(loaded)
            else:
                sample_id = ids.to(self.settings.device)
                yield Batch(nothing, self._labels[sample_id], sample_id)
        next(loaded, None)  # so that it ends

    def _batches(self) -> list[Tensor]:
        """Return the ``sample_id`` of every batch of the current epoch, int64 ``[B]`` each."""
        ids = self.settings.order.ids(self.epoch)
        sizes = batch_sizes(len(ids), self.batch_size, self.settings.drop_last)
        return list(torch.split(ids[: sum(sizes)], sizes)) if sizes else []

    def _load(self, batches: list[Tensor]) -> Iterator[Batch]:
        """Yield batches with their images."""
        settings, epoch = self.settings, self.epoch
        table = None
        if settings.augmentation is not None:
            _, height, width = settings.image_shape
            drawn = settings.augmentation.draw(len(settings.labels), height, width, settings.seed, epoch)
            table = drawn.to(settings.device)
        for sample_id, pixels in self._pixels(epoch, batches):
            parameters = table.rows(sample_id) if table is not None and len(sample_id) else None
            if settings.augmentation is not None and parameters is not None:
                pixels = settings.augmentation.apply_pixels(pixels, parameters, self._workspace)
            images = self._normalize(pixels)
            if settings.augmentation is not None and parameters is not None:
                images = settings.augmentation.apply_normalized(images, parameters)
            yield Batch(images, self._labels[sample_id], sample_id)

    def _normalize(self, pixels: Tensor) -> Tensor:
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        return pixels.to(torch.float32, memory_format=layout).mul_(self._scale).add_(self._shift)

    @abstractmethod
    def _pixels(self, epoch: int, batches: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``sample_id [B]`` and uint8 images ``[B, C, H, W]`` of every batch, on the device."""


class ResidentLoader(ImageLoader):
    """Takes its images from a uint8 tensor on the device; no worker processes, no per-sample Python.

    Args:
        images: the decoded split, on ``settings.device``.
        settings: see :class:`LoaderSettings`.
    """

    def __init__(self, images: ResidentImages, settings: LoaderSettings) -> None:
        super().__init__(settings)
        self.images = images

    def _pixels(self, epoch: int, batches: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for ids in batches:
            sample_id = ids.to(self.settings.device)
            yield sample_id, self.images.take(sample_id, self._workspace)
