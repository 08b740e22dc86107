"""Classes as groups."""

import doctest

import pytest
import torch

from secateur.core.errors import DataError
from secateur.core.ranking import group_sizes
from secateur.grouping import labels as module
from secateur.grouping.labels import label_groups


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_the_group_is_the_class(dtype):
    groups = label_groups(torch.tensor([3, 0, 3, 1], dtype=dtype), 5)
    assert groups.dtype == torch.int64
    assert groups.tolist() == [3, 0, 3, 1]
    assert group_sizes(groups, 5).tolist() == [1, 1, 0, 2, 0]


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [
        ([0, 0], 1, "at least 2 groups, got 1"),
        ([0, 2], 2, "cannot group the source set. Groups are numbered 0 to 1, got 2"),
        ([0, -1], 2, "numbered 0 to 1, got -1"),
        ([0.0, 1.0], 2, "cannot group the source set. groups must be integers"),
        ([], 2, "N at least 1"),
    ],
)
def test_labels_that_are_no_groups(labels, num_classes, message):
    with pytest.raises(DataError, match=message):
        label_groups(torch.tensor(labels), num_classes)


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
