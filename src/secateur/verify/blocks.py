"""What run.json says of a result, block by block, beside what its repetition says."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from secateur.verify.values import first_difference
from secateur.verify.verdict import Compared

Record = Mapping[str, Any]
# Made of full scorings, and so a comparison.
OF_FIDELITY = ("fidelity", "seed_level")
# What was asked for must be there, no less and no more; other blocks may have keys that came with later code than the
# record's own.
WHOLE = ("comparison", "fidelity")


def compare_blocks(record: Record, repeated: Record, comparison: bool) -> Iterator[Compared]:
    """Yield every block beside its repetition; seconds and what was reused are no result.

    Args:
        record: the record.
        repeated: the repetition's.
        comparison: whether to compare what the run was compared with: baselines, full scorings.
    """
    before, after = _blocks(record, comparison), _blocks(repeated, comparison)
    other_code = not same_code(record, repeated)
    for name, there in before.items():
        now = after[name]
        if not (_says_something(there) or _says_something(now)):
            continue
        found = first_difference(there, now, new_keys=other_code and (name not in WHOLE or there.keys() == now.keys()))
        size, first = (found.size, str(found)) if found else (0.0, "")
        yield Compared(f"run.json {name}", "metrics", size, first)
    names = first_difference(_names(record, repeated), _names(repeated, record))
    yield Compared("run.json names", "metrics", math.inf if names else 0.0, str(names or ""))
    if same_code(record, repeated):
        warnings = first_difference(_warnings(record, repeated), _warnings(repeated, record))
        yield Compared("run.json warnings", "metrics", math.inf if warnings else 0.0, str(warnings or ""))


def warning_remarks(record: Record, repeated: Record) -> Iterator[str]:
    """Yield the warnings that only one of two runs of different code gave: a warning's wording may change."""
    if not same_code(record, repeated):
        then, now = set(record["warnings"]), set(repeated["warnings"])
        yield from (f"a warning that is not given any more: {message}" for message in sorted(then - now))
        yield from (f"a warning that was not given then: {message}" for message in sorted(now - then))


def same_code(record: Record, repeated: Record) -> bool:
    """Whether two records were made by the same code of Secateur's."""
    return bool(record["provenance"].get("code") == repeated["provenance"].get("code"))


def _warnings(one: Record, other: Record) -> dict[str, str]:
    """Return every warning of two records, and whether the first one has it."""
    every = dict.fromkeys([*one["warnings"], *other["warnings"]])
    return {message: "a warning" if message in one["warnings"] else "none" for message in every}


def _names(one: Record, other: Record) -> dict[str, Any]:
    """Return the names that follow from the configuration.

    A data set without a name in the configuration is called by its folder, which may lie elsewhere now.
    """
    names = {"label": one["label"], "select_on": one["select_on"], "models": one["models"]}
    for key, node, name in (
        ("data.name", "data", one["data"]["name"]),
        ("transfer.source", "data", (one["transfer"] or {}).get("source")),
        ("transfer.downstream", "downstream", (one["transfer"] or {}).get("downstream")),
    ):
        own, others = (record["config"].get(node) or {} for record in (one, other))
        if own.get("name") or own.get("root") == others.get("root"):
            names[key] = name
    return names


def _blocks(record: Record, comparison: bool) -> dict[str, Any]:
    ledger = record["ledger"]
    counted = ("stage", "samples_forward", "samples_backward", "flops")
    blocks: dict[str, dict[str, Any]] = {
        "metrics": record["metrics"],
        "pruning": record["pruning"],
        "extrapolation": _without(record["extrapolation"], *OF_FIDELITY),
        "transfer": _without(record["transfer"], "source", "downstream"),
        "data": _without(record["data"], "name"),  # a folder's name is the data set's where it has no other
        "ledger": {
            **{key: ledger[key] for key in ("cost_vs_full", "cost_vs_full_amortized")},
            "stages": [{key: stage.get(key) for key in counted} for stage in ledger["stages"]],
        },
    }
    if comparison:
        blocks["comparison"] = {name: _without(metrics, "reused") for name, metrics in record["comparison"].items()}
        blocks["fidelity"] = {key: record["extrapolation"].get(key) for key in OF_FIDELITY}
    return blocks


def _says_something(block: Mapping[str, Any]) -> bool:
    return any(value is not None for value in block.values())


def _without(block: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key not in keys}
