"""The objective of AdaPruner against a slow loop, and what it may and may not move."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.dynamic.adapruner import adapruner_loss


def make_batch(size, num_classes=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size, num_classes, generator=generator, dtype=dtype)
    target = torch.randint(num_classes, (size,), generator=generator)
    mask = torch.randn(size, generator=generator, dtype=dtype)
    return logits.requires_grad_(), target, mask.requires_grad_()


def by_hand(logits, target, mask, scale, keep_fraction, penalty):
    """The terms as one writes them on paper, sample by sample."""
    weighted = selection = kept = 0.0
    for row, label, m in zip(logits.tolist(), target.tolist(), mask.tolist(), strict=True):
        loss = math.log(sum(math.exp(value) for value in row)) - row[label]
        soft = 1 / (1 + math.exp(-scale * m))
        weighted += loss * soft
        selection -= math.log(loss + 1e-5) * soft
        kept += soft
    size = len(target)
    terms = (weighted / size, selection / size, penalty * (kept / size - keep_fraction) ** 2)
    return sum(terms), *terms


STEPS = given(
    st.integers(1, 12),
    st.integers(0, 99),
    st.floats(0, 6),
    st.floats(0.05, 1),
    st.one_of(st.just(0.0), st.floats(1, 50)),
)


@STEPS
def test_it_is_what_the_loop_gives(size, seed, scale, keep_fraction, penalty):
    batch = make_batch(size, seed=seed)
    found = adapruner_loss(*batch, scale, keep_fraction, penalty)
    expected = by_hand(*batch, scale, keep_fraction, penalty)
    assert [term.item() for term in found] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@STEPS
def test_only_the_weighted_cross_entropy_trains_the_network(size, seed, scale, keep_fraction, penalty):
    logits, target, mask = make_batch(size, seed=seed)
    loss = adapruner_loss(logits, target, mask, scale, keep_fraction, penalty)
    (total,) = torch.autograd.grad(loss.total, logits, retain_graph=True)
    (weighted,) = torch.autograd.grad(loss.weighted_cross_entropy, logits, retain_graph=True)
    assert torch.equal(total, weighted)
    for term in (loss.selection, loss.ratio_penalty):
        assert torch.autograd.grad(term, logits, retain_graph=True, allow_unused=True) == (None,)


@STEPS
def test_the_gradient_of_the_mask_is_the_formula(size, seed, scale, keep_fraction, penalty):
    logits, target, mask = make_batch(size, seed=seed)
    adapruner_loss(logits, target, mask, scale, keep_fraction, penalty).total.backward()
    losses = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    soft = torch.sigmoid(scale * mask)
    pressure = losses - torch.log(losses + 1e-5) + 2 * penalty * (soft.mean() - keep_fraction)
    assert torch.allclose(mask.grad, scale * soft * (1 - soft) * pressure / size)


def test_the_pressure_to_prune_is_smallest_at_a_loss_of_one():
    """The reason why easy samples go first: 6.9 at a loss of 0.001, 1 at 1, 3.4 at 5."""
    losses = torch.tensor([0.001, 1.0, 5.0], dtype=torch.float64)
    logits = torch.stack([-torch.log(torch.expm1(losses)), torch.zeros(3)], dim=1)
    mask = torch.ones(3, dtype=torch.float64, requires_grad=True)
    adapruner_loss(logits, torch.zeros(3, dtype=torch.int64), mask, 1.0, 0.8, 0.0).total.backward()
    soft = torch.sigmoid(mask.detach())
    pressure = 3 * mask.grad / (soft * (1 - soft))
    assert pressure.tolist() == pytest.approx([6.9, 1.0, 3.4], abs=0.05)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any), st.integers(0, 99))
def test_parts_with_share_and_global_keep_make_the_whole_batch(sizes, seed):
    """The mean of the processes' gradients is the gradient of the global batch, also when a process has no sample."""
    settings = (1.3, 0.7, 20.0)
    logits, target, mask = make_batch(sum(sizes), seed=seed)
    whole = adapruner_loss(logits, target, mask, *settings)
    expected = torch.autograd.grad(whole.total, (logits, mask))
    global_keep = torch.sigmoid(settings[0] * mask.detach()).mean()
    parts = [
        adapruner_loss(*rows, *settings, share=len(rows[0]) * len(sizes) / sum(sizes), global_keep=global_keep)
        for rows in zip(*(tensor.split(sizes) for tensor in (logits, target, mask)), strict=True)
    ]
    mean = sum(part.total for part in parts) / len(sizes)
    for found, gradient in zip(torch.autograd.grad(mean, (logits, mask)), expected, strict=True):
        assert torch.allclose(found, gradient, atol=1e-12)
    assert mean.item() == pytest.approx(whole.total.item())


def test_a_missing_mask_value_is_an_error():
    logits, target, mask = make_batch(3)
    with pytest.raises(ConfigError, match="3 logits, 3 targets and 2 mask values"):
        adapruner_loss(logits, target, mask[:2], 1.0, 0.8, 50.0)
