"""Masks: how many samples a ratio keeps, which ones, and what a file of them says."""

import doctest
import hashlib
import math
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from secateur.core import mask as module
from secateur.core.errors import ConfigError, DataError, FingerprintError
from secateur.core.mask import Mask, keep_count

IDS = torch.tensor([2, 3, 5, 8])
KEEP = torch.tensor([True, False, False, True])
RATIOS = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10**7), RATIOS)
def test_keep_count_is_pythons_round_or_an_error(num_samples, pruning_ratio):
    expected = round(num_samples * (1 - pruning_ratio))
    if expected == 0:
        with pytest.raises(ConfigError, match="would keep 0 of"):
            keep_count(num_samples, pruning_ratio)
    else:
        assert keep_count(num_samples, pruning_ratio) == expected <= num_samples


@given(st.integers(2, 10**6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_higher_ratio_never_keeps_more(num_samples, first, second):
    low, high = sorted((first, second))
    assert keep_count(num_samples, low) >= keep_count(num_samples, high)


@pytest.mark.parametrize(
    ("num_samples", "pruning_ratio", "kept"),
    [(5, 0.5, 2), (7, 0.5, 4), (50_000, 0.9, 5_000), (1_293, 0.3, 905), (10, 0, 10), (3, 0.5, 2)],
)
def test_halves_go_to_the_even_number(num_samples, pruning_ratio, kept):
    assert keep_count(num_samples, pruning_ratio) == kept


@pytest.mark.parametrize(
    ("pruning_ratio", "complaint"),
    [
        (30, r"must be in \[0, 1\), got 30\. Did you mean 0\.3\?"),
        (2.5, r"Did you mean 0\.025\?"),
        (10**400, r"must be in \[0, 1\), got inf\."),
        (-(10**400), r"must be in \[0, 1\), got -inf\."),
        (1.0, "would keep nothing"),
        (1, "would keep nothing"),
        (-0.1, r"must be in \[0, 1\), got -0\.1\.$"),
        (100, r"got 100\.$"),
        (math.inf, "got inf"),
        (math.nan, "must be a number"),
        (True, "must be a number"),
        ("0.3", "must be a number"),
        (None, "must be a number"),
    ],
)
def test_ratios_that_are_none(pruning_ratio, complaint):
    with pytest.raises(ConfigError, match=complaint):
        keep_count(100, pruning_ratio)


def test_keeping_nothing_is_an_error_that_says_of_how_many():
    with pytest.raises(ConfigError, match=r"pruning_ratio=0\.99 would keep 0 of 30 samples"):
        keep_count(30, 0.99)


def test_the_kept_part():
    mask = Mask(IDS, KEEP)
    assert (len(mask), mask.num_kept, mask.kept_ids.tolist()) == (4, 2, [2, 8])


def test_rows_and_ids_in_any_order_make_the_same_mask():
    by_rows = Mask.from_rows(IDS, torch.tensor([3, 0]), fingerprint="f", metadata={"method": "x"})
    by_ids = Mask.from_kept_ids(IDS, torch.tensor([8, 2]))
    assert torch.equal(by_rows.keep, KEEP)
    assert torch.equal(by_ids.keep, KEEP)
    assert (by_rows.fingerprint, by_rows.metadata) == ("f", {"method": "x"})


def test_an_id_outside_the_pool_cannot_be_kept():
    with pytest.raises(DataError, match="sample_id 4 is not in the pool"):
        Mask.from_kept_ids(IDS, torch.tensor([2, 4]))


@pytest.mark.parametrize(
    ("ids", "keep", "complaint"),
    [
        (IDS, torch.zeros(4, dtype=torch.bool), "keeps no sample"),
        (IDS, KEEP[:3], r"shape \[4\], got \[3\]"),
        (IDS, KEEP.long(), "bool tensor"),
        (IDS.flip(0), KEEP, "strictly increasing"),
    ],
)
def test_masks_that_cannot_be(ids, keep, complaint):
    with pytest.raises(DataError, match=complaint):
        Mask(ids, keep)


def test_subset_takes_the_rows_named_by_the_ids():
    subset = Mask(IDS, KEEP).subset(TensorDataset(torch.arange(10) * 100))
    assert [int(value) for (value,) in subset] == [200, 800]


def test_subset_of_a_data_set_that_is_too_short():
    with pytest.raises(DataError, match="has 8 rows, but the mask knows sample_id 8: give the whole training split"):
        Mask(IDS, KEEP).subset(TensorDataset(torch.arange(8)))


@given(num_rows=st.integers(9, 40), length=st.integers(9, 40))
def test_subset_takes_the_whole_training_split_and_nothing_else(num_rows, length):
    mask = Mask(IDS, KEEP, num_rows=num_rows)
    dataset = TensorDataset(torch.arange(length) * 100)
    if length == num_rows:
        assert [int(row[0]) for row in mask.subset(dataset)] == (100 * mask.kept_ids).tolist()
    else:
        with pytest.raises(DataError, match=f"has {length} rows, but the mask was made for a training split of"):
            mask.subset(dataset)


def test_subset_of_another_pool_is_refused_where_its_fingerprint_is_given():
    mask, dataset = Mask(IDS, KEEP, fingerprint="a" * 64), TensorDataset(torch.arange(10))
    assert len(mask.subset(dataset, "a" * 64)) == mask.num_kept
    with pytest.raises(FingerprintError, match="The mask was made for other data"):
        mask.subset(dataset, "b" * 64)


def test_the_size_of_the_training_split_is_saved_and_checked(tmp_path):
    path = Mask(IDS, KEEP, num_rows=12).save(tmp_path / "mask.parquet")
    assert Mask.load(path).num_rows == 12
    for wrong in (8, True, "12"):
        with pytest.raises(DataError, match="num_rows of a mask must be an integer above its largest sample_id 8"):
            Mask(IDS, KEEP, num_rows=wrong)


def test_a_file_gives_the_mask_back(tmp_path):
    mask = Mask(IDS, KEEP, fingerprint="abc", metadata={"method": "random", "pruning_ratio": 0.5})
    loaded = Mask.load(mask.save(tmp_path / "deep" / "mask.parquet"), fingerprint="abc")
    assert torch.equal(loaded.sample_id, IDS)
    assert torch.equal(loaded.keep, KEEP)
    assert (loaded.fingerprint, loaded.metadata) == ("abc", mask.metadata)


def test_equal_masks_give_equal_bytes_and_leave_no_other_file(tmp_path):
    first = Mask(IDS, KEEP, metadata={"a": 1, "b": 2}).save(tmp_path / "first.parquet")
    second = Mask(IDS.clone(), KEEP.clone(), metadata={"b": 2, "a": 1}).save(tmp_path / "second.parquet")
    assert first.read_bytes() == second.read_bytes()
    assert Mask.load(first).save(tmp_path / "third.parquet").read_bytes() == first.read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_mask_of_another_pool_is_refused_unless_nothing_is_expected(tmp_path):
    path = Mask(IDS, KEEP, fingerprint="a" * 64).save(tmp_path / "mask.parquet")
    with pytest.raises(FingerprintError, match="its fingerprint is aaaaaaaaaaaa, this pool's is bbbbbbbbbbbb"):
        Mask.load(path, fingerprint="b" * 64)
    assert Mask.load(path).num_kept == 2


def test_a_mask_without_fingerprint_is_refused_where_one_is_expected(tmp_path):
    path = Mask(IDS, KEEP).save(tmp_path / "mask.parquet")
    with pytest.raises(FingerprintError, match="is empty"):
        Mask.load(path, fingerprint="b" * 64)


def test_sha256_is_the_hash_of_the_kept_ids_alone():
    expected = hashlib.sha256(struct.pack("<2q", 2, 8)).hexdigest()
    assert Mask(IDS, KEEP).sha256 == expected
    assert Mask(torch.tensor([2, 8]), torch.tensor([True, True]), "f", {"method": "full"}).sha256 == expected
    assert Mask(IDS, ~KEEP).sha256 != expected


def test_docstring_example():
    assert doctest.testmod(module).failed == 0
