"""How much of each score is the order of its training: adjusted R2 of its ranks on the places in the shuffled orders.

Per seed one scoring network is trained; one recorder reads every standard scorer from it, by its default record and by
the other one, so that the two are compared on the same training. Printed are, for every scorer, the epochs it reads,
the adjusted R2 (mean over seeds, lowest and highest) and the mean Spearman correlation of its scores between two seeds.
A score that is measured after the training owes nothing to the orders; its R2 shows the noise of the measure.

    python benchmarks/order.py                                        # digits, 12, 20, 40 and 100 epochs, 5 seeds
    python benchmarks/order.py --data FOLDER --model resnet8 --optim cifar_fast --epochs 4 --window 3 --seeds 1
"""

import argparse
import itertools
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from secateur.data.digits import DigitsData
from secateur.data.order import Shuffled, positions
from secateur.data.parquet import ParquetData
from secateur.data.prepared import PreparedData, prepare
from secateur.runs.nodes import build
from secateur.runs.paths import conf_folder
from secateur.scores.base import Score
from secateur.scores.order import mean_ranks, order_r2
from secateur.tracking.provenance import processor
from secateur.training.callbacks.recorder import ScoreRecorder
from secateur.training.fit import TrainerSettings, fit
from secateur.training.modules.classifier import Classifier

BOTH = ("train_forward", "eval_pass")


def node(group: str, option: str) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(conf_folder() / group / f"{option}.yaml"))


def scorers(num_epochs: int, window: int | None) -> Iterator[tuple[str, Score]]:
    """Yield the scorers that such a training can feed, by ``name record``; the default record is marked."""
    for path in sorted(conf_folder().glob("score/*.yaml")):
        settings = node("score", path.stem)
        if window is not None and "window" in settings:
            settings["window"] = window
        default = settings.get("record")
        for record in (default, *(other for other in BOTH if other != default)) if default else (None,):
            score = build({**settings, **({"record": record} if record else {})})
            if score.epochs_needed <= num_epochs:
                yield f"{path.stem}|{score.record}{' (default)' if record and record == default else ''}", score


def train(data: PreparedData, arguments: argparse.Namespace, num_epochs: int, seed: int) -> tuple[ScoreRecorder, Any]:
    """Train one network; return what was recorded, and the places of the samples in every epoch."""
    recipe = build(node("optim", arguments.optim))
    torch.manual_seed(seed)
    model = build(node("model", arguments.model))(num_classes=data.num_classes, in_channels=data.image_shape[0])
    order = Shuffled(data.pool, seed)
    recorder = ScoreRecorder(
        dict(scorers(num_epochs, arguments.window)),
        sample_ids=data.pool,
        eval_loader=lambda: data.eval_loader(data.pool, 512),
    )
    settings = TrainerSettings(max_epochs=num_epochs, accelerator="cpu", checkpoint_every=num_epochs)
    loader = data.train_loader(order, recipe.batch_size, seed)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            Classifier(model, recipe, num_epochs, seed),
            loader,
            settings,
            Path(folder),
            [recorder],
            max_epochs=num_epochs,
        )
    return recorder, positions(order, data.pool, num_epochs)


def spearman(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([mean_ranks(one), mean_ranks(other)]))[0, 1])


def report(data: PreparedData, arguments: argparse.Namespace, num_epochs: int) -> None:
    """Train all seeds of one length and print its table."""
    started, r2, scores, read = time.perf_counter(), {}, {}, {}
    for seed in range(arguments.seeds):
        recorder, places = train(data, arguments, num_epochs, seed)
        for name, table in recorder.compute().items():
            epochs = recorder.scores[name].epochs
            r2.setdefault(name, []).append(order_r2(table.score, places[: epochs.stop]))
            scores.setdefault(name, []).append(table.score)
            read[name] = f"{epochs.start + 1} to {epochs.stop}" if len(epochs) > 1 else f"{epochs.stop}"
    seconds = (time.perf_counter() - started) / arguments.seeds
    print(f"\n### {num_epochs} epochs, n = {arguments.seeds} ({seconds:.0f} s each)\n")
    print("| scorer | record | epochs read | adjusted R2, mean (lowest to highest) | Spearman between seeds |")
    print("| --- | --- | --- | ---: | ---: |")
    for name, values in r2.items():
        pairs = [spearman(*pair) for pair in itertools.combinations(scores[name], 2)]
        level = f"{statistics.fmean(pairs):.2f}" if pairs else ""
        spread = f"{statistics.fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        scorer, record = name.split("|")
        print(f"| {scorer} | {record} | {read[name]} | {spread} | {level} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with train.parquet, instead of the digits")
    parser.add_argument("--model", default="small_cnn")
    parser.add_argument("--optim", default="digits")
    parser.add_argument("--epochs", type=int, nargs="+", default=[12, 20, 40, 100])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--window", type=int, help="epochs per window, where the training is shorter than the default's"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.data:
        augmented = {"crop_padding": 4, "flip": True, "validation_fraction": 0.0}
        data = prepare(ParquetData(root=arguments.data, name=Path(arguments.data).name, **augmented))
    else:
        data = prepare(DigitsData(name="digits", validation_fraction=0.0))
    print(
        f"{len(data.pool):,} images of {data.name}, {arguments.model}, optim={arguments.optim}"
        f"{f', windows of {arguments.window} epochs' if arguments.window else ''}; {processor()}, one thread of "
        f"{len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, torch {torch.__version__}"
    )
    for num_epochs in arguments.epochs:
        report(data, arguments, num_epochs)


if __name__ == "__main__":
    main()
