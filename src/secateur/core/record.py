"""run.json, schema 1: what was run, what came out, what it cost. The source of truth of every report."""

import copy
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secateur.core.errors import DataError
from secateur.core.files import read_document, write_bytes, write_json

SCHEMA = 1
FILE_NAME = "run.json"
KEPT = "run.previous.json"  # the finished record of before, while the run is made again and its files are untouched

# Keys may be added in later versions, never renamed; what was not measured is null.
TEMPLATE: dict[str, Any] = {
    "schema": SCHEMA,
    "status": "running",
    "run_key": None,
    "name": None,
    "label": None,
    "command": None,
    "seed": None,
    "score_seed": None,
    "select_on": None,
    "config": None,
    "provenance": {},
    "started": None,
    "finished": None,
    "error": None,
    "warnings": [],
    "ignored": [],
    "artifacts": {},
    "artifact_bytes": {},
    "data": dict.fromkeys(
        (
            "name",
            "class_names",
            "num_train",
            "num_validation",
            "num_test",
            "num_classes",
            "fingerprint",
            "evaluation_fingerprint",
            "num_flipped",
        )
    ),
    "models": dict.fromkeys(("scoring", "final")),
    "pruning": dict.fromkeys(
        (
            *(
                "method",
                "score",
                "extrapolation",
                "selection",
                "variant",
                "pruning_ratio",
                "realized_pruning_ratio",
            ),
            *(
                "keep_fraction",
                "num_total",
                "num_kept",
                "num_groups",
                "num_groups_kept",
                "num_zero_vote_groups",
            ),
            *(
                "order_r2",
                "class_counts",
                "observed_share",
                "flipped_share_kept",
                "flipped_share_pruned",
                "mask_sha256",
            ),
            *(
                "given",
                "drawn_by",
                "per_epoch",
                "visited_share",
                "num_seen",
                "visits_sha256",
                "reads_ratio",
                "follows_ratio",
            ),
        )
    ),
    "transfer": dict.fromkeys(("source", "downstream", "finetune")),
    "extrapolation": {},
    "metrics": dict.fromkeys(
        (
            *("test_accuracy", "test_accuracy_best", "validation_accuracy", "worst_class_accuracy"),
            *("class_accuracy", "worst_group_accuracy"),
            *("linear_probe_accuracy", "finetune_accuracy", "source_accuracy", "robust_accuracy"),
        )
    ),
    "comparison": {},
    "ledger": {"stages": [], "total_seconds": None, "cost_vs_full": None, "cost_vs_full_amortized": None},
}


def new_record(**values: Any) -> dict[str, Any]:
    """Return a record with every key of the schema; the ones not given are null or empty.

    Raises:
        KeyError: a key is not in the schema.
    """
    record = copy.deepcopy(TEMPLATE)
    for key, value in values.items():
        if key not in record:
            raise KeyError(f"run.json has no key {key!r}")
        record[key] = value
    record["started"] = now()
    return record


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def save_record(run_dir: Path, record: dict[str, Any]) -> Path:
    """Write run.json atomically."""
    return write_json(run_dir / FILE_NAME, record)


def load_record(run_dir: Path) -> dict[str, Any]:
    """Read run.json.

    Raises:
        DataError: it is missing, is not JSON, or has another schema.
    """
    path = run_dir / FILE_NAME
    return read_document(path, SCHEMA, "a run record", missing=f"No run record at {path}.")


def keep_record(run_dir: Path) -> None:
    """Keep a finished record beside run.json, which is about to be overwritten; one that is not finished is not kept.

    The kept one survives a process that is killed: the next one finds it.
    """
    if is_finished(run_dir):
        write_bytes(run_dir / KEPT, (run_dir / FILE_NAME).read_bytes())


def put_back_record(run_dir: Path) -> dict[str, Any] | None:
    """Make the kept record run.json again; return it, or None where none is kept."""
    if not (run_dir / KEPT).is_file():
        return None
    os.replace(run_dir / KEPT, run_dir / FILE_NAME)
    return load_record(run_dir)


def forget_record(run_dir: Path) -> None:
    """Remove the kept record: new files take the place of those that it describes."""
    (run_dir / KEPT).unlink(missing_ok=True)


def label_of(record: Mapping[str, Any]) -> str:
    """Return a method in words: its name, or for ``score`` the scorer and whatever is not the default.

    A method may name what is not its default in ``pruning.modifiers``.

    Example:
        >>> pruning = {"method": "score", "score": "tdds", "extrapolation": "knn", "selection": "top"}
        >>> label_of({"pruning": pruning})
        'tdds + knn'
    """
    pruning = record["pruning"]
    parts = [pruning["score"] if pruning["method"] == "score" else pruning["method"]]
    if pruning["method"] == "score":
        defaults = {"extrapolation": "none", "selection": "top"}
        parts += [pruning[key] for key in defaults if pruning[key] not in (None, defaults[key])]
    modifiers = pruning.get("modifiers") or []
    if not isinstance(modifiers, list):
        raise ValueError(f"pruning.modifiers is {modifiers!r:.40}, not a list")
    parts += modifiers
    if pruning.get("variant") not in (None, "reference"):
        parts.append(pruning["variant"])
    if record.get("select_on") == "test":
        parts.append("selected on test")
    if not parts[0] or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"pruning names no method: {parts!r:.80}")
    return " + ".join(parts)


def is_finished(run_dir: Path) -> bool:
    """Whether a finished record lies in the folder."""
    try:
        return bool(load_record(run_dir)["status"] == "finished")
    except DataError:
        return False


def one_line(error: BaseException) -> str:
    """Return an exception's message as one line."""
    return re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
