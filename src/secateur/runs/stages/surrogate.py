"""Stage ``surrogate``: the measuring network trained on the whole source, once for all downstream sets and ratios."""

from secateur.core.store import StageResult, stage_key
from secateur.runs.context import Context
from secateur.runs.keys import stage_reads
from secateur.runs.stages.whole_pool import train_on_pool

VERSION = 1


def surrogate(context: Context) -> StageResult:
    """Train the surrogate on the pool (``model=``, ``optim@scoring.optim``, ``scoring.max_epochs``), or find it."""
    config = context.config
    nodes = config.pick("model", "paradigm", "score_seed")
    recipe = {"optim": config.scoring.optim, "max_epochs": config.scoring.max_epochs}
    result = context.store.get(
        "surrogate",
        stage_key("surrogate", VERSION, stage_reads(config, **nodes, **recipe), context.data.fingerprint),
        lambda folder: train_on_pool(
            *(context, folder, "surrogate"),
            paradigm=config.paradigm,
            seed=config.score_seed,
            optim=config.scoring.optim,
            num_epochs=config.scoring.max_epochs,
        ),
        recompute=context.recompute,
    )
    context.book(result)
    return result
