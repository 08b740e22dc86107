"""Thumbnails of a pool's images, from the data set that a recorded configuration names."""

import base64
import inspect
import io
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import numpy as np
from PIL import Image, features

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.record import one_line
from secateur.data.prepare import PreparedData, prepare
from secateur.data.recipe import DataRecipe

MAX_POOL: Final = 200_000
SIDE: Final = 72
PLAIN_SIDE: Final = 16  # smaller images are stored without loss: they are tiny anyway
PACKAGE: Final = "secateur.data."


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

    def number(self, pool: PreparedData, fingerprint: str, sample_id: int) -> int | None:
        """Return the position of a sample's image in ``uris``; None when it cannot be read, or the budget is spent."""
        key = (fingerprint, sample_id)
        if key not in self._numbers:
            self._numbers[key] = self._add(pool, sample_id)
        return self._numbers[key]

    @property
    def is_full(self) -> bool:
        """Whether the budget is spent."""
        return self.spent >= self._budget

    def _add(self, pool: PreparedData, sample_id: int) -> int | None:
        if self.is_full:
            return None
        try:
            uri = data_uri(pool.train.image(sample_id))
        except DataError:
            return None
        self.spent += len(uri)
        self.uris.append(uri)
        return len(self.uris) - 1


def open_pool(settings: Mapping[str, Any] | None, fingerprint: str, num_total: int | None) -> PreparedData:
    """Open the data set of a recorded configuration and make sure that it is the one of the record.

    Only recipes of :mod:`secateur.data` are made, whatever a record asks for, and nothing is downloaded.

    Args:
        settings: the node ``data`` of the configuration.
        fingerprint: of the pool, as recorded.
        num_total: size of the pool, as recorded.

    Raises:
        SecateurError: the data is not there, is not the recorded one, or is too large for a report.
    """
    if num_total is None or num_total > MAX_POOL:
        raise ConfigError(f"a pool of {num_total} samples is not opened for a report (at most {MAX_POOL}).")
    pool = prepare(_recipe(settings or {}))
    if pool.fingerprint != fingerprint:
        raise DataError(f"data.root={pool.recipe.root} holds other data now than the runs were made with.")
    return pool


def why_not(error: Exception) -> str:
    """Return why images cannot be shown, as the end of a sentence."""
    return one_line(error) if isinstance(error, SecateurError) else f"{type(error).__name__}: {one_line(error)}"


def _recipe(settings: Mapping[str, Any]) -> DataRecipe:
    module, _, name = str(settings.get("_target_", "")).rpartition(".")
    found = getattr(_module(module), name, None) if module.startswith(PACKAGE) else None
    if not inspect.isclass(found) or not issubclass(found, DataRecipe):
        raise ConfigError(f"the recorded data set is {settings.get('_target_')!r}, not one of {PACKAGE[:-1]}.")
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
