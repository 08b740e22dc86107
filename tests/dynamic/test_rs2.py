import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.dynamic.base import DynamicPolicy
from secateur.dynamic.rs2 import RS2

SIZES = st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


def epochs_of(policy):
    return [policy.rows(epoch).tolist() for epoch in range(policy.num_epochs)]


def check_blocks(epochs, num_samples, num_keep):
    """Follow the rule with plain sets: every epoch must be explained by the unused rows it found."""
    unused = set(range(num_samples))
    for rows in epochs:
        block = set(rows)
        assert len(block) == len(rows) == num_keep
        if len(unused) >= num_keep:
            assert block <= unused
            unused -= block
        else:
            assert unused <= block
            unused = set(range(num_samples)) - block


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 5), st.booleans())
def test_every_epoch_has_exactly_k_distinct_rows(sizes, seed, replacement):
    policy = RS2(*sizes, num_epochs=7, seed=seed, replacement=replacement)
    for epoch, rows in enumerate(epochs_of(policy)):
        assert len(set(rows)) == len(rows) == policy.num_rows(epoch) == sizes[1]
        assert set(rows) <= set(range(sizes[0]))


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 5))
def test_without_replacement_the_epochs_follow_the_rule(sizes, seed):
    check_blocks(epochs_of(RS2(*sizes, num_epochs=15, seed=seed)), *sizes)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 5), st.booleans(), st.lists(st.integers(0, 14), min_size=1, max_size=8))
def test_rows_are_a_function_of_seed_and_epoch_in_any_order(sizes, seed, replacement, asked):
    in_order = epochs_of(RS2(*sizes, num_epochs=15, seed=seed, replacement=replacement))
    jumping = RS2(*sizes, num_epochs=15, seed=seed, replacement=replacement)
    for epoch in asked:
        fresh = RS2(*sizes, num_epochs=15, seed=seed, replacement=replacement)
        fresh.load_state_dict(jumping.state_dict())
        assert jumping.rows(epoch).tolist() == fresh.rows(epoch).tolist() == in_order[epoch]


def test_the_first_pass_covers_the_pool():
    epochs = epochs_of(RS2(num_samples=23, num_keep=5, num_epochs=5, seed=1))
    assert set().union(*epochs) == set(range(23))


def test_rows_are_drawn_uniformly():
    counts = torch.zeros(7)
    for seed in range(600):
        policy = RS2(num_samples=7, num_keep=5, num_epochs=4, seed=seed)
        counts[policy.rows(3)] += 1
    share = counts / 600
    assert torch.allclose(share, torch.full((7,), 5 / 7), atol=0.08)


def test_with_replacement_epochs_are_independent_draws():
    policy = RS2(num_samples=1000, num_keep=500, num_epochs=2, seed=0, replacement=True)
    shared = set(policy.rows(0).tolist()) & set(policy.rows(1).tolist())
    assert 200 < len(shared) < 300


def test_the_caller_cannot_change_the_policy():
    policy = RS2(num_samples=10, num_keep=4, num_epochs=3, seed=0)
    before = policy.rows(0).clone()
    policy.rows(0).zero_()
    assert policy.rows(0).equal(before)


def test_global_generators_are_left_alone():
    state = torch.random.get_rng_state()
    epochs_of(RS2(num_samples=10, num_keep=4, num_epochs=5, seed=0))
    assert torch.random.get_rng_state().equal(state)


def test_the_rest_of_the_interface():
    policy: DynamicPolicy = RS2(num_samples=10, num_keep=4, num_epochs=3, seed=0)
    policy.observe(torch.arange(2), torch.rand(2))
    policy.end_epoch(0)
    assert policy.weights(torch.arange(3)) is None
    assert policy.state_dict() == {}
    assert policy.realized_pruning_ratio == pytest.approx(0.6)
    assert policy.static_rows(4).tolist() == sorted(policy.rows(2).tolist())


@pytest.mark.parametrize(("num_keep", "num_epochs"), [(0, 1), (11, 1), (5, 0)])
def test_impossible_counts_are_refused(num_keep, num_epochs):
    with pytest.raises(ConfigError):
        RS2(num_samples=10, num_keep=num_keep, num_epochs=num_epochs, seed=0)


def test_impossible_questions_are_refused():
    policy = RS2(num_samples=10, num_keep=4, num_epochs=3, seed=0)
    with pytest.raises(ConfigError, match=r"epoch must be in \[0, 3\), got 3"):
        policy.rows(3)
    with pytest.raises(ConfigError, match="keeps 4 rows, not 5"):
        policy.static_rows(5)
