"""Small data sets in the formats that are read, and a recipe for arrays."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import settings
from PIL import Image

from secateur.data.images import ArrayImages
from secateur.data.recipe import DataRecipe

settings.register_profile("data", max_examples=30, deadline=None)
settings.load_profile("data")
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
_STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(kw_only=True)
class ArrayData(DataRecipe):
    """Random images in memory; not a data set to ship."""

    name: str = "array"
    validation_fraction: float = 0.1
    num_train: int = 60
    num_test: int = 12
    num_classes: int = 3
    color: int = 3
    side: int = 8

    def check(self):
        pass

    def class_names(self):
        return [f"class {number}" for number in range(self.num_classes)]

    def load(self, split):
        count = self.num_train if split == "train" else self.num_test
        generator = torch.Generator().manual_seed(count)
        pixels = torch.randint(256, (count, self.color, self.side, self.side), dtype=torch.uint8, generator=generator)
        return ArrayImages(pixels, torch.arange(count) % self.num_classes)


def random_array(seed, side=8, channels=3):
    shape = (side, side, 3) if channels == 3 else (side, side)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(array, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(path, contents, labels, names=None, image="image", label="label"):
    structs = pa.array([{"bytes": content, "path": None} for content in contents], _STRUCT)
    table = pa.table({image: structs, label: labels})
    if names is not None:
        features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def batches(loader, epoch=0):
    """All batches of an epoch as one, in the order of their ids."""
    loader.set_epoch(epoch)
    parts = list(loader)
    x, y, sample_id = (torch.cat([part[field] for part in parts]) for field in range(3))
    order = sample_id.argsort(stable=True)
    return x[order], y[order], sample_id[order]


@pytest.fixture(scope="session")
def build():
    """The helpers above, for test files (which cannot import from here)."""
    return SimpleNamespace(
        ArrayData=ArrayData,
        batches=batches,
        encode=encode,
        random_array=random_array,
        shared=SHARED,
        write_parquet=write_parquet,
    )


@pytest.fixture
def parquet_root(tmp_path):
    """20 training and 6 test images of 8x8 RGB, 2 classes."""
    root = tmp_path / "shapes"
    for split, count in (("train", 20), ("test", 6)):
        contents = [encode(random_array(seed)) for seed in range(count)]
        write_parquet(root / f"{split}.parquet", contents, [row % 2 for row in range(count)], ["cat", "dog"])
    return root
