"""Methods that choose the samples of every epoch while they train: InfoBatch and RS2."""

from dataclasses import dataclass
from typing import ClassVar

from secateur.core.ledger import StageCost
from secateur.core.mask import Mask, keep_count
from secateur.core.seeds import stream_seed
from secateur.dynamic.base import DynamicPolicy
from secateur.dynamic.infobatch import InfoBatch
from secateur.dynamic.rs2 import RS2
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.plan import final_plan
from secateur.runs.stages.training import STATIC_MASK, train_with_policy
from secateur.training.sampling import Sampling, Visits


def train_and_prune(context: Context, policy: DynamicPolicy, num_keep: int) -> Pruned:
    """Train with a policy (or find it trained) and return what it visited, and its static mask where it has one.

    Args:
        context: the run.
        policy: what chooses.
        num_keep: size of the static mask.
    """
    trained = train_with_policy(context, Sampling(policy, context.data.pool, num_keep))
    path = trained.path / STATIC_MASK
    static = Mask.load(path, context.data.fingerprint) if path.is_file() else None
    return Pruned(None, trained=trained, visits=Visits(**trained.summary["visits"]), static_mask=static)


@dataclass(frozen=True)
class InfoBatchMethod(Method):
    """Trains with :class:`~secateur.dynamic.infobatch.InfoBatch`; its static mask keeps the highest last losses.

    ``pruning_ratio`` is the share left out *of the samples below the mean loss*, so far less than that is saved. The
    record has what was realized: ``visited_share``, and ``realized_pruning_ratio``, which is 1 minus that share.

    Args:
        anneal: share of the epochs, at the end, that see the full data.
    """

    NAME: ClassVar[str] = "method/infobatch"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed"})
    anneal: float = 0.125

    def prune(self, context: Context) -> Pruned:
        """Train on the epochs that the losses choose."""
        config, num_total = context.config, context.num_total
        num_keep = keep_count(num_total, config.pruning_ratio)
        seed = stream_seed(config.score_seed, "infobatch")
        policy = InfoBatch(num_total, config.pruning_ratio, context.trainer.max_epochs, seed, self.anneal)
        return train_and_prune(context, policy, num_keep)

    def check(self, context: Context) -> None:
        """Raise :class:`ConfigError` where nothing would be kept."""
        keep_count(context.num_total, context.config.pruning_ratio)

    def plans_at_most(self, context: Context) -> bool:
        """Return true: which samples are left out is not known before."""
        return True

    def plan(self, context: Context) -> list[StageCost]:
        """Plan a training on everything: how many samples lie below the mean loss is known only afterwards."""
        context.warn(
            "What InfoBatch leaves out depends on the losses: the plan is its upper bound, a training that leaves out "
            "nothing."
        )
        return [final_plan(context, context.num_total)]


@dataclass(frozen=True)
class RS2Method(Method):
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
        num_keep = keep_count(num_total, config.pruning_ratio)
        seed = stream_seed(config.score_seed, "rs2")
        policy = RS2(num_total, num_keep, context.trainer.max_epochs, seed, self.replacement)
        return train_and_prune(context, policy, num_keep)

    def check(self, context: Context) -> None:
        """Raise :class:`ConfigError` where nothing would be kept."""
        keep_count(context.num_total, context.config.pruning_ratio)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the training: every epoch sees as many samples as the ratio keeps."""
        return [final_plan(context, keep_count(context.num_total, context.config.pruning_ratio))]
