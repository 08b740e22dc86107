"""Run a recorded configuration again with an empty store, and compare what comes out with what was recorded."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from secateur.core.errors import FingerprintError
from secateur.core.record import load_record, one_line
from secateur.pipeline.config import Config
from secateur.pipeline.run import VERSIONS, execute_resolved
from secateur.pipeline.verification.compare import compare_files
from secateur.pipeline.verification.integrity import (
    FILES,
    configuration_problems,
    file_problems,
    finished_record,
    key_problem,
)
from secateur.pipeline.verification.repeat import check_pools, circumstances, repeatable
from secateur.pipeline.verification.values import first_difference
from secateur.pipeline.verification.verdict import Compared, Tolerances, Verification

Record = Mapping[str, Any]
# Made of full scorings, and so a comparison.
OF_FIDELITY = ("fidelity", "seed_level")


@dataclass(frozen=True)
class Options:
    """How to verify.

    Attributes:
        tolerances: what is tolerated.
        quick: only check that the folder agrees with itself; trains nothing.
        comparison: also repeat what the run was compared with.
        keep: keep the repetition's folder.
        moved: ``KEY=VALUE`` of what lies elsewhere now.
    """

    tolerances: Tolerances = field(default_factory=Tolerances)
    quick: bool = False
    comparison: bool = True
    keep: bool = False
    moved: Sequence[str] = ()


def verify(run_dir: Path, defaults: Config, options: Options, console: Console) -> Verification:
    """Check a run's folder, run its configuration again in a temporary folder, and compare.

    A folder whose copies of the configuration disagree is not run again: it is not clear what was run.

    Args:
        run_dir: folder of a finished run.
        defaults: today's default configuration.
        options: how.
        console: where progress, remarks and the lines of the comparison go.

    Raises:
        SecateurError: there is no finished run, its data is not there or other data, or it cannot be run.
    """
    record = finished_record(run_dir)
    ambiguous = configuration_problems(run_dir, record)
    problems = [*ambiguous, *filter(None, [key_problem(record, VERSIONS)]), *file_problems(run_dir, record)]
    if options.quick or ambiguous:
        return Verification(problems, tolerances=options.tolerances)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    with _workplace(options.keep) as folder:
        config = repeatable(record, defaults, folder, options.moved, options.comparison)
        try:
            check_pools(record, config)
        except FingerprintError as error:
            if not problems:
                raise
            return Verification([*problems, one_line(error)], tolerances=options.tolerances)
        for remark in circumstances(record, config):
            console.print(f"note: {remark}", markup=False)
        console.print(f"running {record['run_key']} ({record['label']}) again in {folder}", markup=False)
        repeated = execute_resolved(config, console, _choices(record)).run_dir
        compared = [
            *_compare_all_files(run_dir, record, repeated, options.comparison),
            *_compare_blocks(record, load_record(repeated), options.comparison),
        ]
    return Verification(problems, _without_echoes(compared), options.tolerances, repeated if options.keep else None)


def _choices(record: Record) -> dict[str, str]:
    """Return the names that the record has for its options: the repetition's record then has the same."""
    names = {key: record["pruning"].get(key) for key in ("method", "score", "extrapolation", "selection")}
    names |= {"model": record["models"]["scoring"], "model@retrain_model": record["models"]["final"]}
    return {key: name for key, name in names.items() if name}


@contextmanager
def _workplace(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="secateur-verify-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _compare_all_files(run_dir: Path, record: Record, repeated: Path, comparison: bool) -> Iterator[Compared]:
    names = [name for name in FILES if name in record["artifacts"]]
    names += sorted(set(record["artifacts"]) - set(names) - (set() if comparison else {"fidelity.parquet"}))
    for name in names:
        yield compare_files(name, run_dir / name, repeated / name)


def _compare_blocks(record: Record, repeated: Record, comparison: bool) -> Iterator[Compared]:
    """Compare what run.json says of the result, block by block; seconds and what was reused are no result."""
    before, after = _blocks(record, comparison), _blocks(repeated, comparison)
    for name, block in before.items():
        found = first_difference(block, after.get(name, {}), new_keys=True)
        size, first = (found.size, str(found)) if found else (0.0, "")
        yield Compared(f"run.json {name}", "metrics", size, first)


def _blocks(record: Record, comparison: bool) -> dict[str, Any]:
    ledger = record["ledger"]
    counted = ("stage", "samples_forward", "samples_backward", "flops")
    blocks: dict[str, dict[str, Any]] = {
        "metrics": record["metrics"],
        "pruning": record["pruning"],
        "extrapolation": _without(record["extrapolation"], *OF_FIDELITY),
        "transfer": _without(record["transfer"], "source", "downstream"),
        "data": _without(record["data"], "name"),  # a folder's name is the data set's where it has no other
        "ledger": {
            **{key: ledger[key] for key in ("cost_vs_full", "cost_vs_full_amortized")},
            "stages": [{key: stage[key] for key in counted} for stage in ledger["stages"]],
        },
    }
    if comparison:
        blocks["comparison"] = {name: _without(metrics, "reused") for name, metrics in record["comparison"].items()}
        blocks["fidelity"] = {key: record["extrapolation"].get(key) for key in OF_FIDELITY}
    return {name: block for name, block in blocks.items() if any(value is not None for value in block.values())}


def _without(block: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key not in keys}


def _without_echoes(compared: list[Compared]) -> list[Compared]:
    """Leave out blocks that say again, as counts and hashes, what a table that is not identical has said."""
    unequal = {part.name for part in compared if part.first}
    echoes = {"scores.parquet": {"run.json extrapolation"}, "mask.parquet": {"run.json pruning"}}
    silent = set().union(*(blocks for table, blocks in echoes.items() if table in unequal))
    return [part for part in compared if part.name not in silent]
