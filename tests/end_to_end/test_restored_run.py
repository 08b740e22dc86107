"""The same command twice does nothing, unless a file of the finished run is missing or damaged: then it is restored."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from secateur.core.errors import ConfigError
from secateur.core.hashing import file_sha256
from secateur.core.mask import Mask
from secateur.core.record import KEPT, forget_record, keep_record, load_record, new_record, put_back_record, save_record
from secateur.runs import results as artifacts
from secateur.runs import run as run_module

pytestmark = pytest.mark.slow
RUN = ("data.first=200", "score=el2n", "pruning_ratio=0.4")
FILES = ("mask.parquet", "scores.parquet", "metrics.csv", "predictions.parquet", "checkpoints/last.safetensors")


def flip(path):
    """Change one bit in the middle of a file, in place: its links change too."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(content)


DAMAGE = {"flipped": flip, "emptied": lambda path: os.truncate(path, 0), "deleted": lambda path: path.unlink()}
REASON = {"flipped": "has sha256", "emptied": "has 0 bytes instead of", "deleted": "is missing"}


def contents(folder):
    names = ("run.json", "config.yaml", *FILES)
    return {name: file_sha256(folder / name) for name in names}


def test_every_damaged_file_is_restored_and_named(program):
    assert program.run(*RUN) == 0
    record = program.record()
    folder = program.run_dir(record)
    assert set(FILES) <= set(record["artifacts"])
    assert record["artifact_bytes"] == {name: (folder / name).stat().st_size for name in record["artifacts"]}
    before = contents(folder)

    assert program.run(*RUN) == 0
    assert "restored" not in program.out
    for damage, change in DAMAGE.items():
        for name in FILES:
            (folder / name).chmod(0o644)  # against its permissions
            change(folder / name)
        (folder / "config.yaml").unlink()
        assert program.run(*RUN) == 0
        # an edit in place also changes the store's files, which is noticed there
        trained = damage != "deleted"
        assert ("is damaged and is computed again" in program.out) == trained
        how = "restored, with training computed again." if trained else "restored."
        reasons = {**dict.fromkeys(FILES, REASON[damage]), "config.yaml": "is missing"}
        for name, reason in reasons.items():
            (line,) = (line for line in program.out.splitlines() if line.startswith(f"warning: {name} "))
            assert line.startswith(f"warning: {name} {reason}")
            assert line.endswith(how)
        assert "already finished" in program.out
        assert contents(folder) == before
    flip(folder / "config.yaml")
    assert program.run(*RUN) == 0
    assert "config.yaml is not the configuration in run.json: restored." in program.out
    assert contents(folder) == before


def test_without_the_store_what_is_missing_is_computed(program):
    assert program.run(*RUN) == 0
    folder = program.run_dir(program.record())
    before = contents(folder)
    shutil.rmtree(program.folder / "store")
    (folder / "metrics.csv").unlink()
    assert program.run(*RUN) == 0
    assert "metrics.csv is missing: restored, with scoring, training computed again." in program.out
    assert contents(folder) == before


def test_a_run_that_comes_out_differently_is_made_again(program):
    assert program.run(*RUN) == 0
    folder = program.run_dir(program.record())
    path = folder / "run.json"
    record = json.loads(path.read_text())
    record["artifacts"]["mask.parquet"] = "0" * 64  # of another program
    path.write_text(json.dumps(record))
    assert program.run(*RUN) == 0
    assert "mask.parquet has sha256" in program.out
    assert "it comes out differently now" in program.out
    assert f"{folder} cannot be restored as it was recorded: it is made again." in program.out
    assert program.record()["artifacts"]["mask.parquet"] == file_sha256(folder / "mask.parquet")
    assert "already finished" not in program.out
    assert program.run(*RUN) == 0
    assert "already finished" in program.out


def test_large_runs_are_hashed_on_demand(program, monkeypatch):
    monkeypatch.setattr(artifacts, "HASHED_BYTES", 1000)
    assert program.run(*RUN) == 0
    path = program.run_dir(program.record()) / "mask.parquet"
    before = file_sha256(path)
    flip(path)
    assert program.run(*RUN) == 0
    assert "restored" not in program.out
    assert program.run(*RUN, "check=true") == 0
    assert "mask.parquet has sha256" in program.out
    assert file_sha256(path) == before


def test_the_full_scores_of_a_comparison_are_restored(program):
    words = ("data.first=200", "score=el2n", "extrapolation=knn", "subset_fraction=0.5", "fidelity.against=[3]")
    assert program.run(*words) == 0
    folder = program.run_dir(program.record())
    before = file_sha256(folder / "fidelity.parquet")
    (folder / "fidelity.parquet").unlink()
    assert program.run(*words[:-1]) == 0
    assert "fidelity.parquet is missing: restored" in program.out
    assert file_sha256(folder / "fidelity.parquet") == before


def test_files_that_are_as_recorded_are_not_touched(program, monkeypatch):
    assert program.run(*RUN) == 0
    folder = program.run_dir(program.record())
    before, inodes = contents(folder), {name: (folder / name).stat().st_ino for name in FILES}
    (folder / "metrics.csv").unlink()
    save = Mask.save
    monkeypatch.setattr(Mask, "save", lambda mask, path: save(replace(mask, metadata={"made": "otherwise"}), path))
    assert program.run(*RUN) == 0
    assert "metrics.csv is missing: restored." in program.out
    assert "already finished" in program.out
    assert contents(folder) == before
    assert all((folder / name).stat().st_ino == inodes[name] for name in FILES if name != "metrics.csv")
    assert not (folder / "restoring.partial").exists()

    (folder / "mask.parquet").unlink()
    (folder / "metrics.csv").unlink()
    assert program.run(*RUN) == 0
    assert "mask.parquet is missing: it comes out differently now." in program.out
    assert "metrics.csv is missing: restored." in program.out
    assert f"{folder} cannot be restored as it was recorded: it is made again." in program.out


@pytest.mark.parametrize("after_the_scoring", [False, True])
def test_a_failed_attempt_leaves_the_finished_record(program, monkeypatch, after_the_scoring):
    assert program.run(*RUN) == 0
    folder = program.run_dir(program.record())
    before, prune = contents(folder), run_module.prune

    def fail(context):
        assert program.record()["status"] == "running"
        if after_the_scoring:
            prune(context)
        raise ConfigError("no way")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "prune", fail)
        assert program.run(*RUN, "force=true") == 2
    assert f"{folder} keeps the result that was finished at " in program.out
    assert contents(folder) == before
    assert program.run(*RUN, "force=true") == 0
    assert not (folder / KEPT).exists()
    assert program.record()["status"] == "finished"


def test_a_kept_record_survives_a_process_that_is_killed(tmp_path):
    save_record(tmp_path, new_record(name="old", status="finished"))
    keep_record(tmp_path)
    save_record(tmp_path, new_record(name="new", status="running"))
    keep_record(tmp_path)  # of the next process
    assert load_record(tmp_path).name == "new"
    assert put_back_record(tmp_path).name == load_record(tmp_path).name == "old"
    assert put_back_record(tmp_path) is None
    keep_record(tmp_path)
    forget_record(tmp_path)
    assert put_back_record(tmp_path) is None
