"""What a page shows of a single run: where it comes from, and what it cost; read leniently, as nothing is computed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secateur.core.hashing import content_key
from secateur.report.data.run import Run
from secateur.report.figures.class_balance import counts_of

OWN = ("seed", "score_seed", "name")  # keys of a configuration that are the run's own; the rest is shared
STAGE = (
    *("stage", "reused", "seconds", "device_seconds", "samples_forward", "samples_backward"),
    *("flops", "peak_memory_bytes", "pruning"),
)


@dataclass
class Shared:
    """Configurations and provenances that runs have in common, each once."""

    configs: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def run_entry(run: Run, shared: Shared) -> dict[str, Any]:
    """Return a run as the page needs it, and add what it shares with others to ``shared``."""
    record = run.record
    pruning, ledger = _mapping(record, "pruning"), _mapping(record, "ledger")
    config = {key: value for key, value in _mapping(record, "config").items() if key not in OWN}
    counts, artifacts = counts_of(run), record.get("artifacts")
    own = not run.is_comparison
    return {
        "id": run.run_key,
        "path": str(run.path),
        "name": run.name,
        "run_key": run.run_key.split("/")[0],
        "is_comparison": run.is_comparison,
        "seed": run.seed,
        "score_seed": run.score_seed,
        "started": record.get("started"),
        "finished": run.finished,
        "command": record.get("command"),
        "label": run.label,
        "method": pruning.get("method") if own else run.label,
        "score": pruning.get("score") if own else None,
        "select_on": record.get("select_on") if own else None,
        "accuracy": run.accuracy,
        "worst_class_accuracy": run.worst_class_accuracy,
        "robust_accuracy": run.robust_accuracy,
        "num_total": pruning.get("num_total"),
        "num_kept": pruning.get("num_kept") if own else None,
        "class_counts": None if counts is None else counts.tolist(),
        "fingerprint": run.fingerprint,
        "mask_sha256": run.mask,
        "visited_share": run.visited_share,
        "num_seen": run.num_seen,
        "config": _keep(shared.configs, config),
        "provenance": _keep(shared.provenance, _mapping(record, "provenance")),
        "warnings": _texts(record.get("warnings")),
        "artifacts": sorted(artifacts) if own and isinstance(artifacts, Mapping) else [],
        "ledger": {
            "total_seconds": ledger.get("total_seconds") if own else None,
            "cost_vs_full": run.cost_vs_full,
            "cost_vs_full_amortized": run.cost_vs_full_amortized,
            "stages": _stages(ledger.get("stages")) if own else [],
        },
    }


def _stages(stages: Any) -> list[dict[str, Any]]:
    known = [stage for stage in stages if isinstance(stage, Mapping)] if isinstance(stages, list) else []
    return [{key: stage.get(key) for key in STAGE} for stage in known]


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []


def _mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    return value if isinstance(value, Mapping) else {}


def _keep(store: dict[str, Any], value: Mapping[str, Any]) -> str:
    value = finite(value)
    key = content_key(value, 12)
    store.setdefault(key, value)
    return key


def finite(value: Any) -> Any:
    """Return a JSON value with null where it has a number that JSON has not: NaN, infinity.

    Example:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
