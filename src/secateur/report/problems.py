"""Problems of a table: runs that are missing, failed or not started, and cells made by other code than the rest."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from secateur.core.files import flaw_of
from secateur.core.names import CLASS, named, short_name
from secateur.report.data.cells import Cell, is_method
from secateur.report.data.load import CONFIG, MASK_ONLY, LeftOut
from secateur.report.data.run import FULL, Run
from secateur.runs.config import compared_settings, parts

Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Known:
    """How the finished runs are called, to find the name of one that did not finish.

    Attributes:
        by_settings: label by everything in a configuration but ratio and seeds.
        by_targets: label by the classes of method, scorer, extrapolator and selection.
        ratios: ratio of the cell by the same settings as ``by_settings`` and the ratio asked for.
    """

    by_settings: Mapping[Settings, str]
    by_targets: Mapping[tuple[str, ...], str]
    ratios: Mapping[tuple[Settings, Any], float]


def describe(left_out: Sequence[LeftOut], cells: Sequence[Cell]) -> list[LeftOut]:
    """Return the records left out with what they were to be: method, ratio and seeds, as far as can be told.

    A record that cannot be read is looked up in the ``config.yaml`` beside it.
    """
    if all(one.kind == MASK_ONLY for one in left_out):
        return list(left_out)
    known = _known(cells)
    return [one if one.kind == MASK_ONLY else _described(one, known) for one in left_out]


def _described(one: LeftOut, known: Known) -> LeftOut:
    config = one.record.get("config") or _config_beside(one.path)
    if not isinstance(config, Mapping):
        return replace(one, name=one.name or one.path.name)
    try:
        method = _label(config, known)
        seed, score_seed, ratio = (config.get(key) for key in ("seed", "score_seed", "pruning_ratio"))
        ratio = 0.0 if is_method(method, FULL) else _ratio(config, ratio, known)
    except (AttributeError, KeyError, TypeError, ValueError):
        return replace(one, name=one.name or one.path.name)
    changes: dict[str, Any] = {
        **{"method": method, "pruning_ratio": ratio},
        **{"seed": seed if isinstance(seed, int) else None},
        **{"score_seed": score_seed if isinstance(score_seed, int) else None},
    }
    return replace(one, name=one.name or name_of(method, ratio, changes["seed"]), **changes)


def name_of(method: str, ratio: float | None, seed: int | None = None) -> str:
    """Return a run in words.

    Example:
        >>> name_of("tdds", 0.3, 2)
        'tdds, 30 % pruned, seed 2'
    """
    pruned = "" if is_method(method, FULL) or ratio is None else f", {round(100 * ratio, 1):g} % pruned"
    return f"{method}{pruned}" + ("" if seed is None else f", seed {seed}")


def table_of(cell: Cell) -> str:
    """Return the name of the table that a cell stands in."""
    return f"{cell.data}, {cell.model}"


def _config_beside(folder: Path) -> Any:
    try:
        config = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    except Exception:  # whatever lies there is as damaged as the record, and the parser raises what it likes
        return None
    return None if flaw_of(config) else config


def _known(cells: Sequence[Cell]) -> Known:
    by_settings, by_targets, ratios = {}, {}, {}
    for cell in cells:
        for run in cell.runs:
            config = run.record.config
            if config and not run.is_comparison:
                by_settings[_settings(config)] = cell.label
                asked = config.get("pruning_ratio")
                ratios[_settings(config), asked if isinstance(asked, int | float) else None] = cell.pruning_ratio
                by_targets[_targets(config)] = cell.label.split(" [")[0]
    return Known(by_settings, by_targets, ratios)


def _ratio(config: Mapping[str, Any], asked: Any, known: Known) -> float | None:
    """Return a finished sister's ratio, which need not be the one asked for; without one the latter."""
    ratio = known.ratios.get((_settings(config), asked), asked) if isinstance(asked, int | float) else None
    return None if ratio is None else float(ratio)


def _settings(config: Mapping[str, Any]) -> Settings:
    return tuple(sorted((key, repr(value)) for key, value in compared_settings(config).items()))


def _targets(config: Mapping[str, Any]) -> tuple[str, ...]:
    nodes = [config.get(name) for name in parts()]
    return tuple(str(named(node).get(CLASS, "")) if isinstance(node, Mapping) else "" for node in nodes)


def _label(config: Mapping[str, Any], known: Known) -> str:
    """Return a finished sister's label; without one, the names of the modules that the configuration names."""
    targets = _targets(config)
    label = known.by_settings.get(_settings(config)) or known.by_targets.get(targets)
    if label:
        return label
    method, *others = (short_name(target) for target in targets)
    parts = [part for part in others if part and part != "top"] if method == "score" else [method]
    return " + ".join(parts) or "a run"


def missing(cells: Sequence[Cell], left_out: Sequence[LeftOut], planned: Collection[str] = ()) -> list[LeftOut]:
    """Return the runs that the grid of the others lets one expect and of which there is no record at all.

    Within the runs of one name on one data set with one model, every cell is expected to have every training seed
    that any of them has, and every method every ratio that more than half of the other methods have, if it has any
    of those. What failed, was interrupted or is damaged is in ``left_out`` already and not listed again.

    Args:
        cells: what there is.
        left_out: records without a result, see :func:`describe`.
        planned: names of runs whose sweep says what there ought to be: nothing is guessed for them.
    """
    excused = {(one.method, one.pruning_ratio, one.seed) for one in left_out}
    studies: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        for name in sorted({run.name for run in cell.runs} - set(planned)):
            studies[name, cell.data, cell.model].append(cell)
    found: dict[tuple[str, str, str, float, int | None], LeftOut] = {}
    for (_, data, model), members in studies.items():
        where = f"{data}, {model}: " if len({(cell.data, cell.model) for cell in cells}) > 1 else ""
        for one in [*_missing_seeds(members), *_missing_ratios(members)]:
            if one.seed is None or (one.method, one.pruning_ratio, one.seed) not in excused:
                key = (data, model, str(one.method), one.pruning_ratio or 0.0, one.seed)
                found.setdefault(key, replace(one, name=where + one.name))
    return list(found.values())


def _missing_seeds(cells: Sequence[Cell]) -> list[LeftOut]:
    expected = {run.seed for cell in cells for run in cell.runs}
    return [
        _absent(cell, cell.pruning_ratio, seed, f"{len(cell.seeds)} of {len(expected)} seeds are there")
        for cell in cells
        for seed in sorted(expected - set(cell.seeds))
    ]


def _missing_ratios(cells: Sequence[Cell]) -> list[LeftOut]:
    ratios: dict[str, set[float]] = defaultdict(set)
    first: dict[str, Cell] = {}
    for cell in cells:
        if not is_method(cell.label, FULL):
            ratios[cell.label].add(cell.pruning_ratio)
            first.setdefault(cell.label, cell)
    absent = []
    for label, own in ratios.items():
        others = [theirs for other, theirs in ratios.items() if other != label]
        having = {ratio: sum(ratio in theirs for theirs in others) for ratio in set().union(*others)}
        usual = {ratio for ratio, count in having.items() if 2 * count > len(others)}
        if own & usual:  # a method that shares no ratio with most others is not on their grid
            for ratio in sorted(usual - own):
                reason = f"no run at this ratio; {having[ratio]} of {len(others)} other methods have it"
                absent.append(_absent(first[label], ratio, None, reason))
    return absent


def _absent(cell: Cell, ratio: float, seed: int | None, reason: str) -> LeftOut:
    return LeftOut(
        *(cell.runs[0].path.parent, "missing", reason),
        name=name_of(cell.label, ratio, seed),
        method=cell.label,
        pruning_ratio=ratio,
        seed=seed,
        table=table_of(cell),
    )


Version = tuple[str, tuple[tuple[str, str], ...]]


def stale(cells: Sequence[Cell]) -> list[LeftOut]:
    """Return an entry per cell that has runs of another version than most runs of its table.

    The version is what the record has of it: the hash of the package's files, else the commit, else the package's
    number; and the versions of the stages. Of two that are as frequent the later run's is taken for the usual one.
    """
    tables: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        tables[cell.data, cell.model].append(cell)
    return [entry for members in tables.values() for entry in _stale_in(members)]


def _stale_in(cells: Sequence[Cell]) -> list[LeftOut]:
    own = [[run for run in cell.runs if not run.is_comparison] for cell in cells]
    versions = [(version_of(run), run.finished) for runs in own for run in runs]
    if len({version for version, _ in versions}) < 2:
        return []
    counts = Counter(version for version, _ in versions)
    latest = {version: max(when for which, when in versions if which == version) for version in counts}
    usual = max(counts, key=lambda version: (counts[version], latest[version]))
    entries = []
    for cell, runs in zip(cells, own, strict=True):
        others = [run for run in runs if version_of(run) != usual]
        if others:
            entries.append(_entry(cell, others, len(runs), usual, f"{counts[usual]} of the table's {len(versions)}"))
    return entries


def _entry(cell: Cell, others: Sequence[Run], num_runs: int, usual: Version, share: str) -> LeftOut:
    differences = sorted({_difference(version_of(run), usual) for run in others})
    reason = f"{len(others)} of {num_runs} runs by {'; '.join(differences)} ({share} runs by the latter)"
    return LeftOut(
        *(others[0].path, "stale", reason),
        name=name_of(cell.label, cell.pruning_ratio),
        method=cell.label,
        pruning_ratio=cell.pruning_ratio,
        table=table_of(cell),
    )


def version_of(run: Run) -> Version:
    """Return what a run's record says of the code that made it: code, and the stages' versions."""
    provenance = run.record.provenance
    stages = provenance.get("stage_versions")
    if not isinstance(stages, Mapping):
        return _code(provenance), ()
    return _code(provenance), tuple(sorted((name, repr(version)) for name, version in stages.items()))


def _code(provenance: Mapping[str, Any]) -> str:
    if isinstance(provenance.get("code"), str):
        return f"code {provenance['code'][:12]}"
    git = provenance.get("git")
    if isinstance(git, Mapping) and git.get("commit"):
        return f"commit {str(git['commit'])[:12]}" + (" with changes" if git.get("dirty") else "")
    packages = provenance.get("packages")
    number = packages.get("secateur") if isinstance(packages, Mapping) else None
    return f"version {number}" if number else "unknown code"


def _difference(version: Version, usual: Version) -> str:
    stages, usual_stages = dict(version[1]), dict(usual[1])
    if stages and usual_stages and stages != usual_stages:
        names = sorted(key for key in stages.keys() | usual_stages.keys() if stages.get(key) != usual_stages.get(key))
        listed = ", ".join(f"{name} {stages.get(name, '-')} instead of {usual_stages.get(name, '-')}" for name in names)
        return f"{version[0]} (stage versions: {listed}) instead of {usual[0]}"
    return f"{version[0]} instead of {usual[0]}"
