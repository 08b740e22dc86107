"""What the page's parts share: safe JSON, hashes for the content security policy, numbers and paths in words."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from secateur.report.tables.terminal import percent

# "<" ends a script element, the last two end a line in old readers of JavaScript.
UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
DASH = "–"
BREAKS = re.compile(r"(?<=[A-Za-z_][_./])(?=[A-Za-z_])|(?<=[a-z])(?=[A-Z])")  # in names, not in numbers


def script_json(value: Any) -> str:
    r"""Return a value as JSON that may stand in a ``<script>`` element, whatever strings are in it.

    Raises:
        ValueError: NaN or infinity.

    Example:
        >>> script_json({"label": "</script>"})
        '{"label":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, escaped)
    return text


def security_policy(script: str, style: str) -> str:
    """Return a content security policy: this script, this style sheet, embedded images, and nothing from anywhere."""
    return (
        f"default-src 'none'; script-src '{_sha256(script)}'; style-src '{_sha256(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def points(value: float | None, digits: int = 1) -> str:
    """Return a share in percent without its sign, always with the same digits; a dash for None."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def interval(estimate: Mapping[str, Any]) -> str:
    """Return the 95 % interval of an estimate in percent, or that there is none.

    No accuracy is below 0 or above 100 %, so the interval of one ends there as well; the tables keep it as computed.

    Example:
        >>> interval({"low": 0.9875, "high": 1.0021})
        '[98.8, 100.0]'
    """
    if estimate["low"] is None or estimate["high"] is None:
        return "no interval"
    return f"[{points(max(estimate['low'], 0.0))}, {points(min(estimate['high'], 1.0))}]"


def estimate_text(estimate: Mapping[str, Any]) -> str:
    """Return mean, interval and n in one line, for example ``98.8 % [98.1, 99.5], n = 3``."""
    return f"{points(estimate['mean'])} % {interval(estimate)}, n = {estimate['n']}"


def where_text(cell: Mapping[str, Any]) -> str:
    """Return a cell's method and ratio, for example ``tdds, 50 % pruned``."""
    if cell["is_full"]:
        return str(cell["method"])
    return f"{cell['method']}, {percent(cell['pruning_ratio'])} pruned"


def listed(items: Iterable[str], limit: int = 12) -> str:
    """Return items as an enumeration in a sentence; a long one is cut, and says so.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    names = list(items)
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def name_and_settings(label: str) -> tuple[str, str]:
    """Split a method's label into its name and the settings that tell it from others of that name.

    Example:
        >>> name_and_settings("tdds + knn [max_epochs=30]")
        ('tdds + knn', '[max_epochs=30]')
    """
    name, bracket, inside = label.partition(" [")
    return name, (bracket + inside).strip()


def unbroken(text: str) -> str:
    """Return a sentence in which no line breaks between a number and its percent sign."""
    return text.replace(" %", "\u00a0%")


def breakable(text: str) -> Markup:
    """Return a text for HTML in which names may break after ``_``, ``.``, ``/`` and before a capital, not in words.

    Example:
        >>> str(breakable("my.package_x < 1.5"))
        'my.<wbr>package_<wbr>x &lt; 1.5'
    """
    parts = BREAKS.split(str(text))
    return Markup("<wbr>").join(parts)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, for example ``1 run`` or ``3 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class RelativePaths:
    """Paths as seen from the folder above all records: a page says nothing of the machine it was built on.

    Args:
        paths: all absolute paths that the page shows.
    """

    def __init__(self, paths: Iterable[str | None]) -> None:
        parents = sorted({os.path.dirname(path) for path in paths if path})
        common = os.path.commonpath(parents) if parents else os.sep
        self._root = os.path.dirname(common)

    def __call__(self, path: str) -> str:
        """Return one path with forward slashes."""
        return os.path.relpath(path, self._root).replace(os.sep, "/")
