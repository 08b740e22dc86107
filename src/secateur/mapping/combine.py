"""One ranking for several downstream sets, so that one pretraining serves them all.

The release prunes for one downstream set at a time; what the paper does with several is not known. All of this is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.core.exact_sum import ExactSum
from secateur.core.ranking import GroupRanking
from secateur.mapping.ranking import rank_groups

How = Literal["mean", "max", "union"]
WAYS = ("mean", "max", "union")


def combine(
    rankings: Sequence[GroupRanking], how: How = "mean", metadata: Mapping[str, Any] | None = None
) -> GroupRanking:
    """Return one ranking of the same groups for all downstream sets; their order does not matter.

    Votes and soft scores of each set are first divided by the sum of their absolute values: votes become shares, so a
    large set counts as much as a small one.

    - ``"mean"``: by the mean share of votes, then the mean soft score, then the index.
    - ``"max"``: by the largest share of votes in any set, then the largest soft score, then the index.
    - ``"union"``: sets take turns. Groups go by their best place in any set's order; equal places (at most one group
      per set) by mean share, mean soft score, index. For every m, the union of the first m groups of every set is a
      prefix (:func:`union_size` says how long), and a ratio still keeps exactly ``round(K * (1 - ratio))`` groups.

    Args:
        rankings: one per downstream set, over the same groups of one pool.
        how: see above.
        metadata: what made the combined ranking; of a single ranking, its own is kept where this is None.

    Returns:
        The votes are shares, float64; of a single ranking it is that ranking.

    Raises:
        ConfigError: ``how`` is none of these.
        DataError: there is no ranking, or they are of other groups or pools.

    Example:
        >>> size, order = torch.tensor([1, 1, 1]), torch.tensor([0, 1, 2])
        >>> first = GroupRanking(size, torch.tensor([8, 2, 0]), torch.zeros(3), order)
        >>> second = GroupRanking(size, torch.tensor([0, 1, 3]), torch.zeros(3), order.flip(0))
        >>> combine([first, second], "mean").order.tolist(), combine([first, second], "max").order.tolist()
        ([0, 2, 1], [0, 2, 1])
    """
    if how not in WAYS:
        raise ConfigError(f"mapping: combine must be one of {', '.join(WAYS)}; got {how!r}.")
    _check(rankings)
    first = rankings[0]
    if len(rankings) == 1:
        return first if metadata is None else replace(first, metadata=metadata)
    pick = _largest if how == "max" else _mean
    votes = pick(torch.stack([_share(ranking.votes) for ranking in rankings]))
    soft = pick(torch.stack([_share(ranking.soft_score) for ranking in rankings]))
    order = rank_groups(votes, soft)
    if how == "union":
        order = order[_best_place(rankings)[order].argsort(stable=True)]
    return replace(first, votes=votes, soft_score=soft, order=order, metadata=metadata or {})


def union_size(rankings: Sequence[GroupRanking], num_groups: int) -> int:
    """Return how many groups the first ``num_groups`` of every ranking are together.

    Args:
        rankings: one per downstream set, over the same groups.
        num_groups: how many groups each set would keep by itself.

    Raises:
        DataError: there is no ranking, or they are of other groups.
    """
    _check(rankings)
    return int((_best_place(rankings) < num_groups).sum())


def _share(values: Tensor) -> Tensor:
    total = float(values.double().abs().sum())
    return values.double() / total if total else values.double()


def _mean(values: Tensor) -> Tensor:
    total = ExactSum(values.shape[1])  # the order of the sets changes no bit
    total.add(values)
    return total.compute() / len(values)


def _largest(values: Tensor) -> Tensor:
    return values.amax(dim=0)


def _best_place(rankings: Sequence[GroupRanking]) -> Tensor:
    """Return the best place ``[K]`` of every group in any of the orders."""
    return torch.stack([ranking.order.argsort() for ranking in rankings]).amin(dim=0)


def _check(rankings: Sequence[GroupRanking]) -> None:
    if not rankings:
        raise DataError("There is no ranking to combine: name at least one downstream set.")
    first = rankings[0]
    for other in rankings[1:]:
        same = torch.equal(first.size, other.size) and first.kind == other.kind
        if not same or first.fingerprint != other.fingerprint:
            raise DataError(
                f"Rankings of different source groups cannot be combined: {len(first)} of kind {first.kind} and "
                f"{len(other)} of kind {other.kind}, of pools {first.fingerprint[:12] or '?'} and "
                f"{other.fingerprint[:12] or '?'}."
            )
