"""Choose an extrapolator, or its settings, by cross-validation among the scored samples alone.

Each fold hides the scores of some scored samples and predicts them from the rest. The scoring network was trained on
the hidden samples too, unlike on the samples that will be predicted: their embeddings are at home in it, so the level
that cross-validation finds is optimistic. Only the ranking of the candidates is used. A fold also predicts from fewer
scores than the final prediction has, which favors candidates that need few, and it knows no other sample than the
scored ones, so that a graph over all samples is thinner in it.

Tensor legend: N samples of the pool, M observed (scored) ones.

Source: score extrapolation (arXiv 2506.09010). Deviation: its release chooses k by the correlation with the scores of
a full scoring, which whoever extrapolates does not have; here no such score is read.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, stdev
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, NumericalError
from secateur.core.mask import check_pruning_ratio
from secateur.core.seeds import permutation
from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator, Needs, check_finite, search_flops
from secateur.extrapolation.correlation import pearson, spearman
from secateur.extrapolation.fidelity import recall

Criterion = Literal["spearman", "pearson", "recall"]
CRITERIA = ("spearman", "pearson", "recall")
FEWEST_SCORES = 4


@dataclass(eq=False)
class Trial:
    """What cross-validation found out about one candidate.

    Attributes:
        candidate: its name.
        values: the criterion in every fold; empty for one that was skipped.
        skipped: why it could not be tried, or None.
    """

    candidate: str
    values: list[float] = field(default_factory=list)
    skipped: str | None = None

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return fmean(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return the candidate's line of the trace; what was not measured is None."""
        mean, sd = (None, None) if self.skipped else (self.mean, stdev(self.values))
        return {"candidate": self.candidate, "mean": mean, "sd": sd, "folds": self.values, "skipped": self.skipped}


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """The outcome of a cross-validation.

    Attributes:
        name: name of the chosen candidate.
        extrapolator: the candidate.
        criterion: what was compared.
        num_folds: how many folds there were.
        trials: every candidate in the order in which ties are decided.
    """

    name: str
    extrapolator: Extrapolator
    criterion: str
    num_folds: int
    trials: Sequence[Trial]

    @property
    def trace(self) -> list[dict[str, Any]]:
        """One dict per candidate: ``candidate, mean, sd, folds, skipped``."""
        return [trial.to_json() for trial in self.trials]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the run record."""
        return {"chosen": self.name, "criterion": self.criterion, "num_folds": self.num_folds, "trace": self.trace}


class CrossValidated(Extrapolator):
    """An extrapolator that tries others on the scored samples and predicts with the best of them.

    Args:
        candidates: name -> extrapolator, or a ``functools.partial`` of one (``_partial_: true`` in YAML) whose
            remaining settings ``grids`` gives.
        grids: name of a partial candidate -> setting -> list of values; every combination is a candidate, called
            ``"knn k=10 same_class=true"``, in the order of the lists, the last setting varying fastest.
        folds: number of folds, at least 2; fewer where there are not two scored samples for each.
        criterion: what is compared on the held-out samples of each fold; highest mean over the folds wins.
        pruning_ratio: for ``criterion="recall"`` only: recall of the set that this ratio keeps of the held-out samples.

    Attributes:
        extrapolators: name -> candidate, grids expanded, in the order in which ties are decided.
        choice: outcome of the last :meth:`predict`, None before.

    Raises:
        ConfigError: there are no candidates, a grid does not fit them, or a setting is out of range.

    Example:
        >>> import torch
        >>> class Zero(Extrapolator):
        ...     def predict(self, inputs):
        ...         return inputs.filled(torch.zeros(len(inputs.queries)))
        >>> observed = {"sample_ids": torch.arange(6), "scores": torch.rand(6)}
        >>> inputs = ExtrapolationInputs(embeddings=None, **observed, num_samples=8)
        >>> CrossValidated({"zero": Zero()}, folds=3).choose(inputs).trace
        [{'candidate': 'zero', 'mean': 0.0, 'sd': 0.0, 'folds': [0.0, 0.0, 0.0], 'skipped': None}]
    """

    NAME: ClassVar[str] = "extrapolation/cross_validated"

    def __init__(
        self,
        candidates: Mapping[str, Any],
        grids: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
        folds: int = 5,
        criterion: Criterion = "spearman",
        pruning_ratio: float | None = None,
    ) -> None:
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
            raise ConfigError(f"CrossValidated: folds must be an integer of at least 2, got {folds!r}.")
        if criterion not in CRITERIA:
            raise ConfigError(f"CrossValidated: criterion must be one of {', '.join(CRITERIA)}; got {criterion!r}.")
        if (criterion == "recall") != (pruning_ratio is not None):
            raise ConfigError(
                f"CrossValidated: pruning_ratio belongs to criterion=recall and to no other; got criterion={criterion} "
                f"and pruning_ratio={pruning_ratio}."
            )
        if pruning_ratio is not None:
            check_pruning_ratio(pruning_ratio)
        self.extrapolators = expand(candidates, grids or {})
        self.folds, self.criterion, self.pruning_ratio = folds, criterion, pruning_ratio
        self.choice: Choice | None = None

    @property
    def needs(self) -> frozenset[Needs]:  # type: ignore[override]
        """What any candidate needs."""
        return frozenset().union(*(one.needs for one in self.extrapolators.values()))

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Choose a candidate, note it in :attr:`choice`, and return its scores for every sample, float ``[N]``."""
        self.choice = self.choose(inputs)
        return self.choice.extrapolator.predict(inputs)

    def check(self, num_observed: int, num_samples: int) -> None:
        """Raise :class:`ConfigError` when there are too few scores to cross-validate, or for every candidate."""
        _check_count(num_observed)
        num_folds = min(self.folds, num_observed // 2)
        fewest, reasons = num_observed - math.ceil(num_observed / num_folds), {}
        for name, extrapolator in self.extrapolators.items():
            try:
                extrapolator.check(fewest, num_observed)
            except ConfigError as error:
                reasons[name] = str(error)
        if len(reasons) == len(self.extrapolators):
            raise ConfigError(_nobody(num_observed, num_folds, reasons))

    def planned_flops(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float:
        """Return the operations of all folds, and of the prediction by the costliest candidate.

        Candidates that do not say what they will compute count nothing, see :attr:`unplanned`.
        """
        num_folds, flops = min(self.folds, num_observed // 2), 0.0
        fewest = num_observed - math.ceil(num_observed / max(num_folds, 1))
        works = [one for one in self.extrapolators.values() if _works(one, fewest, num_observed)]
        for number in range(num_folds):
            references = num_observed - len(range(number, num_observed, num_folds))
            flops += _fold_flops(works, num_observed, references, num_features, num_classes)
        sizes = (num_samples, num_observed, num_features, num_classes)
        return flops + max((_planned(one, *sizes) for one in works), default=0.0)

    def plans_at_most(self, *sizes: int) -> bool:
        """Whether :meth:`planned_flops` is an upper bound, as the choice is not known; same arguments."""
        candidates = self.extrapolators.values()
        bounds = any(one.plans_at_most(*sizes) for one in candidates)
        return bounds or len({_planned(one, *sizes) for one in candidates}) > 1

    @property
    def is_control(self) -> bool:  # type: ignore[override]
        """Whether all candidates are controls: a choice among them is one as well."""
        return all(one.is_control for one in self.extrapolators.values())

    @property
    def searches(self) -> bool:  # type: ignore[override]
        """Whether a candidate looks for nearest neighbors."""
        return any(one.searches for one in self.extrapolators.values())

    def facts(self, inputs: ExtrapolationInputs) -> Mapping[str, Any]:
        """Return what was chosen and tried, and what the chosen one says."""
        return {} if self.choice is None else {**self.choice.to_json(), **self.choice.extrapolator.facts(inputs)}

    @property
    def unplanned(self) -> list[str]:
        """Names of the candidates that do not say what they will compute."""
        return [name for name, one in self.extrapolators.items() if one.planned_flops(2, 1, 1, 1) is None]

    def choose(self, inputs: ExtrapolationInputs) -> Choice:
        """Return the candidate with the highest mean criterion; of equal ones the first.

        Only the observed rows are read: neither another sample's embedding nor any other score enters. What the folds
        compute is added to ``inputs.flops``. The order of ``sample_ids`` does not matter.

        Args:
            inputs: what is known before extrapolation; its seed draws the folds.

        Raises:
            ConfigError: fewer than 4 scores, something that a candidate needs is not there, or no candidate can work.
        """
        self._check(inputs)
        subset = observed_only(inputs)
        num_folds = min(self.folds, len(subset.scores) // 2)
        fold = assign_folds(subset.num_samples, num_folds, subset.seed, subset.labels)
        trials = {name: Trial(name) for name in self.extrapolators}
        for number in range(num_folds):
            self._try_all(trials, subset, fold == number)
        inputs.flops += subset.flops
        tried = [trial for trial in trials.values() if trial.skipped is None]
        if not tried:
            raise ConfigError(_nobody(len(subset.scores), num_folds, {t.candidate: t.skipped for t in trials.values()}))
        best = max(tried, key=lambda trial: trial.mean).candidate
        return Choice(
            name=best,
            extrapolator=self.extrapolators[best],
            criterion=self.criterion,
            num_folds=num_folds,
            trials=list(trials.values()),
        )

    def _try_all(self, trials: Mapping[str, Trial], subset: ExtrapolationInputs, held_out: Tensor) -> None:
        """Add one fold's value to every candidate that works in it; the others are skipped from here on."""
        fold = hide(subset, held_out, largest_k=self._largest_k(int((~held_out).sum())))
        for name, trial in trials.items():
            if trial.skipped is not None:
                continue
            try:
                predicted = self.extrapolators[name].predict(fold)[fold.queries]
                check_finite("predictions", predicted)
            except (ConfigError, NumericalError) as error:
                trial.skipped, trial.values = str(error), []
            else:
                trial.values.append(self._value(predicted, subset.scores[fold.queries]))
        subset.flops += fold.flops

    def _value(self, predicted: Tensor, true: Tensor) -> float:
        """Return the criterion on the held-out samples; an undefined one (constant predictions) is 0."""
        if self.pruning_ratio is not None:
            return recall(predicted, true, max(1, round(len(true) * (1 - self.pruning_ratio))))
        value = {"spearman": spearman, "pearson": pearson}[self.criterion](predicted, true)
        return 0.0 if math.isnan(value) else value

    def _largest_k(self, num_references: int) -> int:
        """Return the largest k of a candidate that a fold can serve, so that one search serves every candidate."""
        asked = [getattr(extrapolator, "k", 1) for extrapolator in self.extrapolators.values()]
        return max((k for k in asked if isinstance(k, int) and k <= num_references), default=1)

    def _check(self, inputs: ExtrapolationInputs) -> None:
        _check_count(len(inputs.scores))
        for name, extrapolator in self.extrapolators.items():
            lacking = sorted(need.value for need in extrapolator.needs if getattr(inputs, need.value) is None)
            if lacking:
                raise ConfigError(f"Candidate {name} needs {' and '.join(lacking)}, and there are none.")


def _check_count(num_scores: int) -> None:
    if num_scores < FEWEST_SCORES:
        advice = "score a larger subset, or name one extrapolator"
        raise ConfigError(f"Cross-validation needs at least {FEWEST_SCORES} scores, got {num_scores}; {advice}.")


def _nobody(num_scores: int, num_folds: int, reasons: Mapping[str, str | None]) -> str:
    """Return the message that no candidate can work."""
    each = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return f"No candidate can work with {num_scores} scores in {num_folds} folds. {each}"


def _works(extrapolator: Extrapolator, num_observed: int, num_samples: int) -> bool:
    try:
        extrapolator.check(num_observed, num_samples)
    except ConfigError:
        return False
    return True


def _planned(extrapolator: Extrapolator, *sizes: int) -> float:
    """Return what an extrapolator says it will compute; 0 if it says nothing."""
    return extrapolator.planned_flops(*sizes) or 0.0


def _fold_flops(candidates: Sequence[Extrapolator], num_samples: int, num_references: int, *widths: int) -> float:
    """Return the operations of one fold; candidates that read the same neighbors share the search.

    Args:
        candidates: those that work.
        num_samples: M, all scored samples.
        num_references: those whose scores are not hidden.
        *widths: D and C.
    """
    flops, searched = 0.0, set()
    for one in candidates:
        flops += _planned(one, num_samples, num_references, *widths)
        search = one.shared_search
        if search is not None and search in searched:
            flops -= search_flops(num_samples - num_references, num_references, widths[0])
        searched.add(search)
    return flops


def observed_only(inputs: ExtrapolationInputs) -> ExtrapolationInputs:
    """Return the inputs as if the scored samples were the whole pool, ordered by row: N becomes M."""
    order = inputs.sample_ids.argsort()
    rows = inputs.sample_ids[order]
    return ExtrapolationInputs(
        embeddings=None if inputs.embeddings is None else inputs.embeddings[rows],
        sample_ids=torch.arange(len(rows), device=rows.device),
        scores=inputs.scores[order],
        labels=None if inputs.labels is None else inputs.labels[rows],
        proxy_logits=None if inputs.proxy_logits is None else inputs.proxy_logits[rows],
        num_samples=len(rows),
        num_classes=inputs.num_classes,
        seed=inputs.seed,
    )


def hide(subset: ExtrapolationInputs, held_out: Tensor, largest_k: int = 1) -> ExtrapolationInputs:
    """Return fully scored inputs without the scores of the rows in ``held_out``, bool ``[M]``."""
    rows = (~held_out).nonzero().flatten().to(subset.sample_ids.device)
    return ExtrapolationInputs(
        embeddings=subset.embeddings,
        sample_ids=rows,
        scores=subset.scores[rows],
        labels=subset.labels,
        proxy_logits=subset.proxy_logits,
        num_samples=subset.num_samples,
        num_classes=subset.num_classes,
        seed=subset.seed,
        largest_k=largest_k,
    )


def assign_folds(num_samples: int, num_folds: int, seed: int, labels: Tensor | None = None) -> Tensor:
    """Return the fold of every sample, int64 ``[M]`` in ``[0, num_folds)``.

    Sizes of folds differ by at most one, and so do the counts of each class among them where labels are known.

    Args:
        num_samples: M.
        num_folds: number of folds.
        seed: user-facing seed; the folds have a stream of their own.
        labels: class of every sample, int64 ``[M]``, or None.

    Example:
        >>> assign_folds(6, 3, seed=0).bincount().tolist()
        [2, 2, 2]
    """
    order = permutation(num_samples, seed, "cross_validation")
    if labels is not None:
        order = order[labels.cpu()[order].argsort(stable=True)]
    return torch.empty_like(order).scatter_(0, order, torch.arange(num_samples) % num_folds)


def expand(candidates: Mapping[str, Any], grids: Mapping[str, Mapping[str, Sequence[Any]]]) -> dict[str, Extrapolator]:
    """Return name -> extrapolator with every grid replaced by its combinations, in order.

    Args:
        candidates: name -> extrapolator, or ``functools.partial`` of one for a name in ``grids``.
        grids: name -> setting -> values.

    Raises:
        ConfigError: a grid has no partial candidate or no values, a setting is unknown, or a candidate is none.

    Example:
        >>> from secateur.extrapolation.constant import Constant
        >>> list(expand({"mean": Constant()}, {}))
        ['mean']
    """
    if not candidates:
        raise ConfigError("CrossValidated: there are no candidates; give at least one.")
    for name in grids:
        if name not in candidates:
            raise ConfigError(f"CrossValidated: grid {name} has no candidate; there are {', '.join(candidates)}.")
    expanded: dict[str, Extrapolator] = {}
    for name, candidate in candidates.items():
        expanded |= combinations(name, candidate, grids[name]) if name in grids else {name: candidate}
    for name, extrapolator in expanded.items():
        if not isinstance(extrapolator, Extrapolator):
            hint = " Give it a grid, or drop _partial_." if isinstance(extrapolator, partial) else ""
            raise ConfigError(f"CrossValidated: candidate {name} is no extrapolator: {extrapolator!r}.{hint}")
    return expanded


def combinations(name: str, candidate: Any, grid: Mapping[str, Sequence[Any]]) -> dict[str, Extrapolator]:
    """Return the product of a grid as ``"name key=value ..."`` -> extrapolator, the last key varying fastest."""
    if not isinstance(candidate, partial):
        raise ConfigError(f"CrossValidated: candidate {name} has a grid, so it must be a partial: add _partial_: true.")
    empty = [key for key, values in grid.items() if not isinstance(values, list | tuple) or not values]
    if empty or not grid:
        raise ConfigError(
            f"CrossValidated: grids.{'.'.join([name, *empty[:1]])} must be a list of values, at least one."
        )
    found: dict[str, Extrapolator] = {}
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        try:
            found[" ".join([name, *(f"{key}={show(value)}" for key, value in settings.items())])] = candidate(
                **settings
            )
        except TypeError as error:
            raise ConfigError(f"CrossValidated: candidate {name} cannot be built with {settings}: {error}.") from error
    return found


def show(value: Any) -> str:
    """Return a setting's value as it is written in YAML."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
