"""The LightningModule of supervised classification: what measures (scoring) and what is finally trained."""

from typing import Any, ClassVar, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import NumericalError
from secateur.core.group import current
from secateur.core.seeds import stream_seed
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.recipe import Recipe
from secateur.training.sampling import Sampling


class Passes(NamedTuple):
    """How often a training step passes each of its samples forward, and how often it takes a gradient of one."""

    forward: int
    backward: int


ONE_PASS = Passes(forward=1, backward=1)


class Classifier(pl.LightningModule):
    """Cross-entropy training of a backbone by a recipe.

    Everything random is a function of (seed, epoch), so a resumed training equals an undisturbed one.
    ``training_step`` returns ``loss``, ``logits [B, C]`` and ``features [B, D]`` (detached), which is what a
    :class:`~secateur.training.callbacks.recorder.ScoreRecorder` reads.

    Args:
        model: the network.
        recipe: optimizer and schedule (the ``optim=`` node).
        num_epochs: length of the schedule; the Trainer may stop earlier, never later.
        seed: seed of dropout and other in-model randomness.
        sampling: loss weights and loss feedback of dynamic pruning; None for plain training.
    """

    NAME: ClassVar[str] = "paradigm/supervised"

    classifies: ClassVar[bool] = True  # its head is trained, so there are accuracies
    makes_views: ClassVar[bool] = False  # it augments by itself, so the loader must not

    def __init__(
        self, model: Backbone, recipe: Recipe, num_epochs: int, seed: int, sampling: Sampling | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.num_epochs = num_epochs
        self.seed = seed
        self.sampling = sampling
        self._losses: list[Tensor] = []
        self._batch_sizes: list[int] = []

    @property
    def passes(self) -> Passes:
        """Passes of each sample per training step, for the ledger."""
        return ONE_PASS

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[B, C]`` for images ``[B, channels, H, W]``."""
        logits: Tensor = self.model(x)
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the recipe's optimizer; the schedule is applied at every step by hand, statelessly."""
        return self.recipe.build_optimizer(self.model)

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's losses and reseed in-model randomness for this epoch."""
        self._losses, self._batch_sizes = [], []
        torch.manual_seed(stream_seed(self.seed, "in-model", self.current_epoch, self.global_rank))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set learning rate and momentum for this step from the progress of the run."""
        (optimizer,) = self.trainer.optimizers
        steps = max(int(self.trainer.num_training_batches), 1)
        step = (self.current_epoch + batch_idx / steps) * steps
        self.recipe.apply_schedule(optimizer, step, self.num_epochs * steps, steps)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the (weighted) loss of one batch."""
        features, logits = self._outputs(batch.x)
        return self._close_step(batch, self._cross_entropy(logits, batch.y), features, logits)

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features ``[B, D]`` and logits ``[B, C]``."""
        features = self.model.features(x)
        return features, self.model.head(features)

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each sample, ``[B]``, with the recipe's label smoothing."""
        return F.cross_entropy(logits, target, reduction="none", label_smoothing=self.recipe.label_smoothing)

    def _close_step(self, batch: Batch, losses: Tensor, features: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Weigh the losses ``[B]``, note the result for the epoch's mean, and return what a recorder reads."""
        loss = losses.mean() if self.sampling is None else self.sampling.weigh(batch.sample_id, losses)
        return {"loss": self._note(loss, len(batch.y)), "logits": logits.detach(), "features": features.detach()}

    def _note(self, loss: Tensor, count: int) -> Tensor:
        """Note a step's mean loss for the epoch's, and return what this process contributes to it.

        Gradients are averaged over processes, whose slices of a batch may differ in size and even be empty: each loss
        is weighted by its slice, so that the average is the gradient of the whole batch's mean loss.
        """
        group = current()
        if group.size > 1 and not count:
            loss = loss.nan_to_num()  # the mean of nothing
        self._losses.append(loss.detach())
        self._batch_sizes.append(count)
        if group.size == 1:
            return loss
        return loss * (count * group.size / group.total(loss.new_tensor(count)))

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Clip by norm when the recipe says so."""
        if self.recipe.grad_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip_norm)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the accuracy of a batch, for people who call ``Trainer.validate`` or ``Trainer.test``."""
        accuracy = (self(batch.x).argmax(dim=1) == batch.y).float().mean()
        self.log("accuracy", accuracy, batch_size=len(batch.y), prog_bar=True)

    test_step = validation_step

    def epoch_loss(self) -> tuple[float, int]:
        """Return the mean training loss per sample and the number of samples of the epoch so far, of all processes.

        Raises:
            NumericalError: a loss was not finite; the message names epoch and step.
        """
        losses = torch.stack(self._losses).double().cpu()
        sizes = torch.tensor(self._batch_sizes, dtype=torch.float64)
        bad = (~torch.isfinite(losses)).nonzero().flatten()[:1].tolist()
        parts = current().gather((float((losses * sizes).sum()), int(sizes.sum()), bad, losses[bad].tolist()))
        for _, _, steps, values in parts:
            if steps:
                raise NumericalError(
                    f"The training loss became {values[0]} in epoch {self.current_epoch}, step {steps[0]}. "
                    "Lower optim.lr, or use trainer.precision=32-true."
                )
        num_samples = sum(count for _, count, _, _ in parts)
        return sum(total for total, _, _, _ in parts) / num_samples, num_samples
