"""What a run is compared with: the same training on all data, and on a random subset of the same size."""

from collections.abc import Mapping
from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.mask import Mask
from secateur.pipeline.config import Config
from secateur.pipeline.context import Context
from secateur.pipeline.facts import Choices, choice
from secateur.pipeline.final import finish
from secateur.pipeline.methods.full import full_mask
from secateur.pipeline.methods.random import random_mask
from secateur.pipeline.training import train_on_mask

BASELINES = ("full", "random")


def check_baselines(names: list[str]) -> None:
    """Raise :class:`ConfigError` for a baseline that does not exist."""
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"compare_with knows {', '.join(BASELINES)}; got {name!r}.")


def wanted(config: Config, record: Mapping[str, Any], choices: Choices) -> list[str]:
    """Return the baselines in ``compare_with`` that a record lacks.

    The run's own method is left out, and so is everything when nothing was pruned or nothing was trained.
    """
    pruning = record["pruning"]
    if pruning["num_kept"] == pruning["num_total"] or not config["train_final"]:
        return []
    own = choice(config, "method", choices)
    return [name for name in config["compare_with"] if name != own and name not in record["comparison"]]


def compare(context: Context, mask: Mask, names: list[str]) -> dict[str, Any]:
    """Train some baselines (or find them trained) and return their metrics and cost by name.

    They are this run's yardstick and not part of its cost.
    """
    return {name: _measure(context, mask, name) for name in names}


def _measure(context: Context, mask: Mask, name: str) -> dict[str, Any]:
    baseline = full_mask(context) if name == "full" else random_mask(context, mask.num_kept)
    unfollowed = context.unfollowed
    trained = train_on_mask(unfollowed, baseline, recompute=context.recompute)
    final = finish(unfollowed, trained)
    cost = sum(stage.flops for stage in final.costs) / context.ledger.full_flops
    return {**final.metrics, "cost_vs_full": cost, "reused": trained.cost.reused}
