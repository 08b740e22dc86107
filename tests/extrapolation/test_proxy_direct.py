import math

import pytest
import torch

from secateur.core.errors import ConfigError, DataError
from secateur.extrapolation.base import ExtrapolationInputs, Needs
from secateur.extrapolation.calibration import quantile_match
from secateur.extrapolation.proxy_direct import ProxyDirect

MEASURES = ["el2n", "margin", "entropy", "uncertainty"]


def make(num_samples=60, num_observed=20, num_classes=4, **changes):
    stream = torch.Generator().manual_seed(0)
    given = {
        "embeddings": None,
        "sample_ids": torch.randperm(num_samples, generator=stream)[:num_observed],
        "scores": torch.rand(num_observed, generator=stream, dtype=torch.float64),
        "labels": torch.randint(num_classes or 1, (num_samples,), generator=stream),
        "proxy_logits": 3 * torch.randn(num_samples, num_classes, generator=stream, dtype=torch.float64),
        "num_samples": num_samples,
        "num_classes": num_classes,
    }
    return ExtrapolationInputs(**{**given, **changes})


def by_hand(measure, logits, label):
    exponents = [math.exp(value - max(logits)) for value in logits]
    probs = [value / sum(exponents) for value in exponents]
    if measure == "el2n":
        return math.sqrt(sum((p - (c == label)) ** 2 for c, p in enumerate(probs)))
    if measure == "margin":
        second, first = sorted(probs)[-2:]
        return second - first
    if measure == "entropy":
        return -sum(p * math.log(p) for p in probs)
    return probs[label] * (1 - probs[label])


@pytest.mark.parametrize("measure", MEASURES)
def test_reverse_turns_the_ranking_round(measure):
    inputs = make()
    rows = inputs.queries
    forward, backward = (ProxyDirect(measure, reverse).predict(inputs)[rows] for reverse in (False, True))
    assert torch.equal(forward.argsort(stable=True), backward.argsort(stable=True).flip(0))
    assert not torch.equal(forward, backward)


@pytest.mark.parametrize("measure", MEASURES)
def test_oracle(measure):
    inputs = make()
    result = ProxyDirect(measure).predict(inputs)
    rows = inputs.queries.tolist()
    measured = [by_hand(measure, inputs.proxy_logits[row].tolist(), int(inputs.labels[row])) for row in rows]
    expected = quantile_match(torch.tensor(measured, dtype=torch.float64), inputs.scores)
    torch.testing.assert_close(result[inputs.queries], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_harder_is_higher(measure):
    logits = torch.tensor([[0.0, 0.0], [8.0, 0.0], [1.0, 0.5], [3.0, 0.0], [0.0, 0.0]])
    inputs = make(
        5, 2, 2, proxy_logits=logits, labels=torch.zeros(5).long(), sample_ids=torch.tensor([0, 4]),
        scores=torch.tensor([1.0, 2.0]),
    )  # fmt: skip
    result = ProxyDirect(measure).predict(inputs)
    assert result[2] > result[3] > result[1]
    assert (float(result[1]), float(result[2])) == (1.0, 2.0)  # the observed range, whatever the measure's


def test_chunks_change_nothing(monkeypatch):
    inputs = make()
    whole = ProxyDirect().predict(inputs)
    monkeypatch.setattr("secateur.extrapolation.proxy_direct.CHUNK", 7)
    assert torch.equal(ProxyDirect().predict(inputs), whole)


def test_half_precision_logits_are_widened():
    logits = torch.tensor([[20.0, 0.0], [21.0, 0.0], [22.0, 0.0], [0.0, 0.0]]).half()
    inputs = make(
        4, 1, 2, proxy_logits=logits, labels=torch.tensor([1, 1, 1, 0]), sample_ids=torch.tensor([3]),
        scores=torch.tensor([1.0]),
    )  # fmt: skip
    inputs.scores, inputs.sample_ids = torch.tensor([1.0]), torch.tensor([3])
    probe = ProxyDirect("uncertainty")._measure(logits, inputs.labels)
    assert probe.dtype == torch.float32
    assert probe[0] > probe[1] > probe[2] > 0


def test_declares_what_it_needs():
    assert ProxyDirect("el2n").needs == ProxyDirect("uncertainty").needs == {Needs.PROXY_LOGITS, Needs.LABELS}
    assert ProxyDirect("entropy").needs == ProxyDirect("margin").needs == {Needs.PROXY_LOGITS}
    with pytest.raises(ConfigError, match="el2n, margin, entropy, uncertainty; got 'forgetting'"):
        ProxyDirect("forgetting")
    with pytest.raises(ConfigError, match="measure=entropy"):
        ProxyDirect("el2n").predict(make(labels=None, num_classes=0))
    with pytest.raises(ConfigError, match="logits"):
        ProxyDirect("entropy").predict(make(proxy_logits=None))
    with pytest.raises(ConfigError, match="at least 2 classes"):
        ProxyDirect("margin").predict(make(num_classes=1, labels=None))
    with pytest.raises(DataError, match="at least 4"):
        ProxyDirect().predict(make(proxy_logits=torch.zeros(60, 3)))
