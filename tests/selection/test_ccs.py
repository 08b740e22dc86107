import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.selection.ccs import CCS, strata_of, stratum_budgets


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=12), part=st.floats(0, 1))
def test_budgets(sizes, part):
    num_keep = round(sum(sizes) * part)
    budgets = stratum_budgets(torch.tensor(sizes), num_keep).tolist()
    assert sum(budgets) == num_keep
    assert all(0 <= budget <= size for budget, size in zip(budgets, sizes, strict=True))
    full = [budget == size for budget, size in zip(budgets, sizes, strict=True)]
    partial = [budget for budget, is_full in zip(budgets, full, strict=True) if not is_full]
    if partial:  # those not exhausted share evenly, and the exhausted have no more than they
        assert max(partial) - min(partial) <= 1
        assert max(budgets) <= min(partial) + 1


def test_strata_have_equal_width_and_a_closed_end():
    score = torch.tensor([-2.0, -1.51, -1.5, -0.1, 0.0])
    assert strata_of(score, 4).tolist() == [0, 0, 1, 3, 3]
    assert strata_of(torch.full((3,), 7.0), 50).tolist() == [0, 0, 0]


def test_hardest_are_cut_and_the_rest_is_covered(table_of):
    table = table_of(1000)
    mask = CCS(mislabel_fraction=0.3, num_strata=10)(table, 100, 0)
    hardest = sorted(range(1000), key=lambda row: (-float(table.score[row]), row))[:300]
    assert not mask.keep[hardest].any()
    rest = torch.ones(1000, dtype=torch.bool)
    rest[hardest] = False
    low, high = float(table.score[rest].min()), float(table.score[rest].max())
    counts = [0] * 10
    for row in mask.keep.nonzero().squeeze(1).tolist():
        counts[min(int((float(table.score[row]) - low) / (high - low) * 10), 9)] += 1
    assert counts == [10] * 10


def test_small_strata_are_kept_whole(table_of):
    score = torch.cat((torch.linspace(0, 0.99, 90), torch.tensor([5.0, 9.9, 10.0])))
    mask = CCS(mislabel_fraction=0.0, num_strata=10)(table_of(93, score=score), 13, 0)
    assert mask.keep[-3:].all()
    assert mask.num_kept == 13


def test_which_of_a_stratum_is_uniform(table_of):
    table = table_of(8, score=torch.zeros(8))
    counts = sum(CCS(mislabel_fraction=0.0)(table, 2, seed).keep.long() for seed in range(400))
    assert bool(((counts - 100).abs() < 45).all())


def test_ties_at_the_cut_go_by_id(table_of):
    mask = CCS(mislabel_fraction=0.5)(table_of(4, score=torch.ones(4)), 2, 0)
    assert mask.keep.tolist() == [False, False, True, True]


def test_cutting_too_much_is_an_error(table_of):
    with pytest.raises(ConfigError, match=r"cuts 30 of 100 .* 80 to keep.*at most 0\.2"):
        CCS(mislabel_fraction=0.3)(table_of(100), 80, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mislabel_fraction": 1.0},
        {"mislabel_fraction": -0.1},
        {"mislabel_fraction": 30},
        {"mislabel_fraction": None},
        {"num_strata": 0},
        {"num_strata": 5.0},
    ],
)
def test_wrong_arguments(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CCS(**wrong)


@pytest.mark.parametrize(("num", "share"), [(3, 0.5), (7, 0.5), (11, 0.5), (15, 0.1), (35, 0.1), (65, 0.3)])
def test_as_large_a_cut_as_the_ratio_allows_is_possible_in_any_pool(table_of, num, share):
    num_keep = round(num * (1 - share))
    assert CCS(mislabel_fraction=share)(table_of(num), num_keep, 0).num_kept == num_keep
