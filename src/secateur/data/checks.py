"""Checks of a data recipe's arguments; every message says what, got, allowed and what to do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError, DataError


def check_integer(key: str, value: Any, minimum: int) -> None:
    """Raise :class:`ConfigError` unless ``value`` is an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ConfigError(f"data.{key} must be an integer >= {minimum}, got {value!r}.")


def check_number(key: str, value: Any, minimum: float, *, exclusive: bool = False) -> None:
    """Raise :class:`ConfigError` unless ``value`` is a finite number of at least (or above) ``minimum``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (value > minimum if exclusive else value >= minimum) or value == float("inf"):
        raise ConfigError(f"data.{key} must be a number {'>' if exclusive else '>='} {minimum:g}, got {value!r}.")


def check_fraction(key: str, value: Any) -> None:
    """Raise :class:`ConfigError` unless ``value`` is a number in ``[0, 1)``; percent gets a hint."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value < 1:
        return
    hint = f" Did you mean {value / 100:g}?" if number and 1 < value < 100 else ""
    raise ConfigError(f"data.{key} must be a fraction in [0, 1), got {value!r}.{hint}")


def check_flag(key: str, value: Any) -> None:
    """Raise :class:`ConfigError` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"data.{key} must be true or false, got {value!r}.")


def check_statistics(key: str, values: Any, *, positive: bool = False) -> list[float] | None:
    """Return per-channel statistics as a list of 1 or 3 floats, or None.

    Raises:
        ConfigError: another length, no numbers, or a value outside ``[0, 1]`` (a deviation of 0 included).
    """
    if values is None:
        return None
    wanted = f"data.{key} must be null or 1 or 3 numbers in {'(' if positive else '['}0, 1]"
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) not in (1, 3):
        raise ConfigError(f"{wanted}, got {values!r}.")
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1 or (positive and value == 0):
            hint = " Statistics of 0..255 pixels must be divided by 255." if number and value > 1 else ""
            raise ConfigError(f"{wanted}, got {list(values)!r}.{hint}")
    return [float(value) for value in values]


def check_root(root: str, name: str, wanted: str) -> Path:
    """Return the root of a data set as a path.

    Args:
        root: the configured ``data.root``.
        name: the data set's name, for the message.
        wanted: what should lie there, for the message.

    Raises:
        DataError: nothing lies at the root.
    """
    path = Path(root).expanduser()
    if not root or not path.exists():
        raise DataError(
            f"data.root={root or '(empty)'} does not exist, so {name} cannot be read ({wanted}). "
            "Set data.root, or SECATEUR_DATA."
        )
    return path
