"""Warnings on classes that a mask empties or starves."""

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.mask import Mask
from secateur.runs.facts import class_warnings
from secateur.runs.methods.dynamic import InfoBatchMethod
from secateur.runs.methods.groups import RandomGroups
from secateur.runs.methods.mask import MaskFile
from secateur.runs.methods.random import RandomSubset
from secateur.runs.methods.random_clusters import RandomClusters
from secateur.runs.methods.score import ScoreAndSelect


def warnings(kept, total):
    return class_warnings(torch.tensor(kept), torch.tensor(total), [f"c{row}" for row in range(len(kept))])


def test_a_class_without_a_kept_sample_is_named():
    (warning,) = warnings([0, 50, 50], [100, 100, 100])
    assert warning.startswith("The mask keeps no sample of class 'c0' (0 of 100): ")


def test_a_class_below_half_of_its_share_is_named():
    (warning,) = warnings([24, 88, 88], [100, 100, 200])
    assert "less than half of the proportional share of class 'c0' (24 of 100)" in warning


def test_half_of_the_share_is_enough():
    assert warnings([25, 75], [100, 100]) == []


def test_many_classes_share_a_line():
    (warning,) = warnings([0] * 7 + [70], [10] * 7 + [700])
    assert "7 classes, 'c0' (0 of 10), 'c1' (0 of 10)" in warning
    assert "2 more" in warning


def test_a_class_that_had_no_sample_is_not_emptied():
    assert warnings([0, 5], [0, 10]) == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=2, max_size=8))
def test_a_warning_is_given_exactly_where_a_class_is_below_half_of_its_share(pairs):
    kept, total = [min(a, b) for a, b in pairs], [b for _, b in pairs]
    share = sum(kept) / sum(total)
    starved = any(k < 0.5 * share * t or (k == 0) for k, t in zip(kept, total, strict=True))
    assert bool(warnings(kept, total)) == starved


def test_a_method_says_which_seeds_draw_its_mask():
    drawn_anew = (RandomSubset, RandomGroups, RandomClusters)
    assert {kind.drawn_by for kind in drawn_anew} == {("seed", "score_seed")}
    assert {kind.drawn_by for kind in (ScoreAndSelect, InfoBatchMethod)} == {("score_seed",)}


def test_a_mask_from_a_file_reads_no_ratio_and_says_what_it_leaves_out(tmp_path):
    mask = Mask.from_rows(torch.arange(10), torch.arange(7), fingerprint="f", metadata={})
    mask.save(tmp_path / "mask.parquet")
    context = SimpleNamespace(data=SimpleNamespace(fingerprint="f"), warn=lambda text: None)
    facts = MaskFile(str(tmp_path / "mask.parquet")).prune(context).facts
    assert facts["reads_ratio"] is False
    assert abs(facts["pruning_ratio"] - 0.3) < 1e-9
