"""What recording costs: training epochs with and without all standard scorers in the training forward pass.

Two trainings of one ResNet-8 at 32x32 and batch 128 run side by side, epoch by epoch: one with a ScoreRecorder that
holds every standard scorer (record: train_forward), one without. Both go through ``fit``, which resumes from the last
checkpoint for each further epoch, so that A B A B are interleaved and a slow moment of the machine hits both. What is
timed is one epoch, from its start to the end of all callbacks, without checkpoint and resume. The first pair warms
up and is not counted; from the tenth epoch on all windows are full.

Two numbers come out. The ratio of the two epochs is what a user feels, with the noise of the machine in it. The time
spent inside the recorder's own hooks, as a share of the same epoch, has none of it (on a CPU, where nothing runs
behind the program's back). Scorers that are measured once after the training (entropy, margin, ...) cost one forward
pass over the data per run, whatever the number of epochs; that pass is timed by itself.

    python benchmarks/recording_overhead.py [--pairs 11] [--samples 2560] [--threads 1] [--data FOLDER_WITH_PARQUET]
"""

import argparse
import logging
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from common import prepared

from secateur.data.order import Shuffled
from secateur.data.prepared import PreparedData
from secateur.models.resnet import CIFARResNet
from secateur.runs.nodes import build
from secateur.runs.stages.scoring import standard_scores
from secateur.tracking.provenance import processor
from secateur.training.callbacks.recorder import ScoreRecorder
from secateur.training.fit import TrainerSettings, fit
from secateur.training.modules.classifier import Classifier
from secateur.training.recipe import Recipe

BATCH_SIZE, SCHEDULE_EPOCHS = 128, 200
RECIPE = Recipe(optimizer="sgd", lr=0.05, batch_size=BATCH_SIZE, momentum=0.9, weight_decay=5e-4, schedule="cosine")


class Clock(pl.Callback):
    """Starts to time an epoch, as the first of the callbacks."""

    started = 0.0

    def on_train_epoch_start(self, trainer, pl_module):
        self.started = time.perf_counter()


class Stop(pl.Callback):
    """Ends it, as the last one."""

    seconds = 0.0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_epoch_end(self, trainer, pl_module):
        self.seconds = time.perf_counter() - self.clock.started


class TimedRecorder(ScoreRecorder):
    """Adds up the time spent in the hooks that record; the pass after the training is left to the end."""

    inside = 0.0

    def _timed(self, hook, *arguments):
        started = time.perf_counter()
        hook(*arguments)
        self.inside += time.perf_counter() - started

    def on_train_epoch_start(self, *arguments):
        self._timed(super().on_train_epoch_start, *arguments)

    def on_train_batch_end(self, *arguments):
        self._timed(super().on_train_batch_end, *arguments)

    def on_train_epoch_end(self, *arguments):
        self._timed(super().on_train_epoch_end, *arguments)

    def on_train_end(self, *arguments):
        """Leave out the final pass: every call of ``fit`` here is one epoch of a longer training."""


class Training:
    """One training that can be continued by an epoch at a time."""

    def __init__(self, data: PreparedData, folder: Path, settings: TrainerSettings, record: bool) -> None:
        self.data, self.folder, self.settings, self.record = data, folder, settings, record
        self.epochs = 0

    def one_epoch(self) -> tuple[float, float]:
        """Train one more epoch; return its seconds, and those spent recording."""
        self.epochs += 1
        clock = Clock()
        stop = Stop(clock)
        self.recorder = self._recorder() if self.record else None
        torch.manual_seed(0)
        model = CIFARResNet(
            layers=[1, 1, 1], widths=[16, 32, 64], block="basic", shortcut="pad", zero_init_residual=False,
            num_classes=self.data.num_classes, in_channels=3,
        )  # fmt: skip
        self.module = Classifier(model, RECIPE, num_epochs=SCHEDULE_EPOCHS, seed=0)
        loader = self.data.train_loader(Shuffled(self.data.pool, 0), BATCH_SIZE, seed=0)
        callbacks = [clock, *([self.recorder] if self.recorder else []), stop]
        self.trainer = fit(self.module, loader, self.settings, self.folder, callbacks, max_epochs=self.epochs)
        return stop.seconds, self.recorder.inside if self.recorder else 0.0

    def final_pass(self) -> float:
        """Return the seconds of the pass that the scorers measured after the training need."""
        started = time.perf_counter()
        self.recorder.finish(self.trainer, self.module)
        return time.perf_counter() - started

    def _recorder(self) -> TimedRecorder:
        return TimedRecorder(
            {name: build(in_training(node)) for name, node in standard_scores(SCHEDULE_EPOCHS).items()},
            sample_ids=self.data.pool,
            num_epochs=SCHEDULE_EPOCHS,
            eval_loader=lambda: self.data.eval_loader(self.data.pool, 512),
        )


def in_training(node: dict) -> dict:
    """Let a scorer read the training's own forward passes, where it has the choice."""
    return {**node, **({"record": "train_forward"} if "record" in node else {})}


def percent(shares: list[float]) -> str:
    return f"median {statistics.median(shares):+.2%}, min {min(shares):+.2%}, max {max(shares):+.2%}"


def report(pairs: list[tuple[float, float, float]], training: Training) -> None:
    """Print what the pairs of (seconds without, seconds with, seconds inside the recorder) say."""
    plain = statistics.median(without for without, _, _ in pairs)
    scores = training.recorder.scores
    final = [name for name, score in scores.items() if score.record == "final_pass"]
    pass_seconds = training.final_pass()
    print(f"\n{len(scores)} scorers: {', '.join(scores)}")
    print(f"epoch without recording: median {plain:.2f} s over {len(pairs)} pairs")
    print(f"overhead of recording, epoch ratio:     {percent([watched / alone - 1 for alone, watched, _ in pairs])}")
    print(f"share of the epoch inside the recorder: {percent([inside / watched for _, watched, inside in pairs])}")
    print(f"once per run, the pass for {', '.join(final)}: {pass_seconds:.2f} s = {pass_seconds / plain:.2f} epochs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=11, help="counted pairs of epochs, one more warms up")
    parser.add_argument("--samples", type=int, default=2_560, help="synthetic images per epoch")
    parser.add_argument("--data", help="folder with train.parquet of 32x32 RGB images, instead of synthetic ones")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    data = prepared(arguments.data, arguments.samples)
    settings = TrainerSettings(max_epochs=SCHEDULE_EPOCHS, accelerator="cpu")
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        plain = Training(data, Path(folder) / "plain", settings, record=False)
        watched = Training(data, Path(folder) / "watched", settings, record=True)
        for number in range(arguments.pairs + 1):
            without, _ = plain.one_epoch()
            seconds, inside = watched.one_epoch()
            share = f"{seconds / without - 1:+.2%}, inside the recorder {inside / seconds:.2%}"
            print(f"pair {number or 'warm-up':>7}: without {without:.2f} s, with {seconds:.2f} s, {share}", flush=True)
            if number:
                pairs.append((without, seconds, inside))
        report(pairs, watched)
    print(
        f"{len(data.pool):,} {data.name} images, ResNet-8, batch {BATCH_SIZE}; {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, torch threads {torch.get_num_threads()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, pytorch_lightning {pl.__version__}"
    )


if __name__ == "__main__":
    main()
