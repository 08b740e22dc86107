"""How many groups of a ranking are kept, and the mask this makes over the pool.

Every rule keeps a prefix of the ranking's order, so what a higher ratio keeps is part of what a lower one keeps.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.core.mask import Mask, check_pruning_ratio, keep_count
from secateur.core.ranking import GroupRanking, group_sizes

KeepBy = Literal["groups", "samples", "min_samples", "num_groups", "vote_coverage"]
RULES = ("groups", "samples", "min_samples", "num_groups", "vote_coverage")
BY_RATIO = RULES[:3]  # they read the ratio
AT_RATIO = RULES[:2]  # what they keep stands for it


@dataclass(frozen=True)
class KeptGroups:
    """The kept groups of a ranking.

    Attributes:
        groups: int64 ``[m]``, best first.
        num_samples: samples of the pool in them.
        num_zero_vote_groups: how many of them nobody voted for, so that the tie-break alone chose them; None: there
            were no votes.
    """

    groups: Tensor
    num_samples: int
    num_zero_vote_groups: int | None

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True)
class KeepRule(ABC):
    """A rule that says how many groups of a ranking are kept; a rule of one's own overrides :meth:`count`.

    Attributes:
        reverse: keep the last groups of the order instead of the first, as a negative control.
    """

    reverse: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """Name of the rule, for messages and for what a mask says of its making."""
        return type(self).__name__

    @property
    def reads_ratio(self) -> bool:
        """Whether the rule reads ``pruning_ratio``; True where it is not overridden."""
        return True

    @property
    def follows_ratio(self) -> bool:
        """Whether what is kept stands for ``pruning_ratio`` in tables; False where it is not overridden.

        Where it is false, the record says so and a report places the run at the ratio that was realized.
        """
        return False

    @abstractmethod
    def count(self, ranking: GroupRanking, order: Tensor, pruning_ratio: float | None) -> int:
        """Return how many groups of an order are kept.

        Args:
            ranking: groups of the source pool.
            order: int64 ``[K]``, the group that is kept first comes first.
            pruning_ratio: fraction removed, in ``[0, 1)``; None where none was given.

        Raises:
            ConfigError: no group would be kept, more than there are, or a ratio is missing.
            DataError: the ranking lacks what the rule reads.
        """

    def check(self, num_groups: int, pruning_ratio: float) -> None:
        """Raise :class:`ConfigError` where the number of groups alone says that this cannot work.

        Args:
            num_groups: groups of the source.
            pruning_ratio: fraction removed, in ``[0, 1)``.
        """
        check_pruning_ratio(pruning_ratio)

    def bounds(self, size: Tensor, pruning_ratio: float) -> tuple[int, int]:
        """Return the fewest and the most samples that a rule which reads the ratio can keep, whatever the order is.

        Args:
            size: samples of every group, int64 ``[K]``.
            pruning_ratio: fraction removed, in ``[0, 1)``.

        Raises:
            ConfigError: no group would be kept, or the rule does not read the ratio.
        """
        return 0, int(size.sum())

    def __call__(self, ranking: GroupRanking, pruning_ratio: float | None = None) -> KeptGroups:
        """Choose groups.

        Args:
            ranking: groups of the source pool.
            pruning_ratio: fraction removed, in ``[0, 1)``; for rules that read it.

        Raises:
            ConfigError: no group would be kept, more than there are, or a ratio is missing.
            DataError: coverage is asked of a ranking without votes, or all kept groups are empty.
        """
        order = ranking.order.flip(0) if self.reverse else ranking.order
        groups = order[: self.count(ranking, order, pruning_ratio)]
        num_samples = int(ranking.size[groups].sum())
        if not num_samples:
            raise DataError(f"The {len(groups)} kept groups have no sample in the pool. Keep more groups.")
        zero = int((ranking.votes[groups] == 0).sum()) if ranking.voted else None
        return KeptGroups(groups, num_samples, zero)


@dataclass(frozen=True)
class Keep(KeepRule):
    """The rules of the package: how many groups of a ranking are kept.

    Attributes:
        keep_by: ``"groups"``: ``round(K * (1 - pruning_ratio))`` groups. With n = ``round(N * (1 - pruning_ratio))``,
            ``"samples"``: as many whole groups as have n samples or fewer together, so never more samples than a
            sample-wise method keeps; ``"min_samples"``: as few as have n or more, so the last one may overshoot.
            ``"num_groups"`` and ``"vote_coverage"`` take no ratio but what these attributes say.
        num_groups: how many groups, for ``"num_groups"``.
        vote_coverage: share of the votes in (0, 1], for ``"vote_coverage"``: as few groups as hold this share.
        reverse: keep the last groups of the order instead of the first, as a negative control. Rules that count
            samples then count them from the end; the others keep as many groups as they would from the front.

    Raises:
        ConfigError: an unknown rule, or a value that the rule does not take, or misses.

    Example:
        >>> size, votes = torch.tensor([2, 2, 2, 2]), torch.tensor([0, 5, 1, 0])
        >>> ranking = GroupRanking(size, votes, torch.zeros(4), torch.tensor([1, 2, 0, 3]))
        >>> Keep()(ranking, pruning_ratio=0.5).groups.tolist()
        [1, 2]
        >>> Keep("vote_coverage", vote_coverage=0.8)(ranking).groups.tolist()
        [1]
        >>> Keep(reverse=True)(ranking, pruning_ratio=0.5).groups.tolist()
        [3, 0]
    """

    NAME: ClassVar[str] = "mapping/keep"
    keep_by: KeepBy = "groups"
    num_groups: int | None = None
    vote_coverage: float | None = None

    def __post_init__(self) -> None:
        if self.keep_by not in RULES:
            raise ConfigError(f"mapping: keep_by must be one of {', '.join(RULES)}; got {self.keep_by!r}.")
        for name in ("num_groups", "vote_coverage"):
            if (getattr(self, name) is not None) != (self.keep_by == name):
                raise ConfigError(
                    f"mapping: {name} goes with keep_by={name}, and only there; got keep_by={self.keep_by} and "
                    f"{name}={getattr(self, name)}."
                )
        number, share = self.num_groups, self.vote_coverage
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise ConfigError(f"mapping: num_groups must be an integer >= 1, got {number!r}.")
        if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1):
            raise ConfigError(f"mapping: vote_coverage must be in (0, 1], got {share!r}.")

    @property
    def name(self) -> str:
        """The rule's name: ``keep_by``, or the class's name where it overrides :meth:`count`."""
        return super().name if self._counts_otherwise else self.keep_by

    @property
    def reads_ratio(self) -> bool:
        """Whether the rule reads ``pruning_ratio``."""
        return self.keep_by in BY_RATIO

    @property
    def follows_ratio(self) -> bool:
        """Whether the ratio's share of the groups, or at most of the samples, is kept: ``groups`` and ``samples``.

        False in a class that overrides :meth:`count`, unless it overrides this as well.
        """
        return not self._counts_otherwise and self.keep_by in AT_RATIO

    @property
    def _counts_otherwise(self) -> bool:
        """Whether a class of one's own overrides :meth:`count`: ``keep_by`` then does not say what is kept."""
        return type(self).count is not Keep.count

    def check(self, num_groups: int, pruning_ratio: float) -> None:
        """Raise where ``num_groups`` asks for more groups than there are, or the ratio leaves none."""
        if self.num_groups is not None and self.num_groups > num_groups:
            raise ConfigError(f"mapping: num_groups={self.num_groups}, but the source has {num_groups} groups.")
        if self.keep_by == "groups" and not self._counts_otherwise:
            _of_groups(num_groups, pruning_ratio)

    def bounds(self, size: Tensor, pruning_ratio: float) -> tuple[int, int]:
        """Return the fewest and the most samples, see :meth:`KeepRule.bounds`."""
        if not self.reads_ratio:
            raise ConfigError(f"mapping: keep_by={self.keep_by} keeps what the votes say, not what a ratio does.")
        if self._counts_otherwise:
            return super().bounds(size, pruning_ratio)
        largest = int(size.max())
        if self.keep_by == "groups":
            count, rising = _of_groups(len(size), pruning_ratio), size.sort().values
            return int(rising[:count].sum()), int(rising[-count:].sum())
        budget, total = keep_count(int(size.sum()), pruning_ratio), int(size.sum())
        if self.keep_by == "samples":
            return max(budget - largest + 1, 0), budget
        return budget, min(budget - 1 + largest, total)

    def count(self, ranking: GroupRanking, order: Tensor, pruning_ratio: float | None) -> int:
        """See :meth:`KeepRule.count`."""
        if self.num_groups is not None:
            self.check(len(ranking), 0.0)
            return self.num_groups
        if self.vote_coverage is not None:
            return _covering(ranking, self.vote_coverage)
        if pruning_ratio is None:
            raise ConfigError(f"mapping: keep_by={self.keep_by} needs a pruning_ratio.")
        if self.keep_by == "groups":
            return _of_groups(len(ranking), pruning_ratio)
        budget = keep_count(ranking.num_samples, pruning_ratio)
        return _of_samples(ranking.size[order].cumsum(0), budget, overshoot=self.keep_by == "min_samples")


def _of_groups(num_groups: int, pruning_ratio: float) -> int:
    try:
        return keep_count(num_groups, pruning_ratio)
    except ConfigError as error:
        raise ConfigError(str(error).replace(" samples.", " groups. Lower it, or set mapping.keep_by.")) from error


def _of_samples(total: Tensor, budget: int, *, overshoot: bool) -> int:
    """Return the length of the prefix with the sample counts ``total [K]`` that fits a budget, or just reaches it."""
    if overshoot:
        return int((total < budget).sum()) + 1
    count = int((total <= budget).sum())
    if not count:
        raise ConfigError(
            f"mapping: keep_by=samples may keep {budget} samples, but the first group alone has {int(total[0])}. "
            "Lower pruning_ratio, or set mapping.keep_by=min_samples."
        )
    return count


def _covering(ranking: GroupRanking, share: float) -> int:
    """Return how many of the first groups hold a share of the votes."""
    if not ranking.voted:
        raise DataError("keep_by=vote_coverage needs votes; this ranking has none (at random, or by scores).")
    total = ranking.votes[ranking.order].double().cumsum(0)
    needed = share * float(total[-1]) * (1 - 1e-12)  # 0.3 of 10 votes are 3, whatever 0.3 * 10 is in floats
    return int((total < needed).sum()) + 1


def group_mask(
    ranking: GroupRanking,
    kept: KeptGroups,
    groups: Tensor,
    sample_id: Tensor,
    metadata: Mapping[str, Any] | None = None,
) -> Mask:
    """Return the mask over the pool that keeps all samples of the kept groups.

    Args:
        ranking: the ranking they were kept from; the mask takes its fingerprint.
        kept: the kept groups.
        groups: group of every row of the pool, integers ``[N]`` in ``[0, K)``.
        sample_id: the pool, int64 ``[N]``, strictly increasing.
        metadata: what else made the mask, beside the ranking's own.

    Raises:
        DataError: not one group per row, or groups of other sizes than the ranking was made for.
    """
    if groups.shape != sample_id.shape:
        raise DataError(f"Every row of the pool needs a group: {len(sample_id)} rows, groups {list(groups.shape)}.")
    if not torch.equal(group_sizes(groups, len(ranking)), ranking.size):
        raise DataError("These groups have other sizes than those that were ranked: another pool, or other clusters.")
    chosen = torch.zeros(len(ranking), dtype=torch.bool)
    chosen[kept.groups] = True
    about = {**ranking.metadata, **(metadata or {})}
    return Mask(sample_id, chosen[groups.cpu().long()], fingerprint=ranking.fingerprint, metadata=about)


def relabeling(kept_groups: Tensor, num_groups: int) -> Tensor:
    """Return new labels for a head of m classes: the kept groups are numbered 0 to m - 1 by ascending old number.

    Args:
        kept_groups: int64 ``[m]``, any order.
        num_groups: number of groups K.

    Returns:
        int64 ``[K]``, -1 where a group is not kept.

    Example:
        >>> relabeling(torch.tensor([3, 1]), 4).tolist()
        [-1, 0, -1, 1]
    """
    new = torch.full((num_groups,), -1)
    new[kept_groups.sort().values] = torch.arange(len(kept_groups))
    return new
