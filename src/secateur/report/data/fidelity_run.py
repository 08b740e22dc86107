"""What a report reads of the score extrapolation in one run.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from secateur.core.block import Block
from secateur.core.record import ByRatio, Extrapolation, RunRecord
from secateur.report.data.run import data_name, known
from secateur.runs.config import compared_settings, is_of_scores

FIDELITY = ("spearman", "pearson", "tail_recall", "tail_chance", "ks", "wasserstein")
BY_RATIO = ("recall", "chance", "jaccard", "jaccard_chance", "observed_share")
COSTS = ("cost_choosing_vs_full", "cost_vs_full_scoring")

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
        is_control: whether the extrapolator is something that others must be better than, as its record says.
        num_predicted: number of samples whose score was predicted; None: not recorded.
        num_total: size of the pool; None: not recorded.
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
    is_control: bool = False
    num_predicted: int | None = None
    num_total: int | None = None

    @property
    def scoring(self) -> dict[str, Any]:
        """Settings of the scoring alone: only runs in which these are equal are compared."""
        return {key: value for key, value in self.settings.items() if not key.startswith("extrapolation.")}


def fidelity_run_of(path: Path, record: RunRecord) -> FidelityRun | None:
    """Return what a finished record says of its extrapolation; None for a run without.

    Raises:
        DataError: the record lacks something; the message has its key.
    """
    predicted, pruning = record.extrapolation, record.pruning
    if predicted.is_empty:
        return None
    factor, ratio = predicted.subset_epochs_factor, known(pruning.pruning_ratio, "pruning.pruning_ratio")
    return FidelityRun(
        path=path,
        run_key=known(record.run_key, "run_key"),
        seed=known(record.seed, "seed"),
        score_seed=known(record.score_seed, "score_seed"),
        data=data_name(record),
        fingerprint=known(record.data.fingerprint, "data.fingerprint"),
        model=known(record.models.scoring, "models.scoring"),
        score=known(pruning.score, "pruning.score"),
        extrapolation=known(pruning.extrapolation, "pruning.extrapolation"),
        merge=predicted.merge or "",
        subset_fraction=float(known(predicted.subset_fraction, "extrapolation.subset_fraction")),
        subset_epochs_factor=1.0 if factor is None else float(factor),
        pruning_ratio=_rounded(ratio),
        chosen=predicted.chosen,
        num_compared=len(predicted.fidelity),
        values=_values(predicted),
        by_ratio=_by_ratio(predicted),
        cost_vs_full=record.ledger.cost_vs_full,
        finished=record.finished or "",
        settings=_settings_of_scores(record.config),
        is_control=predicted.control is True,
        num_predicted=predicted.num_predicted,
        num_total=pruning.num_total,
    )


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean; None when there is nothing, or a value is unknown: what is missing is not averaged away."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _values(predicted: Extrapolation) -> dict[str, float | None]:
    values = {name: _mean(predicted.fidelity, name) for name in FIDELITY}
    level = predicted.seed_level.spearman if predicted.seed_level else None
    spearman = values["spearman"]
    values["seed_spearman"] = level
    values["of_seed_level"] = spearman / level if spearman is not None and level is not None and level > 0 else None
    return values | {name: getattr(predicted, name) for name in COSTS}


def _mean(entries: Sequence[Block], name: str) -> float | None:
    return mean_of_all([getattr(entry, name) for entry in entries])


def _by_ratio(predicted: Extrapolation) -> dict[float, dict[str, float | None]]:
    """Return the values by ratio, averaged over the full scorings, with the recall between those."""
    found: dict[float, list[ByRatio]] = {}
    for entry in predicted.fidelity:
        for line in entry.by_ratio:
            found.setdefault(_rounded(line.pruning_ratio), []).append(line)
    between = predicted.seed_level.by_ratio if predicted.seed_level else []
    seeds = {_rounded(line.pruning_ratio): line.recall for line in between}
    return {
        ratio: {**{name: _mean(lines, name) for name in BY_RATIO}, "seed_recall": seeds.get(ratio)}
        for ratio, lines in sorted(found.items())
    }


def _rounded(ratio: float) -> float:
    return round(float(ratio), 9)


def _settings_of_scores(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in compared_settings(config).items() if is_of_scores(key)}
