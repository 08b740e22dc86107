"""From a recipe to data that can be trained on: the pool, the validation split, corruption."""

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.core.seeds import generator
from secateur.data.images import IndexedImages
from secateur.data.joined import first_and_extra
from secateur.data.prepared import PreparedData
from secateur.data.recipe import DataRecipe
from secateur.data.splits import flip_labels, long_tail_rows, rows_per_class, stratified_rows

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
