"""K-means clusters: as good as scikit-learn's, never empty, and the seed decides them."""

import doctest
import math

import pytest
import torch
from safetensors.torch import save_file

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.ranking import group_sizes
from secateur.grouping import kmeans as module
from secateur.grouping.kmeans import BACKENDS, Clusters, KMeans, _fill_empty

every_backend = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(autouse=True)
def _faiss_if_asked(request):
    if "faiss" in request.node.name:
        pytest.importorskip("faiss")


def blobs(num_groups=4, size=50, width=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_groups).repeat_interleave(size)[torch.randperm(num_groups * size, generator=draw)]
    centers = 10 * torch.randn(num_groups, width, generator=draw)
    return centers[labels] + torch.randn(len(labels), width, generator=draw), labels


def inertia(features, clusters):
    return float((features.double() - clusters.centers[clusters.groups]).square().sum())


@every_backend
def test_separated_groups_are_found(backend):
    from sklearn.metrics import adjusted_rand_score

    features, labels = blobs()
    assert adjusted_rand_score(labels, KMeans(4, backend=backend).fit(features, seed=0).groups) == 1


@every_backend
def test_about_as_good_as_scikit_learn(backend):
    from sklearn.cluster import KMeans as Reference

    features = torch.randn(600, 5, generator=torch.Generator().manual_seed(0))
    best = Reference(12, n_init=10, random_state=0).fit(features.numpy()).inertia_
    assert 0.99 * best < inertia(features, KMeans(12, backend=backend).fit(features, seed=1)) < 1.1 * best


@every_backend
def test_every_sample_is_in_the_cluster_of_its_nearest_center(backend):
    features = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    found = KMeans(20, backend=backend).fit(features, seed=0)
    for point, group in zip(features.double(), found.groups.tolist(), strict=True):
        assert group == min(range(20), key=lambda k, x=point: (float((x - found.centers[k]).norm()), k))
    assert torch.equal(found.assign(features), found.groups)


@every_backend
def test_the_seed_decides_and_the_global_stream_does_not(backend):
    features = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    first, again, other = (KMeans(9, backend=backend).fit(features, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first.centers, again.centers)
    assert torch.equal(first.groups, again.groups)
    assert not torch.equal(first.groups, other.groups)


@every_backend
def test_types_and_devices(backend):
    features, _ = blobs()
    found = KMeans(4, backend=backend).fit(features.double().requires_grad_(), seed=0)
    assert (found.centers.dtype, found.groups.dtype) == (torch.float64, torch.int64)
    assert found.centers.shape == (4, 6)
    assert not found.centers.requires_grad


@every_backend
@pytest.mark.filterwarnings("error")
def test_no_cluster_is_empty_even_where_most_samples_are_the_same(backend):
    features = torch.cat([torch.ones(200, 2), torch.arange(14.0).view(7, 2)])
    found = KMeans(7, backend=backend).fit(features, seed=0)
    assert int(group_sizes(found.groups, 7).min()) >= 1


@every_backend
@pytest.mark.filterwarnings("error")
def test_fewer_distinct_samples_than_clusters(backend):
    features = torch.arange(3.0).repeat(10)[:, None]
    with pytest.raises(DataError, match="cannot find 5 clusters: the features hold only 3 distinct points"):
        KMeans(5, backend=backend).fit(features, seed=0)


def test_as_many_clusters_as_samples():
    features = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    assert KMeans(12).fit(features, seed=0).groups.sort().values.tolist() == list(range(12))


@pytest.mark.parametrize("seed", range(5))
def test_empty_centers_move_to_the_farthest_samples(seed):
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(seed))
    centers = torch.cat([points[:3].double(), torch.full((5, 2), 1e3, dtype=torch.float64)])
    before = (points.double()[:, None] - centers).norm(dim=2).amin(dim=1).square().sum()
    moved, groups = _fill_empty(points, centers)
    assert int(torch.bincount(groups, minlength=8).min()) >= 1
    assert (points.double() - moved[groups]).square().sum() < before
    assert torch.equal(moved[:3], centers[:3])  # those that had points stay
    assert int((centers == 1e3).sum()) == 10  # what was given is left alone


def test_centers_that_all_have_points_stay():
    points, _ = blobs(3)
    centers = points[:3].double()
    assert torch.equal(_fill_empty(points, centers)[0], centers)


def test_a_file_gives_the_clusters_back(tmp_path):
    features, _ = blobs()
    found = KMeans(4).fit(features, seed=0)
    loaded = Clusters.load(found.save(tmp_path / "new" / "clusters.safetensors"))
    assert torch.equal(loaded.centers, found.centers)
    assert torch.equal(loaded.groups, found.groups)
    again = found.save(tmp_path / "again.safetensors").read_bytes()
    assert again == (tmp_path / "new" / "clusters.safetensors").read_bytes()


def test_a_file_of_something_else_is_refused(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="holds no clusters: it holds weight"):
        Clusters.load(tmp_path / "a.safetensors")


def test_other_samples_of_another_width():
    features, _ = blobs()
    with pytest.raises(DataError, match="same features"):
        KMeans(4).fit(features, seed=0).assign(torch.ones(2, 5))


def test_fewer_samples_than_clusters():
    with pytest.raises(DataError, match="cannot find 5 clusters among 4 samples"):
        KMeans(5).fit(torch.rand(4, 2), seed=0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_feature_that_is_not_finite(value):
    features, _ = blobs()
    features[3, 1] = value
    with pytest.raises(NumericalError, match="1 of 200 samples are not finite; row 3 first"):
        KMeans(4).fit(features, seed=0)


@pytest.mark.parametrize("shape", [(9,), (9, 2, 2), (9, 0)])
def test_features_must_be_a_matrix(shape):
    with pytest.raises(DataError, match=r"features \[N, D\]"):
        KMeans(2).fit(torch.rand(shape), seed=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_groups": 1}, "num_groups must be an integer >= 2, got 1"),
        ({"num_groups": None}, "num_groups must be an integer >= 2, got None"),
        ({"num_init": 0}, "num_init must be an integer >= 1, got 0"),
        ({"max_iter": 1.5}, "max_iter must be an integer >= 1, got 1.5"),
        ({"batch_size": True}, "batch_size must be an integer >= 1, got True"),
        ({"backend": "cuml"}, "backend must be one of minibatch, lloyd, faiss; got 'cuml'"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ConfigError, match=message):
        KMeans(**{"num_groups": 2, **setting})


def test_without_faiss(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="backend=faiss needs faiss: pip install"):
        KMeans(2, backend="faiss")


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
