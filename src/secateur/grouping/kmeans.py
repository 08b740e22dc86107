"""Clusters of source features by k-means: groups where there are no labels.

Needs all features at once, as one float32 array: N * D * 4 bytes (2.6 GB for ImageNet at 512 features). Time
O(N * K * D) per iteration; ``minibatch`` needs far fewer of them. Wrong when K is far from the number of things there
are, and clusters are of unequal sizes: keeping half of them is not keeping half of the samples.

Tensor legend: N samples, D features, K groups.
"""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.neighbors import search
from secateur.core.seeds import stream_seed

Backend = Literal["minibatch", "lloyd", "faiss"]
BACKENDS = ("minibatch", "lloyd", "faiss")


@dataclass(frozen=True)
class Clusters:
    """What k-means found; no cluster is empty.

    Attributes:
        centers: float64 ``[K, D]``, on the CPU.
        groups: nearest center of every sample, equally near ones by the lower number, int64 ``[N]``, on the CPU.
    """

    centers: Tensor
    groups: Tensor

    def assign(self, features: Tensor) -> Tensor:
        """Return the nearest center of other samples (a validation split), ``[M, D]`` -> int64 ``[M]``.

        Raises:
            DataError: the features have another width.
            NumericalError: a feature is not finite.
        """
        return search(features.detach().cpu(), self.centers, 1).ids.flatten()

    def save(self, path: Path) -> Path:
        """Write a safetensors file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"centers": self.centers.contiguous(), "groups": self.groups.contiguous()}, path)
        return path

    @classmethod
    def load(cls, path: Path) -> "Clusters":
        """Read what :meth:`save` wrote.

        Raises:
            DataError: the file holds something else.
        """
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if set(found) != {"centers", "groups"}:
            raise DataError(f"{path} holds no clusters: it holds {', '.join(sorted(found)) or 'nothing'}.")
        return cls(**found)


class KMeans:
    """K-means with Euclidean distance, seeded, without empty clusters.

    A center that no sample is nearest to is moved to the sample farthest from its own center, until every cluster has
    one; each move lowers the sum of squared distances, so this ends. The same seed gives the same clusters for the
    same features in the same order and the same number of threads (torch's is used).

    [DP4TL] Zhang et al., NeurIPS 2023, arXiv 2310.08782: clusters as groups for self-supervised pretraining.

    Args:
        num_groups: number of clusters K, at least 2. There is no default: the paper's is not known.
        backend: ``"minibatch"`` and ``"lloyd"`` are scikit-learn's, from k-means++ centers; ``"faiss"`` is Lloyd's from
            random samples, the fastest for large K, on all samples.
        num_init: how often to start; the best end is taken.
        max_iter: most passes over the samples.
        batch_size: samples per step of ``"minibatch"``.

    Raises:
        ConfigError: an argument is out of range, or faiss is not installed.

    Deviations:
        The release holds no clustering code; number, algorithm and distance are ours.

    Example:
        >>> features = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
        >>> groups = KMeans(2).fit(features, seed=0).groups
        >>> bool(groups[0] == groups[1] != groups[2] == groups[3])
        True
    """

    def __init__(
        self,
        num_groups: int,
        *,
        backend: Backend = "minibatch",
        num_init: int = 3,
        max_iter: int = 100,
        batch_size: int = 4096,
    ) -> None:
        least = {"num_groups": 2, "num_init": 1, "max_iter": 1, "batch_size": 1}
        given = {"num_groups": num_groups, "num_init": num_init, "max_iter": max_iter, "batch_size": batch_size}
        for name, count in given.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < least[name]:
                raise ConfigError(f"kmeans: {name} must be an integer >= {least[name]}, got {count!r}.")
        if backend not in BACKENDS:
            raise ConfigError(f"kmeans: backend must be one of {', '.join(BACKENDS)}; got {backend!r}.")
        if backend == "faiss" and not find_spec("faiss"):
            raise ConfigError("kmeans: backend=faiss needs faiss: pip install 'secateur[faiss]', or backend=minibatch.")
        self.num_groups, self.backend, self.num_init = num_groups, backend, num_init
        self.max_iter, self.batch_size = max_iter, batch_size

    def fit(self, features: Tensor, seed: int) -> Clusters:
        """Find the clusters of some samples.

        Args:
            features: floats ``[N, D]``, in the pool's order; clustered in float32, on the CPU.
            seed: decides the first centers and the batches.

        Raises:
            DataError: the features are no matrix, or there are fewer distinct samples than clusters.
            NumericalError: a feature is not finite; the message names the first row.
        """
        self._check(features)
        points = features.detach().to("cpu", torch.float32).contiguous()
        make = self._faiss if self.backend == "faiss" else self._sklearn
        with _as_many_threads_as_torch():
            centers = make(points, stream_seed(seed, "kmeans") % 2**31)
        centers, groups = _fill_empty(points, centers)
        return Clusters(centers, groups)

    def _sklearn(self, points: Tensor, seed: int) -> Tensor:
        from sklearn import cluster, exceptions  # noqa: PLC0415

        settings: dict[str, Any] = {"n_init": self.num_init, "max_iter": self.max_iter, "random_state": seed}
        if self.backend == "minibatch":
            model = cluster.MiniBatchKMeans(
                self.num_groups, batch_size=self.batch_size, compute_labels=False, **settings
            )
        else:
            model = cluster.KMeans(self.num_groups, **settings)
        with warnings.catch_warnings():  # of fewer distinct samples than clusters: an error below
            warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
            model.fit(points.numpy())
        return torch.from_numpy(model.cluster_centers_).double()

    def _faiss(self, points: Tensor, seed: int) -> Tensor:
        import faiss  # noqa: PLC0415

        settings = {"niter": self.max_iter, "nredo": self.num_init, "seed": seed, "min_points_per_centroid": 1}
        model = faiss.Kmeans(points.shape[1], self.num_groups, max_points_per_centroid=len(points), **settings)
        model.train(points.numpy())
        return torch.from_numpy(model.centroids).double()

    def _check(self, features: Tensor) -> None:
        if features.ndim != 2 or not features.shape[1] or not features.is_floating_point():
            raise DataError(f"k-means needs features [N, D], got {features.dtype} {list(features.shape)}.")
        if len(features) < self.num_groups:
            raise DataError(
                f"k-means cannot find {self.num_groups} clusters among {len(features)} samples; lower num_groups."
            )
        bad = ~torch.isfinite(features).all(dim=1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise NumericalError(
                f"Features of {int(bad.sum())} of {len(bad)} samples are not finite; row {first} first."
            )


def _fill_empty(points: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Return centers ``[K, D]`` of which none is without a point, and the nearest one of every point ``[N]``."""
    centers = centers.clone()
    while True:
        near = search(points, centers, 1)
        groups, distances = near.ids.flatten(), near.distances.flatten()
        empty = (torch.bincount(groups, minlength=len(centers)) == 0).nonzero().flatten()
        if not len(empty):
            return centers, groups
        farthest = distances.argsort(descending=True, stable=True)[: len(empty)]
        if not float(distances[farthest[0]]):
            found = len(centers) - len(empty)
            raise DataError(
                f"k-means cannot find {len(centers)} clusters: the features hold only {found} distinct points. "
                "Lower num_groups, or look whether the features collapsed."
            )
        centers[empty] = points[farthest].double()


def _as_many_threads_as_torch() -> Any:
    """Return a context in which other libraries use torch's number of threads."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 (comes with scikit-learn)

    return threadpool_limits(torch.get_num_threads())
