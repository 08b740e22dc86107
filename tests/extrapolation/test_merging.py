import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.extrapolation.calibration import quantile_match
from secateur.extrapolation.merging import merge, observed_share

HOW = ["raw", "quantile_match", "per_source_quota"]
ROWS = st.lists(st.tuples(st.floats(-5, 5) | st.sampled_from([0.0, 1.0]), st.booleans()), min_size=1, max_size=40)


def columns(rows):
    scores, observed = zip(*rows, strict=True)
    return torch.tensor(scores, dtype=torch.float64), torch.tensor(observed)


def best_first(scores):
    return scores.argsort(descending=True, stable=True)


@pytest.mark.parametrize("how", HOW)
@given(ROWS)
def test_order_within_each_source_is_preserved(how, rows):
    scores, observed = columns(rows)
    if not observed.any():
        observed[0] = True
    before, merged = scores.clone(), merge(scores, observed, how)
    assert torch.equal(scores, before)
    assert merged.dtype == torch.float64
    for source in (observed, ~observed):
        below = scores[source][:, None] < scores[source][None]
        assert (merged[source][:, None] <= merged[source][None])[below].all()
    if how != "per_source_quota":
        assert torch.equal(merged[observed], scores[observed])


@given(ROWS)
def test_quota_keeps_the_selection_order_of_each_source(rows):
    scores, observed = columns(rows)
    merged = merge(scores, observed, "per_source_quota")
    assert ((merged > 0) & (merged < 1)).all()
    for source in (observed, ~observed):
        assert torch.equal(best_first(merged[source]), best_first(scores[source]))


@given(ROWS, st.data())
def test_quota_takes_each_sources_share(rows, data):
    scores, observed = columns(rows)
    order = best_first(merge(scores, observed, "per_source_quota"))
    num_keep = data.draw(st.integers(1, len(scores)))
    kept = int(observed[order[:num_keep]].sum())
    assert abs(kept - num_keep * observed.double().mean()) <= 1 + 1e-9


def test_quantile_match_is_that_of_the_observed():
    torch.manual_seed(0)
    scores, observed = torch.randn(50), torch.rand(50) < 0.3
    merged = merge(scores, observed)
    assert torch.equal(merged[~observed], quantile_match(scores[~observed], scores[observed]))
    assert torch.equal(merge(scores, observed, "raw"), scores)


def test_shrunk_predictions_are_no_longer_left_out():
    torch.manual_seed(1)
    truth, observed = torch.randn(5000), torch.rand(5000) < 0.2
    scores = torch.where(observed, truth, 0.45 * (0.45 * truth + 0.8 * torch.randn(5000)))
    shares = {}
    for how in HOW:
        keep = torch.zeros(5000, dtype=torch.bool)
        keep[best_first(merge(scores, observed, how))[:250]] = True
        shares[how] = observed_share(keep, observed)
    assert shares["raw"] > 0.5
    assert shares["quantile_match"] == pytest.approx(0.2, abs=0.05)
    assert shares["per_source_quota"] == pytest.approx(float(observed.double().mean()), abs=1 / 250)


@pytest.mark.parametrize("how", HOW)
def test_everything_observed(how):
    scores = torch.tensor([3.0, 1.0, 2.0])
    assert torch.equal(best_first(merge(scores, torch.ones(3, dtype=torch.bool), how)), best_first(scores))


def test_observed_share():
    observed = torch.tensor([True, False, True, False])
    assert observed_share(torch.tensor([True, True, True, False]), observed) == pytest.approx(2 / 3)
    assert observed_share(~observed, observed) == 0.0
    with pytest.raises(DataError, match="no sample is kept"):
        observed_share(torch.zeros(4, dtype=torch.bool), observed)


def test_errors():
    observed = torch.tensor([True, False])
    with pytest.raises(ConfigError, match="raw, quantile_match, per_source_quota; got 'mean'"):
        merge(torch.zeros(2), observed, "mean")
    with pytest.raises(DataError, match="bool"):
        merge(torch.zeros(2), observed.long())
    with pytest.raises(DataError, match=r"\[3\]"):
        merge(torch.zeros(3), observed)
    with pytest.raises(DataError, match="at least one observed"):
        merge(torch.zeros(2), torch.zeros(2, dtype=torch.bool))
    with pytest.raises(NumericalError, match="first row 1"):
        merge(torch.tensor([0.0, float("nan")]), observed, "raw")
