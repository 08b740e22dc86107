"""The LightningModule of adversarial training: it measures (scoring) and trains on attacked images.

References:
    [PGD] Madry et al., ICLR 2018, arXiv 1706.06083.
    [TRADES] Zhang et al., ICML 2019, arXiv 1901.08573.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.seeds import stream_seed
from secateur.data.augment import Normalization
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.attacks import Attack, Loss, Norm, cross_entropy_to, divergence_from, kl_divergence
from secateur.training.evaluate import InputAttack, evaluate, evaluating
from secateur.training.modules.classifier import Classifier, Passes
from secateur.training.recipe import Recipe
from secateur.training.sampling import Sampling

Objective = Literal["pgd", "trades"]
Recorded = Literal["clean", "adversarial"]
Outputs = tuple[Tensor, Tensor]  # features [B, D], logits [B, C]


class AdversarialClassifier(Classifier):
    """Training against a PGD attack.

    ``pgd`` ([PGD] eq. 2.1) trains on the attacked images alone: ``CE(f(x'), y)``. ``trades`` ([TRADES] eq. 5) trains
    on both: ``CE(f(x), y) + beta * KL(f(x) || f(x'))``, and its attack raises the divergence. Label smoothing is the
    training loss's; the attack has none.

    The attack runs in evaluation mode: it draws no dropout, and batch norm's running statistics follow from the
    training passes only. Its random start is a function of (seed, epoch, step), so a resumed training equals an
    undisturbed one.

    ``training_step`` returns logits and features of the clean or of the attacked images, as augmented for training.
    They are the training pass's own, with one exception: ``pgd`` has no training pass of the clean images, so for
    ``record: clean`` they are passed forward once more, in evaluation mode, before the step. ``passes`` counts it.

    Args:
        model: the network.
        recipe: optimizer and schedule (the ``optim=`` node).
        num_epochs: length of the schedule.
        seed: seed of in-model randomness and of the attacks' random starts.
        sampling: loss weights and loss feedback of dynamic pruning; None for plain training.
        normalization: the loader's; the attack undoes it.
        objective: ``pgd`` or ``trades``.
        beta: weight of the divergence, above 0; null with ``pgd``.
        eps: radius of the attack in pixel units: 8/255 = 0.0314, not 8.
        step_size: length of its steps, in pixel units.
        num_steps: its steps.
        norm: ``linf`` or ``l2``.
        random_start: start at a random point of the ball; ``trades`` must, its gradient is 0 at the clean image.
        record: whose logits and features the scorers see: those of the ``clean`` or of the ``adversarial`` images,
            from training steps and from passes that only record alike.
        eval_eps: radius of the attack of :meth:`robust_accuracy`; null: ``eps``.
        eval_step_size: length of its steps; null: ``step_size``.
        eval_steps: its steps, at least 1.

    Raises:
        ConfigError: a setting is out of range, or would be ignored.

    Deviations:
        The release of the adversarial extrapolation runs also averages weights and draws most of a batch from
        synthetic images. DP4TL's attacks in training mode, which moves the running statistics, and partly in
        normalized units.
    """

    NAME: ClassVar[str] = "paradigm/adversarial"

    def __init__(
        self,
        model: Backbone,
        recipe: Recipe,
        num_epochs: int,
        seed: int,
        sampling: Sampling | None = None,
        *,
        normalization: Normalization,
        objective: Objective,
        beta: float | None,
        eps: float,
        step_size: float,
        num_steps: int,
        norm: Norm,
        random_start: bool,
        record: Recorded,
        eval_eps: float | None,
        eval_step_size: float | None,
        eval_steps: int,
    ) -> None:
        super().__init__(model, recipe, num_epochs, seed, sampling)
        self.attack = Attack(eps=eps, step_size=step_size, num_steps=num_steps, norm=norm, random_start=random_start)
        self.eval_attack = Attack(
            eps=eps if eval_eps is None else eval_eps,
            step_size=step_size if eval_step_size is None else eval_step_size,
            num_steps=eval_steps,
            norm=norm,
        )
        self.objective, self.beta, self.record = objective, beta or 0.0, record
        _check(objective, beta, self.attack, record, eval_steps)
        self.mean: Tensor
        self.std: Tensor
        for name in ("mean", "std"):
            values = torch.tensor(getattr(normalization, name), dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @classmethod
    def planned_passes(cls, **settings: Any) -> Passes:
        """Return :attr:`passes` from the ``paradigm:`` node's keys alone, before there is a network or data.

        Raises:
            ConfigError: a setting is out of range, or would be ignored.
        """
        return cls._planned(settings).passes

    @classmethod
    def planned_recording_passes(cls, **settings: Any) -> Passes:
        """Return :attr:`recording_passes`, likewise."""
        return cls._planned(settings).recording_passes

    @classmethod
    def _planned(cls, settings: dict[str, Any]) -> "AdversarialClassifier":
        anything: Any = None
        return cls(anything, anything, 1, 0, normalization=Normalization((0.0,), (1.0,)), **settings)

    @property
    def passes(self) -> Passes:
        """Passes of each sample per training step: those of the attack, the training's, and the extra ones."""
        attack_steps = 0 if self.attack.is_idle else self.attack.num_steps
        if self.objective == "trades":  # clean targets for the attack; then training on both
            return Passes(forward=1 + attack_steps + 2, backward=attack_steps + 2)
        return Passes(forward=attack_steps + 1 + int(self.record == "clean"), backward=attack_steps + 1)

    @property
    def recording_passes(self) -> Passes:
        """Passes of each sample in a pass that only records: the forward one, and those of :meth:`recording_attack`."""
        steps = self.attack.num_steps if self.record == "adversarial" and not self.attack.is_idle else 0
        return Passes(forward=1 + steps, backward=steps)

    def recording_attack(self, epoch: int) -> InputAttack | None:
        """Return what attacks the images of a pass that only records, or None with ``record: clean``.

        It is the training's attack on the cross-entropy to the label, also with ``trades``, as in the release of the
        adversarial extrapolation runs. Its random starts are a function of the seed, the epoch and the batch's number.
        """
        return self._raising_cross_entropy(self.attack, "recording", epoch) if self.record == "adversarial" else None

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Attack one batch and compute the (weighted) loss."""
        draw = self._draw(batch.x.device, "attack", self.current_epoch, batch_idx, self.global_rank)
        losses, recorded = (self._trades if self.objective == "trades" else self._pgd)(batch, draw)
        return self._close_step(batch, losses, *recorded)

    def perturb(self, x: Tensor, loss: Loss, attack: Attack, draw: torch.Generator) -> Tensor:
        """Return attacked images.

        Args:
            x: normalized images, float ``[B, C, H, W]``.
            loss: what the attack raises.
            attack: its settings.
            draw: draws the random start.

        Returns:
            Normalized images ``[B, C, H, W]``; an attack of no steps, or on no images, returns ``x`` itself.
        """
        if attack.is_idle or not len(x):
            return x
        pixels = (x * self.std + self.mean).clamp(0, 1)
        with evaluating(self.model, gradients=True):
            near = attack(lambda pixels: self(self._normalize(pixels)), pixels, loss, draw)
        return self._normalize(near)

    def robust_accuracy(self, loader: Iterable[Batch], precision: str = "32-true") -> float:
        """Return the accuracy under the evaluation's attack, a fraction in ``[0, 1]``.

        It is the accuracy on what one PGD run finds: an upper bound of the true robust accuracy (AutoAttack's is
        lower). The random starts are a function of the seed and the number of the batch.

        Args:
            loader: batches with the deterministic test transform, always of the same size.
            precision: as the Trainer's.
        """
        attack = self._raising_cross_entropy(self.eval_attack, "robust-accuracy")
        return evaluate(self.model, loader, self.model.num_classes, precision, attack).accuracy

    def _raising_cross_entropy(self, attack: Attack, stage: str, *counters: int) -> InputAttack:
        """Return an attack on batches of a loader, which draws by stage, counters and the batch's number."""
        return lambda x, y, number: self.perturb(
            x, cross_entropy_to(y), attack, self._draw(x.device, stage, *counters, number)
        )

    def _pgd(self, batch: Batch, draw: torch.Generator) -> tuple[Tensor, Outputs]:
        """Return the losses ``[B]`` of the attacked images, and what is recorded."""
        clean = self._measure(batch.x) if self.record == "clean" else None
        attacked = self._outputs(self.perturb(batch.x, cross_entropy_to(batch.y), self.attack, draw))
        return self._cross_entropy(attacked[1], batch.y), clean or attacked

    def _trades(self, batch: Batch, draw: torch.Generator) -> tuple[Tensor, Outputs]:
        """Return the losses ``[B]`` of clean and attacked images together, and what is recorded."""
        target = self._measure(batch.x)[1]
        x = self.perturb(batch.x, divergence_from(target), self.attack, draw)
        clean, attacked = self._outputs(batch.x), self._outputs(x)
        losses = self._cross_entropy(clean[1], batch.y) + self.beta * kl_divergence(clean[1], attacked[1])
        return losses, clean if self.record == "clean" else attacked

    def _measure(self, x: Tensor) -> Outputs:
        """Return features and logits in evaluation mode, without gradients."""
        with evaluating(self.model):
            return self._outputs(x)

    def _normalize(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std

    def _draw(self, device: torch.device, stage: str, *counters: int) -> torch.Generator:
        """Return a generator on the images' device: whole batches are drawn from it."""
        return torch.Generator(device).manual_seed(stream_seed(self.seed, stage, *counters))


def _check(objective: str, beta: float | None, attack: Attack, record: str, eval_steps: int) -> None:
    """Check what :class:`Attack` does not.

    Raises:
        ConfigError: a setting is out of range, or would be ignored.
    """
    for key, value, allowed in (
        ("objective", objective, ("pgd", "trades")),
        ("record", record, ("clean", "adversarial")),
    ):
        if value not in allowed:
            raise ConfigError(f"paradigm.{key} must be one of {', '.join(allowed)}, got {value!r}.")
    if objective == "pgd" and beta is not None:
        raise ConfigError(f"paradigm.objective=pgd does not read beta, got {beta}. Set paradigm.beta=null.")
    if objective == "trades" and not (beta is not None and beta > 0):
        raise ConfigError(f"paradigm.objective=trades needs a paradigm.beta above 0, got {beta}.")
    if objective == "trades" and (attack.is_idle or not attack.random_start):
        raise ConfigError(
            "paradigm.objective=trades needs eps and num_steps above 0 and a random start, since its attack has no "
            f"gradient at the clean image; got eps={attack.eps}, num_steps={attack.num_steps}, "
            f"random_start={attack.random_start}."
        )
    if eval_steps < 1:
        raise ConfigError(f"paradigm.eval_steps must be at least 1, got {eval_steps}.")
