"""How much memory the large tensors of a run take, estimated before anything is trained.

Tensor legend: N samples of the pool, C classes, D features, T epochs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.core.neighbors import MEMORY_BYTES
from secateur.runs.config import Node
from secateur.runs.context import Context
from secateur.runs.nodes import scorer, shared
from secateur.runs.stages.extrapolation import needs_network
from secateur.runs.stages.scoring import recorded_together
from secateur.runs.subset import draw_subset
from secateur.scores.base import BatchSignals, Score
from secateur.scores.dynamics import Dynamics
from secateur.training.modules.unsupervised import Unsupervised
from secateur.training.recipe import Recipe

PROBES = 2  # samples that the scorers are fed with to see what they keep of each
FLOAT = 4


@dataclass(frozen=True)
class Held:
    """Something that is held in memory: what it is, and how many bytes."""

    what: str
    num_bytes: int


def memory_plan(context: Context) -> list[Held]:
    """Return the large tensors of a run; not all of them live at the same time."""
    return [*_images(context), *_networks(context), *_choosing(context)]


def network_bytes(model: nn.Module, recipe: Recipe) -> int:
    """Return the bytes of a network in training: parameters, buffers, gradients and the optimizer's state."""
    model = model.to("meta")
    optimizer = recipe.build_optimizer(model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state = [value for values in optimizer.state.values() for value in values.values() if isinstance(value, Tensor)]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return _num_bytes([*model.parameters(), *model.buffers(), *gradients, *state])


def scorer_bytes(scores: Iterable[Score], num_epochs: int, num_classes: int, num_features: int) -> int:
    """Return the most bytes per sample that scorers hold during a training, by feeding them random signals.

    Args:
        scores: the scorers; they are set up anew.
        num_epochs: length of the training T.
        num_classes: C.
        num_features: D.
    """
    draw, most = torch.Generator().manual_seed(0), 0
    scores, rows = list(scores), torch.arange(PROBES)
    for score in scores:
        score.setup(PROBES, num_epochs)
    logits = torch.randn(PROBES, num_classes, generator=draw)
    features = torch.randn(PROBES, num_features, generator=draw)
    for epoch in range(num_epochs):
        signals = BatchSignals(rows, rows % num_classes, epoch, logits, features)
        for score in scores:
            if epoch in score.epochs:
                score.update(signals)
                score.end_epoch(epoch)
        most = max(most, _num_bytes(tensor for score in scores for tensor in score.state_dict().values()))
    return most // PROBES


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _images(context: Context) -> Iterator[Held]:
    data = context.data
    if data.is_resident:
        channels, height, width = data.image_shape
        num_images, each = len(data.train) + len(data.test), channels * height * width
        yield Held(f"decoded images, {num_images:,} of {channels}x{height}x{width}", num_images * each)


def _networks(context: Context) -> Iterator[Held]:
    config = context.config
    optim: Node | None = config.scoring.optim if config.scoring else config.method.get("optim")
    if optim:
        yield _network(context, "scoring network", "model", optim)
    yield _network(context, "final network", "retrain_model", config.optim)


def _network(context: Context, what: str, node: str, optim: Node) -> Held:
    parts = "parameters, gradients, optimizer state"
    return Held(f"{what}: {parts}", network_bytes(context.model(node), context.recipe(optim)))


def _choosing(context: Context) -> Iterator[Held]:
    """Yield what the scoring holds per sample, and what the extrapolation holds."""
    config = context.config
    if config.score is None:
        return
    subset = draw_subset(context) if config.extrapolation else None
    num_samples = len(subset.sample_ids) if subset else context.num_total
    num_epochs = subset.num_epochs if subset else config.scoring.max_epochs
    width, num_classes = context.model("model").num_features, context.data.num_classes
    paradigm, embeds = shared(config.paradigm), False
    if isinstance(paradigm, Unsupervised):
        turtle, embeds = paradigm.turtle(num_classes, num_epochs), True
        yield Held("history of the labels found", FLOAT * turtle.num_epochs * (width + 1) * turtle.num_classes)
        num_classes = turtle.num_classes
    scorers = _recorded(config.score, num_epochs)
    per_sample = scorer_bytes(scorers, num_epochs, num_classes, width)
    yield Held(f"state of {len(scorers)} scorers, {per_sample:,} bytes per sample", num_samples * per_sample)
    extrapolator = shared(config.extrapolation) if config.extrapolation else None
    if embeds or (extrapolator is not None and needs_network(extrapolator)):
        num_floats = context.num_total * (width + context.data.num_classes)
        yield Held(f"embeddings and logits of {context.num_total:,} samples", FLOAT * num_floats)
    if extrapolator is not None and extrapolator.searches:
        yield Held("neighbor search: work space, at most", MEMORY_BYTES)


def _recorded(node: Node, num_epochs: int) -> list[Score]:
    """Build the scorers that one scoring records, and what records the side columns of each of them."""
    nodes = recorded_together(node, num_epochs).values()
    return [*(scorer(one) for one in nodes), *(Dynamics() for _ in nodes)]
