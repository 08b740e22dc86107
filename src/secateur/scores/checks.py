"""Checks of constructor arguments: what is wrong, what arrived, what is allowed, what to do."""

import difflib
from collections.abc import Sequence
from numbers import Integral, Real

from torch import Tensor

from secateur.core.errors import ConfigError


def check_int(owner: str, name: str, value: object, minimum: int, advice: str = "") -> None:
    """Raise :class:`ConfigError` unless ``value`` is an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ConfigError(f"{owner}: {name} must be an integer >= {minimum}, got {value!r}. {advice}".rstrip())


def check_optional_int(owner: str, name: str, value: object, minimum: int, advice: str = "") -> None:
    """Raise :class:`ConfigError` unless ``value`` is None or an integer of at least ``minimum``."""
    if value is not None:
        check_int(owner, f"{name} (when not null)", value, minimum, advice)


def check_fraction(owner: str, name: str, value: object, advice: str = "") -> None:
    """Raise :class:`ConfigError` unless ``value`` is a number in ``(0, 1]``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= 1:
        raise ConfigError(f"{owner}: {name} must be in (0, 1], got {value!r}. {advice}".rstrip())


def check_choice(owner: str, name: str, value: object, allowed: Sequence[object], advice: str = "") -> None:
    """Raise :class:`ConfigError` unless ``value`` is one of ``allowed``; names the nearest one."""
    if value in allowed and not isinstance(value, bool):
        return
    close = difflib.get_close_matches(str(value), [str(choice) for choice in allowed], n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    listed = ", ".join(str(choice) for choice in allowed)
    raise ConfigError(f"{owner}: {name} must be one of {listed}; got {value!r}. {hint}{advice}".rstrip())


def check_shape(owner: str, name: str, values: Tensor, axes: str) -> None:
    """Raise :class:`ConfigError` unless ``values`` has one dimension per letter of ``axes`` (``"TNC"``)."""
    if values.ndim != len(axes):
        expected = ", ".join(axes)
        raise ConfigError(f"{owner}: {name} must have shape [{expected}], got {list(values.shape)}.")
