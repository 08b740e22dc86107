"""The Hugging Face image layout."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from secateur.core.errors import DataError
from secateur.data.parquet import ParquetData
from secateur.data.prepared import prepare


def test_reads_images_labels_and_names(build, parquet_root):
    data = prepare(ParquetData(root=parquet_root))
    assert data.name == "shapes"
    assert data.class_names == ["cat", "dog"]
    assert (len(data.train), len(data.test), data.image_shape) == (20, 6, (3, 8, 8))
    assert data.train.labels.tolist() == [0, 1] * 10
    assert data.train.stored_bytes(5) == build.encode(build.random_array(5))
    expected = torch.from_numpy(build.random_array(5)).permute(2, 0, 1)
    assert torch.equal(data.resident("train").pixels[5], expected)


@pytest.mark.parametrize("folder", ["", "data"])
def test_shards_are_joined_in_order(build, parquet_root, folder, tmp_path):
    whole = prepare(ParquetData(root=parquet_root))
    root = tmp_path / "sharded"
    for shard, rows in enumerate([range(0, 7), range(7, 8), range(8, 20)]):
        contents = [whole.train.stored_bytes(row) for row in rows]
        path = root / folder / f"train-{shard:05d}-of-00003.parquet"
        build.write_parquet(path, contents, whole.train.labels[rows].tolist(), ["cat", "dog"])
    contents = [whole.test.stored_bytes(row) for row in range(6)]
    build.write_parquet(root / folder / "validation-00000-of-00001.parquet", contents, [0, 1] * 3)
    sharded = prepare(ParquetData(root=root))
    assert sharded.fingerprint == whole.fingerprint
    assert sharded.train.describe(9).endswith("train-00002-of-00003.parquet row 1")
    assert torch.equal(sharded.resident("train").pixels, whole.resident("train").pixels)


def test_plain_bytes_sliced_chunks_and_other_names(build, tmp_path):
    contents = [build.encode(build.random_array(seed, channels=1)) for seed in range(9)]
    table = pa.table({"img": pa.array(contents, pa.binary()), "fine": pa.array([2, 0, 1] * 3, pa.int8())})
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / f"{split}.parquet", row_group_size=2)
    data = prepare(ParquetData(root=tmp_path, image_column="img", label_column="fine"))
    assert data.class_names == ["0", "1", "2"]
    assert data.image_shape == (1, 8, 8)
    assert [data.train.stored_bytes(row) for row in range(9)] == contents


def test_mixed_images_follow_the_first(build, tmp_path):
    contents = [build.encode(build.random_array(seed, channels=1 + 2 * (seed % 2))) for seed in range(6)]
    for split in ("train", "test"):
        build.write_parquet(tmp_path / f"{split}.parquet", contents, [0, 1] * 3)
    assert prepare(ParquetData(root=tmp_path, validation_fraction=0)).resident("test").pixels.shape == (6, 1, 8, 8)
    color = prepare(ParquetData(root=tmp_path, validation_fraction=0, channels=3))
    assert color.resident("test").pixels.shape == (6, 3, 8, 8)


def test_corrupt_images_are_named_by_file_and_row(build, parquet_root):
    contents = [build.encode(build.random_array(seed)) for seed in range(20)]
    contents[13] = contents[13][:60]
    contents[17] = b""
    build.write_parquet(parquet_root / "train.parquet", contents, [0, 1] * 10, ["cat", "dog"])
    data = prepare(ParquetData(root=parquet_root))
    with pytest.raises(DataError, match=r"shapes/train\.parquet row 13: ") as caught:
        data.resident("train")
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_named(build, parquet_root):
    contents = [build.encode(build.random_array(seed, side=8 + seed // 5)) for seed in range(6)]
    build.write_parquet(parquet_root / "test.parquet", contents, [0, 1] * 3)
    data = prepare(ParquetData(root=parquet_root))
    with pytest.raises(DataError, match=r"test\.parquet row 5 is 9x9 pixels, others are 8x8.*image_size"):
        data.resident("test")
    assert prepare(ParquetData(root=parquet_root, image_size=8)).resident("test").pixels.shape[2:] == (8, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_column": "fine"}, r"train\.parquet has no column 'fine', only image, label"),
        ({"image_column": "img"}, "data.image_column"),
        ({"image_column": "label"}, "not encoded images"),
        ({"label_column": "image"}, "labels must be integers"),
        ({"root": "/nowhere"}, "data.root=/nowhere does not exist"),
    ],
)
def test_wrong_columns_and_roots(parquet_root, arguments, message):
    with pytest.raises(DataError, match=message):
        prepare(ParquetData(**{"root": parquet_root, **arguments}))


def test_missing_values_are_named(build, parquet_root):
    content = build.encode(build.random_array(0))
    build.write_parquet(parquet_root / "train.parquet", [content, None, content], [0, 1, 0])
    with pytest.raises(DataError, match="row 1 has no image bytes"):
        prepare(ParquetData(root=parquet_root))
    build.write_parquet(parquet_root / "train.parquet", [content] * 3, [0, 1, None])
    with pytest.raises(DataError, match="row 2 has no label"):
        prepare(ParquetData(root=parquet_root))
    build.write_parquet(parquet_root / "train.parquet", [content] * 3, [0, 5, 1], ["cat", "dog"])
    with pytest.raises(DataError, match=r"5 in .*train\.parquet row 1"):
        prepare(ParquetData(root=parquet_root))


def test_unreadable_and_missing_files(parquet_root):
    with pytest.raises(DataError, match=r"train\.parquet is a file; give its folder"):
        ParquetData(root=parquet_root / "train.parquet").check()
    (parquet_root / "test.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match=r"test\.parquet is not a readable Parquet file"):
        prepare(ParquetData(root=parquet_root))
    (parquet_root / "test.parquet").unlink()
    with pytest.raises(DataError, match=r"neither test\.parquet nor test-"):
        ParquetData(root=parquet_root).check()


@pytest.mark.parametrize(
    ("name", "sizes", "shape", "num_classes"),
    [
        ("cifar10-mini", (2000, 500), (3, 32, 32), 10),
        ("mnist", (60000, 10000), (1, 28, 28), 10),
        ("cifar100", (50000, 10000), (3, 32, 32), 100),
    ],
)
def test_real_files(build, name, sizes, shape, num_classes):
    if not (build.shared / name).is_dir():
        pytest.skip(f"no {build.shared / name}")
    data = prepare(ParquetData(root=build.shared / name, mean=[0.5], std=[0.25], flip=True, validation_fraction=0.1))
    assert (len(data.train), len(data.test)) == sizes
    assert (data.image_shape, data.num_classes) == (shape, num_classes)
    assert len(data.validation) == sizes[0] // 10
    streamed = ParquetData(root=build.shared / name, mean=[0.5], std=[0.25], resident=False, num_workers=0)
    few = torch.arange(0, sizes[0], sizes[0] // 7)
    x = next(iter(prepare(streamed).eval_loader(few, 8))).x
    assert x.shape == (8, *shape)
    if sizes[0] <= 2000:
        torch.testing.assert_close(x, next(iter(data.eval_loader(few, 8))).x, atol=1e-6, rtol=0)
