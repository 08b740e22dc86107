"""Two loaders with the same semantics: resident images on the device, or images streamed from workers.

Both are stateless. ``__iter__`` is a generator, so nothing of an epoch is computed before its first batch is
asked for, and all randomness is a function of ``(seed, epoch, sample_id)``: a resumed run sees what an
undisturbed one sees. Neither draws from a global random number generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.seeds import stream_seed
from secateur.data.augment import STAGE, Augmentation, Normalization, Workspace
from secateur.data.batch import Batch
from secateur.data.images import IndexedImages
from secateur.data.order import EpochOrder
from secateur.data.resident import Decoder, ResidentImages


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


class ImageLoader(ABC):
    """An iterable of :class:`Batch` whose length may differ between epochs.

    Args:
        settings: see :class:`LoaderSettings`.

    Raises:
        ConfigError: the batch size is not a positive integer, or ``drop_last`` would leave no batch.
    """

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
        size = self.batch_size
        return num_samples // size if self.settings.drop_last else -(-num_samples // size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the current epoch; everything is computed from the first ``next()`` on."""
        settings, epoch = self.settings, self.epoch
        batches = list(torch.split(settings.order.ids(epoch), self.batch_size))
        if settings.drop_last and batches and len(batches[-1]) < self.batch_size:
            batches.pop()
        table = None
        if settings.augmentation is not None:
            _, height, width = settings.image_shape
            drawn = settings.augmentation.draw(len(settings.labels), height, width, settings.seed, epoch)
            table = drawn.to(settings.device)
        for sample_id, pixels in self._pixels(epoch, batches):
            parameters = table.rows(sample_id) if table is not None else None
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


class StreamingLoader(ImageLoader):
    """Decodes in worker processes, batch by batch; for data that does not fit the device's memory.

    Workers decode, resize and (for random resized crops) crop; the rest is done to whole batches on the
    device by the code the resident loader runs. The workers start with the first batch and stay until the
    loader goes.

    Args:
        images: the split.
        decoder: the deterministic part of the transform.
        settings: see :class:`LoaderSettings`; the device receives finished batches.
        random_resized_crop: crop at random instead of at the center (training only).
        num_workers: worker processes; 0 decodes in this one.
    """

    def __init__(
        self,
        images: IndexedImages,
        decoder: Decoder,
        settings: LoaderSettings,
        random_resized_crop: bool = False,
        num_workers: int = 2,
    ) -> None:
        super().__init__(settings)
        self._requests = _Requests()
        self._crop_seed = settings.seed if random_resized_crop and settings.augmentation is not None else None
        self._images = images
        self._decoder = decoder
        self._num_workers = num_workers
        self._workers: DataLoader[Tensor | str] | None = None

    def _start(self) -> "DataLoader[Tensor | str]":
        """Return the worker processes' loader; they start when it is first iterated."""
        settings = self.settings
        return DataLoader(
            _Decoding(self._images, self._decoder, settings.image_shape, self._crop_seed),
            sampler=self._requests,
            batch_size=None,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            pin_memory=settings.device.type == "cuda",
            collate_fn=_unchanged,
            generator=torch.Generator(),  # not the global one, from which a worker's base seed would be drawn
        )

    def _pixels(self, epoch: int, batches: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        self._requests.batches = [(epoch, ids) for ids in batches]
        if self._workers is None:
            self._workers = self._start()
        for ids, pixels in zip(batches, self._workers, strict=True):
            if isinstance(pixels, str):
                self._workers = None  # ends the workers now: the traceback would keep them until a garbage collection
                raise DataError(pixels)
            device = self.settings.device
            yield ids.to(device, non_blocking=True), pixels.to(device, non_blocking=True)


class _Requests(Sampler[tuple[int, Tensor]]):
    """The batches of one epoch, handed to the workers as ``(epoch, sample_id [B])``."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, Tensor]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        return iter(self.batches)


class _Decoding(Dataset[Tensor | str]):
    """Runs in the workers: decodes a batch; an error travels back as its message, without a traceback."""

    def __init__(
        self, images: IndexedImages, decoder: Decoder, shape: tuple[int, int, int], crop_seed: int | None
    ) -> None:
        self.images = images
        self.decoder = decoder
        self.shape = shape
        self.crop_seed = crop_seed
        self.crop = v2.RandomResizedCrop(list(shape[1:]), antialias=True)

    def __getitem__(self, request: tuple[int, Tensor]) -> Tensor | str:
        epoch, sample_ids = request
        try:
            if self.crop_seed is None:
                return self.decoder.stack(self.images, sample_ids.tolist(), self.shape)
            seeds = [stream_seed(self.crop_seed, STAGE, epoch, row) for row in sample_ids.tolist()]
            with torch.random.fork_rng(devices=[]):
                return torch.stack(list(map(self._random_crop, sample_ids.tolist(), seeds)))
        except SecateurError as error:
            return str(error)

    def _random_crop(self, sample_id: int, seed: int) -> Tensor:
        """Crop one image at random, as its own seed says."""
        pixels = self.images.decode(sample_id, self.decoder.channels)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators too
        cropped: Tensor = self.crop(pixels)
        return cropped


def _unchanged(sample: Any) -> Any:
    return sample
