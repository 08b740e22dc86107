"""What a run is compared with: the same training on all data, and on a random subset of the same size."""

from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.mask import Mask
from secateur.pipeline.context import Context
from secateur.pipeline.facts import choice
from secateur.pipeline.methods.full import full_mask
from secateur.pipeline.methods.random import random_mask
from secateur.pipeline.training import train_on_mask

BASELINES = ("full", "random")


def check_baselines(names: list[str]) -> None:
    """Raise :class:`ConfigError` for a baseline that does not exist."""
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"compare_with knows {', '.join(BASELINES)}; got {name!r}.")


def compare(context: Context, mask: Mask) -> dict[str, Any]:
    """Train the baselines in ``compare_with`` (or find them trained) and return their metrics and cost by name.

    They are this run's yardstick and not part of its cost. The run's own method is left out, and so is everything
    when nothing was pruned.
    """
    own = choice(context.config, "method", context.choices)
    if mask.num_kept == len(mask):
        return {}
    return {name: _measure(context, mask, name) for name in context.config["compare_with"] if name != own}


def _measure(context: Context, mask: Mask, name: str) -> dict[str, Any]:
    baseline = full_mask(context) if name == "full" else random_mask(context, mask.num_kept)
    trained = train_on_mask(context, baseline, recompute=context.recompute)
    cost = trained.cost.flops / context.ledger.full_flops
    return {**trained.metrics, "cost_vs_full": cost, "reused": trained.cost.reused}
