"""What a report reads of the score extrapolation in one run.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from secateur.report.data.run import (
    as_object,
    at,
    block,
    cost,
    data_name,
    integer,
    number,
    number_in,
    objects,
    optional,
    optional_integer,
    pruning_ratio,
    text,
)
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


def fidelity_run_of(path: Path, record: Mapping[str, Any]) -> FidelityRun | None:
    """Return what a finished record says of its extrapolation; None for a run without.

    Raises:
        ValueError: the record lacks something, or it is not what it should be; the message has its key.
    """
    if not record.get("extrapolation"):
        return None
    predicted = block(record, "extrapolation")
    factor, chosen = predicted.get("subset_epochs_factor"), predicted.get("chosen")
    fraction = at(record, "extrapolation.subset_fraction")
    return FidelityRun(
        path=path,
        run_key=text(at(record, "run_key"), "run_key"),
        seed=integer(at(record, "seed"), "seed"),
        score_seed=integer(at(record, "score_seed"), "score_seed"),
        data=data_name(record),
        fingerprint=str(at(record, "data.fingerprint")),
        model=str(at(record, "models.scoring")),
        score=str(at(record, "pruning.score")),
        extrapolation=str(at(record, "pruning.extrapolation")),
        merge=str(predicted.get("merge") or ""),
        subset_fraction=number_in(fraction, "extrapolation.subset_fraction", 0, 1),
        subset_epochs_factor=1.0 if factor is None else number(factor, "extrapolation.subset_epochs_factor"),
        pruning_ratio=round(pruning_ratio(at(record, "pruning.pruning_ratio")), 9),
        chosen=None if chosen is None else str(chosen),
        num_compared=len(_entries(predicted)),
        values=_values(predicted),
        by_ratio=_by_ratio(predicted),
        cost_vs_full=cost(at(record, "ledger.cost_vs_full"), "ledger.cost_vs_full"),
        finished=str(at(record, "finished") or ""),
        settings=_settings_of_scores(as_object(at(record, "config") or {}, "config")),
        is_control=predicted.get("control") is True,
        num_predicted=optional_integer(predicted.get("num_predicted"), "extrapolation.num_predicted", 0),
        num_total=optional_integer(block(record, "pruning").get("num_total"), "pruning.num_total", 1),
    )


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean; None when there is nothing, or a value is unknown: what is missing is not averaged away."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _entries(predicted: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was measured against each full scoring."""
    return objects(predicted.get("fidelity"), "extrapolation.fidelity")


def _seed_level(predicted: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_object(predicted.get("seed_level") or {}, "extrapolation.seed_level")


def _values(predicted: Mapping[str, Any]) -> dict[str, float | None]:
    values = {name: _mean(_entries(predicted), name) for name in FIDELITY}
    level = optional(_seed_level(predicted).get("spearman"), "extrapolation.seed_level.spearman")
    spearman = values["spearman"]
    values["seed_spearman"] = level
    values["of_seed_level"] = spearman / level if spearman is not None and level is not None and level > 0 else None
    for name in COSTS:
        values[name] = cost(predicted.get(name), f"extrapolation.{name}")
    return values


def _mean(entries: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return mean_of_all([optional(entry.get(name), f"extrapolation.fidelity.{name}") for entry in entries])


def _by_ratio(predicted: Mapping[str, Any]) -> dict[float, dict[str, float | None]]:
    """Return the values by ratio, averaged over the full scorings, with the recall between those."""
    found: dict[float, list[Mapping[str, Any]]] = {}
    for entry in _entries(predicted):
        for line in objects(entry.get("by_ratio"), "extrapolation.fidelity.by_ratio"):
            found.setdefault(_ratio(line, "extrapolation.fidelity.by_ratio"), []).append(line)
    between = objects(_seed_level(predicted).get("by_ratio"), "extrapolation.seed_level.by_ratio")
    seeds = {_ratio(line, "extrapolation.seed_level.by_ratio"): line for line in between}
    return {
        ratio: {
            **{name: _mean(lines, name) for name in BY_RATIO},
            "seed_recall": optional(seeds.get(ratio, {}).get("recall"), "extrapolation.seed_level.recall"),
        }
        for ratio, lines in sorted(found.items())
    }


def _ratio(line: Mapping[str, Any], name: str) -> float:
    return round(pruning_ratio(line.get("pruning_ratio"), f"{name}.pruning_ratio"), 9)


def _settings_of_scores(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in compared_settings(config).items() if is_of_scores(key)}
