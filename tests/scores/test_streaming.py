"""Every accumulator gives what its pure function gives: any order, batch size, missing samples, restored midway."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.scores.aum import AUM, aum
from secateur.scores.base import BatchSignals
from secateur.scores.dual import DUAL, dual
from secateur.scores.dynamic_uncertainty import DynamicUncertainty, dynamic_uncertainty
from secateur.scores.dynamics import Dynamics
from secateur.scores.el2n import EL2N, el2n
from secateur.scores.entropy import Entropy, entropy
from secateur.scores.forgetting import Forgetting, forgetting
from secateur.scores.grand import GraNd, grand
from secateur.scores.least_confidence import LeastConfidence, least_confidence
from secateur.scores.margin import Margin, margin
from secateur.scores.moderate import Moderate, moderate
from secateur.scores.tdds import TDDS, tdds

NUM_EPOCHS, NUM_SAMPLES, NUM_CLASSES = 9, 21, 4


def right_or_wrong(run):
    return torch.where(run.seen, (run.logits.argmax(2) == run.target).float(), torch.nan)


def final(values):
    """A score of the last epoch: NaN where the sample was not seen in it."""
    return lambda run: torch.where(run.seen[-1], values(run), torch.nan)


CASES = {
    "dynamic_uncertainty": (
        lambda: DynamicUncertainty(window=4),
        lambda run: dynamic_uncertainty(run.hidden_probs, window=4),
    ),
    "dynamic_uncertainty_skips": (
        lambda: DynamicUncertainty(window=3, skip_first=2, skip_last=0, ddof=0),
        lambda run: dynamic_uncertainty(run.hidden_probs, 3, 2, 0, 0),
    ),
    "dual": (lambda: DUAL(window=4), lambda run: dual(run.hidden_probs[:4], window=4)),
    "dual_first": (lambda: DUAL(window=3, num_epochs=6), lambda run: dual(run.hidden_probs[:6], window=3)),
    "tdds": (lambda: TDDS(window=4), lambda run: tdds(run.hidden_logits[:4], window=4)),
    "tdds_all": (
        lambda: TDDS(window=4, trajectory_epochs=NUM_EPOCHS),
        lambda run: tdds(run.hidden_logits, window=4),
    ),
    "tdds_first": (
        lambda: TDDS(window=3, decay=0.5, trajectory_epochs=6),
        lambda run: tdds(run.hidden_logits[:6], window=3, decay=0.5),
    ),
    "tdds_last": (
        lambda: TDDS(window=3, trajectory="last", trajectory_epochs=5),
        lambda run: tdds(run.hidden_logits[-5:], window=3),
    ),
    "forgetting": (Forgetting, lambda run: forgetting(right_or_wrong(run))),
    "forgetting_count": (
        lambda: Forgetting(unlearned="count"),
        lambda run: forgetting(right_or_wrong(run), unlearned="count"),
    ),
    "aum": (AUM, lambda run: aum(run.hidden_logits, run.target)),
    "aum_of_probabilities": (
        lambda: AUM(margin="probability"),
        lambda run: aum(run.hidden_logits, run.target, margin="probability"),
    ),
    "el2n": (
        lambda: EL2N(epoch=NUM_EPOCHS),
        final(lambda run: el2n(run.logits[-1], run.target)),
    ),
    "grand": (
        lambda: GraNd(epoch=NUM_EPOCHS),
        final(lambda run: grand(run.logits[-1], run.target, run.features)),
    ),
}
FINAL = {
    "entropy": (Entropy, lambda run: entropy(run.logits[-1])),
    "margin": (Margin, lambda run: margin(run.logits[-1])),
    "least_confidence": (LeastConfidence, lambda run: least_confidence(run.logits[-1])),
    "moderate": (Moderate, lambda run: moderate(run.features, run.target)),
    "moderate_all": (
        lambda: Moderate(rank_within="all"),
        lambda run: moderate(run.features, run.target, rank_within="all"),
    ),
}


class Run:
    """One random training: logits, features and who was seen when."""

    def __init__(self, tools, seed, missing, num_epochs=NUM_EPOCHS):
        generator = torch.Generator().manual_seed(seed + 1)
        self.logits, self.target = tools.trajectory(num_epochs, NUM_SAMPLES, NUM_CLASSES, seed)
        self.features = torch.randn(NUM_SAMPLES, 5, generator=generator)
        self.seen = torch.rand(num_epochs, NUM_SAMPLES, generator=generator) >= missing
        self.hidden_logits = tools.hide(self.logits, self.seen)
        self.hidden_probs = tools.hide(tools.label_probs(self.logits, self.target), self.seen)


training = {
    "seed": st.integers(0, 10_000),
    "batch_size": st.integers(1, 25),
    "missing": st.sampled_from([0.0, 0.2, 0.8]),
    "restore_at": st.integers(1, 20),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None)
@given(**training)
def test_streaming_equals_pure(tools, name, seed, batch_size, missing, restore_at):
    make, pure = CASES[name]
    run = Run(tools, seed, missing)
    score = tools.feed(make, run.logits, run.target, run.seen, run.features, batch_size, seed, restore_at)
    torch.testing.assert_close(score.compute().score, pure(run), rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", FINAL)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), batch_size=st.integers(1, 25), restore_at=st.integers(1, 3))
def test_final_pass_equals_pure_bit_for_bit(tools, name, seed, batch_size, restore_at):
    make, pure = FINAL[name]
    run = Run(tools, seed, 0.0, num_epochs=1)
    score = tools.feed(make, run.logits, run.target, None, run.features, batch_size, seed, restore_at)
    assert (score.record, score.epochs, score.num_passes) == ("final_pass", range(1), 1)
    assert torch.equal(score.compute().score, pure(run))


@settings(max_examples=15, deadline=None)
@given(**training)
def test_dynamics_equals_the_definitions(tools, seed, batch_size, missing, restore_at):
    run = Run(tools, seed, missing)
    score = tools.feed(Dynamics, run.logits, run.target, run.seen, None, batch_size, seed, restore_at)
    columns = score.compute().columns
    nan = float("nan")
    for row in range(NUM_SAMPLES):
        probs = [float(p) for p in run.hidden_probs[:, row] if not torch.isnan(p)]
        mean = sum(probs) / len(probs) if probs else nan
        std = tools.spread(probs, 0) if probs else nan
        assert float(columns["mean_probability"][row]) == pytest.approx(mean, abs=1e-6, nan_ok=True)
        assert float(columns["std_probability"][row]) == pytest.approx(std, abs=1e-5, nan_ok=True)
    expected = -aum(run.hidden_logits, run.target)
    torch.testing.assert_close(columns["aum"], expected, rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", [*CASES, *FINAL])
def test_order_and_batch_size_do_not_change_a_bit(tools, name):
    make = {**CASES, **FINAL}[name][0]
    run = Run(tools, 3, 0.1)
    results = [
        tools.feed(make, run.logits, run.target, run.seen, run.features, batch_size, seed).compute().score
        for batch_size, seed in ((1, 0), (8, 1), (21, 2))
    ]
    assert all(torch.equal(results[0].nan_to_num(-9), other.nan_to_num(-9)) for other in results)


@pytest.mark.parametrize("name", [*CASES, *FINAL])
def test_permuting_samples_permutes_scores(tools, name):
    pure = {**CASES, **FINAL}[name][1]
    run = Run(tools, 5, 0.1)
    order = torch.randperm(NUM_SAMPLES)
    expected = pure(run)[order]
    run.target, run.features = run.target[order], run.features[order]
    for field in ("logits", "hidden_logits", "hidden_probs", "seen"):
        setattr(run, field, getattr(run, field)[:, order])
    torch.testing.assert_close(pure(run), expected, rtol=1e-6, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize("name", [*CASES, *FINAL])
def test_float64_in_float64_out(tools, name):
    pure = {**CASES, **FINAL}[name][1]
    run = Run(tools, 7, 0.0)
    for field in ("logits", "features", "hidden_logits", "hidden_probs"):
        setattr(run, field, getattr(run, field).double())
    result = pure(run)
    if not name.startswith("forgetting"):  # its input is 0 or 1
        assert result.dtype == torch.float64
    assert forgetting(torch.ones(3, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("name", [*CASES, *FINAL])
def test_half_precision_and_attached_logits_are_taken(tools, name):
    make = {**CASES, **FINAL}[name][0]
    run = Run(tools, 9, 0.0)
    logits = run.logits.to(torch.bfloat16).requires_grad_()
    features = run.features.to(torch.bfloat16).requires_grad_()
    score = tools.feed(make, logits, run.target, None, features)
    assert not any(values.requires_grad for values in score.state.values())
    assert bool(torch.isfinite(score.compute().score).all())


@pytest.mark.parametrize("name", [*CASES, *FINAL])
def test_nothing_seen_is_nan_not_a_crash(name):
    score = {**CASES, **FINAL}[name][0]()
    score.setup(5, NUM_EPOCHS)
    for epoch in range(NUM_EPOCHS):
        score.end_epoch(epoch)
    result = score.compute()
    assert result.score.shape == (5,)
    assert bool(torch.isnan(result.score).all())


@pytest.mark.parametrize("name", [*CASES, *FINAL])
def test_setup_starts_afresh(tools, name):
    make = {**CASES, **FINAL}[name][0]
    run = Run(tools, 11, 0.0)
    score = tools.feed(make, run.logits, run.target, None, run.features)
    first = score.compute().score.clone()
    again = tools.feed(lambda: score, run.logits, run.target, None, run.features)
    assert torch.equal(again.compute().score, first)


def test_derived_signals_are_computed_once():
    batch = BatchSignals(torch.arange(2), torch.tensor([0, 1]), 0, torch.tensor([[2.0, 1.0], [2.0, 1.0]]))
    assert batch.probs is batch.probs
    assert batch.correct.tolist() == [True, False]
    assert batch.target_margin.tolist() == [1.0, -1.0]
