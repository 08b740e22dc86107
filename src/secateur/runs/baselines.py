"""What a run is compared with: the same training on all data, and on a random subset of the same size."""

from secateur.core.errors import ConfigError
from secateur.core.mask import keep_count
from secateur.core.record import Baseline, Pruning, RunRecord
from secateur.runs.config import Experiment
from secateur.runs.context import Context
from secateur.runs.final import finish
from secateur.runs.methods.full import full_mask
from secateur.runs.methods.random import RandomSubset, random_mask
from secateur.runs.naming import Choices, choice
from secateur.runs.stages.training import train_on_mask

BASELINES = ("full", "random")


def check_baselines(names: list[str]) -> None:
    """Raise :class:`ConfigError` for a baseline that does not exist."""
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"compare_with knows {', '.join(BASELINES)}; got {name!r}.")


def wanted(config: Experiment, record: RunRecord, choices: Choices) -> list[str]:
    """Return the baselines in ``compare_with`` that a record lacks.

    The run's own method is left out, and so is everything when nothing was pruned or nothing was trained.
    """
    if record.pruning.realized_pruning_ratio == 0 or not config.train_final:
        return []
    own = choice(config, "method", choices)
    return [name for name in config.compare_with if name != own and name not in record.comparison]


def compare(context: Context, pruning: Pruning, names: list[str]) -> dict[str, Baseline]:
    """Train some baselines (or find them trained) and return metrics, cost, size and mask by name.

    They are this run's yardstick and not part of its cost.

    Args:
        context: the run.
        pruning: the record's ``pruning`` block. A random subset has as many samples as the mask keeps; of a run that
            chose anew in every epoch, the share of the pool that its epochs visited on average.
        names: of :data:`BASELINES`.
    """
    num_keep = pruning.num_kept
    if num_keep is None:
        assert pruning.num_total is not None
        assert pruning.realized_pruning_ratio is not None
        num_keep = keep_count(pruning.num_total, pruning.realized_pruning_ratio)
    return {name: _measure(context, num_keep, name) for name in names}


def _measure(context: Context, num_keep: int, name: str) -> Baseline:
    baseline = full_mask(context) if name == "full" else random_mask(context, num_keep)
    unfollowed = context.unfollowed
    trained = train_on_mask(unfollowed, baseline, recompute=context.recompute)
    final = finish(unfollowed, trained)
    cost = sum(stage.flops for stage in final.costs) / context.ledger.full_flops
    seeds = {} if name == "full" else {"drawn_by": list(RandomSubset.drawn_by)}
    made = {"num_kept": baseline.num_kept, "mask_sha256": baseline.sha256, **seeds}
    values = {**final.metrics, "cost_vs_full": cost, "reused": trained.cost.reused, **made}
    return Baseline.of(values, f"comparison.{name}")
