"""What a run ends with: the final training, and with a downstream set what becomes of it there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.core.ledger import StageCost
from secateur.runs.context import Context
from secateur.runs.stages.finetune import adapt
from secateur.runs.stages.training import Trained
from secateur.training.fit import PREDICTIONS


@dataclass(frozen=True)
class Final:
    """Metrics for the record, costs, and the files for the run's folder by their name there."""

    metrics: Mapping[str, Any]
    costs: list[StageCost]
    files: Mapping[str, Path]


def finish(context: Context, trained: Trained) -> Final:
    """Return a final training as a run's result; with a downstream set it is the pretraining of one."""
    files = _files(trained.path, "metrics", "last", PREDICTIONS)
    if context.downstream is None:
        return Final(trained.metrics, [trained.cost], files)
    adapted = adapt(context, trained.path)
    for mode, folder in adapted.folders.items():
        files |= _files(folder, mode, mode, f"{mode}_{PREDICTIONS}")
    source = {"source_accuracy": trained.metrics["test_accuracy"]}
    return Final({**adapted.metrics, **source}, [trained.cost, *adapted.costs], files)


def _files(folder: Path, history: str, weights: str, predictions: str) -> dict[str, Path]:
    """Return what a finished training gives to the run's folder; one without classes has no predictions."""
    files = {
        f"{history}.csv": folder / "metrics.csv",
        f"checkpoints/{weights}.safetensors": folder / "model.safetensors",
    }
    if (folder / PREDICTIONS).is_file():
        files[predictions] = folder / PREDICTIONS
    return files
