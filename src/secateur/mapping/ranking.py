"""From votes, scores or chance to one order of all groups, of which every number of kept groups is a prefix."""

from typing import Any, Literal

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.exact_sum import ExactSum
from secateur.core.ranking import GroupRanking, check_num_groups, group_sizes
from secateur.core.seeds import permutation
from secateur.core.tables import ScoreTable
from secateur.mapping.votes import Votes

TieBreak = Literal["soft", "index", "random"]


def rank_groups(votes: Tensor, soft_scores: Tensor) -> Tensor:
    """Order groups by descending votes, then by descending soft score, then by ascending index.

    Args:
        votes: numbers ``[K]``, K at least 2.
        soft_scores: floats ``[K]``.

    Returns:
        int64 ``[K]``, best group first: keeping m groups is keeping the first m, so a smaller choice is part of every
        larger one.

    Raises:
        DataError: not two lists of one length, or fewer than two groups.
        NumericalError: a value is not finite.

    Deviations:
        The release takes ``torch.topk`` of the votes, anew for every m: which of the groups with equal votes (most have
        none) are kept is then not defined, and a smaller choice need not be part of a larger one.

    Example:
        >>> rank_groups(torch.tensor([0, 3, 0, 3]), torch.tensor([0.5, 1.0, 0.7, 1.0])).tolist()
        [1, 3, 2, 0]
    """
    if votes.ndim != 1 or votes.shape != soft_scores.shape:
        raise DataError(f"Votes and soft scores must be [K] both, got {list(votes.shape)} {list(soft_scores.shape)}.")
    check_num_groups(len(votes))
    for name, values in {"votes": votes, "soft scores": soft_scores}.items():
        bad = ~torch.isfinite(values)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise NumericalError(
                f"The {name} of {int(bad.sum())} of {len(bad)} groups are not finite; group {first} first."
            )
    by_soft = soft_scores.cpu().argsort(descending=True, stable=True)
    return by_soft[votes.cpu()[by_soft].argsort(descending=True, stable=True)]


def tie_break_scores(soft_scores: Tensor, tie_break: TieBreak, seed: int = 0) -> Tensor:
    """Return what breaks ties of votes, in place of the soft scores.

    Args:
        soft_scores: float64 ``[K]``.
        tie_break: ``"soft"``: these; ``"index"``: nothing, so the lower group goes first; ``"random"``: a random order.
        seed: of the random order (``score_seed``).

    Returns:
        float64 ``[K]``.

    Raises:
        ConfigError: ``tie_break`` is none of these.
    """
    if tie_break == "soft":
        return soft_scores
    if tie_break == "index":
        return torch.zeros_like(soft_scores)
    if tie_break == "random":
        return permutation(len(soft_scores), seed, "mapping-tie-break").double()
    raise ConfigError(f"mapping: tie_break must be soft, index or random; got {tie_break!r}.")


def vote_ranking(
    votes: Votes, size: Tensor, *, tie_break: TieBreak = "soft", seed: int = 0, **about: Any
) -> GroupRanking:
    """Return the ranking by what a downstream set voted.

    Args:
        votes: from :class:`~secateur.mapping.label_mapping.LabelVotes` or
            :class:`~secateur.mapping.feature_mapping.FeatureVotes`.
        size: samples of the pool in each group, int64 ``[K]``.
        tie_break: see :func:`tie_break_scores`.
        seed: see :func:`tie_break_scores`.
        **about: ``kind``, ``fingerprint``, ``metadata`` of the :class:`~secateur.core.ranking.GroupRanking`.

    Raises:
        ConfigError: ``tie_break`` is unknown.
        DataError: there were votes for another number of groups than the pool has.
    """
    if len(size) != len(votes.votes):
        raise DataError(
            f"The downstream set voted for {len(votes.votes)} groups, but the source pool has {len(size)}. "
            "Was the surrogate trained on this source?"
        )
    soft = tie_break_scores(votes.soft_scores, tie_break, seed)
    return GroupRanking(size, votes.votes, soft, rank_groups(votes.votes, soft), **about)


def score_ranking(scores: Tensor, size: Tensor, **about: Any) -> GroupRanking:
    """Return the ranking by one score per group, higher = kept first, equal ones by index; nobody votes.

    For mean scores of the groups' samples, and for an oracle that trained without each group in turn.

    Args:
        scores: floats ``[K]``.
        size: samples of the pool in each group, int64 ``[K]``.
        **about: ``kind``, ``fingerprint``, ``metadata`` of the :class:`~secateur.core.ranking.GroupRanking`.

    Raises:
        DataError: scores and sizes differ in length.
        NumericalError: a score is not finite.
    """
    votes = torch.zeros(len(size), dtype=torch.int64)
    return GroupRanking(size, votes, scores, rank_groups(votes, scores), **about)


def random_ranking(size: Tensor, seed: int, **about: Any) -> GroupRanking:
    """Return a random ranking: the baseline that keeps whole groups, too.

    Args:
        size: samples of the pool in each group, int64 ``[K]``.
        seed: of the draw (``score_seed``).
        **about: ``kind``, ``fingerprint``, ``metadata`` of the :class:`~secateur.core.ranking.GroupRanking`.
    """
    return score_ranking(permutation(len(size), seed, "random-groups").double(), size, **about)


def group_mean_scores(table: ScoreTable, groups: Tensor, num_groups: int) -> Tensor:
    """Return the mean score of each group's samples, for ranking groups by a sample-wise score.

    Not for ``moderate`` ranked within classes: the mean of a class's own ranks says nothing of the class; rank it
    within ``all``.

    Args:
        table: scores of the pool.
        groups: group of each row of the pool, integers ``[N]`` in ``[0, K)``.
        num_groups: number of groups K.

    Returns:
        float64 ``[K]``, higher = kept first; no order of the rows changes a bit.

    Raises:
        DataError: not one group per row, or a group has no sample.
    """
    check_one_per_row(groups, len(table))
    size = group_sizes(groups, num_groups)
    empty = (size == 0).nonzero().flatten()
    if len(empty):
        raise DataError(f"{len(empty)} groups have no sample and so no mean score; group {int(empty[0])} first.")
    total = ExactSum(num_groups)
    total.add(table.score, groups.long())
    return total.compute() / size


def check_one_per_row(groups: Tensor, num_rows: int) -> None:
    """Raise :class:`DataError` unless there is one group per row of a pool."""
    if groups.shape != (num_rows,):
        raise DataError(f"Every row of the pool needs a group: {num_rows} rows, groups {list(groups.shape)}.")
