"""One experiment from configuration to run.json: prune, train, compare, record."""

import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from secateur.core.block import Status
from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.group import current, failing_together, is_rank_zero
from secateur.core.hashing import canonical_json
from secateur.core.names import named
from secateur.core.record import (
    FILE_NAME,
    Models,
    RunRecord,
    forget_record,
    is_finished,
    keep_record,
    label_of,
    load_record,
    new_record,
    now,
    one_line,
    put_back_record,
    save_record,
)
from secateur.core.store import Store, locked_by_zero
from secateur.core.tables import ScoreTable
from secateur.data.prepared import PreparedData
from secateur.runs.baselines import compare, wanted
from secateur.runs.check_on_data import check_on_data
from secateur.runs.config import Experiment
from secateur.runs.context import Context
from secateur.runs.facts import data_facts, pruning_facts
from secateur.runs.final import Final, finish
from secateur.runs.history import following, mirror
from secateur.runs.keys import canonical, run_key, without_idle_variant
from secateur.runs.methods.base import Pruned
from secateur.runs.naming import exact_choices, model_names
from secateur.runs.nodes import build, shared
from secateur.runs.overrides import check_ratio, idle_settings
from secateur.runs.paths import runs_folder, store_folder
from secateur.runs.pools import forget_pools, pools, shared_cost, transfer_facts
from secateur.runs.results import CONFIG, FIDELITY, flaws, list_artifacts, replace_files, write_artifacts, write_config
from secateur.runs.stages import embeddings, encoder, extrapolation, mapping, scoring, surrogate, training, warmup
from secateur.runs.stages import finetune as transfer
from secateur.runs.stages import joint_pruning as joint
from secateur.runs.stages.fidelity import assess, missing
from secateur.runs.stages.training import train_on_mask
from secateur.tracking.provenance import provenance
from secateur.training.fit import cpu_threads

STAGES = {
    "scoring": scoring,
    "encoder": encoder,
    "embeddings": embeddings,
    "extrapolation": extrapolation,
    "training": training,
    "warmup": warmup,
    "surrogate": surrogate,
    "mapping": mapping,
    "finetune": transfer,
    "joint_pruning": joint,
}
VERSIONS = {name: stage.VERSION for name, stage in STAGES.items()}


@dataclass(frozen=True)
class Outcome:
    """What one call of :func:`execute` left: the run's folder, and whether it had been there already."""

    run_dir: Path
    reused: bool


def execute(
    asked: Experiment,
    console: Console,
    choices: Mapping[str, str] | None = None,
    announce: Callable[[Path], None] = lambda run_dir: None,
    overrides: Sequence[str] = (),
    *,
    swept: bool = False,
) -> Outcome:
    """Run one configuration, or find it finished; all processes of a group together.

    Args:
        asked: the configuration as it was asked for.
        console: where progress and messages go.
        choices: the option each group was set to, for names in the record.
        announce: called with the run's folder once it is known, before anything is trained.
        overrides: what the command sets, for warnings about settings without effect.
        swept: the run is a job of a sweep, whose settings need not be read by each.

    Raises:
        ConfigError: the configuration cannot work on this data; nothing has been written.
        SecateurError: the run failed; a record with status ``failed`` and the reason has been written.
    """
    names = choices or {}
    config = without_idle_variant(canonical(asked), names)
    check_ratio(asked, overrides)
    ignored = () if swept else idle_settings(asked, config, names, overrides)
    if is_rank_zero():
        for line in ignored:
            console.print(f"[yellow]warning:[/] {escape(line)}", highlight=False)
    return execute_resolved(config, console, exact_choices(config, names), announce, ignored)


def execute_resolved(
    config: Experiment,
    console: Console,
    choices: Mapping[str, str],
    announce: Callable[[Path], None] = lambda run_dir: None,
    ignored: Sequence[str] = (),
) -> Outcome:
    """Run one canonical configuration, as a record holds it; see :func:`execute`.

    Args:
        config: the configuration.
        console: where progress and messages go.
        choices: the option each group was set to, for names in the record.
        announce: called with the run's folder once it is known, before anything is trained.
        ignored: what the command said and the configuration does not hold, for the record.
    """
    folder = runs_folder(config.paths.output_dir, config.name)
    log = (choices, console.print)  # what a logger is told beside the configuration
    with _failing_into(folder, config, *log):
        data, downstream = pools(config)
        for part in filter(None, (data, downstream)):
            _ = part.image_shape  # a first image that cannot be read is the data's fault, not the configuration's
    say = partial(console.print, markup=False, soft_wrap=True)
    store = Store(store_folder(config.paths.output_dir), say)
    with failing_together():  # what only the data can tell of the configuration, before anything is written
        context = Context(config, data, store, console, choices, downstream)
        check_on_data(context)
    parts = [data, *([downstream] if downstream else [])]
    fingerprints = [part.fingerprint for part in parts] + [part.evaluation_fingerprint for part in parts]
    run_dir = folder / run_key(config, "+".join(fingerprints), VERSIONS)
    announce(run_dir)
    settings = config.trainer
    lock = locked_by_zero(run_dir / "run.lock", f"run {run_dir.name}", console.print)
    with lock, cpu_threads(settings.num_threads):
        if not config.force and _is_there(context, run_dir):
            _add_comparisons(context, run_dir)
            mirror(config, run_dir, *log, data)
            return Outcome(run_dir, reused=True)
        recording = _recording(run_dir, config, data, lambda: bool(context.ledger.stages), context.say)
        with following(config, run_dir, *log, data) as history, recording as record:
            record.ignored = list(ignored)
            record.transfer = transfer_facts(config, data, downstream)
            context.history = history
            _run(context, run_dir, record)
    return Outcome(run_dir, reused=False)


def _is_there(context: Context, run_dir: Path) -> bool:
    """Whether the run is finished, all its files are as recorded or could be brought back, and it is of this input."""
    if not current().from_zero(lambda: is_finished(run_dir)):
        return False
    return restored(context, run_dir) and current().from_zero(lambda: _is_of_this(context, run_dir))


def _is_of_this(context: Context, run_dir: Path) -> bool:
    """Whether a finished run had what its method reads now: the key has the path of a file, not what is in it."""
    method = shared(context.config.method)
    if method.is_current(context, run_dir):
        return True
    context.console.print(f"{method.path} is not what the finished run had: it runs again", markup=False)
    return False


def _run(context: Context, run_dir: Path, record: RunRecord) -> None:
    """Prune, train, and fill the record."""
    record.warnings = context.warnings  # the list itself, to which the stages add
    record.models = Models(**model_names(context.config, context.choices))
    pruned = prune(context)
    record.pruning.update(pruning_facts(context, pruned), "pruning")
    record.label = label_of(record.pruning, record.select_on)
    record.extrapolation.update(pruned.extrapolation, "extrapolation")
    final = final_training(context, pruned)
    record.ledger.update(context.ledger.to_json(), "ledger")
    record.transfer.update(shared_cost(context.ledger), "transfer")
    if final is None:  # the mask alone: there is no result yet whose cost could be told
        record.ledger.cost_vs_full = record.ledger.cost_vs_full_amortized = None
    else:
        record.metrics.update(final.metrics, "metrics")
        names = wanted(context.config, record, context.choices)
        record.comparison = compare(context, record.pruning, names)
    if is_rank_zero():
        forget_record(run_dir)
    list_artifacts(record, run_dir, write_artifacts(run_dir, pruned, final))
    _add_fidelity(context, run_dir, record)


def _add_comparisons(context: Context, run_dir: Path) -> None:
    """Add to a finished run's record what it was not compared with yet: baselines, full scorings."""
    record = current().from_zero(lambda: load_record(run_dir))
    before = canonical_json(record.to_json())
    if names := wanted(context.config, record, context.choices):
        record.comparison = {**record.comparison, **compare(context, record.pruning, names)}
    _add_fidelity(context, run_dir, record)
    if canonical_json(record.to_json()) != before and is_rank_zero():
        save_record(run_dir, record)


def _add_fidelity(context: Context, run_dir: Path, record: RunRecord) -> None:
    """Compare predicted scores with full scorings, if asked for and not done."""
    if missing(context, record.extrapolation):
        table = current().from_zero(lambda: ScoreTable.load(run_dir / "scores.parquet", context.data.fingerprint))
        before = [entry.score_seed for entry in record.extrapolation.fidelity]
        block, full = assess(context, table, before)
        record.extrapolation.update(block, "extrapolation")
        if is_rank_zero():
            list_artifacts(record, run_dir, [full.save(run_dir / FIDELITY)])


@contextmanager
def _recording(
    run_dir: Path, config: Experiment, data: PreparedData, has_begun: Callable[[], bool], say: Callable[[str], None]
) -> Iterator[RunRecord]:
    """Keep run.json: ``running`` while the block runs, then ``finished``, ``failed`` or ``interrupted``.

    A finished record of before is put back where the block fails before it replaces the files of that record.

    A configuration that turns out to be wrong before any stage is there leaves no record: another command mends it. Of
    several processes the first keeps the record; the others fill one that is not saved.

    Args:
        run_dir: the run's folder.
        config: the canonical configuration.
        data: the prepared data set.
        has_begun: whether a stage has been computed or found.
        say: called with a line of text when a finished record of before is put back.
    """
    record = _begin(run_dir.name, config)
    record.data = data_facts(data)
    if not is_rank_zero():
        with failing_together():
            yield record
        return
    keep_record(run_dir)
    write_config(run_dir, record.config)
    save_record(run_dir, record)
    try:
        with failing_together():
            yield record
    except BaseException as error:
        forget_pools()  # the data may be mended before the next try
        if (before := _put_back(run_dir)) is not None:
            say(f"{run_dir} keeps the result that was finished at {before.finished}: making it again failed.")
            raise
        if isinstance(error, ConfigError) and not has_begun():
            for name in (FILE_NAME, CONFIG):
                (run_dir / name).unlink(missing_ok=True)
            raise
        with suppress(OSError):  # a full disk, which the error says already
            _end(run_dir, record, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error)
        raise
    _end(run_dir, record, "finished")


def _end(run_dir: Path, record: RunRecord, status: Status, error: BaseException | None = None) -> None:
    """Save the record of a run that has ended."""
    record.status, record.finished = status, now()
    record.error = None if error is None else one_line(error)
    save_record(run_dir, record)


def _put_back(run_dir: Path) -> RunRecord | None:
    """Put back the finished record that was kept, and its config.yaml; return it, or None where there is none."""
    with suppress(OSError, DataError):  # a full disk, which the run's own error says already
        if (before := put_back_record(run_dir)) is not None:
            write_config(run_dir, before.config)
            return before
    return None


@contextmanager
def _failing_into(
    folder: Path, config: Experiment, choices: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[None]:
    """Record data that cannot be used, before the pool and with it the run's key is known; bad input leaves nothing."""
    try:
        with failing_together():
            yield
    except ConfigError:
        forget_pools()
        raise
    except SecateurError as error:
        if not is_rank_zero():
            raise
        key = run_key(config, "unreadable", VERSIONS)
        _end(folder / key, _begin(key, config), "failed", error)
        mirror(config, folder / key, choices, say)
        raise


def _command() -> str:
    program = Path(sys.argv[0]).name
    return shlex.join(
        ["python", "-m", "secateur", *sys.argv[1:]] if program == "__main__.py" else [program, *sys.argv[1:]]
    )


def _begin(key: str, config: Experiment) -> RunRecord:
    return new_record(
        run_key=key,
        name=config.name,
        command=_command(),
        seed=config.seed,
        score_seed=config.score_seed,
        select_on=config.select_on,
        config=named(config.to_json()),
        provenance={**provenance(config.trainer.device), "stage_versions": dict(VERSIONS)},
    )


RESTORING = "restoring.partial"  # folder in a finished run's, while files of it are made anew


def restored(context: Context, run_dir: Path) -> bool:
    """Bring back missing and damaged files of a finished run; return whether all are as recorded now.

    They come from the stages in the store, which are computed again where they are not there. Files that are as
    recorded are not touched, and a file takes its place only if it is the one that was recorded. Where one comes out
    differently the record is of another result: the run then has to be made again.
    """
    record = current().from_zero(lambda: load_record(run_dir))
    found = current().from_zero(lambda: flaws(run_dir, record, check=context.config.check))
    if not found:
        return True
    found = current().from_zero(lambda: flaws(run_dir, record, check=True))  # all of them, before anything is replaced
    again = replace(context, history=None, warnings=[])  # a ledger of its own: nothing is booked twice
    if CONFIG in found and is_rank_zero():
        write_config(run_dir, record.config)
    if found.keys() - {CONFIG}:
        with failing_together():
            _make_files(again, run_dir, record, found)
    left = current().from_zero(lambda: flaws(run_dir, record, check=True))
    computed = [cost.stage for cost in again.ledger.stages if not cost.reused]
    how = f"restored, with {', '.join(computed)} computed again" if computed else "restored"
    for name, flaw in {**left, **found}.items():
        context.say(f"{name} {flaw}: {'it comes out differently now' if name in left else how}.")
    if left:
        context.say(f"{run_dir} cannot be restored as it was recorded: it is made again.")
    return not left


def _make_files(context: Context, run_dir: Path, record: RunRecord, names: Collection[str]) -> None:
    """Make some files of a finished run anew, from the stages in the store; its record is left alone.

    All files are made in a folder beside them; of these the named ones that are as recorded take their places.
    """
    pruned = prune(context)
    final = final_training(context, pruned)
    made = run_dir / RESTORING
    if is_rank_zero():
        shutil.rmtree(made, ignore_errors=True)  # of a process that was killed here
    try:
        write_artifacts(made, pruned, final)
        _make_fidelity(context, run_dir if "scores.parquet" not in names else made, made, record, names)
        if is_rank_zero():
            replace_files(run_dir, made, record, names)
    finally:
        if is_rank_zero():
            shutil.rmtree(made, ignore_errors=True)


def _make_fidelity(context: Context, scores: Path, target: Path, record: RunRecord, names: Collection[str]) -> None:
    """Make the full scores of a comparison anew, if they are named, with the scores in one folder, in another."""
    if FIDELITY in names:
        seeds = [entry.score_seed for entry in record.extrapolation.fidelity]
        wanted = context.config.fidelity.model_copy(update={"against": seeds})
        table = current().from_zero(lambda: ScoreTable.load(scores / "scores.parquet", context.data.fingerprint))
        _, full = assess(replace(context, config=context.config.changed(fidelity=wanted)), table)
        if is_rank_zero():
            full.save(target / FIDELITY)


def prune(context: Context) -> Pruned:
    """Let the method choose; its mask is told how many rows the training split has."""
    pruned: Pruned = build(context.config.method).prune(context)
    if pruned.mask is None:
        return pruned
    return replace(pruned, mask=replace(pruned.mask, num_rows=len(context.data.labels)))


def final_training(context: Context, pruned: Pruned) -> Final | None:
    """Train on the mask, unless the method already has or only the mask is wanted; books the cost."""
    trained = pruned.trained
    if trained is None:
        if not context.config.train_final:
            return None
        assert pruned.mask is not None, "a method without a mask trains the final network itself"
        trained = train_on_mask(context, pruned.mask)
    final = finish(context, trained)
    for cost in final.costs:
        context.ledger.add(cost)
    return final
