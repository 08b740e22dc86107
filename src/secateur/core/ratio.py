"""The pruning ratio: what may be asked for, and how many samples it keeps."""

import math
from numbers import Real
from typing import Any

from secateur.core.errors import ConfigError


def check_pruning_ratio(pruning_ratio: float) -> None:
    """Raise :class:`ConfigError` unless the ratio is a number in ``[0, 1)``."""
    if isinstance(pruning_ratio, bool) or not isinstance(pruning_ratio, Real) or math.isnan(_float(pruning_ratio)):
        raise ConfigError(f"pruning_ratio must be a number in [0, 1), got {pruning_ratio!r}.")
    if 0 <= pruning_ratio < 1:
        return
    hint = ""
    if 1 < pruning_ratio < 100:
        hint = f" Did you mean {pruning_ratio / 100:g}?"
    elif pruning_ratio == 1:
        hint = " It is the fraction removed, and 1.0 would keep nothing."
    raise ConfigError(f"pruning_ratio must be in [0, 1), got {_float(pruning_ratio):g}.{hint}")


def _float(value: Any) -> float:
    """Return a number as float; infinity for an integer that no float holds."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def keep_count(num_samples: int, pruning_ratio: float) -> int:
    """Return how many samples a pruning ratio keeps: ``round(num_samples * (1 - pruning_ratio))``.

    Args:
        num_samples: size of the pool, at least 1.
        pruning_ratio: fraction *removed*, in ``[0, 1)``.

    Raises:
        ConfigError: the ratio is outside ``[0, 1)``, or nothing would be kept.

    Example:
        >>> keep_count(50_000, 0.9)
        5000
    """
    check_pruning_ratio(pruning_ratio)
    count = round(num_samples * (1 - pruning_ratio))
    if count < 1:
        raise ConfigError(f"pruning_ratio={pruning_ratio:g} would keep 0 of {num_samples} samples.")
    return count
