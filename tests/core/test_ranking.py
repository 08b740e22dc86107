"""Group rankings: what they hold, what a file of them says, and what cannot be one."""

import dataclasses
import doctest
import math

import pyarrow.parquet as pq
import pytest
import torch

from secateur.core import ranking as module
from secateur.core.errors import DataError, FingerprintError, NumericalError
from secateur.core.mask import Mask
from secateur.core.ranking import GroupRanking, group_sizes

SIZE, VOTES, SOFT, ORDER = (
    torch.tensor([5, 0, 3, 2]),
    torch.tensor([0, 7, 2, 0]),
    torch.tensor([0.1, 0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([1, 2, 3, 0]),
)


def ranking(**changes):
    return GroupRanking(**{"size": SIZE, "votes": VOTES, "soft_score": SOFT, "order": ORDER, **changes})


def test_what_it_says():
    found = ranking()
    assert (len(found), found.num_samples, found.voted, found.num_zero_vote_groups) == (4, 10, True, 2)


def test_a_ranking_without_votes_has_no_zero_vote_groups():
    found = ranking(votes=torch.zeros(4, dtype=torch.int64))
    assert not found.voted
    assert found.num_zero_vote_groups is None


def test_votes_are_whole_or_shares():
    assert ranking().votes.dtype == torch.int64
    assert ranking(votes=torch.tensor([0.0, 0.5, 0.5, 0.0])).votes.dtype == torch.float64
    assert ranking(soft_score=SOFT.float()).soft_score.dtype == torch.float64


@pytest.mark.parametrize("votes", [VOTES, VOTES / 9])
def test_a_file_gives_the_ranking_back(tmp_path, votes):
    made = ranking(votes=votes, kind="cluster", fingerprint="abc", metadata={"method": "feature_mapping"})
    loaded = GroupRanking.load(made.save(tmp_path / "deep" / "ranking.parquet"), fingerprint="abc")
    for field in dataclasses.fields(GroupRanking):
        expected, found = getattr(made, field.name), getattr(loaded, field.name)
        if isinstance(expected, torch.Tensor):
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected)
        else:
            assert found == expected


def test_equal_rankings_give_equal_bytes_and_leave_no_other_file(tmp_path):
    first = ranking(metadata={"a": 1, "b": 2}).save(tmp_path / "first.parquet")
    second = ranking(metadata={"b": 2, "a": 1}).save(tmp_path / "second.parquet")
    assert first.read_bytes() == second.read_bytes()
    assert GroupRanking.load(first).save(tmp_path / "third.parquet").read_bytes() == first.read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_has_a_row_per_group_and_says_its_rank(tmp_path):
    table = pq.read_table(ranking().save(tmp_path / "ranking.parquet")).to_pydict()
    assert list(table) == ["group", "size", "votes", "soft_score", "rank"]
    assert table["group"] == [0, 1, 2, 3]
    assert table["rank"] == [3, 0, 1, 2]


def test_a_ranking_of_another_pool_is_refused(tmp_path):
    path = ranking(fingerprint="a" * 64).save(tmp_path / "ranking.parquet")
    with pytest.raises(FingerprintError, match="its fingerprint is aaaaaaaaaaaa, this pool's is bbbbbbbbbbbb"):
        GroupRanking.load(path, fingerprint="b" * 64)


def test_a_mask_is_no_ranking(tmp_path):
    path = Mask(torch.arange(2), torch.ones(2, dtype=torch.bool)).save(tmp_path / "mask.parquet")
    with pytest.raises(DataError, match="is not a ranking table"):
        GroupRanking.load(path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size": SIZE[:1]}, DataError, "at least 2 groups, got 1"),
        ({"votes": VOTES[:3]}, DataError, r"votes must be int64 \[4\], got torch.int64 \[3\]"),
        ({"votes": VOTES.int()}, DataError, "votes must be int64"),
        ({"soft_score": SOFT[:, None]}, DataError, r"soft_score must be float \[4\]"),
        ({"size": SIZE.double()}, DataError, "size must be int64"),
        ({"votes": -VOTES}, DataError, "votes must not be negative, got -7"),
        ({"size": SIZE - 1}, DataError, "size must not be negative, got -1"),
        ({"order": torch.tensor([1, 2, 3, 3])}, DataError, "name each of the 4 groups once"),
        ({"order": torch.tensor([1, 2, 3, 4])}, DataError, "name each of the 4 groups once"),
        ({"soft_score": SOFT * math.nan}, NumericalError, "4 of 4 soft_score are not finite; group 0 first"),
        ({"votes": torch.tensor([1, math.inf, 0, 0])}, NumericalError, "1 of 4 votes are not finite; group 1 first"),
        ({"kind": "classes"}, DataError, "kind must be 'class' or 'cluster', got 'classes'"),
    ],
)
def test_rankings_that_cannot_be(changes, error, message):
    with pytest.raises(error, match=message):
        ranking(**changes)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (torch.tensor([0, 3]), "numbered 0 to 2, got 3"),
        (torch.tensor([-1, 3]), "numbered 0 to 2, got -1"),
        (torch.tensor([0.0]), r"integers \[N\]"),
        (torch.tensor([True]), r"integers \[N\]"),
        (torch.tensor([[0]]), r"integers \[N\]"),
        (torch.tensor([], dtype=torch.int64), "N at least 1"),
    ],
)
def test_groups_that_cannot_be_counted(groups, message):
    with pytest.raises(DataError, match=message):
        group_sizes(groups, 3)


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
