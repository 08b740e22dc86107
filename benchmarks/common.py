"""What the benchmarks share: CIFAR-like images with CIFAR's augmentation."""

import torch

from secateur.data.images import ArrayImages
from secateur.data.parquet import ParquetData
from secateur.data.prepared import PreparedData, prepare
from secateur.data.recipe import DataRecipe

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class SyntheticData(DataRecipe):
    """Random images in memory."""

    num_images = 0

    def check(self):
        pass

    def class_names(self):
        return [str(label) for label in range(10)]

    def load(self, split):
        count = self.num_images if split == "train" else 10
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
        return ArrayImages(pixels, torch.arange(count) % 10)


def prepared(root: str | None, num_images: int) -> PreparedData:
    """Prepare the Parquet files in a folder, or so many synthetic images."""
    common = {"crop_padding": 4, "flip": True, "mean": MEAN, "std": STD, "validation_fraction": 0.0}
    if root:
        return prepare(ParquetData(root=root, **common))
    SyntheticData.num_images = num_images
    return prepare(SyntheticData(name="synthetic", **common))
