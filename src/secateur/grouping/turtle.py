r"""TURTLE: classes found in frozen features, without any label.

A linear task encoder :math:`\tau_\theta(z) = \mathrm{softmax}(\theta z)` names the classes; a labelling is good when a
linear classifier that is trained on it for a few steps from scratch predicts it well. Time O(T * M * D * C *
inner_steps), memory O(M * D + T * D * C). Wrong when the classes are not nearly linearly separable in the features, or
when their sizes differ much: the entropy term pulls towards classes of equal size.

[TURTLE] Gadetsky, Jiang and Brbic, ICML 2024, arXiv 2406.07236.

Tensor legend: M samples, B batch, D features, C classes, T epochs.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.seeds import generator, permutation


@dataclass(frozen=True)
class TurtleResult:
    """The task encoder at the end of every epoch; replays what any sample was at any time.

    Attributes:
        weight: effective weights (gain times direction), float32 ``[T, D, C]``, on the CPU.
        bias: float32 ``[T, C]``, on the CPU.
    """

    weight: Tensor
    bias: Tensor

    @property
    def num_epochs(self) -> int:
        """Number of epochs T."""
        return len(self.weight)

    def logits(self, features: Tensor, epoch: int) -> Tensor:
        """Return the task encoder's logits of some samples at the end of an epoch; softmax makes them tau.

        Args:
            features: features of the space the encoder was fitted in, ``[B, D]``.
            epoch: from 0; -1 is the last one.

        Returns:
            float32 ``[B, C]``, on the device of the features.

        Raises:
            DataError: the features have another width, or there was no such epoch.
        """
        if features.ndim != 2 or features.shape[1] != self.weight.shape[1]:
            raise DataError(f"TURTLE was fitted on features [B, {self.weight.shape[1]}], got {list(features.shape)}.")
        if not -self.num_epochs <= epoch < self.num_epochs:
            raise DataError(f"TURTLE has the epochs 0 to {self.num_epochs - 1}, got {epoch}.")
        weight, bias = self.weight[epoch].to(features.device), self.bias[epoch].to(features.device)
        return F.linear(features.float(), weight.T, bias)

    def pseudo_labels(self, features: Tensor) -> Tensor:
        """Return the final class of samples ``[B, D]``, int64 ``[B]``; a class may have no sample at all."""
        return self.logits(features, -1).argmax(dim=1)

    def save(self, path: Path) -> Path:
        """Write a safetensors file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"weight": self.weight.contiguous(), "bias": self.bias.contiguous()}, path)
        return path

    @classmethod
    def load(cls, path: Path) -> "TurtleResult":
        """Read what :meth:`save` wrote.

        Raises:
            DataError: the file holds something else.
        """
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if set(found) != {"weight", "bias"}:
            raise DataError(f"{path} is not a TURTLE result: it holds {', '.join(sorted(found)) or 'nothing'}.")
        return cls(**found)


class Turtle:
    r"""Pseudo-labels by TURTLE, with one feature space.

    Each outer step fits a linear classifier :math:`w` to the current labelling, by ``inner_steps`` of Adam on
    :math:`\mathrm{CE}(w(z), \tau(z))`, and then takes one step of Adam on the task encoder down

    .. math::
        \mathrm{CE}(w(z), \tau_\theta(z)) - \gamma \, H\left(\tfrac{1}{B} \textstyle\sum_b \tau_\theta(z_b)\right)

    with :math:`w` held fixed (eq. 12 with the first-order hypergradient). The entropy H of the mean labelling keeps
    the classes balanced; it does not forbid an empty one.

    Args:
        num_classes: number of classes C, at least 2.
        num_epochs: passes over the samples T.
        gamma: weight of the entropy, >= 0; at 0 everything may end in one class.
        inner_steps: steps of the classifier per step of the task encoder.
        inner_lr: learning rate of the classifier.
        outer_lr: learning rate of the task encoder.
        batch_size: most samples per outer step; an epoch has ceil(M / batch_size) steps of nearly equal size.
        warm_start: the classifier goes on from the last step instead of starting anew.
        standardize: first give every feature mean 0 and standard deviation 1 over the samples (folded into the
            weights of the result). False takes features as they are, as the releases do; true is for features whose
            scale is small, which a rate made for DINOv2's and CLIP's would hardly move.

    Raises:
        ConfigError: an argument is out of range.

    Deviations:
        The paper counts 6000 outer steps and draws each batch anew; here an epoch visits every sample once, as in the
        extrapolation release (400 epochs: 400 steps for at most 10 000 samples). That release's trajectory is tau as
        of each sample's own batch, before the step; here it is tau of all samples at the end of the epoch. Its last
        batch of an epoch may be small; here batches are even. The entropy is computed from logarithms, so that an
        empty class cannot make the gradient NaN. The generalization score and several feature spaces are left out.

    Example:
        >>> features = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
        >>> labels = Turtle(2, standardize=True).fit(features, seed=0).pseudo_labels(features)
        >>> bool(labels[0] == labels[1] != labels[2] == labels[3])
        True
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_epochs: int = 400,
        gamma: float = 10.0,
        inner_steps: int = 10,
        inner_lr: float = 1e-3,
        outer_lr: float = 1e-3,
        batch_size: int = 10_000,
        warm_start: bool = False,
        standardize: bool = False,
    ) -> None:
        least = {"num_classes": 2, "num_epochs": 1, "inner_steps": 1, "batch_size": 2}
        counts = {
            "num_classes": num_classes,
            "num_epochs": num_epochs,
            "inner_steps": inner_steps,
            "batch_size": batch_size,
        }
        for name, count in counts.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < least[name]:
                raise ConfigError(f"turtle: {name} must be an integer >= {least[name]}, got {count!r}.")
        for name, rate in {"inner_lr": inner_lr, "outer_lr": outer_lr}.items():
            if not (math.isfinite(rate) and rate > 0):
                raise ConfigError(f"turtle: {name} must be a positive number, got {rate}. The paper uses 0.001.")
        if not (math.isfinite(gamma) and gamma >= 0):
            raise ConfigError(f"turtle: gamma must be a number >= 0, got {gamma}. The paper uses 10.")
        self.num_classes, self.num_epochs, self.gamma = num_classes, num_epochs, gamma
        self.inner_steps, self.inner_lr, self.outer_lr = inner_steps, inner_lr, outer_lr
        self.batch_size, self.warm_start, self.standardize = batch_size, warm_start, standardize

    def fit(self, features: Tensor, seed: int) -> TurtleResult:
        """Find the classes of some samples.

        Args:
            features: frozen features, ``[M, D]``; computed in float32, on their device.
            seed: decides initial weights and batches.

        Returns:
            The task encoder at the end of each epoch.

        Raises:
            DataError: the features are no matrix, or there are fewer samples than classes.
            NumericalError: a feature, or a weight found, is not finite.
        """
        self._check(features)
        z = features.detach().float()
        center, scale = self._moments(z)
        z = (z - center) / scale
        num_samples, width = z.shape
        weight = torch.empty(self.num_epochs, width, self.num_classes)
        bias = torch.empty(self.num_epochs, self.num_classes)
        with torch.enable_grad():
            descent = _Descent(self, width, z.device, seed)
            for epoch in range(self.num_epochs):
                order = permutation(num_samples, seed, "turtle-order", epoch).to(z.device)
                for rows in order.tensor_split(math.ceil(num_samples / self.batch_size)):
                    descent.step(z[rows])
                effective = descent.encoder_weight().detach().double() / scale
                weight[epoch] = effective.T
                bias[epoch] = descent.bias.detach() - effective @ center.double()
        if not bool(weight.isfinite().all() and bias.isfinite().all()):
            raise NumericalError("TURTLE diverged. Standardize the features, or lower outer_lr and inner_lr.")
        return TurtleResult(weight, bias)

    def _check(self, features: Tensor) -> None:
        if features.ndim != 2 or not features.shape[1]:
            raise DataError(f"TURTLE needs features [M, D], got {list(features.shape)}.")
        if len(features) < self.num_classes:
            raise DataError(
                f"TURTLE cannot find {self.num_classes} classes among {len(features)} samples; ask for fewer classes."
            )
        bad = ~torch.isfinite(features).all(dim=1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise NumericalError(
                f"{int(bad.sum())} of {len(bad)} rows of the features are not finite; first row {first}."
            )

    def _moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is subtracted and divided by, ``[D]`` each; a constant feature is left at 0."""
        if not self.standardize:
            return torch.zeros_like(z[0]), torch.ones_like(z[0])
        std, mean = torch.std_mean(z.double(), dim=0, correction=0)
        return mean.float(), torch.where(std > 0, std, 1.0).float()


class _Descent:
    """The task encoder (a weight-normalized linear layer), the classifier, and their optimizers."""

    def __init__(self, settings: Turtle, width: int, device: torch.device, seed: int) -> None:
        self.settings, self.shape, self.device = settings, (settings.num_classes, width), device
        self.draw = generator(seed, "turtle-weights")
        self.direction, self.bias = self._linear()
        self.gain: Tensor = self.direction.detach().norm(dim=1, keepdim=True).requires_grad_()
        self.optimizer = torch.optim.Adam([self.direction, self.gain, self.bias], lr=settings.outer_lr)
        self._new_classifier()

    def encoder_weight(self) -> Tensor:
        """Return the effective weight ``[C, D]``: rows of their own length, in their own direction."""
        return self.gain * F.normalize(self.direction, dim=1)

    def step(self, z: Tensor) -> None:
        """Fit the classifier to the labelling of a batch ``[B, D]``, then improve the labelling."""
        log_labels = F.linear(z, self.encoder_weight(), self.bias).log_softmax(dim=1)
        labels = log_labels.exp()
        if not self.settings.warm_start:
            self._new_classifier()
        for _ in range(self.settings.inner_steps):
            self.classifier_optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(F.linear(z, *self.classifier), labels.detach()))
            self.classifier_optimizer.step()
        with torch.no_grad():
            predicted = F.linear(z, *self.classifier)
        log_mean = log_labels.logsumexp(dim=0) - math.log(len(z))
        entropy = -(log_mean.exp() * log_mean).sum()
        self.optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(predicted, labels) - self.settings.gamma * entropy)
        self.optimizer.step()

    def _new_classifier(self) -> None:
        self.classifier = self._linear()
        self.classifier_optimizer = torch.optim.Adam(self.classifier, lr=self.settings.inner_lr)

    def _linear(self) -> tuple[Tensor, Tensor]:
        """Draw weight ``[C, D]`` and bias ``[C]`` as ``nn.Linear`` does: uniform within 1 / sqrt(D)."""
        num_classes, width = self.shape
        drawn = (2 * torch.rand(num_classes, width + 1, generator=self.draw) - 1) / math.sqrt(width)
        weight, bias = drawn[:, :-1].contiguous().to(self.device), drawn[:, -1].contiguous().to(self.device)
        return weight.requires_grad_(), bias.requires_grad_()


def pseudo_label_agreement(pseudo: Tensor, labels: Tensor) -> float:
    """Return the share of samples whose pseudo-label is their class under the best one-to-one matching.

    A diagnostic only: it reads the labels that the unsupervised paradigm claims not to need.

    Args:
        pseudo: pseudo-labels, int64 ``[M]``, from 0.
        labels: true classes, int64 ``[M]``, from 0; their number may differ.

    Returns:
        Clustering accuracy in [0, 1].

    Raises:
        DataError: lengths differ, are 0, or a label is negative.

    Example:
        >>> pseudo_label_agreement(torch.tensor([1, 1, 0, 0]), torch.tensor([0, 0, 1, 0]))
        0.75
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 (only this diagnostic needs it)

    if pseudo.shape != labels.shape or pseudo.ndim != 1 or not len(pseudo):
        raise DataError(f"Agreement needs two lists of one length, got {list(pseudo.shape)} and {list(labels.shape)}.")
    if min(int(pseudo.min()), int(labels.min())) < 0:
        raise DataError("Agreement needs labels from 0 on, got a negative one.")
    pseudo, labels = pseudo.cpu().long(), labels.cpu().long()
    rows, columns = int(pseudo.max()) + 1, int(labels.max()) + 1
    table = torch.bincount(pseudo * columns + labels, minlength=rows * columns).view(rows, columns)
    matched = linear_sum_assignment(table.numpy(), maximize=True)
    return float(table[matched].sum()) / len(labels)
