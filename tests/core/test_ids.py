"""From ids to pool rows: every id finds its row, and an unknown one is named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError
from secateur.core.ids import check_sample_ids, rows_of

POOLS = st.lists(st.integers(0, 2**40), min_size=1, max_size=30, unique=True).map(sorted)


@given(POOLS, st.randoms(use_true_random=False))
def test_ids_in_any_order_and_repeated_find_their_rows(pool, random):
    asked = [random.choice(pool) for _ in range(10)]
    rows = rows_of(torch.tensor(asked), torch.tensor(pool))
    assert [pool[row] for row in rows.tolist()] == asked
    assert rows.dtype == torch.int64


@pytest.mark.parametrize("unknown", [0, 4, 8, 2**40])
def test_an_id_outside_the_pool_is_named(unknown):
    with pytest.raises(DataError, match=f"sample_id {unknown} is not in the pool of 3"):
        rows_of(torch.tensor([3, unknown, 7]), torch.tensor([3, 5, 7]))


def test_an_empty_pool_has_no_id():
    empty = torch.empty(0, dtype=torch.int64)
    assert rows_of(empty, empty).tolist() == []
    with pytest.raises(DataError, match="sample_id 3 is not in the pool of 0"):
        rows_of(torch.tensor([3]), empty)


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        (torch.tensor([0, 2, 1]), "strictly increasing"),
        (torch.tensor([0, 1, 1]), "strictly increasing"),
        (torch.tensor([-1, 0]), "must not be negative, got -1"),
        (torch.tensor([0, 1], dtype=torch.int32), "1-d int64"),
        (torch.tensor([0.0, 1.0]), "1-d int64"),
        (torch.tensor([[0, 1]]), "1-d int64"),
    ],
)
def test_ids_that_cannot_be_a_pool(ids, complaint):
    with pytest.raises(DataError, match=complaint):
        check_sample_ids(ids)


@pytest.mark.parametrize("ids", [[], [0], [2, 3, 9]])
def test_ids_that_can(ids):
    check_sample_ids(torch.tensor(ids, dtype=torch.int64))
