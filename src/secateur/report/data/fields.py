"""Values of a record as what they have to be; whatever is not raises an error that has its key."""

import math
from collections.abc import Mapping
from typing import Any, Final

LARGEST: Final = 1e100  # what is measured is smaller, and sums and squares of it stay finite
SHOWN: Final = ".40"  # characters of a value in a message


def at(record: Mapping[str, Any], path: str) -> Any:
    """Return the value under a dotted key.

    Raises:
        ValueError: it is not there, or something above it is no object; the message has its name.

    Example:
        >>> at({"data": {"name": "digits"}}, "data.name")
        'digits'
    """
    value: Any = record
    above = ""
    for key in path.split("."):
        if not isinstance(value, Mapping):
            raise ValueError(f"{above} is {value!r:{SHOWN}}, not an object")
        above = f"{above}.{key}" if above else key
        if key not in value:
            raise ValueError(f"no key {above}")
        value = value[key]
    return value


def block(record: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the object under a dotted key.

    Raises:
        ValueError: it is none; the message has its name.
    """
    return as_object(at(record, path), path)


def as_object(value: Any, name: str) -> Mapping[str, Any]:
    """Return a value that is an object.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not an object")
    return value


def objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return a list of objects; null is an empty one.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not a list")
    return [as_object(item, f"{name}[{number}]") for number, item in enumerate(value)]


def text(value: Any, name: str) -> str:
    """Return a text that is not empty.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not a text")
    return value


def number(value: Any, name: str) -> float:
    """Return a finite number as float.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not a number")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value) and abs(value) <= LARGEST
    except OverflowError:  # an integer that no float holds
        return False


def number_in(value: Any, name: str, low: float, high: float, *, below: bool = False) -> float:
    """Return a number in ``[low, high]``, or with ``below`` in ``[low, high)``.

    Raises:
        ValueError: it is none; the message has its name.
    """
    found = number(value, name)
    if not low <= found <= high or (below and found == high):
        raise ValueError(f"{name} is {found:g}, not in [{low:g}, {high:g}{')' if below else ']'}")
    return found


def cost(value: Any, name: str) -> float | None:
    """Return a number that is not negative, or None where it is null: not measured.

    Raises:
        ValueError: it is neither; the message has its name.
    """
    found = optional(value, name)
    if found is not None and found < 0:
        raise ValueError(f"{name} is {found:g}, below 0")
    return found


def integer(value: Any, name: str, least: int | None = None) -> int:
    """Return an integer, of at least ``least`` where that is given.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not an integer")
    if least is not None and value < least:
        raise ValueError(f"{name} is {value}, below {least}")
    return value


def optional(value: Any, name: str) -> float | None:
    """Return a number, or None where it is null: not measured.

    Raises:
        ValueError: it is neither; the message has its name.
    """
    return None if value is None else number(value, name)


def optional_integer(value: Any, name: str, least: int) -> int | None:
    """Return an integer of at least ``least``, or None where it is null.

    Raises:
        ValueError: it is neither; the message has its name.
    """
    return None if value is None else integer(value, name, least)
