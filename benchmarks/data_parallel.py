"""What a second process is worth: a fixed epoch of ResNet-8 with two processes against one, one thread each.

Both train the same network on the same batches of 128 (32x32 images): one process takes all of a batch, two take half
of it each, normalize over the whole of it and average their gradients. What is timed is one epoch, from its start to
the end of its last step. Two processes stay joined for all of the benchmark and train side by side; for the epoch of
one process the second one waits, asleep. Epochs alternate, so a slow moment of the machine hits both, and every pair
gives one ratio. It needs two idle cores: with other work on them the ratio says nothing. The ratio of CPU seconds of
the first process does not mind: it is what the epoch would take if nobody ever waited, for a core or for the other.

    python benchmarks/data_parallel.py [--pairs 9] [--samples 2560] [--data FOLDER_WITH_PARQUET]
"""

import argparse
import os
import platform
import socket
import statistics
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from common import prepared
from torch.multiprocessing import spawn

from secateur.core.group import Group, alone, current
from secateur.data.order import Shuffled
from secateur.data.prepared import PreparedData
from secateur.models.resnet import CIFARResNet
from secateur.tracking.provenance import processor
from secateur.training.distributed.processes import joined
from secateur.training.distributed.strategy import DataParallel
from secateur.training.fit import TrainerSettings, fit
from secateur.training.modules.classifier import Classifier
from secateur.training.recipe import Recipe

BATCH_SIZE, WORLD, TARGET = 128, 2, 0.65
RECIPE = Recipe(optimizer="sgd", lr=0.05, batch_size=BATCH_SIZE, momentum=0.9, weight_decay=5e-4, schedule="cosine")
SETTINGS = TrainerSettings(max_epochs=1, accelerator="cpu")


class Clock(pl.Callback):
    """Times one epoch: wall and CPU seconds."""

    started = seconds = (0.0, 0.0)

    def on_train_epoch_start(self, trainer, pl_module):
        self.started = (time.perf_counter(), time.process_time())

    def on_train_epoch_end(self, trainer, pl_module):
        wall, cpu = self.started
        self.seconds = (time.perf_counter() - wall, time.process_time() - cpu)


def epoch(data: PreparedData, folder: str) -> tuple[float, float]:
    """Train one epoch with the processes of the current group; return its wall and CPU seconds in this one."""
    torch.manual_seed(0)
    model = CIFARResNet(
        layers=[1, 1, 1], widths=[16, 32, 64], block="basic", shortcut="pad", zero_init_residual=False,
        num_classes=data.num_classes, in_channels=3,
    )  # fmt: skip
    clock = Clock()
    loader = data.train_loader(Shuffled(data.pool, 0), BATCH_SIZE, seed=0)
    module = Classifier(model, RECIPE, num_epochs=1, seed=0)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        fit(module, loader, SETTINGS, Path(current().broadcast(place)), [clock], max_epochs=1)
        current().barrier()
    return clock.seconds


def pair(group: Group, data: PreparedData, folder: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return wall and CPU seconds of an epoch by one process while the other waits, and of one by both."""
    one = (0.0, 0.0)
    if group.rank == 0:
        with alone():
            one = epoch(data, folder)
    group.barrier()
    return one, epoch(data, folder)


def process(rank: int, port: int, folder: str, arguments: argparse.Namespace) -> None:
    """Measure in one of the processes; the first prints."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    strategy, cpu = DataParallel(devices=WORLD, accelerator="cpu", backend="gloo"), torch.device("cpu")
    pairs = []
    with joined(strategy, cpu, rank=rank, size=WORLD, local_rank=rank, address="127.0.0.1") as group:
        data = prepared(arguments.data, arguments.samples)
        for number in range(arguments.pairs + 1):
            one, two = pair(group, data, folder)
            if rank == 0:
                name = number or "warm-up"
                wall, cpu = (second / first for first, second in zip(one, two, strict=True))
                print(f"pair {name:>7}: one {one[0]:.2f} s, two {two[0]:.2f} s, {wall:.3f} (CPU {cpu:.3f})", flush=True)
            if number:
                pairs.append((one, two))
    if rank == 0:
        report(pairs, data)


def report(pairs: list[tuple[tuple[float, float], tuple[float, float]]], data: PreparedData) -> None:
    """Print what the pairs of seconds say."""
    ones, twos = (statistics.median(wall for wall, _ in side) for side in zip(*pairs, strict=True))
    print(f"\nan epoch: median {ones:.2f} s with one process, {twos:.2f} s with two, over {len(pairs)} pairs")
    for number, name in enumerate(("wall", "CPU of the first process")):
        ratios = [two[number] / one[number] for one, two in pairs]
        spread = f"median {statistics.median(ratios):.3f}, min {min(ratios):.3f}, max {max(ratios):.3f}"
        print(f"two against one, {name}: {spread}")
    print(f"target: wall under {TARGET}")
    print(
        f"{len(data.pool):,} {data.name} images, ResNet-8, batch {BATCH_SIZE}; {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, 1 thread per process; load before and during: "
        f"{os.getloadavg()[1]:.1f}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"pytorch_lightning {pl.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9, help="counted pairs of epochs, one more warms up")
    parser.add_argument("--samples", type=int, default=2_560, help="synthetic images per epoch")
    parser.add_argument("--data", help="folder with train.parquet of 32x32 RGB images, instead of synthetic ones")
    arguments = parser.parse_args()
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        spawn(process, (port, folder, arguments), nprocs=WORLD)


if __name__ == "__main__":
    main()
