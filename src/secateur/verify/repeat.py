"""Run a recorded configuration again with an empty store, and compare what comes out with what was recorded."""

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from secateur.core.errors import DataError, FingerprintError, SecateurError
from secateur.core.record import RunRecord, load_record, one_line
from secateur.runs.config import Experiment
from secateur.runs.recorded import check_targets
from secateur.runs.run import VERSIONS, execute_resolved
from secateur.verify.check import (
    FILES,
    OlderRecordError,
    configuration_problems,
    file_problems,
    finished_record,
    key_problem,
)
from secateur.verify.compare import compare_blocks, compare_files, same_code, warning_remarks
from secateur.verify.configuration import check_pools, circumstances, experiment_of, repeatable
from secateur.verify.names import name_problems, names_from_config
from secateur.verify.verdict import Compared, Tolerances, Verification

BAD_CONFIG = (SecateurError, HydraException, OmegaConfBaseException)  # these say what is wrong in a line of their own


@dataclass(frozen=True)
class Options:
    """How to verify.

    Attributes:
        tolerances: what is tolerated.
        quick: only check that the folder agrees with itself; trains nothing.
        comparison: also repeat what the run was compared with.
        keep: keep the repetition's folder.
        moved: ``KEY=VALUE`` of what lies elsewhere now.
        user_conf: folder of the user's own options, as ``--config-dir``; None makes nothing but Secateur's own classes.
    """

    tolerances: Tolerances = field(default_factory=Tolerances)
    quick: bool = False
    comparison: bool = True
    keep: bool = False
    moved: Sequence[str] = ()
    user_conf: Path | None = None


def verify(run_dir: Path, defaults: Experiment, options: Options, console: Console) -> Verification:
    """Check a run's folder, run its configuration again in a temporary folder, and compare.

    A folder whose copies of the configuration disagree, or do not give its run_key, is not run again: it is not clear
    what was run.

    Args:
        run_dir: folder of a finished run.
        defaults: today's default configuration.
        options: how.
        console: where progress, remarks and the lines of the comparison go.

    Raises:
        SecateurError: there is no finished run, its data is not there or other data, or it cannot be run.
    """
    record = finished_record(run_dir)
    if options.user_conf is None:
        check_targets(record.config, "config")
    ambiguous = configuration_problems(run_dir, record)
    key = _key_problems(record, console)
    with _as_recorded(run_dir):
        config = experiment_of(record, defaults)
        names = names_from_config(record, config, options.user_conf)
        wrong = list(name_problems(record, config, names))
    problems = [*ambiguous, *key, *wrong, *file_problems(run_dir, record)]
    if options.quick or ambiguous or key:
        return Verification(problems, tolerances=options.tolerances)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    with _workplace(options.keep) as folder:
        with _as_recorded(run_dir):
            config = repeatable(record, config, defaults, folder, options.moved, options.comparison)
            remarks = list(circumstances(record, config))
        try:
            check_pools(record, config)
        except FingerprintError as error:
            if not problems:
                raise
            return Verification([*problems, one_line(error)], tolerances=options.tolerances)
        for remark in remarks:
            console.print(f"note: {remark}", markup=False)
        console.print(f"running {record.run_key} ({record.label}) again in {folder}", markup=False)
        repeated = execute_resolved(config, console, names).run_dir
        again = load_record(repeated)
        compared = [
            *_compare_all_files(run_dir, record, repeated, again, options.comparison),
            *compare_blocks(record, again, options.comparison),
        ]
        for remark in warning_remarks(record, again):
            console.print(f"note: {remark}", markup=False)
    return Verification(problems, _without_echoes(compared), options.tolerances, repeated if options.keep else None)


def _key_problems(record: RunRecord, console: Console) -> list[str]:
    try:
        return list(filter(None, [key_problem(record, VERSIONS)]))
    except OlderRecordError as error:
        console.print(f"note: {error}", markup=False)
        return []


@contextmanager
def _as_recorded(run_dir: Path) -> Iterator[None]:
    """Say in one line that a record's configuration has not the form that a run's has."""
    try:
        yield
    except BAD_CONFIG:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise DataError(f"{run_dir}/run.json: its config is not one of a run ({reason}).") from error


@contextmanager
def _workplace(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="secateur-verify-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _compare_all_files(
    run_dir: Path, record: RunRecord, repeated: Path, again: RunRecord, comparison: bool
) -> Iterator[Compared]:
    """Compare what either run lists, so that no file can be left out by taking it off the list."""
    listed = set(record.artifacts) | set(again.artifacts)
    names = [name for name in FILES if name in listed]
    names += sorted(listed - set(names) - (set() if comparison else {"fidelity.parquet"}))
    for name in names:
        if name in record.artifacts:
            yield compare_files(name, run_dir / name, repeated / name, new_keys=not same_code(record, again))
        else:
            yield Compared(name, "metrics", math.inf, "the run makes it, but run.json does not list it")


def _without_echoes(compared: list[Compared]) -> list[Compared]:
    """Leave out blocks that say again, as counts and hashes, what a table that is not identical has said."""
    unequal = {part.name for part in compared if part.first}
    echoes = {"scores.parquet": {"run.json extrapolation"}, "mask.parquet": {"run.json pruning"}}
    silent = set().union(*(blocks for table, blocks in echoes.items() if table in unequal))
    return [part for part in compared if part.name not in silent]
