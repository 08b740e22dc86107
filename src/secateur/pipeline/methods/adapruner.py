"""AdaPruner: the mask is learned together with the network."""

from dataclasses import dataclass, replace
from typing import ClassVar

from secateur.core.errors import ConfigError
from secateur.core.mask import Mask, keep_count
from secateur.core.store import StageResult
from secateur.core.tables import ScoreTable
from secateur.dynamic.adapruner_schedule import AdaPrunerConstants
from secateur.pipeline.config import build
from secateur.pipeline.context import Context
from secateur.pipeline.joint import check_pool, joint_prune
from secateur.pipeline.methods.base import Pruned
from secateur.pipeline.training import train_on_mask
from secateur.training.joint_pruning import Index
from secateur.training.mask_tracker import SelectOn
from secateur.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class AdaPruner(AdaPrunerConstants):
    """Warm-up on all data, joint pruning and fine-tuning, then the final training on what is kept.

    The constants of :class:`~secateur.dynamic.adapruner_schedule.AdaPrunerConstants` are keys of this node too.

    Args:
        optim: recipe of the joint training (``optim@method.optim=``).
        warmup_epochs: epochs on all data before; 0 starts from a fresh network.
        joint_epochs: epochs of the joint training.
        joint_ratio: ratio the joint objective is driven to; null: ``pruning_ratio``. With a fixed one, a single
            joint run serves all nearby ratios through its mask values.
        index: ``sample``, or ``position`` as the released script does.
        select_on: split on which the epoch of the mask is chosen, or ``last``; ``test`` is for parity only.
        ratio_tolerance: an epoch can be chosen when its raw kept fraction is so near to the asked one.
        exact_ratio: keep exactly ``round(N * (1 - ratio))`` samples by ``selection=``; false: those with m > 0.
        finetune: start the final training from the joint weights instead of from scratch.
        mask_lr: learning rate of the mask; null: the network's.
        mask_momentum: momentum of the mask; null: the network's.
        mask_weight_decay: weight decay of the mask; null: the network's.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed", "selection", "variant"})
    optim: Recipe
    warmup_epochs: int
    joint_epochs: int
    joint_ratio: float | None = None
    index: Index = "sample"
    select_on: SelectOn = "validation"
    ratio_tolerance: float = 0.02
    exact_ratio: bool = True
    finetune: bool = False
    mask_lr: float | None = None
    mask_momentum: float | None = None
    mask_weight_decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint_epochs < 1 or self.warmup_epochs < 0:
            raise ConfigError(
                f"method.joint_epochs must be at least 1 and method.warmup_epochs at least 0, got {self.joint_epochs} "
                f"and {self.warmup_epochs}."
            )

    @property
    def mask_optim(self) -> dict[str, float]:
        """What differs in the mask's parameter group."""
        given = {"lr": self.mask_lr, "momentum": self.mask_momentum, "weight_decay": self.mask_weight_decay}
        return {key: value for key, value in given.items() if value is not None}

    def prune(self, context: Context) -> Pruned:
        """Learn the mask, and with ``finetune`` go on from the joint weights."""
        config = context.config
        check_pool(context, self.optim.batch_size)
        ratio = config["pruning_ratio"] if self.joint_ratio is None else self.joint_ratio
        num_keep = keep_count(context.num_total, config["pruning_ratio"])
        joint = joint_prune(context, self, ratio)
        self._remark(context, joint)
        scores = ScoreTable.load(joint.path / "scores.parquet", context.data.fingerprint)
        mask = self._mask(context, scores, num_keep)
        trained = None
        if self.finetune:
            if config["model"] != config["retrain_model"]:
                raise ConfigError("method.finetune=true needs the same model and retrain_model.")
            trained = train_on_mask(context, mask, start=joint.path)
        return Pruned(mask, scores=scores, trained=trained, files=(joint.path / "diagnostics.json",))

    def _mask(self, context: Context, scores: ScoreTable, num_keep: int) -> Mask:
        made_by = {"method": "adapruner", "pruning_ratio": context.config["pruning_ratio"]}
        if self.exact_ratio:
            mask: Mask = build(context.config["selection"])(scores, num_keep, context.config["score_seed"])
            return replace(mask, metadata={**mask.metadata, **made_by})
        keep = scores.score > 0
        if not bool(keep.any()) or bool(keep.all()):
            ratio = context.config["pruning_ratio"]
            raise ConfigError(
                f"AdaPruner's raw mask keeps {int(keep.sum())} of {len(keep)} samples and so misses pruning_ratio="
                f"{ratio:g}. Train longer (method.joint_epochs) or use method.exact_ratio=true."
            )
        return Mask(scores.sample_id, keep, scores.fingerprint, made_by)

    def _remark(self, context: Context, joint: StageResult) -> None:
        raw = joint.summary["last"]["raw_kept_fraction"]
        if self.select_on == "test":
            context.warn("method.select_on=test chooses the mask on the test set: parity only, no verdict.")
        if self.select_on != "last" and not joint.summary["admissible"]:
            context.warn(
                f"No epoch's raw kept fraction was within {self.ratio_tolerance:g} of the asked one (the last had "
                f"{raw:.3f}); the last epoch's mask values are taken."
            )
