"""What a JSON document may hold and still be read, compared and written again by everything here."""

from collections.abc import Iterator
from typing import Any, Final

MAX_DEPTH: Final = 100  # what walks a document by recursion stays far from Python's own limit
MAX_BITS: Final = 63  # of an integer: beyond, it is no int64, and far beyond no float


def flaw_of(document: Any) -> str | None:
    r"""Return why a parsed JSON document cannot be worked with, and the key where that is; None where it can.

    JSON allows what nothing can hold: half a surrogate pair (``"\ud800"``), which no file takes as UTF-8, integers of
    any length, and nesting of any depth.

    Example:
        >>> flaw_of({"a": {"b": [10**400]}})
        'a.b[0] is an integer of more than 63 bits'
        >>> flaw_of({"a": 1}) is None
        True
    """
    waiting: list[tuple[str, int, Any]] = [("", 0, document)]
    while waiting:
        name, depth, value = waiting.pop()
        if depth > MAX_DEPTH:
            return f"{_shown(name)} is nested more than {MAX_DEPTH} deep"
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            return f"{_shown(name)} is an integer of more than {MAX_BITS} bits"
        if isinstance(value, str) and not _is_text(value):
            return f"{_shown(name)} holds half a character (a lone surrogate)"
        for key, item in _items(name, value):
            if not _is_text(key):
                return f"a key of {_shown(name)} holds half a character (a lone surrogate)"
            waiting.append((key, depth + 1, item))
    return None


def _items(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{name}.{key}" if name else str(key), item
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield f"{name}[{number}]", item


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str, limit: int = 60) -> str:
    """Return a key as it can be shown: of a deep one its beginning."""
    return (name if len(name) <= limit else f"{name[:limit]}...") or "the document"
