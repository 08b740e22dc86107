"""A training split cut to its first rows, and lengthened by extra images."""

import numpy as np
import pytest
import torch

from secateur.core.errors import ConfigError, DataError
from secateur.data.prepared import prepare


def write_extra(path, count=5, side=8, num_classes=3):
    pixels = np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.savez(path, image=pixels, label=np.arange(count) % num_classes)
    return pixels


def test_first_takes_the_first_rows_and_keeps_their_ids(build):
    full, part = prepare(build.ArrayData()), prepare(build.ArrayData(first=21, validation_fraction=1 / 3))
    assert len(part.train) == 21
    assert torch.equal(torch.cat([part.pool, part.validation]).sort().values, torch.arange(21))
    assert torch.equal(part.clean_labels, full.clean_labels[:21])
    for row in (0, 20):
        assert torch.equal(part.train.decode(row, 3), full.train.decode(row, 3))
        assert part.train.stored_bytes(row) == full.train.stored_bytes(row)
        assert part.train.describe(row) == full.train.describe(row)
    assert part.fingerprint != full.fingerprint


def test_all_rows_are_the_split_itself(build):
    assert prepare(build.ArrayData(first=60)).fingerprint == prepare(build.ArrayData()).fingerprint


def test_extra_images_follow_the_own_ones_and_are_never_held_out(build, tmp_path):
    pixels = write_extra(tmp_path / "extra.npz")
    data = prepare(build.ArrayData(first=30, extra=str(tmp_path / "extra.npz"), validation_fraction=0.5))
    assert (len(data.train), data.num_own) == (35, 30)
    assert int(data.validation.max()) < 30
    assert len(data.validation) == 15
    assert data.pool[~data.original].tolist() == [30, 31, 32, 33, 34]
    assert data.labels[30:].tolist() == [0, 1, 2, 0, 1]
    for number in range(5):
        expected = torch.from_numpy(pixels[number]).permute(2, 0, 1)
        assert torch.equal(data.train.decode(30 + number, 3), expected)
    loaded = next(iter(data.eval_loader(torch.tensor([0, 34]), 2)))
    assert loaded.sample_id.tolist() == [0, 34]
    assert loaded.y.tolist() == [0, 1]


def test_extra_from_parquet(build, tmp_path):
    build.write_parquet(tmp_path / "extra.parquet", [build.encode(build.random_array(n)) for n in range(2)], [0, 2])
    data = prepare(build.ArrayData(extra=str(tmp_path / "extra.parquet")))
    assert data.labels[60:].tolist() == [0, 2]


def test_what_cannot_be_joined_is_refused(build, tmp_path):
    with pytest.raises(ConfigError, match=r"data.first=61 is more than the 60 rows"):
        prepare(build.ArrayData(first=61))
    with pytest.raises(DataError, match=r"data.extra=.*nothing.npz is not an .npz or .parquet file"):
        prepare(build.ArrayData(extra=str(tmp_path / "nothing.npz")))
    write_extra(tmp_path / "more.npz", num_classes=4)
    with pytest.raises(DataError, match="labels outside"):
        prepare(build.ArrayData(extra=str(tmp_path / "more.npz")))
    write_extra(tmp_path / "large.npz", side=9)
    data = prepare(build.ArrayData(extra=str(tmp_path / "large.npz")))
    with pytest.raises(DataError, match=r"large.npz.* is 9x9 pixels, others are 8x8"):
        data.resident("train")
