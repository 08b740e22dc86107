import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsRegressor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.extrapolation.base import ExtrapolationInputs, Needs
from secateur.extrapolation.fidelity import effective_neighbors
from secateur.extrapolation.knn import KNN, knn_extrapolate, neighbor_weights

INF = math.inf


def make(num_samples=50, num_observed=20, width=4, num_classes=3, dtype=torch.float64, seed=0):
    stream = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(num_samples, width, generator=stream, dtype=torch.float64).to(dtype)
    rows = torch.randperm(num_samples, generator=stream)[:num_observed]
    scores = torch.rand(num_observed, generator=stream, dtype=torch.float64).to(dtype)
    return embeddings, rows, scores, torch.randint(num_classes, (num_samples,), generator=stream)


def cosine(a, b):
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


MEASURES = {"euclidean": math.dist, "cosine": cosine}


def by_hand(embeddings, rows, scores, labels, k, same_class, weighting, distance, weight_distance, temperature):
    """The definition with lists, one sample after the other."""
    points, rows, classes = embeddings.tolist(), rows.tolist(), labels.tolist()
    known = dict(zip(rows, scores.tolist(), strict=True))
    found = {}
    for query in set(range(len(points))) - set(rows):
        own = [row for row in rows if classes[row] == classes[query]] if same_class else []
        order = sorted(own or rows, key=lambda row: MEASURES[distance](points[query], points[row]))[:k]
        measure = MEASURES[weight_distance or distance]
        found[query] = [(row, measure(points[query], points[row])) for row in order]
    if temperature == "kth_distance":
        reach = sorted(neighbors[-1][1] for neighbors in found.values())
        temperature = (reach[(len(reach) - 1) // 2] + reach[len(reach) // 2]) / 2
    scale = {"average": 0.0, "softmax": 1 / temperature, "exp": 1.0}[weighting]
    for query, neighbors in found.items():
        weights = [math.exp(-d * scale) for _, d in neighbors]
        known[query] = sum(w * known[row] for w, (row, _) in zip(weights, neighbors, strict=True)) / sum(weights)
    return torch.tensor([known[row] for row in range(len(points))], dtype=torch.float64)


@pytest.mark.parametrize("same_class", [False, True])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("weight_distance", [None, "euclidean", "cosine"])
@pytest.mark.parametrize(
    ("weighting", "temperature"),
    [("average", 1.0), ("exp", 1.0), ("exp", 9.0), ("softmax", 0.3), ("softmax", "kth_distance")],
)
@pytest.mark.parametrize("k", [1, 7])
def test_oracle(k, weighting, temperature, weight_distance, distance, same_class):
    embeddings, rows, scores, labels = make(num_samples=51)
    labels[rows[labels[rows] == 2]] = 1  # no observed sample has class 2, and class 0 may have fewer than 7
    options = {
        "k": k,
        "same_class": same_class,
        "weighting": weighting,
        "distance": distance,
        "weight_distance": weight_distance,
        "temperature": temperature,
    }
    result = knn_extrapolate(embeddings, rows, scores, labels=labels, **options)
    expected = by_hand(embeddings, rows, scores, labels, **options)
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-9)
    assert torch.equal(result[rows], scores)


@pytest.mark.parametrize("weighting", ["average", "softmax"])
def test_float32_is_close_to_float64(weighting):
    embeddings, rows, scores, _ = make(300, 100, 32)
    options = {"k": 9, "weighting": weighting, "temperature": "kth_distance"}
    single = knn_extrapolate(embeddings.float(), rows, scores.float(), **options)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), knn_extrapolate(embeddings, rows, scores, **options), rtol=1e-5, atol=0)


def test_average_is_that_of_sklearn():
    embeddings, rows, scores, _ = make(200, 60, 8)
    result = knn_extrapolate(embeddings, rows, scores, k=11)
    queries = ~torch.isin(torch.arange(200), rows)
    model = KNeighborsRegressor(11).fit(embeddings[rows].numpy(), scores.numpy())
    expected = torch.from_numpy(model.predict(embeddings[queries].numpy()))
    torch.testing.assert_close(result[queries], expected, rtol=1e-9, atol=0)


def test_a_high_temperature_is_the_average_and_a_low_one_the_nearest():
    embeddings, rows, scores, _ = make()
    average = knn_extrapolate(embeddings, rows, scores, k=5)
    for temperature in (1e9, INF):
        hot = knn_extrapolate(embeddings, rows, scores, k=5, weighting="softmax", temperature=temperature)
        torch.testing.assert_close(hot, average, rtol=1e-8, atol=0)
    cold = knn_extrapolate(embeddings, rows, scores, k=5, weighting="softmax", temperature=1e-9)
    torch.testing.assert_close(cold, knn_extrapolate(embeddings, rows, scores, k=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighting", ["exp", "softmax"])
def test_large_distances_do_not_underflow(weighting, dtype):
    embeddings, rows, scores, _ = make(dtype=dtype)
    result = knn_extrapolate(embeddings * 1e5, rows, scores, k=5, weighting=weighting)
    torch.testing.assert_close(result, knn_extrapolate(embeddings, rows, scores, k=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weighting", ["average", "exp", "softmax"])
@pytest.mark.parametrize("temperature", [1.0, "kth_distance"])
def test_duplicates_of_observed_samples(weighting, temperature):
    embeddings, rows, scores = torch.zeros(6, 3), torch.tensor([0, 2, 4]), torch.tensor([1.0, 2.0, 6.0])
    result = knn_extrapolate(embeddings, rows, scores, k=3, weighting=weighting, temperature=temperature)
    torch.testing.assert_close(result[1::2], torch.full((3,), 3.0))


def test_a_temperature_of_zero_takes_the_nearest():
    distances = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 2.0], [3.0, 3.0]])
    weights = neighbor_weights(distances, "softmax", "kth_distance")
    assert weights.tolist() == [[0.5, 0.5]] * 3 + [[1.0, 0.0], [0.5, 0.5]]


@pytest.mark.parametrize("weighting", ["average", "exp", "softmax"])
def test_missing_neighbors_weigh_nothing(weighting):
    distances = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, INF], [INF, INF, INF]], dtype=torch.float64)
    weights = neighbor_weights(distances, weighting, "kth_distance")
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([1.0, 1.0, 0.0]).double())
    assert weights[1].tolist() == [0.5, 0.5, 0.0]
    assert effective_neighbors(weights)[1:].tolist() == [2.0, 0.0]


def test_kth_distance_is_the_median_of_the_last_found():
    distances = torch.tensor([[1.0, 4.0], [1.0, INF], [2.0, 9.0], [1.0, 2.0]])
    weights = neighbor_weights(distances, "softmax", "kth_distance")
    torch.testing.assert_close(weights, neighbor_weights(distances, "softmax", 3.0))


@given(st.lists(st.lists(st.floats(0, 1e6) | st.just(INF), min_size=4, max_size=4), min_size=1, max_size=8))
@settings(max_examples=50)
def test_weights_sum_to_one_and_fall_with_distance(rows):
    distances = torch.tensor(rows, dtype=torch.float64).sort(dim=1).values
    for weighting in ("average", "exp", "softmax"):
        weights = neighbor_weights(distances, weighting, "kth_distance")
        found = torch.isfinite(distances)
        torch.testing.assert_close(weights.sum(dim=1), found.any(dim=1).double())
        assert (weights[~found] == 0).all()
        assert (weights.diff(dim=1) <= 0).all()
        effective = effective_neighbors(weights)
        assert ((effective >= found.any(dim=1).double() - 1e-9) & (effective <= found.sum(dim=1).double() + 1e-9)).all()


def test_effective_neighbors():
    weights = torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.7, 0.1, 0.1, 0.1]])
    torch.testing.assert_close(effective_neighbors(weights), torch.tensor([4.0, 1.0, 1 / 0.52]))


def test_same_class_looks_at_no_other_class():
    embeddings, rows, scores, labels = make()
    result = knn_extrapolate(embeddings, rows, scores, k=20, labels=labels, same_class=True)
    for label in range(3):
        queries = (labels == label) & ~torch.isin(torch.arange(50), rows)
        mean = scores[labels[rows] == label].mean()
        torch.testing.assert_close(result[queries], mean.expand(int(queries.sum())))


def test_order_of_the_pool_is_irrelevant():
    embeddings, rows, scores, _ = make()
    options = {"k": 6, "weighting": "softmax", "temperature": "kth_distance"}
    order = torch.randperm(50)
    moved = knn_extrapolate(embeddings[order], order.argsort()[rows], scores, **options)
    expected = knn_extrapolate(embeddings, rows, scores, **options)[order]
    torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-12)


def test_weights_are_exposed_and_one_search_serves_every_k():
    embeddings, rows, scores, labels = make()
    inputs = ExtrapolationInputs(
        embeddings=embeddings, sample_ids=rows, scores=scores, labels=labels, num_samples=50, largest_k=15
    )
    for k in (15, 3, 8):
        ids, weights = KNN(k=k).weights(inputs)
        assert ids.shape == weights.shape == (30, k)
        expected = (weights * scores[ids]).sum(dim=1)
        torch.testing.assert_close(KNN(k=k).predict(inputs)[inputs.queries], expected)
        alone = knn_extrapolate(embeddings, rows, scores, k=k, weighting="softmax", temperature="kth_distance")
        torch.testing.assert_close(KNN(k=k).predict(inputs), alone)
    assert len(inputs._searched) == 1


def test_chunks_of_weight_distances_change_nothing(monkeypatch):
    embeddings, rows, scores, _ = make()
    options = {"k": 6, "weighting": "exp", "distance": "cosine", "weight_distance": "euclidean"}
    whole = knn_extrapolate(embeddings, rows, scores, **options)
    monkeypatch.setattr("secateur.extrapolation.knn.ELEMENTS_AT_ONCE", 50)
    assert torch.equal(knn_extrapolate(embeddings, rows, scores, **options), whole)


def test_everything_observed():
    embeddings, rows, scores, _ = make(20, 20)
    for weight_distance in (None, "cosine"):
        options = {"weighting": "softmax", "temperature": "kth_distance", "weight_distance": weight_distance}
        assert torch.equal(knn_extrapolate(embeddings, rows, scores, k=3, **options)[rows], scores)


def test_declares_what_it_needs():
    assert KNN().needs == {Needs.EMBEDDINGS}
    assert KNN(same_class=True).needs == {Needs.EMBEDDINGS, Needs.LABELS}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be an integer of at least 1, got 0"),
        ({"k": 2.5}, "got 2.5"),
        ({"k": True}, "got True"),
        ({"k": 21}, "k=21"),
        ({"k": 3, "weighting": "mean"}, "average, softmax, exp; got 'mean'"),
        ({"k": 3, "distance": "l1"}, "euclidean, cosine"),
        ({"k": 3, "weight_distance": "l1"}, "None, euclidean"),
        ({"k": 3, "temperature": 0.0}, "positive, or kth_distance; got 0.0"),
        ({"k": 3, "temperature": float("nan")}, "temperature"),
        ({"k": 3, "temperature": "median"}, "'median'"),
        ({"k": 3, "same_class": True}, "labels"),
    ],
)
def test_arguments_that_cannot_be(options, message):
    embeddings, rows, scores, _ = make()
    with pytest.raises(ConfigError, match=message):
        knn_extrapolate(embeddings, rows, scores, **options)


def test_data_that_cannot_be():
    embeddings, rows, scores, _ = make()
    with pytest.raises(DataError, match="twice"):
        knn_extrapolate(embeddings, rows[:1].expand(20), scores, k=3)
    embeddings[7, 0] = INF
    with pytest.raises(NumericalError, match="first row 7"):
        knn_extrapolate(embeddings, rows, scores, k=3)


def test_weights_by_the_cosine_of_zero_vectors_and_duplicates():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [0.1, 0.0], [0.0, 0.0]])
    inputs = ExtrapolationInputs(
        embeddings=embeddings, sample_ids=torch.tensor([0, 1, 2]), scores=torch.tensor([1.0, 2.0, 4.0]), num_samples=5
    )
    ids, weights = KNN(k=3, weighting="exp", weight_distance="cosine").weights(inputs)
    apart = math.exp(-1) / (1 + 2 * math.exp(-1))
    expected = {0: 1 - 2 * apart, 1: apart, 2: apart}
    assert dict(zip(ids[0].tolist(), weights[0].tolist(), strict=True)) == pytest.approx(expected)
    assert weights[1].tolist() == pytest.approx([1 / 3] * 3)
