"""The part of the pool that is scored when the rest is predicted."""

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.seeds import generator, permutation
from secateur.data.splits import stratified_rows
from secateur.runs.config import Experiment
from secateur.runs.context import Context
from secateur.runs.stages.scoring import Measuring

MIN_SUBSET = 2  # fewer cannot be ranked


def draw_subset(context: Context) -> Measuring:
    """Return the scored subset by ``subset_fraction``, drawn by ``score_seed``.

    Without stratification a larger fraction draws a superset of a smaller one.

    Raises:
        ConfigError: the subset would have fewer than two samples or be the whole pool, or the rows it must include
            are more than it may hold.
    """
    config = context.config
    count = round(context.num_total * config.subset_fraction)
    if not MIN_SUBSET <= count < context.num_total:
        raise ConfigError(
            f"subset_fraction={config.subset_fraction:g} scores {count} of {context.num_total} samples: take at "
            f"least {MIN_SUBSET}, and fewer than all (extrapolation=none scores all)."
        )
    rows = _rows(context, count).sort().values
    keys = ("subset_fraction", "subset_epochs_factor", "subset_stratified", "subset_include")
    return Measuring(context.data.pool[rows], subset_epochs(config), config.pick(*keys))


def subset_epochs(config: Experiment) -> int:
    """Return how long the subset is trained: ``scoring.max_epochs`` times ``subset_epochs_factor``, rounded.

    At a factor of 1 it sees each of its samples as often as the whole pool's training would; at
    ``1 / subset_fraction`` it takes as many steps, and saves nothing.
    """
    num_epochs: int = round(config.scoring.max_epochs * config.subset_epochs_factor)
    return max(num_epochs, 1)


def _rows(context: Context, count: int) -> Tensor:
    """Return ``count`` rows of the pool, int64, unsorted."""
    config, data = context.config, context.data
    included = data.original if config.subset_include == "original" else torch.zeros(context.num_total).bool()
    if bool(included.all()):
        raise ConfigError(
            "subset_include=original scores all of the data set's own samples, and there are no others to predict: "
            "give data.extra, or leave subset_include=none."
        )
    if int(included.sum()) > count:
        raise ConfigError(
            f"subset_include=original scores {int(included.sum())} samples, but subset_fraction="
            f"{config.subset_fraction:g} only {count}. Raise subset_fraction."
        )
    free, wanted = (~included).nonzero().flatten(), count - int(included.sum())
    if config.subset_stratified:
        drawn = stratified_rows(data.pool_labels[free], wanted, generator(config.score_seed, "subset"))
    else:
        drawn = permutation(len(free), config.score_seed, "subset")[:wanted]
    return torch.cat([included.nonzero().flatten(), free[drawn]])
