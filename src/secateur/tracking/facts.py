"""What of a run record goes into a logger, as flat keys that tables can be filtered and sorted by."""

from collections.abc import Sequence
from typing import Any

from secateur.core.block import Mark
from secateur.core.ledger import StageCost
from secateur.core.record import RunRecord


def filterable(record: RunRecord) -> dict[str, Any]:
    """Return what joins the resolved configuration: outcomes that tell runs apart. What is not known is left out."""
    pruning, nodes = record.pruning, ("method", "score", "extrapolation", "selection")
    values = {
        **pruning.marked(Mark.FILTER),
        **{f"{node}_name": getattr(pruning, node) for node in nodes},
        **record.ledger.marked(Mark.FILTER),
        "data_name": record.data.name,
        "label": record.label,
        "status": record.status,
    }
    return {key: value for key, value in values.items() if value is not None}


def summary(record: RunRecord) -> dict[str, float | int]:
    """Return all single numbers of a finished record: metrics, ledger, mask and comparison."""
    values = {
        **record.metrics.to_json(),
        **{f"mask/{key}": value for key, value in record.pruning.marked(Mark.SUMMARY).items()},
        **_class_balance(record.pruning.class_counts),
        **{f"ledger/{key}": value for key, value in record.ledger.to_json().items()},
        **_stages(record.ledger.stages),
    }
    for name, baseline in record.comparison.items():
        values.update({f"comparison/{name}/{key}": value for key, value in baseline.to_json().items()})
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


def _stages(stages: Sequence[StageCost]) -> dict[str, float]:
    """Return operations and seconds by stage; those of one name are summed."""
    totals: dict[str, float] = {}
    for stage in stages:
        for key in ("flops", "seconds", "samples_forward", "samples_backward"):
            name = f"ledger/{stage.stage}/{key}"
            totals[name] = totals.get(name, 0) + getattr(stage, key)
    return totals
