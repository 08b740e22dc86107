"""Nearest neighbors give what the released function gave (stored inputs and outputs, none of its code)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from secateur.extrapolation.knn import KNN, knn_extrapolate

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden files at {GOLDEN}")
PRECISIONS = {torch.float64: 1e-6, torch.float32: 1e-5}
FILES = sorted(GOLDEN.glob("knn_*.npz")) or [None]
RELEASED = {"average": {"weighting": "average"}, "weighted": {"weighting": "exp", "weight_distance": "euclidean"}}


@pytest.fixture(params=FILES, ids=lambda path: getattr(path, "stem", "none"))
def stored(request):
    if request.param is None:
        pytest.skip("no golden file of this kind")
    with np.load(request.param) as file:
        return dict(file)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("output", RELEASED)
def test_knn(stored, output, dtype):
    scores = torch.from_numpy(stored["subset_scores"]).to(dtype)
    rows = torch.from_numpy(stored["subset_index"])
    options = {"k": int(stored["k"]), "distance": str(stored["distance"]), **RELEASED[output]}
    result = knn_extrapolate(torch.from_numpy(stored["embeddings"]).to(dtype), rows, scores, **options)
    assert result.dtype == dtype
    np.testing.assert_allclose(result.double().numpy(), stored[output], rtol=PRECISIONS[dtype])
    queries = np.setdiff1d(np.arange(len(result)), rows.numpy())
    predicted, full = result[queries].numpy(), stored["full_scores"][queries]
    assert stats.pearsonr(predicted, full).statistic == pytest.approx(float(stored[f"pearson_{output}"]), rel=1e-5)
    assert stats.spearmanr(predicted, full).statistic == pytest.approx(float(stored[f"spearman_{output}"]), rel=1e-5)


def test_knn_of_single_precision_embeddings_and_double_scores(stored):
    rows = torch.from_numpy(stored["subset_index"])
    for output, options in RELEASED.items():
        result = knn_extrapolate(
            torch.from_numpy(stored["embeddings"]), rows, torch.from_numpy(stored["subset_scores"]),
            k=int(stored["k"]), distance=str(stored["distance"]), **options,
        )  # fmt: skip
        np.testing.assert_allclose(result.numpy(), stored[output], rtol=1e-6)


def test_weights_of_the_search_and_of_the_release_differ_for_cosine(stored):
    if str(stored["distance"]) != "cosine":
        pytest.skip("neighbors and weights go by the same distance")
    rows = torch.from_numpy(stored["subset_index"])
    scores = torch.from_numpy(stored["subset_scores"])
    embeddings = torch.from_numpy(stored["embeddings"]).double()
    result = knn_extrapolate(embeddings, rows, scores, k=int(stored["k"]), distance="cosine", weighting="exp")
    assert np.abs(result.numpy() / stored["weighted"] - 1).max() > 1e-3
    assert KNN(distance="cosine").weight_distance is None
