"""The baseline every method must beat: a uniformly random subset."""

from typing import ClassVar

from secateur.core.ledger import StageCost
from secateur.core.mask import Mask, keep_count
from secateur.core.seeds import permutation
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.plan import final_plan, if_trained


class RandomSubset(Method):
    """Keeps a uniformly random subset, drawn anew for every ``seed`` and ``score_seed``.

    Every repetition of the baseline has its own subset, also with a fixed ``score_seed``. For one pair of seeds a
    higher ratio keeps a subset of a lower one's.
    """

    NAME: ClassVar[str] = "method/random"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed"})
    drawn_by: ClassVar[tuple[str, ...]] = ("seed", "score_seed")

    def prune(self, context: Context) -> Pruned:
        """Draw the subset."""
        return Pruned(random_mask(context, keep_count(context.num_total, context.config.pruning_ratio)))

    def check(self, context: Context) -> None:
        """Raise :class:`ConfigError` where nothing would be kept."""
        keep_count(context.num_total, context.config.pruning_ratio)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the training on the subset; drawing it costs nothing."""
        num_keep = keep_count(context.num_total, context.config.pruning_ratio)
        return if_trained(context, final_plan(context, num_keep))


def random_mask(context: Context, num_keep: int) -> Mask:
    """Return a random mask over the pool that keeps ``num_keep`` samples, drawn by ``seed`` and ``score_seed``."""
    config, data = context.config, context.data
    rows = permutation(context.num_total, config.score_seed or 0, "random-subset", config.seed)[:num_keep]
    metadata = {"method": "random", **config.pick("pruning_ratio", "seed", "score_seed")}
    return Mask.from_rows(data.pool, rows, fingerprint=data.fingerprint, metadata=metadata)
