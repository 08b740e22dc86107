"""What a run ends with: the final training, and with a downstream set what becomes of it there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secateur.core.ledger import StageCost
from secateur.pipeline.context import Context
from secateur.pipeline.training import Trained
from secateur.pipeline.transfer import adapt


@dataclass(frozen=True)
class Final:
    """Metrics for the record, costs, and the files for the run's folder by their name there."""

    metrics: Mapping[str, float | None]
    costs: list[StageCost]
    files: Mapping[str, Path]


def finish(context: Context, trained: Trained) -> Final:
    """Return a final training as a run's result; with a downstream set it is the pretraining of one."""
    files = {
        "metrics.csv": trained.path / "metrics.csv",
        "checkpoints/last.safetensors": trained.path / "model.safetensors",
    }
    if context.downstream is None:
        return Final(trained.metrics, [trained.cost], files)
    adapted = adapt(context, trained.path)
    for mode, folder in adapted.folders.items():
        files[f"{mode}.csv"] = folder / "metrics.csv"
        files[f"checkpoints/{mode}.safetensors"] = folder / "model.safetensors"
    source = {"source_accuracy": trained.metrics["test_accuracy"]}
    return Final({**adapted.metrics, **source}, [trained.cost, *adapted.costs], files)
