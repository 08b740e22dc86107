"""Sampling translates between ids, which loaders know, and pool rows, which policies know."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError
from secateur.data.order import EpochOrder
from secateur.dynamic.base import DynamicPolicy
from secateur.dynamic.infobatch import InfoBatch
from secateur.dynamic.rs2 import RS2
from secateur.training.sampling import Sampling

POOL = torch.tensor([2, 3, 5, 7, 11])


class Policy:
    """Takes the rows of each epoch, and notes what it is told."""

    num_epochs = 6

    def __init__(self, weights=None):
        self.seen, self.ended, self._weights = [], [], weights

    def num_rows(self, epoch):
        return 2

    def rows(self, epoch):
        return torch.tensor([4, epoch])

    def weights(self, rows):
        return None if self._weights is None else self._weights[rows]

    def observe(self, rows, losses):
        self.seen.append((rows.tolist(), losses.tolist(), losses.requires_grad))

    def end_epoch(self, epoch):
        self.ended.append(epoch)


def test_it_is_an_order_of_ids_for_the_loader():
    sampling = Sampling(Policy(), POOL, num_keep=2)
    assert isinstance(sampling, EpochOrder)
    assert [sampling.ids(epoch).tolist() for epoch in (0, 1, 2)] == [[11, 2], [11, 3], [11, 5]]
    assert sampling.num_samples(0) == len(sampling.ids(0))


def test_weights_belong_to_samples_and_losses_are_reported_unweighted():
    policy = Policy(weights=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    losses = torch.tensor([0.5, 1.0, 4.0], requires_grad=True)
    loss = Sampling(policy, POOL, 2).weigh(torch.tensor([11, 2, 5]), losses)
    assert loss.item() == pytest.approx((5 * 0.5 + 1 * 1.0 + 3 * 4.0) / 3)
    assert policy.seen == [([4, 0, 2], [0.5, 1.0, 4.0], False)]
    loss.backward()
    assert losses.grad.tolist() == pytest.approx([5 / 3, 1 / 3, 3 / 3])


def test_without_weights_the_loss_is_the_mean():
    losses = torch.tensor([0.5, 1.0, 4.5])
    assert float(Sampling(Policy(), POOL, 2).weigh(torch.tensor([3, 2, 7]), losses)) == 2.0


def test_half_precision_losses_are_reported_as_float32():
    sampling = Sampling(InfoBatch(5, 0.5, 4, seed=0), POOL, 2)
    assert sampling.weigh(POOL, torch.full((5,), 0.5, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert sampling.policy.losses.tolist() == [0.5] * 5


def test_a_sample_outside_the_pool_is_refused():
    with pytest.raises(DataError, match="sample_id 4 is not in the pool"):
        Sampling(Policy(), POOL, 2).weigh(torch.tensor([2, 4]), torch.zeros(2))


def test_the_policy_learns_that_an_epoch_ended():
    sampling = Sampling(Policy(), POOL, 2)
    sampling.on_train_epoch_end(SimpleNamespace(current_epoch=3), None)
    assert sampling.policy.ended == [3]


@pytest.mark.parametrize("make", [lambda: InfoBatch(5, 0.5, 6, seed=1), lambda: RS2(5, 2, 6, seed=1)])
def test_the_state_is_the_policys(make):
    sampling = Sampling(make(), POOL, 2)
    sampling.weigh(POOL, torch.tensor([0.1, 0.2, 0.3, 4.0, 5.0]))
    sampling.on_train_epoch_end(SimpleNamespace(current_epoch=0), None)
    restored = Sampling(make(), POOL, 2)
    restored.load_state_dict(sampling.state_dict())
    assert restored.ids(1).tolist() == sampling.ids(1).tolist()
    assert restored.num_samples(1) == sampling.num_samples(1)


EPOCHS = st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=6)


class Chosen(DynamicPolicy):
    """Takes given rows in each epoch."""

    def __init__(self, epochs):
        self.epochs, self.num_epochs = epochs, len(epochs)

    def num_rows(self, epoch):
        return len(self.epochs[epoch])

    def rows(self, epoch):
        return torch.tensor(sorted(self.epochs[epoch]))

    def weights(self, rows):
        return None

    def observe(self, rows, losses):
        pass

    def end_epoch(self, epoch):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def train(sampling, epochs, batch_size=2):
    """Do what a training does, from the first of some epochs on."""
    for epoch in epochs:
        for ids in sampling.ids(epoch).split(batch_size):
            sampling.weigh(ids, torch.zeros(len(ids)))
        sampling.on_train_epoch_end(SimpleNamespace(current_epoch=epoch), None)
    return sampling


@given(epochs=EPOCHS, cut=st.integers(0, 6), batch_size=st.integers(1, 5))
def test_visits_are_counted_over_a_restart_in_the_middle_of_an_epoch(epochs, cut, batch_size):
    cut = min(cut, len(epochs))
    whole = train(Sampling(Chosen(epochs), POOL, 2), range(len(epochs)), batch_size).visits
    before = train(Sampling(Chosen(epochs), POOL, 2), range(cut))
    state = before.state_dict()
    before.weigh(POOL[:1], torch.zeros(1))  # a step of an epoch that is lost
    restored = Sampling(Chosen(epochs), POOL, 2)
    restored.load_state_dict(state)
    assert train(restored, range(cut, len(epochs))).visits == whole
    assert whole.share == pytest.approx(sum(map(len, epochs)) / (len(POOL) * len(epochs)))
    assert whole.num_seen == len(set().union(*epochs))


@given(first=EPOCHS, second=EPOCHS)
def test_the_hash_of_the_visits_tells_what_was_trained_on(first, second):
    one, other = (train(Sampling(Chosen(epochs), POOL, 2), range(len(epochs))).visits for epochs in (first, second))
    assert (one.sha256 == other.sha256) == (first == second)


def test_a_policy_of_ones_own_needs_no_static_subset():
    assert Chosen([{0}]).static_rows(1) is None
