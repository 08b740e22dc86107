"""CCS, DUAL, beta sampling and InfoBatch against what released functions returned (tests/golden/peers)."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.core.mask import keep_count
from secateur.core.tables import ScoreTable
from secateur.dynamic.infobatch import InfoBatch
from secateur.scores.aum import aum
from secateur.scores.dual import dual
from secateur.scores.dynamic_uncertainty import dynamic_uncertainty
from secateur.scores.el2n import el2n
from secateur.scores.entropy import entropy
from secateur.scores.forgetting import forgetting
from secateur.selection.base import random_rows
from secateur.selection.beta import Beta, beta_parameters
from secateur.selection.ccs import CCS, strata_of, stratum_budgets

STRATA = 50
RATIOS = [0.3, 0.5, 0.7, 0.9]
CUTS = {0.3: 0.0, 0.5: 0.1, 0.7: 0.2, 0.9: 0.3}  # the release's is 0.3 at 90 %; the others are examples


def load(name):
    with np.load(Path(__file__).parent / "peers" / f"{name}.npz") as stored:
        return {key: torch.from_numpy(np.asarray(stored[key])) for key in stored}


def table_of(score, **columns):
    ids = torch.arange(len(score))
    return ScoreTable(ids, torch.zeros_like(ids), score, torch.ones(len(ids), dtype=torch.bool), columns, "", {})


@pytest.fixture(scope="module")
def released():
    return load("dual_beta")


# -- scores --------------------------------------------------------------------------------------------------------


def test_scores(released):
    logits, target, probs = released["logits"], released["targets"], released["target_probs"]
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(10 * dual(probs[:30], 10), released["dual_T30_J10"], **close)
    torch.testing.assert_close(10 * dynamic_uncertainty(probs, 10, skip_last=0), released["dynunc_J10"], **close)
    torch.testing.assert_close(el2n(logits[20], target), released["el2n_epoch20"], **close)
    torch.testing.assert_close(entropy(logits[-1]), released["entropy_last"], **close)
    correct = logits.argmax(dim=2) == target
    assert torch.equal(forgetting(correct, unlearned="count").long(), released["forgetting"])


def test_margins_of_probabilities(released):
    """The release's accumulator keeps the last epoch alone, which makes it a margin that can be checked."""
    margin = -aum(released["logits"][-1:], released["targets"], margin="probability")
    torch.testing.assert_close(margin, released["aum_released_last_epoch_only"], rtol=1e-4, atol=1e-5)
    assert (
        float((margin + aum(released["logits"][-1:], released["targets"])).abs().max()) > 0.5
    )  # those of logits differ


# -- CCS -----------------------------------------------------------------------------------------------------------


def slow_ccs(margin, num_keep, num_cut, order):
    """The release's procedure on a margin (low: hard), loop by loop; of a stratum the first ones of ``order``.

    The ``num_cut`` hardest are left out. Stratum i of 50 holds the values from ``low + i * width`` up to the next
    bound, where the range is stretched to 1.0001 times the largest value. The smallest stratum is served first, each
    with at most an even share of what is left. The release draws within strata at random, without a seed.

    Returns:
        The kept positions, and of each stratum how many it has and how many are kept.
    """
    easy = sorted(range(len(margin)), key=lambda row: (margin[row], row))[num_cut:]
    low, high = min(margin[row] for row in easy), max(margin[row] for row in easy) * 1.0001
    width = (high - low) / STRATA
    strata = [[] for _ in range(STRATA)]
    for row in easy:
        inside = [i for i in range(STRATA) if low + i * width <= margin[row] < low + (i + 1) * width]
        strata[inside[0] if inside else STRATA - 1].append(row)
    budgets, left = [0] * STRATA, num_keep
    for done, stratum in enumerate(sorted(range(STRATA), key=lambda i: len(strata[i]))):
        budgets[stratum] = min(len(strata[stratum]), left // (STRATA - done))
        left -= budgets[stratum]
    place = {row: position for position, row in enumerate(order)}
    kept = [row for rows, budget in zip(strata, budgets, strict=True) for row in sorted(rows, key=place.get)[:budget]]
    return set(kept), [len(rows) for rows in strata], budgets


def test_the_loop_is_the_released_function():
    stored = load("ccs_stratified")
    score, num_keep = stored["score"].double().tolist(), int(stored["keep"])
    _, counts, budgets = slow_ccs(score, num_keep, 0, range(len(score)))
    assert counts == stored["strata_counts"].tolist()
    assert sorted(budgets) == sorted(stored["strata_budgets"].tolist())
    assert sum(budgets) == num_keep


def test_strata_and_budgets_are_the_released_ones():
    stored = load("ccs_stratified")
    counts = torch.bincount(strata_of(stored["score"], STRATA), minlength=STRATA)
    assert torch.equal(counts, stored["strata_counts"])
    budgets = stratum_budgets(counts, int(stored["keep"]))
    assert int(budgets.sum()) == int(stored["keep"])
    assert budgets.sort().values.tolist() == stored["strata_budgets"].sort().values.tolist()
    kept = CCS(mislabel_fraction=0.0)(table_of(stored["score"]), int(stored["keep"]), 0).kept_ids
    assert torch.equal(torch.bincount(strata_of(stored["score"], STRATA)[kept], minlength=STRATA), budgets)
    drawn = torch.bincount(strata_of(stored["score"], STRATA)[stored["selected_seed0"]], minlength=STRATA)
    assert drawn.sort().values.tolist() == budgets.sort().values.tolist()


def large():
    """Margins of probabilities of 4 000 samples that are learned at different paces, accumulated over 30 epochs."""
    draw = torch.Generator().manual_seed(0)
    target, pace = torch.randint(10, (4000,), generator=draw), torch.rand(4000, generator=draw) * 8 - 1
    logits = torch.randn(30, 4000, 10, generator=draw) * 1.5
    logits += torch.nn.functional.one_hot(target, 10) * pace[:, None] * torch.linspace(0, 1, 30)[:, None, None]
    return logits, target


@pytest.mark.parametrize("data", ["golden", "large"])
@pytest.mark.parametrize("ratio", RATIOS)
def test_the_selection_is_the_release_s_on_the_same_probabilities(released, ratio, data):
    logits, target = (released["logits"], released["targets"]) if data == "golden" else large()
    score = aum(logits, target, margin="probability")
    num_keep, num_cut = keep_count(len(score), ratio), round(CUTS[ratio] * len(score))
    mask = CCS(mislabel_fraction=CUTS[ratio])(table_of(score), num_keep, 5)
    order = random_rows(len(score), 5).tolist()
    margin = (-score.double()).tolist()
    kept, counts, budgets = slow_ccs(margin, num_keep, num_cut, order)

    hardest = set(sorted(range(len(score)), key=lambda row: (margin[row], row))[:num_cut])
    left = torch.tensor(sorted(set(range(len(score))) - hardest))
    ours = torch.bincount(strata_of(score[left], STRATA), minlength=STRATA).flip(0)  # ours begin with the easiest
    kept_of = torch.zeros(len(score), dtype=torch.int64)
    kept_of[left] = STRATA - 1 - strata_of(score[left], STRATA)
    ours_kept = torch.bincount(kept_of[mask.kept_ids], minlength=STRATA)

    assert mask.num_kept == len(kept) == num_keep
    assert not hardest & set(mask.kept_ids.tolist())
    moved = (ours - torch.tensor(counts)).abs()  # by the bounds that the stretched range shifts
    odd = (ours_kept - torch.tensor(budgets)).abs()  # of an even share, the remainder among strata of one size
    assert int(moved.max()) <= 2
    assert int(odd.max()) <= 1
    different = kept - set(mask.kept_ids.tolist())
    assert len(different) <= int(moved.sum() + odd.sum())  # the same draw within the same strata
    assert data == "golden" or len(different) <= 0.005 * num_keep


@pytest.mark.parametrize("ratio", [0.7, 0.9])
def test_margins_of_logits_are_covered_otherwise(ratio):
    """Strata have equal width, so the kept samples depend on more than the ranks."""
    logits, target = large()
    kept = {}
    for margin in ("logit", "probability"):
        score = aum(logits, target, margin=margin)
        kept[margin] = set(CCS(CUTS[ratio])(table_of(score), keep_count(len(score), ratio), 0).kept_ids.tolist())
    assert len(kept["logit"] & kept["probability"]) < 0.9 * len(kept["logit"])


# -- beta sampling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("c_d", [4, 5.5])
def test_beta_sampling(released, ratio, c_d):
    probs, name = released["target_probs"][:30], f"pr{ratio}_cd{c_d:g}"
    score, mean = dual(probs, 10), probs.mean(dim=0)
    anchor = float(mean[score.argsort(descending=True)[:10]].mean())
    expected = released[f"beta_ab_{name}"].tolist()
    assert beta_parameters(anchor, ratio, 15.0, c_d, alpha_offset=1.0) == pytest.approx(expected, rel=1e-4)
    num_keep = keep_count(len(score), ratio)
    selection = Beta(c_d=c_d, alpha_offset=1.0)
    weights = selection._log_weights(table_of(score, mean_probability=mean), num_keep).softmax(dim=0)
    torch.testing.assert_close(weights, released[f"beta_p_{name}"], rtol=2e-3, atol=1e-7)
    # The release keeps int((1 - r) * N) samples, one too few where that product is rounded down.
    assert len(released[f"beta_sel_{name}_seed0"]) == math.floor((1 - ratio) * len(score)) <= num_keep


@pytest.mark.parametrize("ratio", RATIOS)
def test_draws_of_beta_sampling_are_as_likely_as_the_release_s(released, ratio):
    """The mean inclusion probability of what the release drew, by our draws, is that of our own."""
    probs = released["target_probs"][:30]
    table = table_of(dual(probs, 10), mean_probability=probs.mean(dim=0))
    num_keep = keep_count(len(table), ratio)
    draws = torch.stack([Beta(alpha_offset=1.0)(table, num_keep, seed).keep.double() for seed in range(200)])
    included = draws.mean(dim=0)
    typical = torch.tensor([float(included[draw.bool()].mean()) for draw in draws])
    theirs = float(included[released[f"beta_sel_pr{ratio}_cd4_seed0"]].mean())
    assert abs(theirs - float(typical.mean())) < 4 * float(typical.std())


# -- InfoBatch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_infobatch(seed):
    stored = load("infobatch")
    losses = stored["scores"]
    policy = InfoBatch(len(losses), 0.5, 100, seed)
    assert policy.num_rows(0) == int(stored["first_epoch_kept"])
    policy.observe(torch.arange(len(losses)), losses)
    policy.end_epoch(0)
    ours, theirs = set(policy.rows(1).tolist()), set(stored[f"kept_seed{seed}"].tolist())
    low = set((losses < losses.mean()).nonzero().flatten().tolist())
    high = set(range(len(losses))) - low
    assert high <= ours
    assert high <= theirs
    assert len(theirs & low) == int(0.5 * len(low))
    assert len(ours & low) - len(theirs & low) in (0, 1)  # rounded at random, and not always down
    rows = torch.tensor(sorted(theirs))
    assert torch.equal(policy.weights(rows), stored[f"weights_seed{seed}"][rows])
