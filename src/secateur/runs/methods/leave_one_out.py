"""The oracle of small sources: pretrain without each class in turn, and see what the downstream set loses."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.mask import Mask
from secateur.core.ranking import group_sizes
from secateur.mapping.ranking import score_ranking
from secateur.runs.context import Context
from secateur.runs.final import finish
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.methods.full import full_mask
from secateur.runs.methods.groups import check_keep, class_plan_is_bound, keep_groups, plan_groups
from secateur.runs.plan import final_plan
from secateur.runs.stages.finetune import downstream_of
from secateur.runs.stages.mapping import class_groups
from secateur.runs.stages.training import train_on_mask


@dataclass(frozen=True)
class LeaveOneOut(Method):
    """Ranks classes by the downstream validation accuracy that is lost without them; K + 1 pretrainings.

    After Jain et al., CVPR 2023, arXiv 2207.05739, who estimate the same from random halves of the classes. The
    pretrainings are seeded by ``score_seed``; all of them are in the cost.

    Args:
        max_groups: refuse a source with more classes than this.

    Raises:
        ConfigError: when run: there are more classes, or no downstream validation split.
    """

    NAME: ClassVar[str] = "method/leave_one_out"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed", "mapping"})
    needs_downstream: ClassVar[bool] = True
    max_groups: int = 50

    def prune(self, context: Context) -> Pruned:
        """Pretrain with all classes and without each, rank by the loss, and keep the classes that matter."""
        self.check(context)
        groups, num_groups = class_groups(context), context.data.num_classes
        size = group_sizes(groups, num_groups)
        full = self._accuracy(context, full_mask(context))
        lost = torch.zeros(num_groups, dtype=torch.float64)
        for group in (size > 0).nonzero().flatten().tolist():
            without = Mask(context.data.pool, groups != group, context.data.fingerprint)
            lost[group] = full - self._accuracy(context, without)
        lost[size == 0] = lost.min() - 1  # an empty class comes last: keeping it keeps nothing
        about = {"fingerprint": context.data.fingerprint, "metadata": {"method": "leave_one_out"}}
        return keep_groups(context, score_ranking(lost, size, **about), groups)

    def plans_at_most(self, context: Context) -> bool:
        """Whether the classes that are kept may hold fewer samples than planned."""
        return class_plan_is_bound(context)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the pretrainings that choose and the final one; adapting the former is left out."""
        self.check(context)
        context.warn("Adapting the pretrainings without a class is not planned.")
        num_total, num_groups = context.num_total, context.data.num_classes
        rest = round(num_total * (num_groups - 1) / num_groups)
        sizes = [num_total, *[rest] * num_groups]
        return plan_groups(context, [replace(final_plan(context, size), pruning=True) for size in sizes])

    def check(self, context: Context) -> None:
        """Raise where so many classes cannot do, or the downstream set has nothing to rank by."""
        check_keep(context, context.data.num_classes)
        if context.data.num_classes > self.max_groups:
            raise ConfigError(
                f"leave_one_out pretrains once per class, and {context.data.name} has {context.data.num_classes}: "
                "raise method.max_groups if that is meant."
            )
        if not len(downstream_of(context).validation):
            raise ConfigError("leave_one_out ranks by downstream validation: set downstream.validation_fraction.")

    def _accuracy(self, context: Context, mask: Mask) -> float:
        """Return the downstream validation accuracy after a pretraining on a mask; books all of it as choosing."""
        config = context.config.changed(seed=context.config.score_seed)
        seeded = replace(context, config=config, history=None)
        final = finish(seeded, train_on_mask(seeded, mask, recompute=context.recompute))
        for cost in final.costs:
            context.ledger.add(replace(cost, pruning=True))
        accuracy: float | None = final.metrics["validation_accuracy"]
        assert accuracy is not None
        return accuracy
