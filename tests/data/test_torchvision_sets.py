"""Every torchvision option on a tiny root in the real on-disk format, read by torchvision's own class.

torchvision compares md5 sums for CIFAR, SVHN, Flowers102 and Places365, which no tiny file can have: for these
four the comparison, and nothing else, is replaced.
"""

import json
import pickle  # noqa: TID251 (CIFAR's own format)
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchvision import datasets

from secateur.core.errors import ConfigError, DataError
from secateur.data.prepared import prepare
from secateur.data.torchvision_sets import TorchvisionData

CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.fixture
def open_option(tmp_path):
    def open_option(option, **changes):
        node = OmegaConf.load(CONF / f"{option}.yaml")
        return prepare(instantiate(node, root=str(tmp_path), **changes))

    return open_option


@pytest.fixture
def draw(build, tmp_path):
    """Write an image of random pixels below the root."""

    def draw(path, seed, side=12):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(build.encode(build.random_array(seed, side), "JPEG"))

    return draw


@pytest.fixture
def any_md5(monkeypatch):
    for module in ("svhn", "flowers102", "places365", "cifar"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: Path(path).is_file()
        )


def check_files(data, num_train, num_test, num_classes):
    assert (len(data.train), len(data.test), data.num_classes) == (num_train, num_test, num_classes)
    assert data.image_shape == (3, 224, 224)
    assert not data.is_resident
    batch = next(iter(data.eval_loader("test", 2)))
    assert batch.x.shape == (2, 3, 224, 224)
    assert len(data.fingerprint) == 64
    assert all(isinstance(name, str) for name in data.class_names)


@pytest.mark.parametrize(("option", "num_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar(open_option, any_md5, tmp_path, option, num_classes):
    cls = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[option]
    folder = tmp_path / cls.base_folder
    folder.mkdir()
    key = "labels" if option == "cifar10" else "fine_labels"
    for number, (name, _) in enumerate(cls.train_list + cls.test_list):
        data = np.random.default_rng(number).integers(0, 256, (20, 3072), dtype=np.uint8)
        labels = [(number + row) % num_classes for row in range(20)]
        (folder / name).write_bytes(pickle.dumps({"data": data, key: labels}))
    names = [f"class {number}" for number in range(num_classes)]
    (folder / cls.meta["filename"]).write_bytes(pickle.dumps({cls.meta["key"]: names}))
    data = open_option(option)
    assert len(data.train) == 20 * len(cls.train_list)
    assert (len(data.test), data.class_names) == (20, names)
    assert data.image_shape == (3, 32, 32)
    first = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)[3]
    assert data.train.stored_bytes(3) == first.tobytes()
    assert data.train.labels[:3].tolist() == [0, 1, 2]
    assert len(list(data.eval_loader("test", 8))) == 3


def test_svhn(open_option, any_md5, tmp_path):
    (tmp_path / "svhn").mkdir()
    pixels = {}
    for split, count in (("train", 30), ("test", 10)):
        pixels[split] = np.random.default_rng(count).integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = (np.arange(count) % 10 + 1)[:, None].astype(np.uint8)  # 10 stands for the digit 0
        scipy.io.savemat(tmp_path / "svhn" / f"{split}_32x32.mat", {"X": pixels[split], "y": labels})
    data = open_option("svhn")
    assert data.train.labels[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert data.num_classes == 10
    assert np.array_equal(data.train.pixels[4], pixels["train"][..., 4].transpose(2, 0, 1))
    assert data.recipe.flip is False


@pytest.mark.parametrize(("option", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_mnist(open_option, tmp_path, option, folder):
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    pixels = {}
    for prefix, count in (("train", 30), ("t10k", 10)):
        pixels[prefix] = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images = struct.pack(">IIII", 2051, count, 28, 28) + pixels[prefix].tobytes()
        labels = struct.pack(">II", 2049, count) + bytes(row % 10 for row in range(count))
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)
    data = open_option(option)
    assert (len(data.train), len(data.test), data.image_shape) == (30, 10, (1, 28, 28))
    assert data.num_classes == 10
    assert np.array_equal(data.train.pixels[4, 0], pixels["train"][4])


def test_places365(open_option, draw, any_md5, tmp_path):
    root = tmp_path / "places365"
    root.mkdir()
    (root / "categories_places365.txt").write_text("/a/airfield 0\n/b/beach 1\n")
    train = [f"/{name[0]}/{name}/{row}.jpg" for name in ("airfield", "beach") for row in range(5)]
    (root / "places365_train_standard.txt").write_text("".join(f"{p} {int('beach' in p)}\n" for p in train))
    (root / "places365_val.txt").write_text("val_1.jpg 1\nval_2.jpg 0\n")
    for number, path in enumerate(train):
        draw(f"places365/data_256_standard{path}", number)
    for number in (1, 2):
        draw(f"places365/val_256/val_{number}.jpg", number)
    data = open_option("places365", num_workers=0)
    check_files(data, 10, 2, 2)
    assert data.class_names == ["/a/airfield", "/b/beach"]
    assert data.test.labels.tolist() == [1, 0]


def test_imagenet(open_option, draw, tmp_path):
    names = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish",)}
    (tmp_path / "imagenet").mkdir()
    torch.save((names, ["n01440764", "n01443537"]), tmp_path / "imagenet" / "meta.bin")
    for number, wnid in enumerate(names):
        for row in range(4):
            draw(f"imagenet/train/{wnid}/{wnid}_{row}.JPEG", row + 10 * number)
        draw(f"imagenet/val/{wnid}/ILSVRC2012_val_{number}.JPEG", number)
    data = open_option("imagenet", num_workers=0)
    check_files(data, 8, 2, 2)
    assert data.class_names == ["tench, Tinca tinca", "goldfish"]


def test_flowers102(open_option, draw, any_md5, tmp_path):
    for number in range(1, 11):
        draw(f"flowers-102/jpg/image_{number:05d}.jpg", number)
    ids = {"trnid": [1, 4, 5], "valid": [2, 3], "tstid": [6, 7, 8, 9, 10]}
    scipy.io.savemat(tmp_path / "flowers-102/setid.mat", ids)
    labels = np.array([1, 2, 102, 4, 5, 6, 7, 8, 9, 10])
    scipy.io.savemat(tmp_path / "flowers-102/imagelabels.mat", {"labels": labels})
    data = open_option("flowers102", num_workers=0)
    check_files(data, 5, 5, 102)
    assert data.train.labels.tolist() == [0, 3, 4, 1, 101]


def test_dtd(open_option, draw, tmp_path):
    (tmp_path / "dtd/dtd/labels").mkdir(parents=True)
    for number, split in enumerate(("train", "val", "test")):
        names = [f"{name}/{name}_{number}.jpg" for name in ("banded", "woven")]
        (tmp_path / f"dtd/dtd/labels/{split}1.txt").write_text("\n".join(names) + "\n")
        for name in names:
            draw(f"dtd/dtd/images/{name}", number)
    data = open_option("dtd", num_workers=0)
    check_files(data, 4, 2, 2)
    assert [Path(path).name for path in data.train.paths] == [
        "banded_0.jpg",
        "woven_0.jpg",
        "banded_1.jpg",
        "woven_1.jpg",
    ]


def test_oxford_iiit_pet(open_option, draw, tmp_path):
    (tmp_path / "oxford-iiit-pet/annotations").mkdir(parents=True)
    for split in ("trainval", "test"):
        lines = []
        for number, name in enumerate(("Abyssinian", "basset_hound")):
            draw(f"oxford-iiit-pet/images/{name}_{split}.jpg", number)
            lines.append(f"{name}_{split} {number + 1} {number + 1} 1\n")
        (tmp_path / f"oxford-iiit-pet/annotations/{split}.txt").write_text("".join(lines))
    data = open_option("oxford_iiit_pet", num_workers=0)
    check_files(data, 2, 2, 2)
    assert data.class_names == ["Abyssinian", "Basset Hound"]


def test_food101(open_option, draw, tmp_path):
    (tmp_path / "food-101/meta").mkdir(parents=True)
    for number, split in enumerate(("train", "test")):
        files = {name: [f"{name}/{10 * number + row}" for row in range(2)] for name in ("waffles", "beignets")}
        (tmp_path / f"food-101/meta/{split}.json").write_text(json.dumps(files))
        for name in [name for names in files.values() for name in names]:
            draw(f"food-101/images/{name}.jpg", number)
    data = open_option("food101", num_workers=0)
    check_files(data, 4, 4, 2)
    assert data.class_names == ["beignets", "waffles"]
    assert data.train.labels.tolist() == [1, 1, 0, 0]


def test_sun397_is_split_in_path_order_whatever_the_disk_says(open_option, draw, tmp_path, monkeypatch):
    (tmp_path / "SUN397").mkdir()
    (tmp_path / "SUN397/ClassName.txt").write_text("/a/abbey\n/z/zen_garden\n")
    for number, name in enumerate(("a/abbey", "z/zen_garden")):
        for row in range(10):
            draw(f"SUN397/{name}/sun_{row}.jpg", row + 20 * number)
    data = open_option("sun397", num_workers=0)
    check_files(data, 16, 4, 2)
    assert torch.bincount(data.test.labels).tolist() == [2, 2]
    assert data.train.paths == sorted(data.train.paths)
    assert not set(data.train.paths) & set(data.test.paths)
    listed = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: list(listed(self, pattern))[::-1])
    assert open_option("sun397", split_seed=3, num_workers=0).test.paths == data.test.paths
    assert open_option("sun397", num_workers=0).fingerprint == data.fingerprint


def test_eurosat(open_option, draw):
    for number, name in enumerate(("Forest", "River")):
        for row in range(10):
            draw(f"eurosat/2750/{name}/{name}_{row}.jpg", row + 20 * number)
    data = open_option("eurosat", num_workers=0)
    check_files(data, 16, 4, 2)
    assert data.class_names == ["Forest", "River"]


def test_stanford_cars(open_option, draw, tmp_path):
    root = tmp_path / "stanford_cars"
    (root / "devkit").mkdir(parents=True)
    for split, path in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = np.array([(f"{row:05d}.jpg", row % 2 + 1) for row in range(4)], [("fname", "O"), ("class", "O")])
        scipy.io.savemat(root / path, {"annotations": rows})
        for row in range(4):
            draw(f"stanford_cars/cars_{split}/{row:05d}.jpg", row)
    names = np.array(["AM General Hummer", "Acura RL"], dtype=object)
    scipy.io.savemat(root / "devkit/cars_meta.mat", {"class_names": names})
    data = open_option("stanford_cars", num_workers=0)
    check_files(data, 4, 4, 2)
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(DataError, match="cannot be downloaded"):
        open_option("stanford_cars", download=True)


def test_missing_and_corrupt_data_is_one_line(open_option, tmp_path):
    with pytest.raises(DataError, match=r"cifar-10-batches-py does not exist.*data.download=true") as caught:
        open_option("cifar10")
    assert "\n" not in str(caught.value)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=r"torchvision cannot read cifar10 .*not found or corrupted"):
        open_option("cifar10")
    with pytest.raises(DataError, match=r"data.root=/nowhere does not exist"):
        TorchvisionData(name="m", root="/nowhere", dataset="MNIST").check()


@pytest.mark.parametrize("name", ["train.parquet", "data/train-00000-of-00001.parquet"])
def test_a_folder_that_another_reader_reads_is_named(open_option, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"does not exist\. Found {name} here: use data=parquet\."):
        open_option("mnist")


def test_downloads_only_when_asked(open_option, monkeypatch):
    asked = []
    monkeypatch.setattr(datasets.CIFAR10, "download", lambda self: asked.append(self.root))
    with pytest.raises(DataError):
        open_option("cifar10")
    assert asked == []
    with pytest.raises(DataError, match="not found or corrupted"):
        open_option("cifar10", download=True)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "arguments",
    [{"dataset": "Cifar"}, {"dataset": "MNIST", "train_splits": []}, {"dataset": "MNIST", "test_fraction": 0.0}],
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ConfigError):
        TorchvisionData(name="x", **arguments)
