"""What of a run record goes into a logger, as flat keys that tables can be filtered and sorted by."""

from collections.abc import Mapping
from typing import Any

# Of the block ``pruning``, what only a table of runs would be sorted or filtered by.
FILTERED = (
    *("realized_pruning_ratio", "keep_fraction", "num_total", "num_kept", "variant"),
    *("given", "per_epoch", "visited_share", "num_seen"),
)
MASK = (
    *("keep_fraction", "realized_pruning_ratio", "num_kept", "num_groups_kept", "observed_share"),
    *("visited_share", "num_seen"),
)
NOISE = ("flipped_share_kept", "flipped_share_pruned")


def filterable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what joins the resolved configuration: outcomes that tell runs apart. What is not known is left out."""
    pruning, ledger = record["pruning"], record["ledger"]
    values = {
        **{key: pruning[key] for key in FILTERED},
        **{f"{key}_name": pruning[key] for key in ("method", "score", "extrapolation", "selection")},
        **{key: ledger[key] for key in ("cost_vs_full", "cost_vs_full_amortized")},
        "data_name": record["data"]["name"],
        "label": record["label"],
        "status": record["status"],
    }
    return {key: value for key, value in values.items() if value is not None}


def summary(record: Mapping[str, Any]) -> dict[str, float | int]:
    """Return all single numbers of a finished record: metrics, ledger, mask and comparison."""
    pruning, ledger = record["pruning"], record["ledger"]
    values = {
        **record["metrics"],
        **{f"mask/{key}": pruning[key] for key in (*MASK, *NOISE)},
        **_class_balance(pruning["class_counts"]),
        **{f"ledger/{key}": value for key, value in ledger.items() if key != "stages"},
        **_stages(ledger["stages"]),
    }
    for name, block in record["comparison"].items():
        values.update({f"comparison/{name}/{key}": value for key, value in block.items()})
    return {key: value for key, value in values.items() if type(value) in (int, float)}


def _class_balance(counts: list[int] | None) -> dict[str, int]:
    """Return how many samples the smallest and the largest class keep, and how many classes keep none."""
    if not counts:
        return {}
    return {
        "mask/smallest_class": min(counts),
        "mask/largest_class": max(counts),
        "mask/num_empty_classes": counts.count(0),
    }


def _stages(stages: list[dict[str, Any]]) -> dict[str, float]:
    """Return operations and seconds by stage; those of one name are summed."""
    totals: dict[str, float] = {}
    for stage in stages:
        for key in ("flops", "seconds", "samples_forward", "samples_backward"):
            name = f"ledger/{stage['stage']}/{key}"
            totals[name] = totals.get(name, 0) + stage[key]
    return totals
