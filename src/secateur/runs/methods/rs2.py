"""A new random subset in every epoch."""

from dataclasses import dataclass
from typing import ClassVar

from secateur.core.ledger import StageCost
from secateur.core.mask import keep_count
from secateur.core.seeds import stream_seed
from secateur.dynamic.rs2 import RS2
from secateur.runs.context import Context
from secateur.runs.methods.base import Pruned
from secateur.runs.methods.dynamic import train_and_prune
from secateur.runs.plan import final_plan


@dataclass(frozen=True)
class RS2Method:
    """Trains with :class:`~secateur.dynamic.rs2.RS2`; its static mask is the last epoch's subset.

    Args:
        replacement: draw the epochs' subsets independently of each other.
    """

    NAME: ClassVar[str] = "method/rs2"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed"})
    replacement: bool = False

    def prune(self, context: Context) -> Pruned:
        """Train on a subset per epoch."""
        config, num_total = context.config, context.num_total
        num_keep = keep_count(num_total, config["pruning_ratio"])
        seed = stream_seed(config["score_seed"], "rs2")
        policy = RS2(num_total, num_keep, context.trainer.max_epochs, seed, self.replacement)
        return train_and_prune(context, policy, num_keep)

    def check(self, context: Context) -> None:
        """Raise :class:`ConfigError` where nothing would be kept."""
        keep_count(context.num_total, context.config["pruning_ratio"])

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the training: every epoch sees as many samples as the ratio keeps."""
        return [final_plan(context, keep_count(context.num_total, context.config["pruning_ratio"]))]
