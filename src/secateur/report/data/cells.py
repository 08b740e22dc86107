"""Group runs into cells: the runs that differ in nothing but their seeds."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from secateur.core.ratio import keep_count
from secateur.report.data.load import LeftOut
from secateur.report.data.run import FULL, RANDOM, Run
from secateur.report.data.two_seeds import Masks, Values
from secateur.runs.config import default_of

MAX_SHOWN = 5  # settings in a label


@dataclass(frozen=True)
class Cell:
    """Runs of one method at one ratio on one data set with one model.

    Attributes:
        data: name of the data set, with the pool's fingerprint where one name stands for several pools.
        model: the finally trained model.
        label: the method, with the settings that tell it from another cell of the same method and ratio.
        pruning_ratio: fraction removed: as asked for, or as realized where that need not be the same.
        runs: one per ``(seed, score_seed)``.
        asked_ratio: the ratio asked for; None where the method reads none.
    """

    data: str
    model: str
    label: str
    pruning_ratio: float
    runs: tuple[Run, ...]
    asked_ratio: float | None = None

    @property
    def accuracy(self) -> Values:
        """Accuracy by ``(seed, score_seed)``."""
        return {(run.seed, run.score_seed): run.accuracy for run in self.runs}

    @property
    def robust_accuracy(self) -> Values:
        """Accuracy on the attacked test set, likewise; empty if a run did not measure it."""
        return _where_all_have_one({(run.seed, run.score_seed): run.robust_accuracy for run in self.runs})

    @property
    def worst_class_accuracy(self) -> Values:
        """Accuracy of the worst class, likewise; empty if a run did not measure it."""
        return _where_all_have_one({(run.seed, run.score_seed): run.worst_class_accuracy for run in self.runs})

    def compared_with(self, name: str) -> Values:
        """Accuracy of what the runs themselves were compared with, likewise; empty if one was not."""
        return _where_all_have_one({(run.seed, run.score_seed): run.comparison.get(name) for run in self.runs})

    def draws_compared_with(self, name: str) -> Masks:
        """Return what tells the masks of :meth:`compared_with` apart, likewise."""
        return {(run.seed, run.score_seed): run.comparison_draws.get(name) for run in self.runs}

    @property
    def draws(self) -> Masks:
        """What tells the masks of the runs apart, by ``(seed, score_seed)``."""
        return {(run.seed, run.score_seed): run.draw for run in self.runs}

    @property
    def accuracy_by_draw(self) -> Values:
        """Accuracy by training seed and ``draw``; runs that share both, and are thus the same, are averaged."""
        groups = defaultdict(list)
        for run in self.runs:
            groups[run.seed, run.draw].append(run.accuracy)
        return {key: fmean(values) for key, values in groups.items()}

    @property
    def is_full(self) -> bool:
        """Whether this is training on all data, which needs no mask."""
        return is_method(self.label, FULL)

    @property
    def has_one_mask(self) -> bool:
        """Whether several trainings are of one draw of the mask, of one mask, or of masks from one given file.

        They are of one draw where they share every seed that draws, whatever came out on each machine. What they say
        then holds for this mask: nothing tells how the masks of the method differ.
        """
        if self.is_full or len(self.seeds) < 2 or all(run.keep_fraction == 1 for run in self.runs):
            return False
        return len(set(self.draws.values())) == 1 or self.num_masks == 1

    @property
    def is_yardstick(self) -> bool:
        """Whether these are random subsets that were trained for one method, of another size than the ratio keeps."""
        return all(run.is_yardstick for run in self.runs)

    @property
    def is_comparison(self) -> bool:
        """Whether all runs are baselines that other runs trained beside them (``compare_with``)."""
        return all(run.is_comparison for run in self.runs)

    @property
    def is_realized(self) -> bool:
        """Whether the cell stands at what was realized, and that is not what was asked for."""
        return self.asked_ratio != self.pruning_ratio and not self.is_full

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def resolution(self) -> float:
        """Smallest step of an accuracy: one test image; 0 when the size of the test set is unknown."""
        sizes = [run.num_test for run in self.runs if run.num_test]
        return 1 / min(sizes) if sizes else 0.0

    @property
    def class_resolution(self) -> float:
        """Smallest step of the accuracy of one class: one of its test images, were classes of equal size."""
        counts = [count for run in self.runs if (count := run.record.data.num_classes) is not None]
        return min(self.resolution * max(counts, default=1), 1.0)

    @property
    def num_masks(self) -> int:
        """Number of different masks; where the records have no hash of them, of different draws."""
        return len({("draw", run.draw) if run.mask is None else run.mask for run in self.runs})

    @property
    def recipe(self) -> dict[str, Any]:
        """Settings of the final training: cells are compared only where these are equal."""
        return self.runs[0].recipe


def _where_all_have_one(values: Mapping[tuple[int, Any], float | None]) -> Values:
    known = {key: value for key, value in values.items() if value is not None}
    return known if len(known) == len(values) else {}


def make_cells(runs: Sequence[Run]) -> tuple[list[Cell], list[LeftOut]]:
    """Return the cells, sorted, and the runs that another run of the same cell and seeds supersedes.

    A run found twice (equal ``run_key``) counts once; copies that disagree are reported. Runs that differ in a
    setting are told apart by it (``tdds [max_epochs=30]``). Of those that share settings and seeds and still disagree
    (another version of the code) the one that finished last counts.
    """
    groups: dict[tuple[str, str, str, float], dict[float | None, list[Run]]] = defaultdict(lambda: defaultdict(list))
    once, left_out = _once(runs)
    for run in at_realized_ratio(_named_apart(once)):
        groups[run.data, run.model, run.label, run.pruning_ratio][run.asked_ratio].append(run)
    cells: list[Cell] = []
    for (data, model, label, ratio), by_asked in sorted(groups.items()):
        for asked, members in sorted(by_asked.items(), key=lambda pair: -1.0 if pair[0] is None else pair[0]):
            apart = f" [{_asked(asked)}]" if len(by_asked) > 1 else ""
            for suffix, alike in _split(members):
                chosen, superseded = _latest(alike)
                cells.append(Cell(data, model, label + apart + suffix, ratio, chosen, asked))
                left_out += superseded
    return cells, left_out


def _asked(ratio: float | None) -> str:
    return "no ratio asked" if ratio is None else f"asked {round(100 * ratio, 1):g} %"


def is_method(label: str, method: str) -> bool:
    """Return whether a label is a method, whatever settings tell it apart."""
    return label == method or label.startswith(f"{method} [")


def _once(runs: Iterable[Run]) -> tuple[list[Run], list[LeftOut]]:
    """Drop copies of a run: of equal run keys the one that finished last stays; report those that disagree."""
    copies: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        copies[run.run_key].append(run)
    latest = {key: max(members, key=lambda run: run.finished) for key, members in copies.items()}
    left_out = [
        _superseded(run, f"same run key as {latest[key].path}, another accuracy")
        for key, members in copies.items()
        for run in members
        if run.accuracy != latest[key].accuracy
    ]
    return list(latest.values()), left_out


def _superseded(run: Run, reason: str) -> LeftOut:
    return LeftOut(run.path, "superseded", reason, run.record.to_json())


def _named_apart(runs: Sequence[Run]) -> list[Run]:
    """Add the fingerprint to the data set's name where one name stands for several pools."""
    pools = defaultdict(set)
    for run in runs:
        pools[run.data].add(run.fingerprint)
    several = {name for name, fingerprints in pools.items() if len(fingerprints) > 1}
    return [replace(run, data=f"{run.data}@{run.fingerprint[:8]}") if run.data in several else run for run in runs]


def _split(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Split the runs of a method by the settings that differ among them; ``("", runs)`` when none does."""
    keys = sorted({key for run in runs for key in run.settings})
    differing = [key for key in keys if len({repr(run.settings.get(key)) for run in runs}) > 1]
    parts = defaultdict(list)
    for run in runs:
        parts[_suffix(run.settings, differing)].append(run)
    return sorted(parts.items())


def _suffix(settings: Mapping[str, Any], differing: Sequence[str]) -> str:
    """Return the settings in brackets; of more than can be read the first, and what the others are told apart by."""
    if not differing:
        return ""
    short = [key.rsplit(".", 1)[-1] for key in differing]
    names = [key if short.count(last) > 1 else last for key, last in zip(differing, short, strict=True)]
    shown = [f"{name}={settings.get(key, default_of(key))}" for name, key in zip(names, differing, strict=True)]
    if len(shown) > MAX_SHOWN:
        rest = shown[MAX_SHOWN - 1 :]
        mark = hashlib.sha256("\n".join(rest).encode()).hexdigest()[:6]
        shown = [*shown[: MAX_SHOWN - 1], f"{len(rest)} more #{mark}"]
    return f" [{', '.join(shown)}]"


def _latest(runs: Sequence[Run]) -> tuple[tuple[Run, ...], list[LeftOut]]:
    """Keep one run per ``(seed, score_seed)``, the one that finished last; report those that disagree."""
    chosen: dict[tuple[int, Any], Run] = {}
    left_out = []
    for run in sorted(runs, key=lambda run: (run.finished, run.run_key), reverse=True):
        kept = chosen.setdefault((run.seed, run.score_seed), run)
        if run.accuracy != kept.accuracy:
            left_out.append(_superseded(run, f"same settings and seeds as {kept.path}"))
    return tuple(sorted(chosen.values(), key=lambda run: (run.seed, str(run.score_seed)))), left_out


ROUNDING = 1e-9
DIGITS = 2  # of the kept share: 49.7 % and 50.4 % of a pool are compared, 1.4 % and 0.6 % are not


def is_realized(run: Run) -> bool:
    """Whether a run stands at what it realized: its record says that this need not be the ratio asked for."""
    return (run.per_epoch or not run.follows_ratio) and not run.is_comparison and run.realized_ratio is not None


def at_realized_ratio(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, those that need not keep what was asked for at the ratio that they realized.

    It is one ratio for all that differ in nothing but their seeds: their mean realized ratio, where two significant
    digits of what is left count. Where these agree with the ratio asked for, or with one at which other runs of the
    table stand, it is that ratio. What a run was compared with stands beside it; where random subsets that were trained
    beside a method have another size than their ratio keeps, they are all a yardstick of that method alone.

    A run that was asked for no ratio (its mask is from a file) stands at the ratio of other runs that keeps exactly as
    many samples, if there is one.
    """
    alike: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    grid: dict[tuple[str, str, str], set[float]] = defaultdict(set)
    for run in runs:
        if is_realized(run):
            alike[_all_but_seeds(run)].append(run)
        elif run.label != FULL and not run.is_comparison and run.asked_ratio is not None:
            grid[_pool(run)].add(run.pruning_ratio)
    ratios: dict[str, float] = {}
    for members in alike.values():
        realized = fmean(run.realized_ratio for run in members if run.realized_ratio is not None)
        ratio = placed(realized, members[0].asked_ratio, grid[_pool(members[0])])
        ratios.update((run.run_key, ratio) for run in members)
    ratios.update((run.run_key, _of_equal_size(run, grid[_pool(run)])) for run in runs if _is_sized(run))
    parents = {run.run_key: run for run in runs if not run.is_comparison}
    moved = [_moved(run, ratios) for run in runs]
    of_another_size = {
        _all_but_seeds(parent)
        for run in moved
        if _is_subset_beside(run) and (parent := _parent(run, parents)) and not _is_of_its_ratio(run)
    }
    return [_beside(run, _parent(run, parents), of_another_size) if _is_subset_beside(run) else run for run in moved]


def placed(realized: float, asked: float | None, others: Collection[float] = ()) -> float:
    """Return the ratio at which a realized one stands.

    Args:
        realized: mean share that was left out.
        asked: the ratio asked for; None where there is none.
        others: ratios at which other runs stand.

    Example:
        >>> placed(0.3662, 0.7), placed(0.8749, 0.875), placed(0.3662, 0.7, [0.5, 0.365])
        (0.37, 0.875, 0.365)
    """
    known = ([] if asked is None else [asked]) + sorted(others, key=lambda ratio: (abs(ratio - realized), ratio))
    left = 1 - realized
    half = 10.0 ** (math.floor(math.log10(left)) - DIGITS + 1) / 2 if left > 0 else 0.0  # half of the last digit
    agreeing = (ratio for ratio in known if abs(ratio - realized) <= half + ROUNDING)
    return next(agreeing, round(1 - float(f"{left:.{DIGITS}g}"), 10))


def _is_sized(run: Run) -> bool:
    """Whether a run stands where others that keep as many samples do: it was asked for no ratio, and kept a mask."""
    known = run.keep_fraction is not None and run.num_total is not None
    return known and run.asked_ratio is None and not run.is_comparison and not is_realized(run)


def _of_equal_size(run: Run, ratios: Collection[float]) -> float:
    """Return the ratio nearest to a run's that keeps exactly as many samples; where there is none its own."""
    assert run.keep_fraction is not None
    assert run.num_total is not None
    num_kept = round(run.keep_fraction * run.num_total)
    equal = [ratio for ratio in ratios if _num_kept(run.num_total, ratio) == num_kept]
    return min(equal, key=lambda ratio: (abs(ratio - run.pruning_ratio), ratio), default=run.pruning_ratio)


def _num_kept(num_total: int, ratio: float) -> int:
    """Return how many samples a ratio keeps of a pool; 0 where it keeps none, which no run can be asked for."""
    return keep_count(num_total, ratio) if round(num_total * (1 - ratio)) else 0


def _moved(run: Run, ratios: dict[str, float]) -> Run:
    """Return a run at its ratio, and a random subset at that of the run that it was trained beside."""
    key = run.run_key.split("/")[0] if _is_subset_beside(run) else run.run_key
    return replace(run, pruning_ratio=ratios.get(key, run.pruning_ratio))


def _is_subset_beside(run: Run) -> bool:
    """Whether a run is a random subset that another run trained beside it."""
    return run.is_comparison and run.label != FULL


def _parent(run: Run, parents: Mapping[str, Run]) -> Run | None:
    """Return the run that a baseline was trained beside; None where it is not among those that are read."""
    return parents.get(run.run_key.split("/")[0])


def _beside(run: Run, parent: Run | None, of_another_size: Collection[tuple[Any, ...]]) -> Run:
    """Return a random subset as one of its ratio, or as a yardstick: one decision for all seeds of a method.

    Args:
        run: the subset, at the ratio of the run that it was trained beside.
        parent: that run.
        of_another_size: the methods of which a subset has another size than its ratio keeps.
    """
    if parent is None or _all_but_seeds(parent) not in of_another_size:
        return replace(run, asked_ratio=run.pruning_ratio)
    return replace(
        run,
        label=f"{RANDOM} [as many as {parent.label}]",
        is_yardstick=True,
        settings=parent.settings,
        asked_ratio=parent.asked_ratio,
    )


def _is_of_its_ratio(run: Run) -> bool:
    """Whether a random subset has the size that its ratio keeps; one of unknown size counts as such."""
    if run.kept_in_comparison is None or run.num_total is None:
        return True
    return round(run.kept_in_comparison * run.num_total) == _num_kept(run.num_total, run.pruning_ratio)


def _pool(run: Run) -> tuple[str, str, str]:
    return run.data, run.fingerprint, run.model


def _all_but_seeds(run: Run) -> tuple[Any, ...]:
    return *_pool(run), run.label, run.asked_ratio, repr(sorted(run.settings.items()))
