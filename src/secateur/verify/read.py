"""Whether run.json has the form of a finished run's record, so that everything after can rely on it."""

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from secateur.core.names import CLASS, TARGET

NULL = type(None)
# Keys that every record has had since the first version, and what a finished run's may hold; others came later.
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("status", "run_key", "name", "label", "select_on"), (str,)),
    "seed": (int,),
    "score_seed": (int, NULL),
    **dict.fromkeys(("config", "provenance", "artifacts", "data", "models", "pruning", "transfer"), (dict,)),
    **dict.fromkeys(("extrapolation", "metrics", "comparison", "ledger"), (dict,)),
    "warnings": (list,),
}
# The same of the keys inside of blocks, as far as they are read.
BLOCKS = {
    "data": ("name", "fingerprint"),
    "models": ("scoring", "final"),
    "pruning": ("method", "score", "extrapolation", "selection", "num_total", "num_kept", "mask_sha256"),
    "transfer": ("source", "downstream"),
    "metrics": ("test_accuracy", "source_accuracy"),
    "ledger": ("stages", "cost_vs_full", "cost_vs_full_amortized"),
}
# What no configuration is without: nodes that are made, and the trainer's settings.
MADE = ("data", "model", "retrain_model", "method")
# Of a stage in the ledger, measured and not compared; absent in older records.
CLOCKS = (
    *("seconds", "device_seconds", "train_seconds", "train_device_seconds"),
    *("evaluation_seconds", "evaluation_device_seconds", "energy_joules"),
)
WORDS = {str: "a text", int: "a whole number", dict: "a mapping", list: "a list", NULL: "null"}


def missing_keys(record: Mapping[str, Any]) -> list[str]:
    """Return the keys that a record of any state has, and this one has not."""
    return [key for key in TYPES if key not in record]


def form_problem(record: Mapping[str, Any]) -> str | None:
    """Return the first thing in a finished run's record that no run writes, or None.

    Args:
        record: a record that has all keys.
    """
    return next(_problems(record), None)


def _problems(record: Mapping[str, Any]) -> Iterator[str]:
    for key, types in TYPES.items():
        if not isinstance(record[key], types) or isinstance(record[key], bool):
            yield f"{key} is {_shown(record[key])}, not {' or '.join(WORDS[one] for one in types)}"
    for block, keys in BLOCKS.items():
        yield from (f"{block} has no {key}" for key in keys if key not in record[block])
    name = PurePosixPath(record["name"])
    if name.is_absolute() or ".." in name.parts:  # a repetition's folder is called by it
        yield f"name is {record['name']!r}, which leads out of the folder of runs"
    yield from _element_problems(record)
    yield from _config_problems(record["config"])
    yield from (f"{where} is {value}, and no run writes that" for where, value in _not_finite(record, ""))


def _element_problems(record: Mapping[str, Any]) -> Iterator[str]:
    stages, fidelity = record["ledger"]["stages"], record["extrapolation"].get("fidelity") or []
    for where, found, kind in (
        ("artifacts", record["artifacts"], str),
        ("artifact_bytes", record.get("artifact_bytes") or {}, int),
        ("comparison", record["comparison"], dict),
        ("warnings", record["warnings"], str),
        ("ledger.stages", stages, dict),
        ("extrapolation.fidelity", fidelity, dict),
    ):
        if not isinstance(found, dict | list):
            yield f"{where} is {_shown(found)}, not a list"
            continue
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            if not isinstance(value, kind):
                yield f"{where}: {key} is {_shown(value)}, not {WORDS[kind]}"
    for stage in stages if isinstance(stages, list) else ():
        for key in CLOCKS if isinstance(stage, dict) else ():
            if isinstance(stage.get(key), bool) or not isinstance(stage.get(key), int | float | NULL):
                yield f"ledger.stages: {key} is {_shown(stage[key])}, not a number or null"


def _config_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for key in (*MADE, "trainer"):
        node = config.get(key)
        if not isinstance(node, dict):
            yield f"config.{key} is {_shown(node)}, not a mapping"
        elif key in MADE and not isinstance(node.get(TARGET), str):
            yield f"config.{key} has no {CLASS}"


def _not_finite(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Yield the dotted path of every number that JSON does not know, and the number."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _not_finite(child, f"{path}.{key}" if path else str(key))


def _shown(value: Any) -> str:
    return "null" if value is None else f"{str(value)[:60]!r}" if isinstance(value, str) else str(value)[:60]
