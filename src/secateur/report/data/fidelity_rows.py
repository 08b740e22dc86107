"""How well predicted scores stand for measured ones: one row per extrapolator and subset, over score seeds."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from secateur.report.data.chance import NO_BETTER, NOT_COMPARED, NOT_SHOWN, against_chance, recall_gain
from secateur.report.data.fidelity_run import FidelityRun, mean_of_all
from secateur.report.data.statistics import Comparison, Estimate, estimate, paired_difference, verdict
from secateur.runs.config import default_of

TIE_MARGIN = 0.01  # correlations that differ by less are equal


@dataclass(frozen=True)
class RatioFidelity:
    """Which samples the predicted scores keep at one pruning ratio.

    Attributes:
        pruning_ratio: fraction removed.
        recall: share of what the full scores keep that the predicted ones keep as well.
        chance: the recall of a random mask.
        seed_recall: recall between full scorings of different seeds; None when there is one only.
        jaccard: Jaccard index of the two kept sets.
        jaccard_chance: the same of a random mask.
        observed_share: share of the kept samples whose score was measured.
        cost_vs_full: mean cost with the final training, over the runs of this ratio that did it; None: none did.
    """

    pruning_ratio: float
    recall: Estimate | None
    chance: float | None
    seed_recall: float | None
    jaccard: float | None
    jaccard_chance: float | None
    observed_share: float | None
    cost_vs_full: float | None


@dataclass(frozen=True)
class FidelityRow:
    """What a report says about one extrapolator on subsets of one size.

    Attributes:
        data: name of the data set, with the pool's fingerprint where one name stands for several pools.
        model: the network that scored the subset.
        score: the scorer.
        extrapolation: name of the extrapolator.
        label: the same, with the settings that tell it from another row.
        merge: how observed and predicted scores were brought together.
        subset_fraction: share of the pool that was scored.
        subset_epochs_factor: length of the subset's scoring training, in units of the default.
        score_seeds: one subset each.
        chosen: what cross-validation chose and how often, ``k=10 (2), k=20 (1)``; empty when it did not.
        spearman_by_seed: Spearman correlation on the unscored samples by score seed, where it is defined.
        spearman: the same over score seeds.
        pearson: Pearson correlation.
        of_seed_level: Spearman correlation as a share of that between full scorings of different seeds.
        seed_spearman: that level itself; None when there is one full scoring only.
        tail_recall: share of the extreme scores that is found.
        tail_chance: what a random choice finds of them.
        ks: Kolmogorov-Smirnov distance between predicted and full scores.
        wasserstein: Wasserstein distance between them.
        cost_choosing_vs_full: cost of all that only decides the mask, in full trainings.
        cost_vs_full_scoring: the same in full scorings; at 1 or above nothing is saved.
        ratios: what is kept at each ratio.
        control: label of the best control on the same subsets; empty when there is none, or this is one.
        vs_control: Spearman correlation less that of the control, paired by score seed.
        verdict: what the difference says, in words.
        scoring: settings of the scoring.
        is_control: whether this is something that an extrapolator must be better than, as its record says.
        chance: whether it is better than chance, in the words of :func:`secateur.report.data.chance.against_chance`.
    """

    data: str
    model: str
    score: str
    extrapolation: str
    label: str
    merge: str
    subset_fraction: float
    subset_epochs_factor: float
    score_seeds: tuple[int, ...]
    chosen: str
    spearman_by_seed: Mapping[int, float]
    spearman: Estimate | None
    pearson: Estimate | None
    of_seed_level: Estimate | None
    seed_spearman: float | None
    tail_recall: Estimate | None
    tail_chance: float | None
    ks: float | None
    wasserstein: float | None
    cost_choosing_vs_full: float | None
    cost_vs_full_scoring: float | None
    ratios: tuple[RatioFidelity, ...]
    control: str = ""
    vs_control: Comparison | None = None
    verdict: str = ""
    scoring: Mapping[str, Any] = field(default_factory=dict)
    is_control: bool = False
    chance: str = NOT_COMPARED

    @property
    def study(self) -> tuple[str, str, str]:
        """Data set, scoring network and scorer: a table each."""
        return self.data, self.model, self.score

    @property
    def subset(self) -> tuple[float, float]:
        """Size of the subset and length of its training: rows that share them share their subsets."""
        return self.subset_fraction, self.subset_epochs_factor


def make_fidelity_rows(runs: Sequence[FidelityRun]) -> list[FidelityRow]:
    """Return the rows, sorted by study and subset, the controls first; runs without a full scoring do not count.

    A run's value is its mean over the full scorings it was compared with; a row's is over runs, one per score seed.
    Of runs that share settings and score seed (other ratios, or another version of the code) the one that finished
    last counts; what it lacks at a ratio is taken from the others.
    """
    groups: dict[tuple[Any, ...], list[FidelityRun]] = defaultdict(list)
    compared = _named_apart([run for run in runs if run.num_compared])
    for run, label in zip(compared, _labels(compared), strict=True):
        subset = (run.subset_fraction, run.subset_epochs_factor)
        groups[(run.data, run.model, run.score), subset, label, run.merge].append(run)
    rows = [_row(label, members) for (_, _, label, _), members in groups.items()]
    rows.sort(key=lambda row: (row.study, row.subset, not row.is_control, _natural(row.label), row.merge))
    return [_compared_with_control(row, rows) for row in rows]


def _natural(label: str) -> tuple[tuple[str, float], ...]:
    """Return a key that sorts ``k=5`` before ``k=10``."""
    parts = re.split(r"(\d+(?:\.\d+)?)", label)
    return tuple(("", float(part)) if position % 2 else (part, 0.0) for position, part in enumerate(parts))


def _named_apart(runs: Sequence[FidelityRun]) -> list[FidelityRun]:
    """Add the fingerprint to the data set's name where one name stands for several pools."""
    pools = defaultdict(set)
    for run in runs:
        pools[run.data].add(run.fingerprint)
    several = {name for name, fingerprints in pools.items() if len(fingerprints) > 1}
    return [replace(run, data=f"{run.data}@{run.fingerprint[:8]}") if run.data in several else run for run in runs]


def _labels(runs: Sequence[FidelityRun]) -> list[str]:
    """Return each run's extrapolator with the settings that differ among its runs, for example ``knn [k=10]``."""
    alike = defaultdict(list)
    for run in runs:
        alike[run.data, run.model, run.score, run.extrapolation].append(run.settings)
    differing = {}
    for key, settings in alike.items():
        names = sorted({name for one in settings for name in one})
        differing[key] = [name for name in names if len({repr(one.get(name)) for one in settings}) > 1]
    return [_label(run, differing[run.data, run.model, run.score, run.extrapolation]) for run in runs]


def _label(run: FidelityRun, differing: Sequence[str]) -> str:
    short = [name.rsplit(".", 1)[-1] for name in differing]
    shown = [
        f"{name if short.count(last) > 1 else last}={run.settings.get(name, default_of(name))}"
        for name, last in zip(differing, short, strict=True)
    ]
    return run.extrapolation + (f" [{', '.join(shown)}]" if shown else "")


def _row(label: str, members: Sequence[FidelityRun]) -> FidelityRow:
    runs = _one_per_seed(members)
    first = runs[0]
    values = {name: [run.values[name] for run in runs] for name in first.values}
    chosen = Counter(run.chosen for run in runs if run.chosen is not None)
    return FidelityRow(
        data=first.data,
        model=first.model,
        score=first.score,
        extrapolation=first.extrapolation,
        label=label,
        merge=first.merge,
        subset_fraction=first.subset_fraction,
        subset_epochs_factor=first.subset_epochs_factor,
        score_seeds=tuple(run.score_seed for run in runs),
        chosen=", ".join(f"{name} ({count})" for name, count in sorted(chosen.items(), key=lambda i: (-i[1], i[0]))),
        spearman_by_seed={run.score_seed: value for run in runs if (value := run.values["spearman"]) is not None},
        spearman=_estimate(values["spearman"]),
        pearson=_estimate(values["pearson"]),
        of_seed_level=_estimate(values["of_seed_level"]),
        seed_spearman=mean_of_all(values["seed_spearman"]),
        tail_recall=_estimate(values["tail_recall"]),
        tail_chance=mean_of_all(values["tail_chance"]),
        ks=mean_of_all(values["ks"]),
        wasserstein=mean_of_all(values["wasserstein"]),
        cost_choosing_vs_full=mean_of_all(values["cost_choosing_vs_full"]),
        cost_vs_full_scoring=mean_of_all(values["cost_vs_full_scoring"]),
        ratios=_ratios(runs, members),
        scoring=first.scoring,
        is_control=first.is_control,
        chance=against_chance(runs, {ratio: recall_gain(runs, ratio) for run in runs for ratio in run.by_ratio}),
    )


def _one_per_seed(members: Sequence[FidelityRun]) -> list[FidelityRun]:
    """Return one run per score seed, the one that finished last, with the ratios of all."""
    merged: dict[int, FidelityRun] = {}
    for run in sorted(members, key=lambda run: (run.finished, run.run_key)):
        older = merged.get(run.score_seed)
        merged[run.score_seed] = run if older is None else replace(run, by_ratio={**older.by_ratio, **run.by_ratio})
    return [merged[seed] for seed in sorted(merged)]


def _ratios(runs: Sequence[FidelityRun], members: Sequence[FidelityRun]) -> tuple[RatioFidelity, ...]:
    """Return what is kept at each ratio; the costs are of all members, whatever their final seed."""
    costs: dict[float, list[float]] = defaultdict(list)
    for run in {run.run_key: run for run in members}.values():
        if run.cost_vs_full is not None:
            costs[run.pruning_ratio].append(run.cost_vs_full)
    parts = []
    for ratio in sorted({ratio for run in runs for ratio in run.by_ratio} | costs.keys()):
        lines = [run.by_ratio[ratio] for run in runs if ratio in run.by_ratio]
        names = ("chance", "seed_recall", "jaccard", "jaccard_chance", "observed_share")
        parts.append(
            RatioFidelity(
                pruning_ratio=ratio,
                recall=_estimate([line["recall"] for line in lines]),
                **{name: mean_of_all([line[name] for line in lines]) for name in names},
                cost_vs_full=fmean(costs[ratio]) if ratio in costs else None,
            )
        )
    return tuple(parts)


def _estimate(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return estimate(known) if known else None


def _compared_with_control(row: FidelityRow, rows: Sequence[FidelityRow]) -> FidelityRow:
    """Add the comparison with chance, and with the best control of the same scoring and subsets.

    The control is of the same merge where there is one. No merge changes the order of the predictions, so another one's
    correlation is as good. What is no better than chance, or not shown to be, has that verdict, whatever the controls
    are.
    """
    if row.is_control:
        return row
    alike = [
        (control.merge == row.merge, control.spearman.mean, control)
        for control in rows
        if control.is_control
        and control.spearman is not None
        and (control.study, control.subset, control.scoring) == (row.study, row.subset, row.scoring)
    ]
    by_chance = row.chance if row.chance in (NO_BETTER, NOT_SHOWN) else ""
    if not alike:
        return replace(row, verdict=by_chance or f"{row.chance}; no control run")
    best = max(alike, key=lambda item: item[:2])[2]
    if row.spearman is None:
        return replace(row, control=best.label, verdict="not defined: constant prediction")
    difference = paired_difference(row.spearman_by_seed, best.spearman_by_seed)
    difference = None if difference is None else difference.within(TIE_MARGIN)
    return replace(row, control=best.label, vs_control=difference, verdict=by_chance or verdict(difference, best.label))
