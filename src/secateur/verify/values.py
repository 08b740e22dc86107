"""Two JSON values beside each other."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "nothing"
SHOWN = 60  # longer values are cut in messages
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class ValueDifference:
    """The first of several differences.

    Attributes:
        path: keys and positions that lead to it.
        before: the recorded value there.
        after: the repeated one.
        size: the largest difference between two numbers anywhere; infinite if something else than numbers differs.
    """

    path: Path
    before: Any
    after: Any
    size: float

    def __str__(self) -> str:
        where = ".".join(map(str, self.path))
        return f"{where}: {_short(self.before)} recorded, {_short(self.after)} now"


def first_difference(before: Any, after: Any, *, new_keys: bool = False) -> ValueDifference | None:
    """Return the first difference of two JSON values, or None when they are equal.

    Args:
        before: the recorded value.
        after: the repeated one.
        new_keys: whether mappings of ``after`` may have keys that ``before`` has not; an empty one has lost them.

    Example:
        >>> str(first_difference({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}))
        'a.1: 2.0 recorded, 2.5 now'
    """
    found = list(_differences(before, after, (), new_keys))
    if not found:
        return None
    path, old, new = found[0]
    return ValueDifference(path, old, new, max(_size(a, b) for _, a, b in found))


def _differences(before: Any, after: Any, path: Path, new_keys: bool) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        missing = [key for key in after if key not in before]
        extra = missing if not new_keys else [] if before else [key for key in missing if after[key] is not None]
        for key in (*before, *extra):
            yield from _differences(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key), new_keys)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, (*path, place), new_keys)
    elif not _equal(before, after):
        yield path, before, after


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float) and math.isnan(before) and math.isnan(after):
        return True
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _size(before: Any, after: Any) -> float:
    numbers = [value for value in (before, after) if isinstance(value, int | float) and not isinstance(value, bool)]
    size = abs(before - after) if len(numbers) == 2 else math.inf
    return size if math.isfinite(size) else math.inf
