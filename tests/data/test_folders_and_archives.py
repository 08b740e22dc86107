"""image_folder, npz and waterbirds."""

import numpy as np
import pytest
import torch

from secateur.core.errors import DataError
from secateur.data.image_folder import ImageFolderData
from secateur.data.npz import NpzData
from secateur.data.prepared import prepare
from secateur.data.waterbirds import WaterbirdsData


@pytest.fixture
def folder(build, tmp_path):
    root = tmp_path / "pets"
    for path, seed in {
        "train/dog/b.png": 0,
        "train/dog/a.png": 1,
        "train/cat/deep/c.jpg": 2,
        "train/cat/z.png": 3,
        "val/cat/x.png": 4,
        "val/dog/y.png": 5,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(build.encode(build.random_array(seed), "JPEG" if path.endswith("jpg") else "PNG"))
    (root / "train/dog/notes.txt").write_text("no image")
    return root


def test_folders_are_read_in_sorted_order(build, folder):
    data = prepare(ImageFolderData(root=folder, validation_fraction=0))
    assert (data.name, data.class_names) == ("pets", ["cat", "dog"])
    assert [path.split("train/")[1] for path in data.train.paths] == [
        "cat/z.png",
        "cat/deep/c.jpg",
        "dog/a.png",
        "dog/b.png",
    ]
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.stored_bytes(2) == build.encode(build.random_array(1))
    assert data.resident("train").pixels.shape == (4, 3, 8, 8)
    (folder / "train/cat/z.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"z\.png .row 0"):
        prepare(ImageFolderData(root=folder, validation_fraction=0)).resident("train")


def test_folder_mistakes(folder, tmp_path):
    (folder / "val/bird").mkdir()
    with pytest.raises(DataError, match="class 'bird'"):
        prepare(ImageFolderData(root=folder))
    (folder / "val").rename(folder / "other")
    with pytest.raises(DataError, match="no folder test or val"):
        ImageFolderData(root=folder).check()
    (tmp_path / "empty/train").mkdir(parents=True)
    (tmp_path / "empty/test").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        prepare(ImageFolderData(root=tmp_path / "empty"))
    (tmp_path / "empty/train/cat").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        prepare(ImageFolderData(root=tmp_path / "empty"))


def arrays(count, channels):
    generator = np.random.default_rng(count)
    shape = (count, 6, 7, 3) if channels == 3 else (count, 6, 7)
    return generator.integers(0, 256, shape, dtype=np.uint8), np.arange(count) % 4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("images", "labels"), ("x", "y")])
def test_npz_names(tmp_path, names, channels):
    splits = {split: arrays(count, channels) for split, count in (("train", 20), ("test", 8))}
    named = {split: {names[0].format(split): x, names[1].format(split): y[:, None]} for split, (x, y) in splits.items()}
    root = tmp_path / "bundle.npz"
    if "{}" in names[0]:
        np.savez(root, **named["train"], **named["test"])
    else:
        root = tmp_path / "bundle"
        root.mkdir()
        for split in named:
            np.savez(root / f"{split}.npz", **named[split])
    data = prepare(NpzData(root=root))
    assert (data.name, data.class_names) == ("bundle", ["0", "1", "2", "3"])
    assert data.image_shape == (channels, 6, 7)
    assert torch.equal(data.train.labels, torch.from_numpy(splits["train"][1]))
    expected = splits["test"][0][3].reshape(6, 7, channels).transpose(2, 0, 1)
    assert torch.equal(data.resident("test").pixels[3], torch.from_numpy(expected.copy()))


def test_npz_mistakes(tmp_path):
    x, y = arrays(8, 3)
    path = tmp_path / "a.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x)
    with pytest.raises(DataError, match=r"must hold x_test and y_test .*it holds x_test, x_train, y_train"):
        prepare(NpzData(root=path))
    np.savez(path, x_train=x, y_train=y / 2, x_test=x, y_test=y)
    with pytest.raises(DataError, match="must be integers"):
        prepare(NpzData(root=path))
    np.savez(path, x_train=x / 255, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match="uint8"):
        prepare(NpzData(root=path))
    np.savez(path, x_train=np.array([{}]), y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match="plain arrays"):
        prepare(NpzData(root=path))
    path.write_bytes(b"zip?")
    with pytest.raises(DataError, match="not a readable"):
        prepare(NpzData(root=path))
    with pytest.raises(DataError, match=r"has no train\.npz"):
        NpzData(root=tmp_path).check()
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y, class_names=list("abcd"))
    assert prepare(NpzData(root=path)).class_names == list("abcd")


def test_waterbirds_keep_their_places(build, tmp_path):
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    for number in range(12):
        split, target, place = number % 3, number // 3 % 2, number // 6
        rows.append(f"{number},birds/{number}.png,{target},{split},{place},forest.jpg")
        (tmp_path / "birds").mkdir(exist_ok=True)
        (tmp_path / f"birds/{number}.png").write_bytes(build.encode(build.random_array(number)))
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    data = prepare(WaterbirdsData(root=tmp_path, validation_fraction=0))
    assert data.train.paths == [str(tmp_path / f"birds/{number}.png") for number in (0, 3, 6, 9)]
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert data.train.groups.tolist() == [0, 0, 1, 1]
    assert data.test.groups.tolist() == [0, 0, 1, 1]
    assert data.test.group_names == ("land", "water")
    assert data.image_shape == (3, 8, 8)
    (tmp_path / "metadata.csv").write_text("img_filename,y,split\n")
    with pytest.raises(DataError, match="lacks the column 'place'"):
        prepare(WaterbirdsData(root=tmp_path))
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(DataError, match=r"no metadata\.csv"):
        WaterbirdsData(root=tmp_path).check()
