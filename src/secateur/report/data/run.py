"""What a report reads from one run.json."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from secateur.core.errors import DataError
from secateur.core.record import Baseline, RunRecord, label_of
from secateur.runs.config import compared_settings, is_of_recipe

FULL, RANDOM = "full", "random"


Draw = Hashable
GIVEN: Final = "given"
DRAWN_BY: Final = ("score_seed",)  # where a record does not say it


@dataclass(frozen=True)
class Run:
    """A finished run, as far as a report is concerned.

    Attributes:
        path: folder of the record.
        run_key: key of the run.
        seed: seed of the final training.
        score_seed: seed of all that decides the mask; None when nothing does.
        data: name of the data set (``source -> downstream`` for transfer learning).
        fingerprint: fingerprint of the pool.
        model: the finally trained model.
        label: the method in words, see :func:`secateur.core.record.label_of`.
        pruning_ratio: the ratio it stands at: as asked for, or as realized (see :mod:`.realized`); 0 for
            full data.
        keep_fraction: share of the pool that was kept; None where another subset was trained on in every epoch.
        accuracy: test accuracy after the last epoch, in ``[0, 1]``.
        cost_vs_full: cost of everything the result needs, in units of one full training; None: not measured.
        cost_vs_full_amortized: the same without what only decides the mask.
        finished: when it ended (ISO 8601).
        num_test: size of the test set.
        selected_on_test: the mask was chosen on the test set (parity only, gets no verdict).
        settings: its configuration, flat, without seeds and without what cannot change the result.
        comparison: accuracy of full data and of a random subset of the same size, trained with the same seeds,
            as far as the run measured them.
        comparison_draws: ``draw`` of these subsets.
        robust_accuracy: accuracy on the attacked test set; None without adversarial training.
        worst_class_accuracy: accuracy of the class that is worst; None: not measured.
        name: what groups runs: a sweep's, or an experiment's.
        is_comparison: a baseline that another run trained to be compared with; no folder of its own.
        is_yardstick: of these a random subset of another size than its ratio keeps: it is compared with that run only.
        kept_in_comparison: share of the pool that such a baseline keeps; None for other runs, or not recorded.
        asked_ratio: the ratio asked for; None where the method reads none.
        realized_ratio: share of the pool, or of the visits of all epochs, that was left out; None: not recorded.
        follows_ratio: whether what was kept stands for the ratio that was asked for.
        per_epoch: another subset was trained on in every epoch, so that nothing was kept for good.
        visited_share: of these: the share of the visits that was trained on.
        num_seen: of these: how many distinct samples were.
        num_total: size of the pool; None: not recorded.
        given: the mask, or the scores behind it, came from outside of the run.
        drawn_by: the seeds that decide the mask, of ``seed`` and ``score_seed``.
        mask: hash of what was kept, or of what all epochs visited; None: not recorded.
        record: run.json as it was read (of a comparison: the other run's), for what is shown and not compared.
    """

    path: Path
    run_key: str
    seed: int
    score_seed: int | None
    data: str
    fingerprint: str
    model: str
    label: str
    pruning_ratio: float
    keep_fraction: float | None
    accuracy: float
    cost_vs_full: float | None
    cost_vs_full_amortized: float | None
    finished: str
    num_test: int | None = None
    selected_on_test: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    comparison: Mapping[str, float] = field(default_factory=dict)
    robust_accuracy: float | None = None
    worst_class_accuracy: float | None = None
    name: str = ""
    is_comparison: bool = False
    is_yardstick: bool = False
    kept_in_comparison: float | None = None
    asked_ratio: float | None = None
    realized_ratio: float | None = None
    follows_ratio: bool = True
    per_epoch: bool = False
    visited_share: float | None = None
    num_seen: int | None = None
    num_total: int | None = None
    given: bool = False
    drawn_by: tuple[str, ...] = DRAWN_BY
    mask: str | None = None
    comparison_draws: Mapping[str, Draw] = field(default_factory=dict)
    record: RunRecord = field(default_factory=RunRecord, repr=False, compare=False)

    @property
    def draw(self) -> Draw:
        """What tells the choice of this run from that of another run of its cell.

        Where the mask is given, it is the same for all. Otherwise choices are apart where a seed that draws is, and not
        where the outcome is: one draw may come out a little different on another machine, and two draws alike.
        """
        if self.label == FULL:
            return None
        return GIVEN if self.given else _drawn(self.drawn_by, self.seed, self.score_seed)

    @property
    def recipe(self) -> dict[str, Any]:
        """Settings of the final training: runs are compared only where these are equal."""
        return {key: value for key, value in self.settings.items() if is_of_recipe(key)}


def runs_of(path: Path, record: RunRecord) -> list[Run]:
    """Return a finished record's run, and its comparison runs (full data, random subset) as runs of their own.

    Raises:
        DataError: the record lacks something; the message has its key.
    """
    pruning, metrics, ledger = record.pruning, record.metrics, record.ledger
    method = known(pruning.method, "pruning.method")
    ratio = 0.0 if method == FULL else float(known(pruning.pruning_ratio, "pruning.pruning_ratio"))
    run = Run(
        path=path,
        run_key=known(record.run_key, "run_key"),
        seed=known(record.seed, "seed"),
        score_seed=record.score_seed,
        data=data_name(record),
        fingerprint=known(record.data.fingerprint, "data.fingerprint"),
        model=known(record.models.final, "models.final"),
        label=label_of(pruning, record.select_on),
        pruning_ratio=ratio,
        keep_fraction=pruning.keep_fraction,
        accuracy=float(known(metrics.test_accuracy, "metrics.test_accuracy")),
        cost_vs_full=ledger.cost_vs_full,
        cost_vs_full_amortized=ledger.cost_vs_full_amortized,
        finished=record.finished or "",
        num_test=record.data.num_test,
        selected_on_test=record.select_on == "test",
        settings=compared_settings(record.config),
        robust_accuracy=metrics.robust_accuracy,
        worst_class_accuracy=metrics.worst_class_accuracy,
        name=record.name or "",
        record=record,
        asked_ratio=None if pruning.reads_ratio is False else ratio,
        realized_ratio=pruning.realized_pruning_ratio,
        follows_ratio=pruning.follows_ratio is not False,
        per_epoch=pruning.per_epoch is True,
        visited_share=pruning.visited_share,
        num_seen=pruning.num_seen,
        num_total=pruning.num_total,
        given=pruning.given is True,
        drawn_by=_drawn_by(pruning.drawn_by),
        mask=pruning.mask_sha256 or pruning.visits_sha256,
    )
    if method in (FULL, RANDOM):
        return [replace(run, settings=_read_by(method, run), score_seed=None if method == FULL else run.score_seed)]
    return _with_comparisons(run, record)


Value = TypeVar("Value")


def known(value: Value | None, key: str) -> Value:
    """Return a value of a record that a report cannot do without.

    Args:
        value: the value; None: it is null, or absent.
        key: its dotted key.

    Raises:
        DataError: it is None.
    """
    if value is None:
        raise DataError(f"{key} is not recorded")
    return value


def recipe_for(name: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a recipe a reference must share: for full data without what training on it does not read."""
    return {key: value for key, value in recipe.items() if is_of_recipe(key, full=name == FULL)}


def _read_by(name: str, run: Run) -> dict[str, Any]:
    """Return what full data or a random subset read of a run's settings."""
    return recipe_for(name, run.recipe)


def _with_comparisons(run: Run, record: RunRecord) -> list[Run]:
    """Add what the run was compared with."""
    measured = {name: record.comparison[name] for name in (FULL, RANDOM) if name in record.comparison}
    accuracies = {
        name: float(known(baseline.test_accuracy, f"comparison.{name}.test_accuracy"))
        for name, baseline in measured.items()
    }
    draws: dict[str, Draw] = {
        name: _drawn(_drawn_by(baseline.drawn_by), run.seed, run.score_seed)
        for name, baseline in measured.items()
        if name != FULL
    }
    runs = [replace(run, comparison=accuracies, comparison_draws=draws)]
    for name, baseline in measured.items():
        kept = 1.0 if name == FULL else _kept_share(run, baseline)
        changes: dict[str, Any] = {"score_seed": None, "pruning_ratio": 0.0, "asked_ratio": 0.0}
        runs.append(
            replace(
                run,
                run_key=f"{run.run_key}/{name}",
                label=name,
                given=False,
                drawn_by=_drawn_by(baseline.drawn_by),
                mask=baseline.mask_sha256,
                per_epoch=False,
                visited_share=None,
                num_seen=None,
                keep_fraction=kept,
                kept_in_comparison=kept,
                accuracy=accuracies[name],
                robust_accuracy=baseline.robust_accuracy,
                worst_class_accuracy=baseline.worst_class_accuracy,
                is_comparison=True,
                cost_vs_full=baseline.cost_vs_full,
                cost_vs_full_amortized=baseline.cost_vs_full,
                selected_on_test=False,
                settings=_read_by(name, run),
                **(changes if name == FULL else {}),
            )
        )
    return runs


def _kept_share(run: Run, baseline: Baseline) -> float | None:
    """Return the share of the pool that a baseline keeps: as recorded with it, else that of the run beside it."""
    kept = run.record.pruning.num_kept if baseline.num_kept is None else baseline.num_kept
    return None if kept is None or run.num_total is None else kept / run.num_total


def is_mask_only(record: RunRecord) -> bool:
    """Whether a finished run was to make the mask and train nothing on it (``train_final=false``).

    Raises:
        DataError: the record names no method, or has no configuration, without which nothing says what it is of.
    """
    known(record.pruning.method, "pruning.method")
    known(record.config if "config" in record.model_fields_set else None, "config")
    if record.metrics.test_accuracy is not None:
        return False
    return record.config.get("train_final") is False or record.ledger.cost_vs_full is None


def data_name(record: RunRecord) -> str:
    """Return the name of the data set, for transfer learning ``source -> downstream``.

    Raises:
        DataError: the record has none.
    """
    name, downstream = known(record.data.name, "data.name"), record.transfer.downstream
    return f"{name} -> {downstream}" if downstream else name


def _drawn(names: Iterable[str], seed: int, score_seed: int | None) -> Draw:
    """Return the values of the seeds that draw a mask."""
    seeds = {"seed": seed, "score_seed": score_seed}
    return tuple((name, seeds[name]) for name in names)


def _drawn_by(found: Iterable[str] | None) -> tuple[str, ...]:
    """Return which seeds draw a mask; the score seed where a record does not say it."""
    return DRAWN_BY if found is None else tuple(sorted(set(found)))
