"""The blocks ``data`` and ``pruning`` of run.json."""

from collections.abc import Sequence
from typing import Any

import torch

from secateur.core.mask import Mask
from secateur.core.record import DataFacts
from secateur.data.prepared import PreparedData
from secateur.runs.context import Context
from secateur.runs.methods.base import Pruned
from secateur.runs.naming import choice
from secateur.runs.nodes import method_class

STARVED = 0.5  # a class that keeps less than this part of its proportional share gets a warning
MAX_LISTED = 5  # classes in one warning


def data_facts(data: PreparedData) -> DataFacts:
    """Return the ``data`` block."""
    return DataFacts(
        name=data.name,
        class_names=list(data.class_names),
        num_train=len(data.pool),
        num_validation=len(data.validation),
        num_test=len(data.test),
        num_classes=data.num_classes,
        fingerprint=data.fingerprint,
        evaluation_fingerprint=data.evaluation_fingerprint,
        num_flipped=int(data.flipped.sum()),
    )


def pruning_facts(context: Context, pruned: Pruned) -> dict[str, Any]:
    """Return the keys of the ``pruning`` block, and warn about classes that the mask empties."""
    config = context.config
    return {
        **{key: choice(config, key, context.choices) for key in ("method", "score", "extrapolation", "selection")},
        "variant": config.variant,
        "pruning_ratio": config.pruning_ratio,
        "num_total": context.num_total,
        "given": method_class(config).given,
        "drawn_by": list(method_class(config).drawn_by),
        "per_epoch": pruned.visits is not None,
        **_visit_facts(pruned),
        **(_mask_facts(context, pruned, pruned.mask) if pruned.mask else {}),
        **pruned.facts,
    }


def _visit_facts(pruned: Pruned) -> dict[str, Any]:
    """Return what a method that chooses anew in every epoch was trained on; nothing for the others."""
    if pruned.visits is None:
        return {}
    visits = pruned.visits
    return {
        "visited_share": visits.share,
        "num_seen": visits.num_seen,
        "visits_sha256": visits.sha256,
        "realized_pruning_ratio": 1 - visits.share,
    }


def _mask_facts(context: Context, pruned: Pruned, mask: Mask) -> dict[str, Any]:
    """Return what is said of a mask, and warn about classes that it empties."""
    data = context.data
    counts = torch.bincount(data.labels[mask.kept_ids], minlength=data.num_classes)
    before = torch.bincount(data.labels[data.pool], minlength=data.num_classes)
    kept_fraction = mask.num_kept / len(mask)
    if pruned.ranking is None:  # a ranking of groups removes whole classes on purpose
        for warning in class_warnings(counts, before, data.class_names):
            context.warn(warning)
    noisy = bool(data.flipped.any())
    return {
        "realized_pruning_ratio": 1 - kept_fraction,
        "keep_fraction": kept_fraction,
        "num_kept": mask.num_kept,
        "class_counts": counts.tolist(),
        "observed_share": _share(pruned.scores.observed[mask.keep]) if pruned.scores else None,
        "flipped_share_kept": float(data.flipped[mask.keep].float().mean()) if noisy else None,
        "flipped_share_pruned": _share(data.flipped[~mask.keep]) if noisy else None,
        "mask_sha256": mask.sha256,
    }


def class_warnings(kept: torch.Tensor, total: torch.Tensor, names: Sequence[str]) -> list[str]:
    """Return a warning on classes without a kept sample and one on those below half of their proportional share.

    Args:
        kept: kept samples of each class, int64 ``[C]``.
        total: samples of each class in the pool, int64 ``[C]``.
        names: name of each class.
    """
    share = float(kept.sum() / total.sum())
    emptied = (kept == 0) & (total > 0)
    starved = (kept < STARVED * share * total) & (kept > 0)
    advice = "selection=class_balanced keeps the proportions of the classes."
    found = (("no sample", emptied), ("less than half of the proportional share", starved))
    return [
        f"The mask keeps {what} of {_listed(classes, kept, total, names)}: {advice}"
        for what, classes in found
        if classes.any()
    ]


def _listed(classes: torch.Tensor, kept: torch.Tensor, total: torch.Tensor, names: Sequence[str]) -> str:
    rows = classes.nonzero().flatten().tolist()
    listed = [f"{names[row]!r} ({int(kept[row])} of {int(total[row])})" for row in rows[:MAX_LISTED]]
    rest = [f"{len(rows) - MAX_LISTED} more"] if len(rows) > MAX_LISTED else []
    return f"class {listed[0]}" if len(rows) == 1 else f"{len(rows)} classes, {', '.join([*listed, *rest])}"


def _share(values: torch.Tensor) -> float | None:
    return float(values.double().mean()) if len(values) else None
