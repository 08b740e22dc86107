"""Whether run.json is a finished run's record, so that everything after can rely on it."""

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from secateur.core.block import Block, Mark, marked, shown
from secateur.core.names import CLASS, TARGET
from secateur.core.record import RunRecord

# What no configuration is without: nodes that are made, and the trainer's settings.
MADE = ("data", "model", "retrain_model", "method")


def missing_keys(record: RunRecord) -> list[str]:
    """Return the dotted keys that every run writes, and this record has not."""
    return list(_missing(record, ""))


def _missing(block: Block, above: str) -> Iterator[str]:
    for key in marked(type(block), Mark.FIRST):
        value = getattr(block, key)
        if key not in block.model_fields_set:
            yield f"{above}{key}"
        elif isinstance(value, Block):
            yield from _missing(value, f"{above}{key}.")


def form_problem(record: RunRecord) -> str | None:
    """Return the first thing in a finished run's record that no run writes, or None.

    Args:
        record: a record that has all keys.
    """
    return next(_problems(record), None)


def _problems(record: RunRecord) -> Iterator[str]:
    yield from (f"{key} is null" for key, value in record.marked(Mark.KNOWN).items() if value is None)
    name = PurePosixPath(record.name or "")
    if name.is_absolute() or ".." in name.parts:  # a repetition's folder is called by it
        yield f"name is {record.name!r}, which leads out of the folder of runs"
    yield from _config_problems(record.config)
    yield from (f"{where} is {value}, and no run writes that" for where, value in _not_finite(record.to_json(), ""))


def _config_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for key in (*MADE, "trainer"):
        node = config.get(key)
        if not isinstance(node, dict):
            yield f"config.{key} is {shown(node)}, not a mapping"
        elif key in MADE and not isinstance(node.get(TARGET), str):
            yield f"config.{key} has no {CLASS}"


def _not_finite(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Yield the dotted path of every number that JSON does not know, and the number."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _not_finite(child, f"{path}.{key}" if path else str(key))
