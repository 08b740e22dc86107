"""What a report reads of the score extrapolation in one run.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from secateur.report.run import data_name, flat_settings, integer, number, optional

FIDELITY = ("spearman", "pearson", "tail_recall", "tail_chance", "ks", "wasserstein")
BY_RATIO = ("recall", "chance", "jaccard", "jaccard_chance", "observed_share")
COSTS = ("cost_choosing_vs_full", "cost_vs_full_scoring")
# Settings that only the final training or the choice after the scores reads, and those that are columns of their own.
NOT_OF_SCORES = (
    *("selection", "optim", "retrain_model", "final_paradigm", "downstream", "finetune"),
    *("subset_fraction", "subset_epochs_factor", "merge"),
)
NUMERICS = ("trainer.precision", "trainer.channels_last", "trainer.deterministic")

Numbers = Mapping[str, float | None]


@dataclass(frozen=True)
class FidelityRun:
    """A run that predicted scores, as far as their fidelity is concerned.

    Attributes:
        path: folder of the record.
        run_key: key of the run.
        seed: seed of the final training.
        score_seed: seed of the subset, its scoring and the extrapolation.
        data: name of the data set.
        fingerprint: fingerprint of the pool.
        model: the network that scored the subset.
        score: the scorer.
        extrapolation: name of the extrapolator.
        merge: how observed and predicted scores were brought together; empty when not recorded.
        subset_fraction: share of the pool that was scored.
        subset_epochs_factor: length of the subset's scoring training, in units of the default.
        pruning_ratio: the ratio of this run's mask.
        chosen: the candidate that cross-validation chose; None when there was no choice.
        num_compared: number of full scorings it was compared with.
        values: by name, the mean over those full scorings; None where one was not measured. ``seed_spearman`` is the
            level between the full scorings themselves, ``of_seed_level`` the share of it.
        by_ratio: the same for each pruning ratio; ``seed_recall`` is the recall between the full scorings.
        cost_vs_full: cost of everything, final training included; None where nothing was trained.
        finished: when it ended (ISO 8601).
        settings: what decides the scores, flat, without seeds.
    """

    path: Path
    run_key: str
    seed: int
    score_seed: int
    data: str
    fingerprint: str
    model: str
    score: str
    extrapolation: str
    merge: str
    subset_fraction: float
    subset_epochs_factor: float
    pruning_ratio: float
    chosen: str | None
    num_compared: int
    values: Numbers
    by_ratio: Mapping[float, Numbers]
    cost_vs_full: float | None
    finished: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scoring(self) -> dict[str, Any]:
        """Settings of the scoring alone: only runs in which these are equal are compared."""
        return {key: value for key, value in self.settings.items() if not key.startswith("extrapolation.")}


def fidelity_run_of(path: Path, record: Mapping[str, Any]) -> FidelityRun | None:
    """Return what a finished record says of its extrapolation; None for a run without.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the record lacks something, or it is not what it should be.
    """
    block, pruning = record.get("extrapolation"), record["pruning"]
    if not block:
        return None
    factor, chosen = block.get("subset_epochs_factor"), block.get("chosen")
    return FidelityRun(
        path=path,
        run_key=str(record["run_key"]),
        seed=integer(record["seed"], "seed"),
        score_seed=integer(record["score_seed"], "score_seed"),
        data=data_name(record),
        fingerprint=str(record["data"]["fingerprint"]),
        model=str(record["models"]["scoring"]),
        score=str(pruning["score"]),
        extrapolation=str(pruning["extrapolation"]),
        merge=str(block.get("merge") or ""),
        subset_fraction=number(block["subset_fraction"], "extrapolation.subset_fraction"),
        subset_epochs_factor=1.0 if factor is None else number(factor, "extrapolation.subset_epochs_factor"),
        pruning_ratio=_ratio(pruning["pruning_ratio"], "pruning.pruning_ratio"),
        chosen=None if chosen is None else str(chosen),
        num_compared=len(block.get("fidelity") or []),
        values=_values(block),
        by_ratio=_by_ratio(block),
        cost_vs_full=optional(record["ledger"]["cost_vs_full"], "ledger.cost_vs_full"),
        finished=str(record["finished"] or ""),
        settings=_settings_of_scores(record["config"] or {}),
    )


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean; None when there is nothing, or a value is unknown: what is missing is not averaged away."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _values(block: Mapping[str, Any]) -> dict[str, float | None]:
    entries = block.get("fidelity") or []
    values = {name: _mean(entries, name) for name in FIDELITY}
    seed_level = block.get("seed_level") or {}
    level = optional(seed_level.get("spearman"), "extrapolation.seed_level.spearman")
    spearman = values["spearman"]
    values["seed_spearman"] = level
    values["of_seed_level"] = spearman / level if spearman is not None and level is not None and level > 0 else None
    for name in COSTS:
        values[name] = optional(block.get(name), f"extrapolation.{name}")
    return values


def _mean(entries: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return mean_of_all([optional(entry.get(name), f"extrapolation.fidelity.{name}") for entry in entries])


def _by_ratio(block: Mapping[str, Any]) -> dict[float, dict[str, float | None]]:
    """Return the values by ratio, averaged over the full scorings, with the recall between those."""
    found: dict[float, list[Mapping[str, Any]]] = {}
    for entry in block.get("fidelity") or []:
        for line in entry.get("by_ratio") or []:
            found.setdefault(_ratio(line["pruning_ratio"], "extrapolation.fidelity.pruning_ratio"), []).append(line)
    seeds = {
        _ratio(line["pruning_ratio"], "extrapolation.seed_level.pruning_ratio"): line
        for line in (block.get("seed_level") or {}).get("by_ratio") or []
    }
    return {
        ratio: {
            **{name: _mean(lines, name) for name in BY_RATIO},
            "seed_recall": optional(seeds.get(ratio, {}).get("recall"), "extrapolation.seed_level.recall"),
        }
        for ratio, lines in sorted(found.items())
    }


def _ratio(value: Any, name: str) -> float:
    return round(number(value, name), 9)


def _settings_of_scores(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = flat_settings(config)
    return {
        key: value
        for key, value in settings.items()
        if key.split(".")[0] not in NOT_OF_SCORES and (not key.startswith("trainer.") or key in NUMERICS)
    }
