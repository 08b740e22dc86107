"""The LightningModule of self-supervised pretraining: SimSiam and MoCo v2, on any backbone.

[SimSiam] Chen and He, CVPR 2021, arXiv 2011.10566, alg. 1.
[MoCo v2] Chen et al., 2020, arXiv 2003.04297; MoCo: He et al., CVPR 2020, arXiv 1911.05722, alg. 1.

Losses and heads are lightly's.
"""

import copy
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.core.seeds import generator, stream_seed
from secateur.data.augment import Normalization
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.modules.classifier import Classifier, Passes
from secateur.training.modules.two_views import TwoViews
from secateur.training.recipe import Recipe
from secateur.training.sampling import Sampling

Method = Literal["simsiam", "moco"]


class SelfSupervised(Classifier):
    """Trains the features of a backbone without labels; its head stays as it is and is not used.

    The two views are functions of (seed, epoch, step, rank), so a resumed training equals an undisturbed one. They are
    made of what the loader yields, in pixel space: use a loader that does not augment itself. ``training_step``
    returns ``loss`` and the first view's ``features [B, D]`` (detached); there are no logits to score samples with.

    Args:
        model: the network whose ``features`` are trained.
        recipe: optimizer and schedule (the ``optim=`` node), of the heads too.
        num_epochs: length of the schedule.
        seed: seed of the heads, the views and in-model randomness.
        sampling: must be None; without labels there is no loss that a dynamic method could weigh.
        normalization: what the loader does to pixels; needed, because the views are made in pixel space.
        views: the augmentation.
        method: ``simsiam`` or ``moco``.
        hidden_dim: width of the hidden layers of the projection head; both papers use 2048.
        projection_dim: width of its output; null takes the papers' 2048 (SimSiam) or 128 (MoCo v2).
        prediction_dim: width inside SimSiam's prediction head; not read by ``moco``, the next three not by ``simsiam``.
        temperature: of the contrastive softmax.
        momentum: share of the key encoder that a step keeps, in [0, 1).
        memory_size: keys in the queue, at least a batch; keep it well below the number of samples.

    Raises:
        ConfigError: an argument cannot be, or lightly is not installed.

    Deviations:
        SimSiam: the predictor's learning rate follows the schedule (in the authors' code it may be held).
        MoCo v2: no shuffled batch normalization, which exists only across several devices.
    """

    NAME: ClassVar[str] = "paradigm/self_supervised"

    classifies: ClassVar[bool] = False
    makes_views: ClassVar[bool] = True

    def __init__(
        self,
        model: Backbone,
        recipe: Recipe,
        num_epochs: int,
        seed: int,
        sampling: Sampling | None = None,
        normalization: Normalization | None = None,
        *,
        views: TwoViews,
        method: Method = "simsiam",
        hidden_dim: int = 2048,
        projection_dim: int | None = None,
        prediction_dim: int = 512,
        temperature: float = 0.2,
        momentum: float = 0.999,
        memory_size: int = 4096,
    ) -> None:
        super().__init__(model, recipe, num_epochs, seed)
        if sampling is not None:
            raise ConfigError("paradigm=self_supervised cannot train on a subset per epoch; use a method with a mask.")
        if normalization is None:
            raise ConfigError("SelfSupervised needs the data's normalization: its views are made in pixel space.")
        if method not in ("simsiam", "moco"):
            raise ConfigError(f"paradigm.method must be simsiam or moco, got {method!r}.")
        self.views, self.method = views, method
        scale, shift = normalization.factors(torch.device("cpu"))
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", 255 * scale, persistent=False)  # normalized = image * scale + shift
        self.register_buffer("shift", shift, persistent=False)
        self.objective: SimSiam | MoCo
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "self-supervised-heads"))
            if method == "simsiam":
                self.objective = SimSiam(model.num_features, hidden_dim, projection_dim or 2048, prediction_dim)
            else:
                _check_memory(memory_size, recipe.batch_size)
                self.objective = MoCo(model, hidden_dim, projection_dim or 128, temperature, momentum, memory_size)

    @classmethod
    def planned_passes(cls, *, method: Method = "simsiam", **_: Any) -> Passes:
        """Return :attr:`passes` from the node's keys alone, before there is a network or data."""
        return Passes(forward=2, backward=SimSiam.views_backward if method == "simsiam" else MoCo.views_backward)

    @property
    def passes(self) -> Passes:
        """Passes of each sample per training step, for the ledger; those of a momentum encoder are counted too."""
        return Passes(forward=2, backward=self.objective.views_backward)

    def setup(self, stage: str) -> None:
        """Freeze the head: it has no gradient, which distributed training would take for an error."""
        self.model.head.requires_grad_(False)

    def teardown(self, stage: str) -> None:
        """Give the head back."""
        self.model.head.requires_grad_(True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the recipe's optimizer over the backbone and the heads of the method."""
        unused = {id(parameter) for parameter in self.model.head.parameters()}
        return self.recipe.build_optimizer(p for p in self.parameters() if id(p) not in unused)

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Clip by norm when the recipe says so."""
        if self.recipe.grad_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.recipe.grad_clip_norm)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss of two views of one batch; labels are not read."""
        first, second = self.two_views(batch.x, batch_idx)
        loss, features = self.objective(self.model, first, second)
        return {"loss": self._note(loss, len(batch.x)), "features": features.detach()}

    def two_views(self, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return two views, normalized like their images ``[B, C, H, W]``, of one step of the current epoch."""
        draw = generator(self.seed, "views", self.current_epoch, step, self.global_rank)
        first, second = self.views((x - self.shift) / self.scale, draw)
        return first * self.scale + self.shift, second * self.scale + self.shift


class SimSiam(nn.Module):
    """Each view predicts the other's projection, through which no gradient flows; the loss lies in [-1, 1].

    Args:
        num_features: width of the backbone's features.
        hidden_dim: width of the projection head's hidden layers.
        projection_dim: width of its output.
        prediction_dim: width inside the prediction head.
    """

    views_backward = 2

    def __init__(self, num_features: int, hidden_dim: int, projection_dim: int, prediction_dim: int) -> None:
        super().__init__()
        heads, losses, _ = _lightly()
        self.project = heads.SimSiamProjectionHead(num_features, hidden_dim, projection_dim)
        self.predict = heads.SimSiamPredictionHead(projection_dim, prediction_dim, projection_dim)
        self.distance = losses.NegativeCosineSimilarity()

    def forward(self, model: Backbone, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of two views ``[B, C, H, W]`` and the features ``[B, D]`` of the first."""
        features = model.features(first)
        z_first, z_second = self.project(features), self.project(model.features(second))
        one = self.distance(self.predict(z_first), z_second.detach())
        other = self.distance(self.predict(z_second), z_first.detach())
        return (one + other) / 2, features


class MoCo(nn.Module):
    """The first view finds the second among a queue of keys, which a slowly moving copy of the network made.

    The copy and the queue are part of the module's state.

    Args:
        model: the backbone that is copied.
        hidden_dim: width of the projection head's hidden layer.
        projection_dim: width of queries and keys.
        temperature: of the softmax over one positive and the queue.
        momentum: share of the copy that a step keeps.
        memory_size: length of the queue.
    """

    views_backward = 1

    def __init__(
        self,
        model: Backbone,
        hidden_dim: int,
        projection_dim: int,
        temperature: float,
        momentum: float,
        memory_size: int,
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ConfigError(f"paradigm.momentum must be in [0, 1), got {momentum}. MoCo v2 uses 0.999.")
        if not temperature > 0:
            raise ConfigError(f"paradigm.temperature must be positive, got {temperature}. MoCo v2 uses 0.2.")
        heads, losses, self._update_momentum = _lightly()
        self.momentum = momentum
        self.project = heads.MoCoProjectionHead(model.num_features, hidden_dim, projection_dim)
        self.key_model = copy.deepcopy(model).requires_grad_(False)
        self.key_project = copy.deepcopy(self.project).requires_grad_(False)
        self.contrast = losses.NTXentLoss(temperature, memory_bank_size=(memory_size, projection_dim))
        bank = self.contrast.memory_bank
        for name in ("bank", "bank_ptr"):  # lightly leaves the queue out of checkpoints
            bank.register_buffer(name, getattr(bank, name), persistent=True)

    def forward(self, model: Backbone, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Move the copy, and return the loss of two views ``[B, C, H, W]`` and the features ``[B, D]`` of the first."""
        self._update_momentum(model, self.key_model, self.momentum)
        self._update_momentum(self.project, self.key_project, self.momentum)
        features = model.features(first)
        with torch.no_grad():
            keys = self.key_project(self.key_model.features(second))
        return self.contrast(self.project(features), keys), features


def _check_memory(memory_size: int, batch_size: int) -> None:
    if memory_size < batch_size:
        raise ConfigError(f"paradigm.memory_size={memory_size} must hold a batch, optim.batch_size={batch_size}.")


def _lightly() -> tuple[Any, Any, Any]:
    """Return lightly's heads, its losses, and its momentum update."""
    try:
        from lightly import loss  # noqa: PLC0415 (optional, and slow to import)
        from lightly.models.modules import heads  # noqa: PLC0415
        from lightly.models.utils import update_momentum  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("paradigm=self_supervised needs lightly: pip install 'secateur[ssl]'.") from error
    return heads, loss, update_momentum
