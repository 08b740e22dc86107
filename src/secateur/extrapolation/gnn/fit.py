"""Fitting a network to the observed scores, and choosing the epoch on a held-out part of them.

Knows nothing of graphs: it is given a function that trains on some samples, and one that predicts all.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from secateur.core.errors import NumericalError
from secateur.core.seeds import generator, permutation, stream_seed
from secateur.extrapolation.correlation import pearson, spearman

Network = TypeVar("Network", bound=nn.Module, contravariant=True)
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)
Loss = Literal["mse", "ranking"]
Correlation = Literal["pearson", "spearman"]
CORRELATIONS: Mapping[str, Callable[[Tensor, Tensor], float]] = {"pearson": pearson, "spearman": spearman}
STREAM = "extrapolation_gnn"
SMALLEST_SPLIT = 10  # with fewer observed samples nothing is held out


class View(Protocol[Network]):
    """How a network sees the graph."""

    device: torch.device

    @property
    def full_batch(self) -> bool:
        """Whether every training step computes all nodes, whatever the number of roots."""
        ...

    def train_outputs(self, network: Network, roots: Tensor, draws: Generator) -> Tensor:
        """Return the outputs ``[B]`` of some nodes (int64 ``[B]``), with gradients."""
        ...

    def predict(self, network: Network) -> Tensor:
        """Return the outputs ``[N]`` of all nodes, without dropout and gradients."""
        ...


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a network is fitted; see :class:`~secateur.extrapolation.gnn.settings.GNN` for the meaning."""

    loss: Loss
    learning_rate: float
    weight_decay: float
    max_epochs: int
    batch_size: int
    full_graph_steps: int
    validation_fraction: float
    select_by: Correlation


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit gave.

    Attributes:
        epoch: the epoch whose weights predict, from 0.
        correlations: on the held-out part after every epoch; NaN where undefined, and without a held-out part.
        predicted: that epoch's outputs, float32 ``[N]`` on the CPU.
        last_weights: the weights after the last epoch.
    """

    epoch: int
    correlations: tuple[float, ...]
    predicted: Tensor
    last_weights: Mapping[str, Tensor]


def split(num_observed: int, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return positions of the observed samples to train on, and of those held out, int64.

    Held out are ``round(M * fraction)`` random ones, at least 2 (a correlation needs as many), or none at all when
    fewer than 10 are observed or the fraction is 0.
    """
    order = permutation(num_observed, seed, STREAM, 1)
    cut = 0 if num_observed < SMALLEST_SPLIT or not fraction else max(2, round(num_observed * fraction))
    return order[cut:], order[:cut]


def pairwise_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of ``sigmoid(f_i - f_j)`` with ``[S_i > S_j]``, one half for equal scores.

    Pairs are the neighbors in the given order, closed to a ring: each sample is in two, and their number may be odd.
    In random order these are random pairs. The release pairs i with B - 1 - i, and crashes on an odd batch.

    Args:
        outputs: float ``[B]``.
        targets: float ``[B]``.
    """
    difference = targets - targets.roll(1)
    return F.binary_cross_entropy_with_logits(outputs - outputs.roll(1), (difference.sign() + 1) / 2)


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "ranking": pairwise_loss}


def fit(
    network: AnyNetwork,
    view: View[AnyNetwork],
    sample_ids: Tensor,
    targets: Tensor,
    settings: FitSettings,
    seed: int,
    progress: Callable[[int, float], None] | None = None,
) -> Fitted:
    """Fit with Adam, and keep the epoch of highest correlation on the held-out part; of equal ones the earlier.

    Without a held-out part, or when no correlation is defined, it is the last epoch. An epoch is one pass over the
    training part in batches, or ``full_graph_steps`` steps on all of it where a step computes all nodes anyway.

    Args:
        network: on the view's device; left with the last epoch's weights.
        view: how it sees the graph.
        sample_ids: the observed nodes, int64 ``[M]``.
        targets: what is predicted of them, float ``[M]``; those held out are never trained on.
        settings: see there.
        seed: of the split, the order and the draws of neighbors.
        progress: called after every epoch with its number and its correlation.

    Raises:
        NumericalError: a prediction is not finite.
    """
    training, held_out = split(len(targets), settings.validation_fraction, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    epoch_best, best, correlations, predicted = 0, -math.inf, [], torch.empty(0)
    for epoch in range(settings.max_epochs):
        network.train()
        draws = generator(seed, STREAM, 2, epoch)
        for batch in _batches(training, settings, view.full_batch, seed, epoch):
            outputs = view.train_outputs(network, sample_ids[batch], draws)
            loss = LOSSES[settings.loss](outputs, targets[batch].to(view.device, torch.float32))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        last = epoch + 1 == settings.max_epochs
        correlation = math.nan
        if len(held_out) or last:
            current = _finite(view.predict(network))
            if len(held_out):
                correlation = CORRELATIONS[settings.select_by](current[sample_ids[held_out]], targets[held_out])
            if correlation > best or (last and best == -math.inf):
                epoch_best, best, predicted = epoch, correlation, current
        correlations.append(correlation)
        if progress:
            progress(epoch, correlation)
    weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return Fitted(epoch_best, tuple(correlations), predicted, weights)


def _batches(training: Tensor, settings: FitSettings, full_batch: bool, seed: int, epoch: int) -> Iterator[Tensor]:
    """Yield the positions of each step of an epoch, in random order."""
    if not full_batch:
        yield from torch.split(training[permutation(len(training), seed, STREAM, 3, epoch)], settings.batch_size)
        return
    for step in range(settings.full_graph_steps):
        yield training[permutation(len(training), seed, STREAM, 3, epoch, step)]


def _finite(predicted: Tensor) -> Tensor:
    predicted = predicted.cpu()
    if not bool(torch.isfinite(predicted).all()):
        raise NumericalError("gnn: the training diverged (a prediction is not finite). Lower learning_rate.")
    return predicted


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw initial weights and dropout from one stream; afterwards torch's own streams are as before."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(stream_seed(seed, STREAM, 0))
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(stream_seed(seed, STREAM, 0))
        yield
