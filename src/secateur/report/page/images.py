"""Thumbnails of a pool's images, from the data set that a recorded configuration names."""

import base64
import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, features

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.hashing import fingerprint as content_fingerprint
from secateur.core.names import TARGET, targeted
from secateur.core.record import one_line
from secateur.report.data.arrays import Rows

if TYPE_CHECKING:
    from secateur.data.images import IndexedImages
    from secateur.data.recipe import DataRecipe

MAX_POOL: Final = 200_000
SIDE: Final = 72
PLAIN_SIDE: Final = 16  # smaller images are stored without loss: they are tiny anyway
PACKAGE: Final = "secateur.data."


@dataclass(frozen=True)
class Pool:
    """The training images behind a mask.

    Attributes:
        images: the training split; a row is a ``sample_id``.
        labels: int64 ``[N]`` of the pool, as trained on.
        class_names: names of the classes.
    """

    images: "IndexedImages"
    labels: Rows
    class_names: tuple[str, ...]


class Thumbnails:
    """Data URIs of images, each once, as long as they fit into a budget.

    Attributes:
        uris: the images so far.
        spent: their length in characters.

    Args:
        budget: the largest total length.
    """

    def __init__(self, budget: int) -> None:
        self.uris: list[str] = []
        self.spent = 0
        self._budget = budget
        self._numbers: dict[tuple[str, int], int | None] = {}

    def number(self, pool: Pool, fingerprint: str, sample_id: int) -> int | None:
        """Return the position of a sample's image in ``uris``; None when it cannot be read, or the budget is spent."""
        key = (fingerprint, sample_id)
        if key not in self._numbers:
            self._numbers[key] = self._add(pool, sample_id)
        return self._numbers[key]

    @property
    def is_full(self) -> bool:
        """Whether the budget is spent."""
        return self.spent >= self._budget

    def _add(self, pool: Pool, sample_id: int) -> int | None:
        if self.is_full:
            return None
        try:
            uri = data_uri(pool.images.image(sample_id))
        except DataError:
            return None
        self.spent += len(uri)
        self.uris.append(uri)
        return len(self.uris) - 1


def open_pool(settings: Mapping[str, Any], fingerprint: str, sample_id: Rows, labels: Rows | None) -> Pool:
    """Open the training images of a recorded configuration and make sure that they are those of the record.

    Only recipes of :mod:`secateur.data` are made, whatever a record asks for, and nothing is downloaded. The test split
    stays closed. Images, ids and labels together must have the recorded fingerprint.

    Args:
        settings: the node ``data`` of the configuration.
        fingerprint: of the pool, as recorded.
        sample_id: int64 ``[N]``, the pool.
        labels: int64 ``[N]`` as trained on; None takes those of the data set, which label noise would have changed.

    Raises:
        SecateurError: the data is not there, is not the recorded one, or is too large for a report.
    """
    if len(sample_id) > MAX_POOL:
        raise ConfigError(f"a pool of {len(sample_id)} samples is not opened for a report (at most {MAX_POOL}).")
    import torch  # noqa: PLC0415 (seconds, for a report without images)

    from secateur.data.joined import first_and_extra  # noqa: PLC0415

    recipe = _recipe(settings)
    recipe.check()
    images, _ = first_and_extra(recipe.load("train"), recipe.first, recipe.extra)
    if int(sample_id[-1]) >= len(images):
        raise DataError(
            f"data.root={recipe.root} has {len(images)} training images, fewer than the runs were made with."
        )
    rows = torch.from_numpy(sample_id.copy())
    trained = images.labels[rows] if labels is None else torch.from_numpy(labels.copy())
    if content_fingerprint(rows, map(images.stored_bytes, sample_id.tolist()), trained) != fingerprint:
        noisy = " (or labels were flipped: only runs with scores say which)" if labels is None else ""
        raise DataError(f"data.root={recipe.root} holds other data than the runs were made with{noisy}.")
    return Pool(images, trained.numpy(), tuple(map(str, recipe.class_names())))


def why_not(error: Exception) -> str:
    """Return why images cannot be shown, as the end of a sentence."""
    return one_line(error) if isinstance(error, SecateurError) else f"{type(error).__name__}: {one_line(error)}"


def _recipe(settings: Mapping[str, Any]) -> "DataRecipe":
    from secateur.data.recipe import DataRecipe  # noqa: PLC0415

    module, _, name = str(targeted(settings).get(TARGET, "")).rpartition(".")
    found = getattr(_module(module), name, None) if module.startswith(PACKAGE) else None
    if not inspect.isclass(found) or not issubclass(found, DataRecipe):
        raise ConfigError(f"the recorded data set is {targeted(settings).get(TARGET)!r}, not one of {PACKAGE[:-1]}.")
    arguments = {key: value for key, value in settings.items() if not key.startswith("_")}
    if "download" in arguments:
        arguments["download"] = False
    try:
        return found(**arguments)
    except TypeError as error:
        raise ConfigError(f"the recorded data settings do not fit this version: {one_line(error)}.") from error


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def data_uri(image: Image.Image) -> str:
    """Return an image as a small data URI: at most 72 pixels wide and high, without any metadata."""
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    image = Image.fromarray(np.asarray(image))  # leaves behind what the file said beyond its pixels
    image.thumbnail((SIDE, SIDE))
    plain = max(image.size) <= PLAIN_SIDE or not features.check("webp")
    content = io.BytesIO()
    if plain:
        image.save(content, format="PNG", optimize=True)
    else:
        image.save(content, format="WEBP", quality=85, method=4)
    kind = "png" if plain else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
