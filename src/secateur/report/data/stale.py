"""Cells whose runs were made by other code than most of their table: equal settings, maybe not equal results."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from secateur.report.data.cells import Cell
from secateur.report.data.load import LeftOut
from secateur.report.data.planned import name_of, table_of
from secateur.report.data.run import Run

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
    provenance = run.record.get("provenance")
    if not isinstance(provenance, Mapping):
        return "unknown code", ()
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
