"""Any data set of pairs, with the row beside."""

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import secateur
from secateur.core.errors import DataError
from secateur.data.indexed import IndexedDataset

PAIRS = TensorDataset(torch.arange(10.0), torch.arange(10) % 3)


def test_a_batch_carries_its_rows_as_int64():
    x, y, sample_id = next(iter(DataLoader(IndexedDataset(PAIRS), 4)))
    assert (x.tolist(), y.tolist(), sample_id.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 2, 3])
    assert sample_id.dtype == torch.int64


def test_a_part_keeps_the_ids_of_the_whole():
    ids = torch.arange(10)
    part = secateur.Mask(ids, ids % 4 == 1).subset(secateur.IndexedDataset(PAIRS))
    assert [sample_id for _, _, sample_id in part] == [1, 5, 9]


def test_a_row_from_the_end_and_one_that_is_not_there():
    data = IndexedDataset(PAIRS)
    assert data[-1][2] == 9
    assert len(list(data)) == 10
    with pytest.raises(IndexError, match="row 10 of 10"):
        data[10]


def test_what_has_no_rows_or_no_pairs_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            yield 0, 0

    with pytest.raises(DataError, match="needs items"):
        IndexedDataset([(1, 2, 3)])[0]
    with pytest.raises(DataError, match="needs a data set with rows"):
        IndexedDataset(iter([(0, 0)]))
    with pytest.raises(DataError, match="needs a data set with rows"):
        IndexedDataset(Stream())
