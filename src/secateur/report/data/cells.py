"""Group runs into cells: the runs that differ in nothing but their seeds."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from secateur.report.data.load import LeftOut
from secateur.report.data.realized import at_realized_ratio
from secateur.report.data.run import FULL, NEUTRAL, Run
from secateur.report.data.two_seeds import Masks, Values

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
        blocks = [data for run in self.runs if isinstance(data := run.record.get("data"), Mapping)]
        counts = [count for data in blocks if isinstance(count := data.get("num_classes"), int)]
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
        LeftOut(run.path, "superseded", f"same run key as {latest[key].path}, another accuracy", run.record)
        for key, members in copies.items()
        for run in members
        if run.accuracy != latest[key].accuracy
    ]
    return list(latest.values()), left_out


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
    shown = [f"{name}={settings.get(key, NEUTRAL.get(key))}" for name, key in zip(names, differing, strict=True)]
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
            left_out.append(LeftOut(run.path, "superseded", f"same settings and seeds as {kept.path}", run.record))
    return tuple(sorted(chosen.values(), key=lambda run: (run.seed, str(run.score_seed)))), left_out
