"""The candidates of a cross-validation: named extrapolators, and grids of their settings."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from secateur.core.errors import ConfigError
from secateur.extrapolation.base import Extrapolator


def expand(candidates: Mapping[str, Any], grids: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, Extrapolator]:
    """Return name -> extrapolator with every grid replaced by its combinations, in order.

    Args:
        candidates: name -> extrapolator, or ``functools.partial`` of one for a name in ``grids``.
        grids: name -> setting -> values.

    Raises:
        ConfigError: a grid has no partial candidate or no values, a setting is unknown, or a candidate is none.

    Example:
        >>> from secateur.extrapolation.constant import Constant
        >>> list(expand({"mean": Constant()}, {}))
        ['mean']
    """
    if not candidates:
        raise ConfigError("CrossValidated: there are no candidates; give at least one.")
    for name in grids:
        if name not in candidates:
            raise ConfigError(f"CrossValidated: grid {name} has no candidate; there are {', '.join(candidates)}.")
    expanded: dict[str, Extrapolator] = {}
    for name, candidate in candidates.items():
        expanded |= combinations(name, candidate, grids[name]) if name in grids else {name: candidate}
    for name, extrapolator in expanded.items():
        if not (hasattr(extrapolator, "predict") and hasattr(extrapolator, "needs")):
            hint = " Give it a grid, or drop _partial_." if isinstance(extrapolator, partial) else ""
            raise ConfigError(f"CrossValidated: candidate {name} is no extrapolator: {extrapolator!r}.{hint}")
    return expanded


def combinations(name: str, candidate: Any, grid: Mapping[str, Sequence[Any]]) -> dict[str, Extrapolator]:
    """Return the product of a grid as ``"name key=value ..."`` -> extrapolator, the last key varying fastest."""
    if not isinstance(candidate, partial):
        raise ConfigError(f"CrossValidated: candidate {name} has a grid, so it must be a partial: add _partial_: true.")
    empty = [key for key, values in grid.items() if not isinstance(values, list | tuple) or not values]
    if empty or not grid:
        raise ConfigError(
            f"CrossValidated: grids.{'.'.join([name, *empty[:1]])} must be a list of values, at least one."
        )
    found: dict[str, Extrapolator] = {}
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        try:
            found[" ".join([name, *(f"{key}={show(value)}" for key, value in settings.items())])] = candidate(
                **settings
            )
        except TypeError as error:
            raise ConfigError(f"CrossValidated: candidate {name} cannot be built with {settings}: {error}.") from error
    return found


def show(value: Any) -> str:
    """Return a setting's value as it is written in YAML."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
