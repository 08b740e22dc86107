"""Which samples tell how good features without classes are: never those of the test split."""

from types import SimpleNamespace

import pytest
import torch

from secateur.runs import modules as module
from secateur.runs.modules import feature_monitor


class Data:
    """Sample ids of a pool and of a validation split; a loader is what it was asked for."""

    def __init__(self, num_pool=40, num_validation=0, labels=None):
        self.pool, self.validation = torch.arange(num_pool), num_pool + torch.arange(num_validation)
        self.labels = torch.zeros(num_pool + num_validation).long() if labels is None else labels

    def eval_loader(self, which, batch_size, **placement):
        return which


def samples_of(data, classifies=False):
    context = SimpleNamespace(data=data, placement={})
    monitor = feature_monitor(context, SimpleNamespace(classifies=classifies))
    return monitor and (monitor.voters(), monitor.queries())


def test_what_classifies_has_no_monitor():
    assert samples_of(Data(), classifies=True) is None


def test_the_validation_split_is_asked_and_the_pool_votes():
    voters, queries = samples_of(Data(40, 7))
    assert torch.equal(queries.sort().values, torch.arange(40, 47))
    assert torch.equal(voters.sort().values, torch.arange(40))


@pytest.mark.parametrize(("num_pool", "num_queries"), [(40, 4), (5, 1)])
def test_without_one_a_tenth_of_the_pool_is_asked(num_pool, num_queries):
    voters, queries = samples_of(Data(num_pool))
    assert len(queries) == num_queries
    assert torch.equal(torch.cat([voters, queries]).sort().values, torch.arange(num_pool))


def test_there_are_bounds_and_the_choice_is_the_same_every_time(monkeypatch):
    monkeypatch.setattr(module, "MOST_QUERIES", 3)
    monkeypatch.setattr(module, "MOST_VOTERS", 8)
    first, second = samples_of(Data(40, 7)), samples_of(Data(40, 7))
    assert [len(part) for part in first] == [8, 3]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_classes_that_are_left_out_are_not_asked():
    labels = torch.arange(47) % 3 - 1
    for part in samples_of(Data(40, 7, labels)):
        assert bool((labels[part] >= 0).all())
