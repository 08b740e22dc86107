import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.selection.class_balanced import ClassBalanced, class_quotas


@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=12), part=st.floats(0.001, 1))
def test_quotas(sizes, part):
    num_keep = max(1, round(sum(sizes) * part))
    quotas = class_quotas(torch.tensor(sizes), num_keep).tolist()
    assert sum(quotas) == num_keep
    assert all(quota <= size for quota, size in zip(quotas, sizes, strict=True))
    if num_keep >= len(sizes):
        assert min(quotas) >= 1
    shares = [num_keep * size / sum(sizes) for size in sizes]
    if num_keep < len(sizes) or min(shares) >= 1:  # nobody had to be lifted to one
        assert all(abs(quota - share) < 1 for quota, share in zip(quotas, shares, strict=True))


def test_largest_remainder_by_hand():
    assert class_quotas(torch.tensor([47, 16, 158, 81, 52, 46]), 10).tolist() == [1, 1, 4, 2, 1, 1]
    assert class_quotas(torch.tensor([10, 10, 10]), 4).tolist() == [2, 1, 1]  # equal remainders: the first class
    assert class_quotas(torch.tensor([5, 5, 5]), 2).tolist() == [1, 1, 0]


def test_rare_classes_survive():
    sizes = torch.tensor([100_000, *[1] * 50])
    assert class_quotas(sizes, 60).tolist() == [10, *[1] * 50]


def test_keeps_the_best_of_every_class(table_of):
    table = table_of(90, num_classes=4, decimals=1)
    keep = ClassBalanced()(table, 33, 0).keep
    sizes = torch.bincount(table.label)
    assert torch.bincount(table.label[keep]).tolist() == class_quotas(sizes, 33).tolist()
    for label in range(4):
        rows = (table.label == label).nonzero().squeeze(1).tolist()
        ranked = sorted(rows, key=lambda row: (-float(table.score[row]), row))
        quota = int(keep[rows].sum())
        assert sorted(ranked[:quota]) == [row for row in rows if keep[row]]


def test_labels_need_not_be_consecutive(table_of):
    table = table_of(60, num_classes=3)
    table.label[:] = table.label * 1000 - 5
    kept = ClassBalanced()(table, 6, 0).keep
    assert len(table.label[kept].unique()) == 3
