"""Moderate coreset: the samples at a middling distance from their class's center.

Needs penultimate features in one pass after the training. Memory O(N * D) floats: the medians need all
features at once. Recommended with ``selection=class_balanced``. Wrong for classes of one or two samples,
where every distance is the median one.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from secateur.scores.base import BatchSignals, Record, Score, ScoreResult, Signal, widen
from secateur.scores.checks import check_choice, check_shape

RANK_WITHIN = ("class", "all")


def _center_distance(features: Tensor) -> Tensor:
    """Return the distances ``[n]`` of the rows of ``[n, D]`` to their coordinate-wise median."""
    ordered = features.sort(dim=0).values
    median = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    distance: Tensor = torch.linalg.vector_norm(features - median, dim=1)
    return distance


def _middle_rank(distance: Tensor) -> Tensor:
    """Return minus twice each relative rank's distance from 1/2; equal values share their mean rank."""
    ordered = distance.sort().values
    first = torch.searchsorted(ordered, distance)
    beyond = torch.searchsorted(ordered, distance, right=True)
    relative = (first + beyond).to(distance.dtype) / (2 * len(distance))
    return -2 * (relative - 0.5).abs()


def moderate(features: Tensor, target: Tensor, rank_within: Literal["class", "all"] = "all") -> Tensor:
    r"""Closeness of each sample's distance from its class center to the median distance, in ranks.

    .. math::
        d_n = \left\| h_n - \mathrm{median}_{m: y_m = y_n}(h_m) \right\|_2, \quad
        S(n) = - \left| \frac{2 r_n + 1}{M} - 1 \right|

    with :math:`r_n` the rank (from 0) of :math:`d_n` among the distances of all :math:`M` samples that were seen, each
    to the center of its own class; with ``rank_within="class"`` among the :math:`M = n_y` samples of its class. Equal
    distances share their mean rank. High (near 0): at the median distance, kept first; both the most typical and the
    most distant samples go.

    [Moderate] Xia et al., ICLR 2023, OpenReview 7D5EECbOaf9.

    Args:
        features: penultimate features, float ``[N, D]``; a row of NaN: not seen, gets NaN and moves no
            median.
        target: labels, int64 ``[N]``.
        rank_within: ``class`` ranks distances within each class, ``all`` over all samples.

    Returns:
        float ``[N]`` in [-1, 0], in the features' dtype (at least float32).

    Raises:
        ConfigError: ``rank_within`` is neither of the two, or a shape is wrong.

    Deviations:
        None: the release ranks the distances of all classes together, as the default does.

    Example:
        >>> features = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0]])
        >>> moderate(features, torch.zeros(5, dtype=torch.int64))
        tensor([-0.2000, -0.4000, -0.8000, -0.2000, -0.8000])
    """
    check_choice("moderate", "rank_within", rank_within, RANK_WITHIN)
    check_shape("moderate", "features", features, "ND")
    check_shape("moderate", "target", target, "N")
    values = widen(features)
    seen = ~torch.isnan(values).any(dim=1)
    distance = values.new_full((len(values),), float("nan"))
    score = distance.clone()
    for label in torch.unique(target[seen]):
        rows = (seen & (target == label)).nonzero().squeeze(1)
        distance[rows] = _center_distance(values[rows])
        score[rows] = _middle_rank(distance[rows])
    if rank_within == "all":
        score[seen] = _middle_rank(distance[seen])
    return score


class Moderate(Score):
    """Streaming :func:`moderate`, from one pass with the deterministic test transform.

    State: ``features [N, D]`` float32 and ``target [N]`` int64.

    Args:
        rank_within: ``class`` ranks distances within each class, ``all`` over all samples.

    Raises:
        ConfigError: ``rank_within`` is neither of the two.
    """

    NAME: ClassVar[str] = "score/moderate"
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.FEATURES})
    record: Record = "final_pass"
    signed: ClassVar[bool] = True

    def __init__(self, rank_within: Literal["class", "all"] = "all") -> None:
        check_choice("moderate", "rank_within", rank_within, RANK_WITHIN)
        super().__init__()
        self.rank_within = rank_within

    def read_epochs(self, num_epochs: int) -> range:
        """Return the last epoch, after which the pass is made."""
        return range(num_epochs - 1, num_epochs)

    def update(self, batch: BatchSignals) -> None:
        """Store features and labels of one batch."""
        self.write("features", batch.rows, batch.features_float)
        target = self.rows_like("target", batch.target, fill=-1, dtype=torch.int64)
        target.index_copy_(0, batch.rows, batch.target)

    def compute(self) -> ScoreResult:
        """Return the scores; NaN where a sample was not seen."""
        if "features" not in self.state:
            return ScoreResult(self.state_or_nan("features"))
        return ScoreResult(moderate(self.state["features"], self.state["target"], self.rank_within))
