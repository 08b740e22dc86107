"""Missing and damaged files of a finished run, brought back from the stages in the store."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from secateur.core.group import current, failing_together, is_rank_zero
from secateur.core.record import load_record
from secateur.core.tables import ScoreTable
from secateur.runs.choosing import final_training, prune
from secateur.runs.context import Context
from secateur.runs.results import CONFIG, FIDELITY, flaws, replace_files, write_artifacts, write_config
from secateur.runs.stages.fidelity import assess

RESTORING = "restoring.partial"  # folder in a finished run's, while files of it are made anew


def restored(context: Context, run_dir: Path) -> bool:
    """Bring back missing and damaged files of a finished run; return whether all are as recorded now.

    They come from the stages in the store, which are computed again where they are not there. Files that are as
    recorded are not touched, and a file takes its place only if it is the one that was recorded. Where one comes out
    differently the record is of another result: the run then has to be made again.
    """
    record = current().from_zero(lambda: load_record(run_dir))
    found = current().from_zero(lambda: flaws(run_dir, record, check=context.config["check"]))
    if not found:
        return True
    found = current().from_zero(lambda: flaws(run_dir, record, check=True))  # all of them, before anything is replaced
    again = replace(context, history=None, warnings=[])  # a ledger of its own: nothing is booked twice
    if CONFIG in found and is_rank_zero():
        write_config(run_dir, record["config"])
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


def _make_files(context: Context, run_dir: Path, record: dict[str, Any], names: Collection[str]) -> None:
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


def _make_fidelity(
    context: Context, scores: Path, target: Path, record: dict[str, Any], names: Collection[str]
) -> None:
    """Make the full scores of a comparison anew, if they are named, with the scores in one folder, in another."""
    if FIDELITY in names:
        entries = record["extrapolation"]["fidelity"]
        seeds = [entry["score_seed"] for entry in entries]
        wanted = {**context.config["fidelity"], "against": seeds}
        table = current().from_zero(lambda: ScoreTable.load(scores / "scores.parquet", context.data.fingerprint))
        _, full = assess(replace(context, config={**context.config, "fidelity": wanted}), table)
        if is_rank_zero():
            full.save(target / FIDELITY)
