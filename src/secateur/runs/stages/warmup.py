"""Stage ``warmup``: the measuring network trained on the whole pool, shared by everything that starts from it."""

from secateur.core.store import StageResult, stage_key
from secateur.runs.context import Context
from secateur.runs.keys import stage_reads
from secateur.runs.stages.whole_pool import train_on_pool

VERSION = 1


def warm_up(context: Context, num_epochs: int) -> StageResult:
    """Train the measuring network on all data, or find it trained; books its cost."""
    config = context.config
    nodes = config.pick("model", "paradigm", "optim", "score_seed")
    key = stage_key("warmup", VERSION, stage_reads(config, **nodes, num_epochs=num_epochs), context.data.fingerprint)
    result = context.store.get(
        "warmup",
        key,
        lambda folder: train_on_pool(
            *(context, folder, "warmup"),
            paradigm=config.paradigm,
            optim=config.optim,
            num_epochs=num_epochs,
            seed=config.score_seed,
        ),
        recompute=context.recompute,
    )
    context.book(result)
    return result
