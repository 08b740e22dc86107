"""The pure functions give what the authors' released functions gave (stored inputs and outputs, none of their code)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.scores.dynamic_uncertainty import dynamic_uncertainty
from secateur.scores.el2n import el2n
from secateur.scores.forgetting import forgetting
from secateur.scores.tdds import tdds

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden files at {GOLDEN}")
PRECISIONS = {torch.float64: 1e-6, torch.float32: 1e-5}


def files(pattern):
    return sorted(GOLDEN.glob(pattern)) or [None]


def load(path):
    if path is None:
        pytest.skip("no golden file of this kind")
    with np.load(path) as stored:
        return {name: torch.from_numpy(np.asarray(stored[name])) for name in stored}


def check(result, expected, dtype):
    assert result.dtype == dtype
    np.testing.assert_allclose(result.double().numpy(), expected.double().numpy(), rtol=PRECISIONS[dtype])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("path", files("tdds_*.npz"), ids=lambda path: getattr(path, "stem", "none"))
def test_tdds(path, dtype):
    stored = load(path)
    result = tdds(stored["logits"].to(dtype), int(stored["window"]), float(stored["decay"]))
    check(result, stored["score"], dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("path", files("du_*.npz"), ids=lambda path: getattr(path, "stem", "none"))
def test_dynamic_uncertainty(path, dtype):
    stored = load(path)
    probs, window = stored["target_probs"].to(dtype), int(stored["window"])
    check(10 * dynamic_uncertainty(probs, window), stored["score_original_release"], dtype)
    check(dynamic_uncertainty(probs, window, 2, 0, 0), stored["score_extrapolation_release"], dtype)
    check(dynamic_uncertainty(probs, window, 0, 1, 0), stored["score_unsupervised_release"], dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("path", files("el2n_forgetting*.npz"), ids=lambda path: getattr(path, "stem", "none"))
def test_el2n(path, dtype):
    stored = load(path)
    check(el2n(stored["logits"].to(dtype), stored["target"]), stored["el2n"], dtype)


@pytest.mark.parametrize("path", files("el2n_forgetting*.npz"), ids=lambda path: getattr(path, "stem", "none"))
def test_forgetting(path):
    stored = load(path)
    correct, never = stored["correct"], stored["never_correct"].long()
    counts = forgetting(correct, unlearned="count")
    np.testing.assert_array_equal(counts.double().numpy(), stored["forgetting"].numpy())
    expected = counts.clone()
    expected[never] = len(correct) + 1
    assert torch.equal(forgetting(correct), expected)
