"""A data set as an experiment uses it: pool, labels, fingerprint, statistics, loaders."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.core.group import current
from secateur.core.hashing import content_key, fingerprint
from secateur.core.seeds import generator
from secateur.data.augment import Augmentation, Normalization
from secateur.data.images import IndexedImages
from secateur.data.joined import first_and_extra
from secateur.data.loaders import ImageLoader, LoaderSettings, ResidentLoader
from secateur.data.order import EpochOrder, InOrder
from secateur.data.recipe import DataRecipe, Split
from secateur.data.resident import Decoder, ResidentImages
from secateur.data.splits import flip_labels, long_tail_rows, rows_per_class, stratified_rows
from secateur.data.streaming import StreamingLoader

EVALUATION_BATCH = 512  # samples in a batch of a pass without training


@dataclass(eq=False, kw_only=True)
class PreparedData:
    """A data set as an experiment uses it. M training rows, N of them in the pool, V held out.

    Attributes:
        recipe: what it was made from.
        class_names: C names.
        labels: label of every training row as trained on, int64 ``[M]``; noise is in the pool's rows only.
        clean_labels: the same without noise, int64 ``[M]``.
        flipped: which *pool rows* carry a flipped label, bool ``[N]``.
        pool: ``sample_id`` that training may use, int64 ``[N]``, increasing.
        validation: ``sample_id`` held out for validation, int64 ``[V]``, increasing.
        num_own: rows of the training split that are the data set's own; extra images follow them.
        train: the training split; its row is the ``sample_id``.
        test: the test split.
        classes: the classes it is restricted to, int64 increasing, see :meth:`restricted_to`; None: all.
    """

    recipe: DataRecipe
    class_names: list[str]
    labels: Tensor
    clean_labels: Tensor
    flipped: Tensor
    pool: Tensor
    validation: Tensor
    num_own: int
    train: IndexedImages
    test: IndexedImages
    classes: Tensor | None = None
    _resident: dict[tuple[Split, torch.device], ResidentImages] = field(default_factory=dict, init=False, repr=False)

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.recipe.name

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)

    @property
    def pool_labels(self) -> Tensor:
        """Labels of the pool as trained on, int64 ``[N]``."""
        return self.labels[self.pool]

    def restricted_to(self, classes: Tensor) -> "PreparedData":
        """Return the same data with some classes only, numbered anew by their old order; images are shared.

        Pool and fingerprint stay: training orders name the samples. Validation and test lose the other classes.

        Args:
            classes: the classes that stay, int64, increasing, at least one.
        """
        new = torch.full((self.num_classes,), -1)
        new[classes] = torch.arange(len(classes))
        part = copy(self)
        part.__dict__["fingerprint"] = self.fingerprint  # the pool's, by the labels it has
        part.__dict__["evaluation_fingerprint"] = self.evaluation_fingerprint
        part.class_names = [self.class_names[label] for label in classes.tolist()]
        part.labels, part.clean_labels = new[self.labels], new[self.clean_labels]
        part.validation = self.validation[part.labels[self.validation] >= 0]
        part.classes = classes
        return part

    @property
    def test_labels(self) -> Tensor:
        """Label of every row of the test split, int64; -1 for a class it is not restricted to."""
        if self.classes is None:
            return self.test.labels
        new = torch.full((max(int(self.test.labels.max()), int(self.classes.max())) + 1,), -1)
        new[self.classes] = torch.arange(len(self.classes))
        return new[self.test.labels]

    @property
    def original(self) -> Tensor:
        """Which *pool rows* are the data set's own and not extra images, bool ``[N]``."""
        return self.pool < self.num_own

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of the pool: ids, stored bytes and labels as trained on; reads every stored image once."""
        contents = (self.train.stored_bytes(sample_id) for sample_id in self.pool.tolist())
        return fingerprint(self.pool, contents, self.pool_labels)

    @cached_property
    def evaluation_fingerprint(self) -> str:
        """Sha256 of what a run is judged on: validation and test images and labels; reads every stored one once."""
        held_out = (self.train.stored_bytes(sample_id) for sample_id in self.validation.tolist())
        parts = [fingerprint(self.validation, held_out, self.labels[self.validation])]
        rows = torch.arange(len(self.test))
        parts.append(fingerprint(rows, map(self.test.stored_bytes, rows.tolist()), self.test.labels))
        return content_key(parts, 64)

    @cached_property
    def decoder(self) -> Decoder:
        """The deterministic transform up to uint8 pixels."""
        channels = self.recipe.channels or self.train.num_channels(int(self.pool[0]))
        return Decoder(channels, self.recipe.image_size, self.recipe.resize_size)

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of every image; without ``image_size`` the shape of the pool's first image."""
        size = self.recipe.image_size
        if size is not None:
            return self.decoder.channels, size, size
        channels, height, width = self.decoder(self.train, int(self.pool[0])).shape
        return channels, height, width

    @cached_property
    def is_resident(self) -> bool:
        """Whether the decoded images are kept in memory, on the device that trains."""
        if isinstance(self.recipe.resident, bool):
            return self.recipe.resident
        channels, height, width = self.image_shape
        decoded_bytes = (len(self.train) + len(self.test)) * channels * height * width
        return not self.recipe.random_resized_crop and decoded_bytes <= self.recipe.resident_limit_gib * 2**30

    @cached_property
    def normalization(self) -> Normalization:
        """Mean and standard deviation per channel: the recipe's, or measured on the plain images of the pool.

        Raises:
            ConfigError: they must be measured but the data is streamed, or their number does not fit.
        """
        mean, std = self.recipe.mean, self.recipe.std
        if mean is None or std is None:
            if not self.is_resident:
                raise ConfigError(
                    f"data.mean and data.std of {self.name} can only be measured on resident data: "
                    "give both, or set data.resident=true."
                )
            return Normalization(*self.resident("train").statistics(self.pool))
        channels = self.decoder.channels
        if len(mean) not in (1, channels):
            raise ConfigError(f"data.mean has {len(mean)} values, but the images of {self.name} have {channels}.")
        return Normalization(_repeat(mean, channels), _repeat(std, channels))

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean per channel, in ``[0, 1]`` units."""
        return self.normalization.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel, in ``[0, 1]`` units."""
        return self.normalization.std

    def resident(self, split: Split, device: torch.device | str = "cpu") -> ResidentImages:
        """Return the decoded images of a split on a device; decoded once, copied once per device.

        Raises:
            DataError: an image is corrupt or differs in size.
        """
        device = torch.device(device)
        key = (split, device)
        if key not in self._resident:
            if device.type == "cpu":
                images = self.train if split == "train" else self.test
                self._resident[key] = ResidentImages.decode(images, self.decoder, self.image_shape)
            else:
                self._resident[key] = self.resident(split).to(device)
        return self._resident[key]

    def train_loader(
        self,
        order: EpochOrder,
        batch_size: int,
        seed: int,
        augment: bool = True,
        drop_last: bool = False,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
    ) -> ImageLoader:
        """Return a loader over training samples, with the labels as trained on.

        Where several processes train together, it yields this one's slice of every batch.

        Args:
            order: which samples every epoch visits.
            batch_size: samples per batch.
            seed: seed of the augmentation.
            augment: augment as the recipe says; false gives the deterministic test transform.
            drop_last: leave out an incomplete last batch.
            device: where batches are wanted, and resident images kept.
            channels_last: memory format of the images.

        Raises:
            ConfigError: the batch size is impossible, or the recipe's statistics do not fit.
            DataError: an image cannot be decoded.
        """
        recipe = self.recipe
        augmentation = Augmentation(recipe.crop_padding, recipe.flip, recipe.cutout) if augment else None
        settings = LoaderSettings(
            order=order,
            labels=self.labels,
            image_shape=self.image_shape,
            normalization=self.normalization,
            batch_size=batch_size,
            augmentation=augmentation,
            seed=seed,
            drop_last=drop_last,
            device=torch.device(device),
            channels_last=channels_last,
            part=(current().rank, current().size),
        )
        return self._loader("train", settings)

    def eval_loader(
        self,
        which: Literal["test", "validation"] | Tensor,
        batch_size: int,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
    ) -> ImageLoader:
        """Return a loader with the deterministic test transform, in the given order.

        Args:
            which: ``"test"`` (``sample_id`` is the row of the test split), ``"validation"``, or the
                ``sample_id`` of training samples, int64 ``[n]``.
            batch_size: samples per batch.
            device: where batches are wanted.
            channels_last: memory format of the images.

        Raises:
            ConfigError: there is no such split, or the batch size is impossible.
            DataError: an image cannot be decoded.
        """
        if isinstance(which, str) and which not in ("test", "validation"):
            raise ConfigError(f"eval_loader takes 'test', 'validation' or sample ids, got {which!r}.")
        on_test = isinstance(which, str) and which == "test"
        ids = which if isinstance(which, Tensor) else self.validation
        ids = (self.test_labels >= 0).nonzero().flatten() if on_test else ids
        settings = LoaderSettings(
            order=InOrder(ids),
            labels=self.test_labels if on_test else self.labels,
            image_shape=self.image_shape,
            normalization=self.normalization,
            batch_size=batch_size,
            device=torch.device(device),
            channels_last=channels_last,
        )
        return self._loader("test" if on_test else "train", settings)

    def _loader(self, split: Split, settings: LoaderSettings) -> ImageLoader:
        if self.is_resident:
            return ResidentLoader(self.resident(split, settings.device), settings)
        images = self.train if split == "train" else self.test
        recipe = self.recipe
        return StreamingLoader(images, self.decoder, settings, recipe.random_resized_crop, recipe.num_workers)


def _repeat(values: Sequence[float], channels: int) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    return numbers * channels if len(numbers) == 1 else numbers


__all__ = ["PreparedData", "prepare"]


def prepare(recipe: DataRecipe) -> PreparedData:
    """Open a data set, split it and corrupt it as its recipe says; no image is decoded.

    The training split is cut to its ``first`` rows and lengthened by the ``extra`` images. From its own rows the
    validation split is taken (stratified, ``round(M * validation_fraction)`` samples), then the rest is cut to
    ``per_class`` samples of every class and subsampled to a long tail, then labels are flipped: validation and test
    stay clean. Neither the training seed nor the score seed changes any of it.

    Raises:
        ConfigError: the recipe holds out everything, or asks for noise with one class.
        DataError: the data is missing, unreadable, empty or has labels outside ``[0, C)``.
    """
    recipe.check()
    own, test = recipe.load("train"), recipe.load("test")
    train, num_own = first_and_extra(own, recipe.first, recipe.extra)
    splits = {f"training split of {recipe.name}": train, f"test split of {recipe.name}": test}
    for what, images in splits.items():
        if not len(images):
            raise DataError(f"The {what} is empty.")
    class_names = recipe.class_names()
    for what, images in splits.items():
        _check_labels(images, len(class_names), what)
    pool, validation = _split(recipe, train.labels, num_own)
    if recipe.per_class is not None:
        few = generator(recipe.split_seed, "per class")
        pool = pool[rows_per_class(train.labels[pool], recipe.per_class, few)]
    if recipe.imbalance > 1:
        tail = generator(recipe.corruption_seed, "imbalance")
        pool = pool[long_tail_rows(train.labels[pool], len(class_names), recipe.imbalance, tail)]
    noise = generator(recipe.corruption_seed, "label noise")
    noisy, flipped = flip_labels(train.labels[pool], len(class_names), recipe.label_noise, noise)
    labels = train.labels.clone()
    labels[pool] = noisy
    return PreparedData(
        recipe=recipe,
        class_names=class_names,
        labels=labels,
        clean_labels=train.labels,
        flipped=flipped,
        pool=pool,
        validation=validation,
        num_own=num_own,
        train=train,
        test=test,
    )


def _split(recipe: DataRecipe, labels: Tensor, num_own: int) -> tuple[Tensor, Tensor]:
    """Return the ids of the pool and of the validation split (own rows only), both increasing."""
    num_validation = round(num_own * recipe.validation_fraction)
    if num_validation >= num_own:
        raise ConfigError(
            f"data.validation_fraction={recipe.validation_fraction:g} holds out all {num_own} training "
            "samples; use a smaller one."
        )
    validation = stratified_rows(labels[:num_own], num_validation, generator(recipe.split_seed, "validation split"))
    in_pool = torch.ones(len(labels), dtype=torch.bool)
    in_pool[validation] = False
    return in_pool.nonzero().flatten(), validation


def _check_labels(images: IndexedImages, num_classes: int, what: str) -> None:
    """Raise :class:`DataError` unless all labels lie in ``[0, C)``."""
    outside = (images.labels < 0) | (images.labels >= num_classes)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise DataError(
            f"The {what} has {int(outside.sum())} labels outside [0, {num_classes}); the first is "
            f"{int(images.labels[row])} in {images.describe(row)}."
        )
