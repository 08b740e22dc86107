import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.dynamic.base import DynamicPolicy
from secateur.dynamic.infobatch import InfoBatch

LOSSES = st.lists(st.floats(0, 10, width=32), min_size=1, max_size=50)
RATIOS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 0.99])


def after_one_epoch(losses, ratio, seed=0, num_epochs=8):
    policy = InfoBatch(len(losses), ratio, num_epochs, seed)
    policy.observe(torch.arange(len(losses)), torch.tensor(losses))
    policy.end_epoch(0)
    return policy


@settings(max_examples=100, deadline=None)
@given(LOSSES, RATIOS, st.integers(0, 3))
def test_an_epoch_keeps_all_high_losses_and_about_the_asked_share_of_the_low_ones(losses, ratio, seed):
    policy = after_one_epoch(losses, ratio, seed)
    rows = policy.rows(1).tolist()
    mean = np.mean(np.array(losses, dtype=np.float32), dtype=np.float64)
    low = {row for row, loss in enumerate(losses) if loss < mean} if len(set(losses)) > 1 else set()
    high = set(range(len(losses))) - low
    assert len(rows) == len(set(rows)) == policy.num_rows(1) > 0
    assert high <= set(rows)
    assert abs(len(set(rows) & low) - (1 - ratio) * len(low)) < 1 + 1e-9
    weights = policy.weights(torch.arange(len(losses)))
    if weights is None:
        assert len(rows) == len(losses)
    else:
        wanted = [1 / (1 - ratio) if row in low else 1.0 for row in range(len(losses))]
        assert weights.dtype == torch.float32
        assert weights.tolist() == pytest.approx(wanted)


def test_weighted_losses_are_unbiased():
    losses = torch.cat([torch.linspace(0.0, 0.5, 13), torch.linspace(2.0, 4.0, 10)])
    totals = []
    for seed in range(2000):
        policy = after_one_epoch(losses.tolist(), 0.3, seed)
        rows = policy.rows(1)
        totals.append(float((policy.weights(rows) * losses[rows]).sum()))
    error = np.std(totals, ddof=1) / np.sqrt(len(totals))
    assert np.mean(totals) == pytest.approx(float(losses.sum()), abs=4 * error)
    assert error < 0.02


@pytest.mark.parametrize("value", [0.1, 1.0, 3.3, 1e-7])
@pytest.mark.parametrize("num_samples", [1, 3, 7, 1000])
def test_equal_losses_are_never_below_their_mean(value, num_samples):
    policy = after_one_epoch([value] * num_samples, 0.5)
    assert policy.num_rows(1) == num_samples
    assert policy.weights(torch.arange(num_samples)) is None


@pytest.mark.parametrize(
    ("num_epochs", "anneal", "first"),
    [(200, 0.125, 175), (8, 0.125, 7), (10, 0.125, 8), (30, 0.1, 27), (5, 0.0, 5), (5, 1.0, 0)],
)
def test_the_last_epochs_see_everything_unweighted(num_epochs, anneal, first):
    policy = InfoBatch(6, 0.5, num_epochs, seed=0, anneal=anneal)
    assert policy.first_annealed_epoch == first
    for epoch in range(num_epochs):
        policy.observe(torch.arange(6), torch.arange(6.0))
        whole = epoch == 0 or epoch >= first
        assert (policy.num_rows(epoch) == 6) is whole
        assert (policy.weights(torch.arange(6)) is None) is whole
        policy.end_epoch(epoch)


def test_rows_and_weights_are_stable_while_losses_change():
    policy = after_one_epoch([0.1, 0.2, 5.0, 6.0], 0.5)
    rows, weights = policy.rows(1), policy.weights(torch.arange(4))
    policy.observe(torch.arange(4), torch.tensor([9.0, 9.0, 0.0, 0.0]))
    policy.rows(1).zero_()
    assert policy.rows(1).equal(rows)
    assert policy.weights(torch.arange(4)).equal(weights)
    policy.end_epoch(1)
    assert policy.weights(torch.arange(4)).tolist() == [1.0, 1.0, 2.0, 2.0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), RATIOS, st.integers(0, 4), st.integers(0, 3))
def test_a_restored_policy_goes_on_as_if_nothing_had_happened(num_samples, ratio, seed, cut):
    noise = torch.Generator().manual_seed(seed)
    losses = torch.rand(8, num_samples, generator=noise)

    def step(policy, epoch):
        rows = policy.rows(epoch)
        policy.observe(rows, losses[epoch][rows])
        policy.end_epoch(epoch)
        return rows.tolist()

    whole = InfoBatch(num_samples, ratio, 8, seed)
    expected = [step(whole, epoch) for epoch in range(8)]
    first = InfoBatch(num_samples, ratio, 8, seed)
    for epoch in range(cut):
        step(first, epoch)
    half = first.rows(cut)[: num_samples // 2]
    first.observe(half, losses[7][half])  # killed in the middle of an epoch, which is then run again
    second = InfoBatch(num_samples, ratio, 8, seed)
    second.load_state_dict(first.state_dict())
    assert [step(second, epoch) for epoch in range(cut, 8)] == expected[cut:]
    assert second.realized_pruning_ratio == whole.realized_pruning_ratio


def test_the_state_is_a_copy_of_tensors():
    policy = after_one_epoch([0.1, 0.2, 5.0, 6.0], 0.5)
    state = policy.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    policy.observe(torch.arange(4), torch.zeros(4))
    assert state["losses"].tolist() == pytest.approx([0.1, 0.2, 5.0, 6.0])


def test_the_last_loss_of_a_row_counts_whatever_the_order():
    policy = InfoBatch(5, 0.5, 4, seed=0)
    policy.observe(torch.tensor([4, 0]), torch.tensor([4.0, 3.0], dtype=torch.bfloat16, requires_grad=True))
    policy.observe(torch.tensor([0]), torch.tensor([0.25], dtype=torch.float64))
    assert policy.losses.tolist() == [0.25, 1.0, 1.0, 1.0, 4.0]
    assert not policy.losses.requires_grad


def test_the_realized_ratio_counts_what_was_left_out():
    policy = InfoBatch(100, 0.5, 8, seed=0)
    assert policy.realized_pruning_ratio == 0.0
    seen = 0
    for epoch in range(8):
        seen += policy.num_rows(epoch)
        policy.observe(torch.arange(100), torch.arange(100.0))
        policy.end_epoch(epoch)
    assert policy.realized_pruning_ratio == pytest.approx(1 - seen / 800)
    assert policy.realized_pruning_ratio == pytest.approx(0.5 * 0.5 * 6 / 8)  # half of the lower half, 6 epochs


def test_the_static_subset_has_the_highest_losses():
    policy = after_one_epoch([1.0, 3.0, 2.0, 3.0, 3.0], 0.5)
    assert policy.static_rows(2).tolist() == [1, 3]
    assert policy.static_rows(4).tolist() == [1, 2, 3, 4]
    assert policy.static_rows(5).tolist() == [0, 1, 2, 3, 4]


def test_global_generators_are_left_alone():
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    policy = after_one_epoch([0.1, 0.2, 5.0, 6.0], 0.5)
    policy.rows(1)
    assert torch.random.get_rng_state().equal(states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]


def test_epochs_differ_and_seeds_differ():
    policy: DynamicPolicy = after_one_epoch(list(range(40)), 0.5)
    first = policy.rows(1).tolist()
    assert after_one_epoch([float(i) for i in range(40)], 0.5, seed=1).rows(1).tolist() != first
    policy.end_epoch(1)
    assert policy.rows(2).tolist() != first


def test_bad_input_is_refused():
    for kwargs in ({"pruning_ratio": 1.0}, {"num_samples": 0}, {"num_epochs": 0}, {"anneal": 1.5}):
        with pytest.raises(ConfigError):
            InfoBatch(**{"num_samples": 4, "pruning_ratio": 0.5, "num_epochs": 4, "seed": 0, **kwargs})
    policy = InfoBatch(4, 0.5, 4, seed=0)
    with pytest.raises(ConfigError, match="epoch 0: the rows of epoch 1 are unknown"):
        policy.rows(1)
    with pytest.raises(ConfigError, match="cannot end epoch 2"):
        policy.end_epoch(2)
    with pytest.raises(DataError):
        policy.observe(torch.arange(4), torch.rand(3))
    with pytest.raises(DataError):
        policy.load_state_dict(InfoBatch(5, 0.5, 4, seed=0).state_dict())
    with pytest.raises(ConfigError):
        policy.static_rows(5)
    policy.observe(torch.tensor([2]), torch.tensor([float("nan")]))
    with pytest.raises(NumericalError, match="pool row 2"):
        policy.end_epoch(0)
