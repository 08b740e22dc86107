"""What a report reads from one run.json."""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from secateur.core.record import label_of
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
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

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


def runs_of(path: Path, record: Mapping[str, Any]) -> list[Run]:
    """Return a finished record's run, and its comparison runs (full data, random subset) as runs of their own.

    Raises:
        KeyError, ValueError: the record lacks something, or it is not what it should be; the message has its key.
    """
    pruning, metrics = block(record, "pruning"), block(record, "metrics")
    method = at(record, "pruning.method")
    score_seed, finished = at(record, "score_seed"), at(record, "finished")
    keep_fraction = at(record, "pruning.keep_fraction")
    for name in ("num_total", "num_kept", "num_seen"):
        optional_integer(pruning.get(name), f"pruning.{name}", 1)
    ratio = 0.0 if method == FULL else pruning_ratio(at(record, "pruning.pruning_ratio"))
    run = Run(
        path=path,
        run_key=text(at(record, "run_key"), "run_key"),
        seed=integer(at(record, "seed"), "seed"),
        score_seed=None if score_seed is None else integer(score_seed, "score_seed"),
        data=data_name(record),
        fingerprint=str(at(record, "data.fingerprint")),
        model=str(at(record, "models.final")),
        label=label_of(record),
        pruning_ratio=ratio,
        keep_fraction=None if keep_fraction is None else number_in(keep_fraction, "pruning.keep_fraction", 0, 1),
        accuracy=_accuracy(at(record, "metrics.test_accuracy"), "metrics.test_accuracy"),
        cost_vs_full=cost(at(record, "ledger.cost_vs_full"), "ledger.cost_vs_full"),
        cost_vs_full_amortized=cost(at(record, "ledger.cost_vs_full_amortized"), "ledger.cost_vs_full_amortized"),
        finished=str(finished or ""),
        num_test=optional_integer(block(record, "data").get("num_test"), "data.num_test", 1),
        selected_on_test=at(record, "select_on") == "test",
        settings=compared_settings(_config(record)),
        robust_accuracy=_further(metrics, "metrics", "robust_accuracy"),
        worst_class_accuracy=_further(metrics, "metrics", "worst_class_accuracy"),
        name=str(record.get("name") or ""),
        record=record,
        asked_ratio=None if pruning.get("reads_ratio") is False else ratio,
        realized_ratio=_share(pruning, "realized_pruning_ratio"),
        follows_ratio=pruning.get("follows_ratio") is not False,
        per_epoch=pruning.get("per_epoch") is True,
        visited_share=_share(pruning, "visited_share"),
        num_seen=pruning.get("num_seen"),
        num_total=pruning.get("num_total"),
        given=pruning.get("given") is True,
        drawn_by=_drawn_by(pruning, "pruning"),
        mask=_hash(pruning, "mask_sha256") or _hash(pruning, "visits_sha256"),
    )
    if method in (FULL, RANDOM):
        return [replace(run, settings=_read_by(method, run), score_seed=None if method == FULL else run.score_seed)]
    return _with_comparisons(run, record)


def _config(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration; without one nothing says what the run is comparable with."""
    config = at(record, "config")
    if not isinstance(config, Mapping):
        raise ValueError(f"config is {config!r:.40}, not a mapping of settings")
    return config


def recipe_for(name: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a recipe a reference must share: for full data without what training on it does not read."""
    return {key: value for key, value in recipe.items() if is_of_recipe(key, full=name == FULL)}


def _read_by(name: str, run: Run) -> dict[str, Any]:
    """Return what full data or a random subset read of a run's settings."""
    return recipe_for(name, run.recipe)


def _with_comparisons(run: Run, record: Mapping[str, Any]) -> list[Run]:
    """Add what the run was compared with."""
    found = as_object(record.get("comparison") or {}, "comparison")
    measured = {name: as_object(found[name], f"comparison.{name}") for name in (FULL, RANDOM) if name in found}
    accuracies = {
        name: _accuracy(at(record, f"comparison.{name}.test_accuracy"), f"comparison.{name}.test_accuracy")
        for name in measured
    }
    drawn_by = {name: _drawn_by(measured[name], f"comparison.{name}") for name in measured}
    draws: dict[str, Draw] = {
        name: _drawn(seeds, run.seed, run.score_seed) for name, seeds in drawn_by.items() if name != FULL
    }
    runs = [replace(run, comparison=accuracies, comparison_draws=draws)]
    for name, accuracy in accuracies.items():
        spent = cost(measured[name].get("cost_vs_full"), f"comparison.{name}.cost_vs_full")
        kept = 1.0 if name == FULL else _kept_share(run, record, measured[name], name)
        changes: dict[str, Any] = {"score_seed": None, "pruning_ratio": 0.0, "asked_ratio": 0.0}
        runs.append(
            replace(
                run,
                run_key=f"{run.run_key}/{name}",
                label=name,
                given=False,
                drawn_by=drawn_by[name],
                mask=_hash(measured[name], "mask_sha256"),
                per_epoch=False,
                visited_share=None,
                num_seen=None,
                keep_fraction=kept,
                kept_in_comparison=kept,
                accuracy=accuracy,
                robust_accuracy=_further(measured[name], f"comparison.{name}", "robust_accuracy"),
                worst_class_accuracy=_further(measured[name], f"comparison.{name}", "worst_class_accuracy"),
                is_comparison=True,
                cost_vs_full=spent,
                cost_vs_full_amortized=spent,
                selected_on_test=False,
                settings=_read_by(name, run),
                **(changes if name == FULL else {}),
            )
        )
    return runs


def _kept_share(run: Run, record: Mapping[str, Any], measured: Mapping[str, Any], name: str) -> float | None:
    """Return the share of the pool that a baseline keeps: as recorded with it, else that of the run beside it."""
    kept = optional_integer(measured.get("num_kept"), f"comparison.{name}.num_kept", 1)
    kept = block(record, "pruning").get("num_kept") if kept is None else kept
    return None if kept is None or not run.num_total else kept / run.num_total


def is_mask_only(record: Mapping[str, Any]) -> bool:
    """Whether a finished run was to make the mask and train nothing on it (``train_final=false``).

    Raises:
        ValueError: the record lacks what says so; the message has its key.
    """
    if at(record, "metrics.test_accuracy") is not None:
        return False
    config = at(record, "config")
    asked = isinstance(config, Mapping) and config.get("train_final") is False
    return asked or at(record, "ledger.cost_vs_full") is None


def data_name(record: Mapping[str, Any]) -> str:
    """Return the name of the data set, for transfer learning ``source -> downstream``.

    Raises:
        ValueError: the record has none; the message has its key.
    """
    downstream = as_object(record.get("transfer") or {}, "transfer").get("downstream")
    name = str(at(record, "data.name"))
    return f"{name} -> {downstream}" if downstream else name


def pruning_ratio(value: Any, name: str = "pruning.pruning_ratio") -> float:
    """Return a pruning ratio, in ``[0, 1)``.

    Raises:
        ValueError: it is none; the message has its name.
    """
    return number_in(value, name, 0, 1, below=True)


def _accuracy(value: Any, name: str) -> float:
    return number_in(value, name, 0, 1)


def _share(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return None if value is None else number_in(value, f"pruning.{name}", 0, 1)


def _drawn(names: Iterable[str], seed: int, score_seed: int | None) -> Draw:
    """Return the values of the seeds that draw a mask."""
    seeds = {"seed": seed, "score_seed": score_seed}
    return tuple((name, seeds[name]) for name in names)


def _drawn_by(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return which seeds draw a mask, as a block of a record says; the score seed where it does not."""
    found = values.get("drawn_by")
    if found is None:
        return DRAWN_BY
    if not isinstance(found, list) or not found or any(one not in ("seed", "score_seed") for one in found):
        raise ValueError(f"{name}.drawn_by is {found!r:.40}, not a list of seed and score_seed")
    return tuple(sorted(set(found)))


def _hash(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return None if value is None else text(value, name)


def _further(metrics: Mapping[str, Any], block: str, name: str) -> float | None:
    value = metrics.get(name)
    return None if value is None else _accuracy(value, f"{block}.{name}")


LARGEST: Final = 1e100  # what is measured is smaller, and sums and squares of it stay finite
SHOWN: Final = ".40"  # characters of a value in a message


def at(record: Mapping[str, Any], path: str) -> Any:
    """Return the value under a dotted key.

    Raises:
        ValueError: it is not there, or something above it is no object; the message has its name.

    Example:
        >>> at({"data": {"name": "digits"}}, "data.name")
        'digits'
    """
    value: Any = record
    above = ""
    for key in path.split("."):
        if not isinstance(value, Mapping):
            raise ValueError(f"{above} is {value!r:{SHOWN}}, not an object")
        above = f"{above}.{key}" if above else key
        if key not in value:
            raise ValueError(f"no key {above}")
        value = value[key]
    return value


def block(record: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the object under a dotted key.

    Raises:
        ValueError: it is none; the message has its name.
    """
    return as_object(at(record, path), path)


def as_object(value: Any, name: str) -> Mapping[str, Any]:
    """Return a value that is an object.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not an object")
    return value


def objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return a list of objects; null is an empty one.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not a list")
    return [as_object(item, f"{name}[{number}]") for number, item in enumerate(value)]


def text(value: Any, name: str) -> str:
    """Return a text that is not empty.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not a text")
    return value


def number(value: Any, name: str) -> float:
    """Return a finite number as float.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not a number")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value) and abs(value) <= LARGEST
    except OverflowError:  # an integer that no float holds
        return False


def number_in(value: Any, name: str, low: float, high: float, *, below: bool = False) -> float:
    """Return a number in ``[low, high]``, or with ``below`` in ``[low, high)``.

    Raises:
        ValueError: it is none; the message has its name.
    """
    found = number(value, name)
    if not low <= found <= high or (below and found == high):
        raise ValueError(f"{name} is {found:g}, not in [{low:g}, {high:g}{')' if below else ']'}")
    return found


def cost(value: Any, name: str) -> float | None:
    """Return a number that is not negative, or None where it is null: not measured.

    Raises:
        ValueError: it is neither; the message has its name.
    """
    found = optional(value, name)
    if found is not None and found < 0:
        raise ValueError(f"{name} is {found:g}, below 0")
    return found


def integer(value: Any, name: str, least: int | None = None) -> int:
    """Return an integer, of at least ``least`` where that is given.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is {value!r:{SHOWN}}, not an integer")
    if least is not None and value < least:
        raise ValueError(f"{name} is {value}, below {least}")
    return value


def optional(value: Any, name: str) -> float | None:
    """Return a number, or None where it is null: not measured.

    Raises:
        ValueError: it is neither; the message has its name.
    """
    return None if value is None else number(value, name)


def optional_integer(value: Any, name: str, least: int) -> int | None:
    """Return an integer of at least ``least``, or None where it is null.

    Raises:
        ValueError: it is neither; the message has its name.
    """
    return None if value is None else integer(value, name, least)
