"""CCS against what its own release returned for the same probabilities (tests/golden/peers/ccs_release.npz)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.core.tables import ScoreTable
from secateur.scores.aum import aum
from secateur.selection.ccs import CCS, strata_of

CUTS = {0.3: 0.0, 0.5: 0.1, 0.7: 0.2, 0.8: 0.2, 0.9: 0.3}  # 0.2 at 80 % and 0.3 at 90 % are the release's own commands
STRATA = 50


@pytest.fixture(scope="module")
def released():
    with np.load(Path(__file__).parent / "peers" / "ccs_release.npz") as stored:
        return {key: torch.from_numpy(np.asarray(stored[key])) for key in stored}


@pytest.fixture(scope="module")
def score(released):
    """Our score: minus the mean margin of probabilities, high is hard."""
    return aum(released["logits"].float(), released["targets"], margin="probability")


def test_the_accumulated_margin(released, score):
    margin = -score * len(released["logits"])
    torch.testing.assert_close(margin, released["accumulated_margin"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ratio", CUTS)
def test_cut_strata_and_kept_samples(released, score, ratio):
    cut, counts, kept_counts, kept = (released[f"{key}_{ratio:g}"] for key in ("cut", "counts", "kept_counts", "kept"))
    ids = torch.arange(len(score))
    table = ScoreTable(ids, torch.zeros_like(ids), score, torch.ones(len(ids), dtype=torch.bool), {}, "", {})
    ours = CCS(mislabel_fraction=CUTS[ratio])(table, len(kept), 0).kept_ids
    assert len(ours) == len(kept)
    assert not np.isin(ours, cut).any()
    left = ids[~torch.isin(ids, cut)]
    stratum = torch.full((len(ids),), -1)
    stratum[left] = STRATA - 1 - strata_of(score[left], STRATA)  # the release's begin with the hardest
    assert int((torch.bincount(stratum[left], minlength=STRATA) - counts).abs().max()) <= 1  # a sample at a bound
    ours_counts = torch.bincount(stratum[ours], minlength=STRATA)
    assert int((ours_counts - kept_counts).abs().max()) <= 1
    whole = (torch.bincount(stratum[left], minlength=STRATA) == ours_counts) & (counts == kept_counts)
    both = whole & (counts == ours_counts)
    assert bool(both.any())
    ours_whole = set(ours[both[stratum[ours]]].tolist())
    assert ours_whole <= set(kept.tolist())  # strata that are kept whole hold the same samples


def test_the_hardest_are_cut(released, score):
    hardest = score.argsort(descending=True)[: len(released["cut_0.9"])].sort().values
    assert torch.equal(hardest, released["cut_0.9"])
