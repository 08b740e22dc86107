"""Leave out easy samples at random in every epoch, and rescale the others so that the gradient stays unbiased."""

from dataclasses import dataclass
from typing import ClassVar

from secateur.core.ledger import StageCost
from secateur.core.mask import keep_count
from secateur.core.seeds import stream_seed
from secateur.dynamic.infobatch import InfoBatch
from secateur.runs.context import Context
from secateur.runs.methods.base import Pruned
from secateur.runs.methods.dynamic import train_and_prune
from secateur.runs.plan import final_plan


@dataclass(frozen=True)
class InfoBatchMethod:
    """Trains with :class:`~secateur.dynamic.infobatch.InfoBatch`; its static mask keeps the highest last losses.

    ``pruning_ratio`` is the share left out *of the samples below the mean loss*, so far less than that is saved. The
    record has what was realized: ``visited_share``, and ``realized_pruning_ratio``, which is 1 minus that share.

    Args:
        anneal: share of the epochs, at the end, that see the full data.
    """

    NAME: ClassVar[str] = "method/infobatch"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed"})
    plans_exactly: ClassVar[bool] = False
    anneal: float = 0.125

    def prune(self, context: Context) -> Pruned:
        """Train on the epochs that the losses choose."""
        config, num_total = context.config, context.num_total
        num_keep = keep_count(num_total, config["pruning_ratio"])
        seed = stream_seed(config["score_seed"], "infobatch")
        policy = InfoBatch(num_total, config["pruning_ratio"], context.trainer.max_epochs, seed, self.anneal)
        return train_and_prune(context, policy, num_keep)

    def check(self, context: Context) -> None:
        """Raise :class:`ConfigError` where nothing would be kept."""
        keep_count(context.num_total, context.config["pruning_ratio"])

    def plan(self, context: Context) -> list[StageCost]:
        """Plan a training on everything: how many samples lie below the mean loss is known only afterwards."""
        context.warn(
            "What InfoBatch leaves out depends on the losses: the plan is its upper bound, a training that leaves out "
            "nothing."
        )
        return [final_plan(context, context.num_total)]
