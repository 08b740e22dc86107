"""AdaPruner: the mask is learned together with the network."""

from dataclasses import dataclass, replace
from math import floor
from typing import Any, ClassVar

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.mask import Mask, check_pruning_ratio, keep_count
from secateur.core.tables import ScoreTable
from secateur.runs.config import Experiment
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.nodes import build
from secateur.runs.paradigms import passes_of
from secateur.runs.plan import final_plan, if_trained, training_plan
from secateur.runs.stages.joint_pruning import JointSettings, check_pool, joint_prune
from secateur.runs.stages.training import train_on_mask
from secateur.training.modules.classifier import ONE_PASS


@dataclass(frozen=True, kw_only=True)
class AdaPruner(JointSettings, Method):
    """Warm-up on all data, joint pruning and fine-tuning, then the final training on what is kept.

    The settings of :class:`~secateur.runs.stages.joint_pruning.JointSettings` and the constants of
    :class:`~secateur.dynamic.adapruner_schedule.AdaPrunerConstants` are keys of this node too.

    Args:
        joint_ratio: ratio the joint objective is driven to; null: ``pruning_ratio``. With a fixed one, a single
            joint run serves all nearby ratios through its mask values.
        exact_ratio: keep exactly ``round(N * (1 - ratio))`` samples by ``selection=``; false: those with m > 0, and
            an error when these miss the ratio by ``ratio_tolerance`` or more.
        finetune: start the final training from the joint weights instead of from scratch.
    """

    NAME: ClassVar[str] = "method/adapruner"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed", "selection", "variant"})
    joint_ratio: float | None = None
    exact_ratio: bool = True
    finetune: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint_ratio is not None:
            check_pruning_ratio(self.joint_ratio)

    def prune(self, context: Context) -> Pruned:
        """Learn the mask, and with ``finetune`` go on from the joint weights."""
        config = context.config
        self.check(context)
        num_keep = keep_count(context.num_total, config.pruning_ratio)
        joint = joint_prune(context, self, config.pruning_ratio if self.joint_ratio is None else self.joint_ratio)
        self._warn(context, joint.summary)
        scores = ScoreTable.load(joint.path / "scores.parquet", context.data.fingerprint)
        mask = self._mask(context, scores, num_keep)
        trained = train_on_mask(context, mask, start=joint.path) if self.finetune else None
        files = (joint.path / "diagnostics.json",)
        return Pruned(mask, scores=scores, trained=trained, files=files, facts=self._facts(config, joint.summary))

    def plans_at_most(self, context: Context) -> bool:
        """Whether the plan is an upper bound: without ``exact_ratio`` the joint training decides how many are kept."""
        return not self.exact_ratio

    def plan(self, context: Context) -> list[StageCost]:
        """Plan warm-up, joint training and final training."""
        self.check(context)
        num_keep = keep_count(context.num_total, context.config.pruning_ratio)
        if not self.exact_ratio:
            num_keep = min(num_keep + floor(context.num_total * self.ratio_tolerance), context.num_total)
            context.warn(
                "method.exact_ratio=false keeps what the joint training ends with: the plan is its upper bound, "
                f"method.ratio_tolerance={self.ratio_tolerance:g} more than asked for."
            )
        stages = []
        if self.warmup_epochs:
            visits, passes = context.num_total * self.warmup_epochs, passes_of(context.config.paradigm)
            stages.append(training_plan(context, "warmup", "model", visits, passes=passes))
        visits = context.num_total * self.joint_epochs
        stages.append(training_plan(context, "joint_pruning", "model", visits, passes=ONE_PASS))
        final = final_plan(context, num_keep)
        return [*stages, *([final] if self.finetune else if_trained(context, final))]

    def check(self, context: Context) -> None:
        """Check the method against the data and the models.

        Raises:
            ConfigError: nothing would be kept, the pool does not fit the joint training, or the final training cannot
                start from the joint weights.
        """
        keep_count(context.num_total, context.config.pruning_ratio)
        check_pool(context, self.optim.batch_size, self.select_on)
        if self.finetune and context.config.model != context.config.retrain_model:
            raise ConfigError("method.finetune=true needs the same model and retrain_model.")
        if self.finetune and not context.config.train_final:
            raise ConfigError("method.finetune=true trains on from the joint weights: it needs train_final=true.")

    def _mask(self, context: Context, scores: ScoreTable, num_keep: int) -> Mask:
        ratio = context.config.pruning_ratio
        made_by = {"method": "adapruner", "pruning_ratio": ratio}
        if self.exact_ratio:
            mask: Mask = build(context.config.selection)(scores, num_keep, context.config.score_seed)
            return replace(mask, metadata={**mask.metadata, **made_by})
        keep = scores.score > 0
        count, num_total = int(keep.sum()), len(keep)
        if not count or abs(count / num_total - (1 - ratio)) >= self.ratio_tolerance:
            raise ConfigError(
                f"AdaPruner's raw mask keeps {count} of {num_total} samples, which misses pruning_ratio={ratio:g} by "
                f"method.ratio_tolerance={self.ratio_tolerance:g} or more. Use method.exact_ratio=true, or change "
                "method.joint_epochs or method.mask_lr."
            )
        return Mask(scores.sample_id, keep, scores.fingerprint, made_by)

    def _warn(self, context: Context, summary: dict[str, Any]) -> None:
        """Say what weakens the result: a choice on the test set, or no epoch to choose from."""
        chosen = summary["chosen"]
        if self.select_on == "test":
            context.warn("method.select_on=test chooses the mask on the test set: parity only, no verdict.")
        if self.select_on != "last" and not self._is_admissible(chosen):
            context.warn(
                f"No epoch's raw kept fraction was within {self.ratio_tolerance:g} of {chosen['keep_fraction']:g} (the "
                f"last had {chosen['raw_kept_fraction']:.3f}); the last epoch's mask values are taken."
            )

    def _is_admissible(self, row: dict[str, Any]) -> bool:
        return bool(abs(row["raw_kept_fraction"] - row["keep_fraction"]) < self.ratio_tolerance)

    def _facts(self, config: Experiment, summary: dict[str, Any]) -> dict[str, Any]:
        """Return what the record says of the joint training, and what distinguishes it in tables."""
        settings = {key: getattr(self, key) for key in ("index", "select_on", "exact_ratio", "finetune")}
        chosen, last = summary["chosen"], summary["last"]
        unusual = {"position": self.index == "position", "raw": not self.exact_ratio, "fine-tuned": self.finetune}
        plain = config.variant == "reference"  # the name of a variant says it all
        return {
            **settings,
            "follows_ratio": self.exact_ratio,  # the raw threshold keeps what the joint training ends with
            "modifiers": [word for word, holds in unusual.items() if holds and plain],
            "joint_pruning_ratio": 1 - chosen["keep_fraction"],
            "chosen_epoch": chosen["epoch"],
            "raw_kept_fraction": chosen["raw_kept_fraction"],
            "last_raw_kept_fraction": last["raw_kept_fraction"],
            "last_scale": last["scale"],
        }
