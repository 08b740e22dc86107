"""What a run will cost: its whole ledger, before anything is trained, and what it is to be compared with."""

from dataclasses import dataclass

from secateur.core.ledger import Ledger
from secateur.core.mask import keep_count
from secateur.runs.check_on_data import warn_of_empty_classes
from secateur.runs.config import build, method_class
from secateur.runs.context import Context
from secateur.runs.facts import choice
from secateur.runs.methods.groups import keeps_at_most
from secateur.runs.plan import choosing_flops, final_plan, full_scoring_flops
from secateur.runs.plan_extrapolation import predicts_at_most


@dataclass(frozen=True)
class Forecast:
    """A planned run; all shares are in units of one full training.

    Attributes:
        ledger: the stages in their order.
        training: share of the final training; None when the run ends with the mask.
        full_scoring: share of the same run if it scored every sample; None when it does, or scores none.
        at_most: the stages are upper bounds.
        remarks: what is an upper bound, what is left out, what is done beside and not counted.
    """

    ledger: Ledger
    training: float | None
    full_scoring: float | None
    at_most: bool
    remarks: tuple[str, ...]

    @property
    def choosing(self) -> float:
        """Share of all that only decides the mask."""
        return choosing_flops(self.ledger.stages) / self.ledger.full_flops


def forecast(context: Context) -> Forecast:
    """Return what a run will cost; nothing is computed.

    Args:
        context: a run that has not started; its ledger stays empty.

    Raises:
        ConfigError: the configuration cannot work on this data.
        DataError: the data, or a mask file, is not what it should be.
    """
    warn_of_empty_classes(context)
    method = build(context.config["method"])
    planned = Ledger(context.ledger.full_flops, method.plan(context))
    trained = any(not stage.pruning for stage in planned.stages)
    training = planned.cost_vs_full_amortized if trained else None
    remarks = (*context.warnings, *_beside(context, planned))
    return Forecast(
        ledger=planned,
        training=training,
        full_scoring=_full_scoring(context, training or 0.0),
        at_most=not getattr(method, "plans_exactly", True) or predicts_at_most(context) or keeps_at_most(context),
        remarks=remarks,
    )


def _full_scoring(context: Context, training: float) -> float | None:
    """Return what the run would cost without extrapolation."""
    if context.config["extrapolation"] is None:
        return None
    share = _scoring_share(context)
    return None if share is None else share + training


def _scoring_share(context: Context) -> float | None:
    flops = full_scoring_flops(context)
    return None if flops is None else flops / context.ledger.full_flops


def _num_kept(context: Context, planned: Ledger) -> int:
    """Return how many samples the mask keeps: by the ratio, or as many as the final training visits per epoch."""
    if "pruning_ratio" in method_class(context.config).reads:
        return keep_count(context.num_total, context.config["pruning_ratio"])
    return round(context.num_total * planned.cost_vs_full_amortized)


def _beside(context: Context, planned: Ledger) -> list[str]:
    """Return what the run computes beside its result: baselines, full scorings to compare predictions with."""
    config, remarks = context.config, []
    own = choice(config, "method", context.choices)
    baselines = [name for name in config["compare_with"] if name != own]
    num_keep = _num_kept(context, planned)
    if baselines and config["train_final"] and num_keep < context.num_total:
        random = final_plan(context, num_keep).flops / planned.full_flops
        costs = [f"{name} ({1 if name == 'full' else random:.2f})" for name in baselines]
        remarks.append(f"compare_with also trains {' and '.join(costs)} unless in the store; this is not counted.")
    if config["extrapolation"] and (count := len(set(config["fidelity"]["against"]))):
        each = _scoring_share(context) or 0.0
        remarks.append(f"fidelity.against also takes {count} full scorings of {each:.2f} each; this is not counted.")
    return remarks
