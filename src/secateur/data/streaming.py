"""The loader whose images are decoded by worker processes, with the semantics of the resident one."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from secateur.core.errors import DataError, SecateurError
from secateur.core.seeds import stream_seed
from secateur.data.augment import STAGE
from secateur.data.images import IndexedImages
from secateur.data.loaders import ImageLoader, LoaderSettings
from secateur.data.resident import Decoder


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
            if self.crop_seed is None or not len(sample_ids):
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
