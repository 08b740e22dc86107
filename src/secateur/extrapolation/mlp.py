"""MLP regression of the score on label and embedding: what a graph network is without its graph."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.core.errors import ConfigError, NumericalError
from secateur.core.seeds import permutation, stream_seed
from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator, Needs
from secateur.extrapolation.correlation import pearson, spearman
from secateur.extrapolation.features import CHUNK, Features

STREAM = "extrapolation_mlp"
CORRELATIONS = {"pearson": pearson, "spearman": spearman}


@dataclass(frozen=True)
class MLP(Extrapolator):
    """A multilayer perceptron from the one-hot label and the standardized embedding to the standardized score.

    Trained with mean squared error and Adam on the observed samples without a held-out part. After every epoch the
    held-out part is predicted, and the weights of the best epoch are the ones that predict: highest correlation, of
    equal ones lowest error, of equal ones the earlier. A correlation that is undefined (a held-out part of one
    sample, or constant) is below every defined one. Everything random comes from ``inputs.seed``. With one observed
    sample, or constant scores, nothing is trained and the mean is predicted.

    [EX] arXiv 2506.09010: its release has this network as a baseline of its graph network.

    Args:
        hidden_sizes: width of every hidden layer; [] is linear regression.
        dropout: fraction of hidden units dropped while training, in [0, 1).
        learning_rate: Adam's, positive.
        weight_decay: Adam's, at least 0.
        batch_size: samples per step, at least 1.
        max_epochs: passes over the training part, at least 1.
        validation_fraction: fraction of the observed samples held out, in (0, 1); at least one, and never all.
        select_by: ``pearson`` or ``spearman``, the correlation on the held-out part.
        use_labels: read the one-hot label too; it is left out where labels are not known.

    Raises:
        ConfigError: an argument is out of range.

    Deviations:
        The release neither standardizes features nor scores, and stores the predictions of the best epoch.
    """

    NAME: ClassVar[str] = "extrapolation/mlp"
    hidden_sizes: Sequence[int] = (256, 64)
    dropout: float = 0.5
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    batch_size: int = 128
    max_epochs: int = 35
    validation_fraction: float = 0.1
    select_by: Literal["pearson", "spearman"] = "spearman"
    use_labels: bool = True
    needs: ClassVar[frozenset[Needs]] = frozenset({Needs.EMBEDDINGS})

    def __post_init__(self) -> None:
        sizes = [*self.hidden_sizes, self.batch_size, self.max_epochs]
        wrong = [
            ("hidden_sizes, batch_size and max_epochs", "integers of at least 1", sizes, min(sizes) < 1),
            ("dropout", "in [0, 1)", self.dropout, not 0 <= self.dropout < 1),
            ("learning_rate", "positive", self.learning_rate, not self.learning_rate > 0),
            ("weight_decay", "at least 0", self.weight_decay, not self.weight_decay >= 0),
            ("validation_fraction", "in (0, 1)", self.validation_fraction, not 0 < self.validation_fraction < 1),
            ("select_by", "pearson or spearman", self.select_by, self.select_by not in CORRELATIONS),
        ]
        for name, allowed, value, is_wrong in wrong:
            if is_wrong:
                raise ConfigError(f"mlp: {name} must be {allowed}; got {value!r}.")

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype.

        Raises:
            ConfigError: there are no embeddings.
            NumericalError: the training diverged.
        """
        features = Features.of(inputs, self.use_labels)
        scores = inputs.scores.double()
        mean, deviation = scores.mean(), scores.std(correction=0)
        if bool((scores == scores[0]).all()):
            return inputs.filled(scores[0].expand(len(inputs.queries)))
        device = features.embeddings.device
        with _seeded(stream_seed(inputs.seed, STREAM, 0), device):
            network = self._network(features.width).to(device)
            self._train(network, features, inputs, (scores - mean) / deviation)
        predicted = _apply(network, features, inputs.queries)
        inputs.flops += self._flops(network, len(inputs.scores), len(inputs.queries))
        return inputs.filled(predicted.double() * deviation + mean)

    def planned_flops(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float:
        """Return the operations of training and prediction; scores that are all equal will cost nothing."""
        with torch.device("meta"):  # no memory, no random numbers
            network = self._network(num_features + (num_classes if self.use_labels else 0))
        return self._flops(network, num_observed, num_samples - num_observed)

    def _network(self, width: int) -> nn.Sequential:
        """Return the network for ``width`` features."""
        sizes = [width, *self.hidden_sizes]
        layers = [(nn.Linear(before, after), nn.ReLU(), nn.Dropout(self.dropout)) for before, after in pairwise(sizes)]
        return nn.Sequential(*(module for layer in layers for module in layer), nn.Linear(sizes[-1], 1))

    def _train(self, network: nn.Module, features: Features, inputs: ExtrapolationInputs, targets: Tensor) -> None:
        """Train on ``targets [M]`` of the observed samples, and leave the network with its best epoch's weights."""
        order = permutation(len(targets), inputs.seed, STREAM, 1)
        cut = self._num_held_out(len(targets))
        held_out, trained = order[:cut], order[cut:]
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        best: tuple[float, float] | None = None
        weights: dict[str, Tensor] = {}
        for epoch in range(self.max_epochs):
            network.train()
            shuffled = trained[permutation(len(trained), inputs.seed, STREAM, 1, epoch)]
            for batch in torch.split(shuffled, self.batch_size):
                loss = F.mse_loss(
                    network(features.rows(inputs.sample_ids[batch]).float()).flatten(), targets[batch].float()
                )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            quality = self._quality(_apply(network, features, inputs.sample_ids[held_out]), targets[held_out])
            if best is None or quality > best:
                best, weights = quality, {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(weights)

    def _num_held_out(self, num_observed: int) -> int:
        """Return how many of the observed samples are held out: at least one, and not all."""
        return min(max(round(num_observed * self.validation_fraction), 1), num_observed - 1)

    def _quality(self, predicted: Tensor, targets: Tensor) -> tuple[float, float]:
        """Return what epochs are compared by, the larger the better: correlation, then minus the error."""
        error = float(F.mse_loss(predicted.double(), targets))
        if not error < float("inf"):
            raise NumericalError("mlp: the training diverged (a prediction is not finite). Lower learning_rate.")
        correlation = CORRELATIONS[self.select_by](predicted, targets)
        return (-2.0 if correlation != correlation else correlation), -error

    def _flops(self, network: nn.Module, num_observed: int, num_queries: int) -> float:
        """Return the operations: two per weight and forward pass, a backward pass counts as two forward ones."""
        num_weights = sum(parameter.numel() for parameter in network.parameters())
        held_out = self._num_held_out(num_observed)
        passes = self.max_epochs * (3 * (num_observed - held_out) + held_out) + num_queries
        return 2.0 * num_weights * passes


def _apply(network: nn.Module, features: Features, rows: Tensor) -> Tensor:
    """Return the network's predictions ``[n]`` for some rows, without dropout."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(features.rows(chunk).float()).flatten() for chunk in torch.split(rows, CHUNK)])


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw initial weights and dropout from one stream; afterwards torch's own streams are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
