"""Images per second: the resident loader against a torch DataLoader with PIL transforms.

Both draw the same augmentation (random crop of 32 after padding by 4, horizontal flip, normalization) for batches
of 256 from images that lie decoded in memory, as torchvision.datasets.CIFAR10 keeps them. One round is one epoch
of each, one after the other; the DataLoader's two workers are started by a warm-up epoch and stay. What is timed
is a loop that takes every batch and does nothing with it, on the CPU: no training, no copy to an accelerator. By
default torch uses one thread in this process, so the resident loader has one core and the DataLoader at least two;
more threads help on an idle machine and hurt on a busy one.

    python benchmarks/resident_loader.py [--rounds 5] [--threads 1] [--data FOLDER_WITH_PARQUET]
"""

import argparse
import os
import platform
import statistics
import time

import numpy as np
import PIL
import torch
import torchvision
from common import MEAN, STD, prepared
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from secateur.data.order import Shuffled
from secateur.tracking.provenance import processor


class PilImages(Dataset):
    """What torchvision.datasets.CIFAR10 does per sample: array row, PIL image, transform."""

    def __init__(self, data: np.ndarray, labels: list[int]) -> None:
        self.data = data
        self.labels = labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self):
        return len(self.data)

    def __getitem__(self, row):
        return self.transform(Image.fromarray(self.data[row])), self.labels[row]


def images_per_second(loader) -> float:
    """Time one epoch, from asking for the first batch to having the last."""
    start = time.perf_counter()
    count = sum(len(batch[0]) for batch in loader)
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000, help="synthetic images")
    parser.add_argument("--data", help="folder with train.parquet of 32x32 RGB images, instead of synthetic ones")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="torch threads of this process")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    data = prepared(arguments.data, arguments.images)
    resident = data.train_loader(Shuffled(data.pool, 0), arguments.batch_size, seed=0)
    array = data.resident("train").pixels.permute(0, 2, 3, 1).contiguous().numpy()
    baseline = DataLoader(
        PilImages(array, data.labels.tolist()),
        batch_size=arguments.batch_size,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
    )
    images_per_second(baseline)
    images_per_second(resident)

    rates = []
    for epoch in range(1, arguments.rounds + 1):
        resident.set_epoch(epoch)
        rates.append((images_per_second(baseline), images_per_second(resident)))
        print(f"round {epoch}: DataLoader {rates[-1][0]:9,.0f} images/s   resident {rates[-1][1]:9,.0f} images/s")
    ratios = [ours / theirs for theirs, ours in rates]
    print(f"\nmedian DataLoader {statistics.median(theirs for theirs, _ in rates):,.0f} images/s (2 workers)")
    print(f"median resident   {statistics.median(ours for _, ours in rates):,.0f} images/s")
    print(f"ratio median {statistics.median(ratios):.1f}, min {min(ratios):.1f}, max {max(ratios):.1f}")
    print(
        f"{len(data.pool):,} {data.name} images, batch {arguments.batch_size}; {processor()}, "
        f"{os.cpu_count()} cores, torch threads {torch.get_num_threads()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"Pillow {PIL.__version__}"
    )


if __name__ == "__main__":
    main()
