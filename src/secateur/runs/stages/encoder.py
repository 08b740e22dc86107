"""Stage ``encoder``: the network whose frozen features the unsupervised paradigm reads."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.runs.context import Context
from secateur.runs.keys import stage_reads
from secateur.runs.stages.whole_pool import train_on_pool

VERSION = 1


def encoder(context: Context) -> StageResult:
    """Train ``model=`` on the pool without labels, or take it as it is built; books what that cost."""
    config = context.config
    settings = {key: config.paradigm[key] for key in ("encoder", "encoder_epochs")}
    trained = settings["encoder"] is not None
    nodes = {"model": config.model, "score_seed": _seed(context)}
    further = {**settings, "optim": config.scoring.optim} if trained else {}
    result = context.store.get(
        "encoder",
        stage_key("encoder", VERSION, stage_reads(config, **nodes, **further), context.data.fingerprint),
        lambda folder: _train(context, folder) if trained else _keep(context, folder),
        recompute=context.recompute,
        by_one=not trained,
    )
    if result.summary["cost"]:
        context.book(result)
    return result


def _seed(context: Context) -> int:
    """Return the seed of the encoder: its own, or that of all that decides the mask."""
    own: int | None = context.config.paradigm["encoder_seed"]
    seed: int = context.config.score_seed if own is None else own
    return seed


def _train(context: Context, folder: Path) -> dict[str, Any]:
    node, optim = context.config.paradigm, context.config.scoring.optim
    length = {"num_epochs": node["encoder_epochs"], "seed": _seed(context)}
    return train_on_pool(context, folder, "encoder", paradigm=node["encoder"], optim=optim, **length)


def _keep(context: Context, folder: Path) -> dict[str, Any]:
    model = context.fresh_model("model", stream_seed(_seed(context), "encoder-model"))
    save_file({name: values.contiguous() for name, values in model.state_dict().items()}, folder / "model.safetensors")
    return {"cost": None}
