"""`secateur verify` of records that were forged with care, broken, or made to run something else."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from secateur.cli.main import main
from secateur.core.hashing import file_sha256

pytestmark = pytest.mark.slow

# What equals extrapolation=knn_average, asked for in another way.
KNN = ("extrapolation=knn", "extrapolation.k=12", "extrapolation.weighting=average", "subset_fraction=0.3")
QUICK = ("score=el2n", "trainer.max_epochs=2", "compare_with=[]", "name=forged")
EXECUTE = "secateur.verify.repeat.execute_resolved"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with an extrapolation."""
    folder = tmp_path_factory.mktemp("outputs")
    GlobalHydra.instance().clear()
    assert main(["run", *KNN, *QUICK, f"paths.output_dir={folder}"]) == 0
    (run_dir,) = (folder / "runs" / "forged").iterdir()
    return run_dir


@pytest.fixture
def run_dir(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / finished.name, copy_function=shutil.copyfile))


def edit(run_dir, change):
    path = run_dir / "run.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def put(value, *path):
    """Return what sets one value of a record."""

    def change(record):
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return change


def drop(*path):
    """Return what takes one key out of a record."""

    def change(record):
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return change


def rewrite(run_dir, *names):
    """Let the record's hashes and sizes be those of changed files."""

    def change(record):
        for name in names:
            record["artifacts"][name] = file_sha256(run_dir / name)
            record["artifact_bytes"][name] = (run_dir / name).stat().st_size

    edit(run_dir, change)


def set_config(run_dir, key, node):
    edit(run_dir, put(node, "config", key))
    record = json.loads((run_dir / "run.json").read_text())
    OmegaConf.save(OmegaConf.create(record["config"]), run_dir / "config.yaml")


def other_code(record):
    record["provenance"]["code"] = "0" * 64


def test_a_part_is_called_what_it_is_however_it_was_asked_for(finished, verify):
    record = json.loads((finished / "run.json").read_text())
    assert (record["label"], record["pruning"]["extrapolation"]) == ("el2n + knn_average", "knn_average")
    code, out, err = verify(finished)
    assert (code, err) == (0, "")
    assert "identical: the run comes out again" in out
    assert "run.json extrapolation" in out


def erase_metrics(record):
    record["metrics"] = dict.fromkeys(record["metrics"])


ERASED = {
    "metrics": (erase_metrics, "run.json metrics: test_accuracy: None recorded, "),
    "extrapolation": (put({}, "extrapolation"), "run.json extrapolation: subset_fraction: nothing recorded, "),
    "one_key": (drop("extrapolation", "ks"), "run.json extrapolation: ks: nothing recorded, "),
    "ledger": (put([], "ledger", "stages"), "run.json ledger: stages: [] recorded, "),
}


@pytest.mark.parametrize("erased", list(ERASED))
def test_what_was_erased_is_a_difference(run_dir, verify, erased):
    change, expected = ERASED[erased]
    edit(run_dir, change)
    code, out, _ = verify(run_dir)
    assert code == 1
    assert expected in out


def test_other_code_may_have_lacked_a_key_and_cannot_have_lacked_the_results(run_dir, verify):
    edit(run_dir, other_code)
    edit(run_dir, drop("extrapolation", "ks"))
    assert verify(run_dir)[0] == 0
    edit(run_dir, put(None, "extrapolation", "wasserstein"))
    assert "wasserstein: None recorded" in verify(run_dir)[1]
    edit(run_dir, put({}, "extrapolation"))
    assert "run.json extrapolation: subset_fraction: nothing recorded" in verify(run_dir)[1]


def test_erased_metrics_contradict_the_last_epoch(run_dir, verify):
    edit(run_dir, erase_metrics)
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "run.json: metrics.test_accuracy is null, but the last epoch in metrics.csv has" in out


def test_weights_that_were_changed_with_their_hash_are_found(run_dir, verify):
    name = "checkpoints/last.safetensors"
    weights = load_file(run_dir / name)
    key = next(iter(weights))
    weights[key] = weights[key] + 1
    save_file(weights, run_dir / name)
    rewrite(run_dir, name)
    assert verify(run_dir, "--quick")[0] == 0  # the folder agrees with itself
    code, out, _ = verify(run_dir)
    assert code == 1
    assert f"{name}: tensor {key}, element 0: " in out


def test_an_accuracy_that_was_changed_in_both_places_is_found_in_both(run_dir, verify):
    path = run_dir / "metrics.csv"
    rows = list(csv.DictReader(path.open(newline="")))
    rows[-1]["test_accuracy"] = "0.999"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    edit(run_dir, put(0.999, "metrics", "test_accuracy"))
    rewrite(run_dir, "metrics.csv")
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "metrics.test_accuracy is 0.999, but predictions.parquet has" in out
    code, out, _ = verify(run_dir)
    assert code == 1
    assert "metrics.csv: epoch 1, column test_accuracy: 0.999 recorded, " in out
    assert "run.json metrics: test_accuracy: 0.999 recorded, " in out


def test_a_header_that_was_changed_with_the_hash_is_found(run_dir, verify):
    path = run_dir / "scores.parquet"
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"secateur"])
    header["direction"] = "lower is kept first"
    pq.write_table(table.replace_schema_metadata({b"secateur": json.dumps(header)}), path)
    rewrite(run_dir, "scores.parquet")
    code, out, _ = verify(run_dir)
    assert code == 1
    assert "scores.parquet: header direction: lower is kept first recorded, higher is kept first now" in out


@pytest.mark.parametrize("command", ["verify", "quick", "export"])
def test_a_record_runs_nothing_but_secateur_s_own_classes(run_dir, verify, monkeypatch, capsys, command):
    monkeypatch.setattr(EXECUTE, None)
    copy = run_dir.parent / "copy"
    set_config(run_dir, "data", {"_target_": "shutil.copyfile", "src": str(run_dir / "run.json"), "dst": str(copy)})
    if command == "export":
        code = main(["export", str(run_dir), "--format", "adapruner", "--output", str(run_dir.parent / "mask.pt")])
        err = capsys.readouterr().err
    else:
        code, _, err = verify(run_dir, *(["--quick"] if command == "quick" else []))
    assert code == 2
    assert "config.data._target_ is 'shutil.copyfile', not a class of Secateur" in err
    assert err.count("\n") == 1
    assert not copy.exists()


def test_a_data_set_of_the_user_s_own_is_exported_with_its_folder(run_dir, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own").mkdir()
    source = "from secateur.data.digits import DigitsData\n\n\nclass Own(DigitsData):\n    pass\n"
    (tmp_path / "own" / "digits_of_an_export_test.py").write_text(source)
    edit(run_dir, put("digits_of_an_export_test.Own", "config", "data", "_target_"))
    arguments = ["export", str(run_dir), "--format", "adapruner", "--output", str(tmp_path / "mask.pt")]
    assert main(arguments) == 2
    assert "--config-dir" in capsys.readouterr().err
    assert main([*arguments, "--config-dir", str(tmp_path / "own")]) == 0
    assert (tmp_path / "mask.pt").is_file()


def set_nan(record):
    record["config"]["optim"]["lr"] = float("nan")


BROKEN = {
    **{f"no_{key}": (drop(key), f"has no {key}") for key in ("status", "run_key", "name", "seed", "score_seed")},
    **{f"no_{key}": (drop(key), f"has no {key}") for key in ("label", "select_on", "config", "ledger", "warnings")},
    "nan": (set_nan, "config.optim.lr is nan"),
    "model": (put(None, "config", "retrain_model"), "config.retrain_model is null, not a mapping"),
    "data": (put(None, "config", "data"), "config.data is null, not a mapping"),
    "target": (drop("config", "model", "_class_"), "config.model has no _class_"),
    "hash": (put(None, "artifacts", "mask.parquet"), "artifacts.mask.parquet is null, not a text"),
    "artifacts": (put([], "artifacts"), "artifacts is [], not a mapping"),
    "null": (put(None, "seed"), "seed is null"),
    "seed": (put("0", "seed"), "seed is '0', not a whole number"),
    "mask": (drop("pruning", "mask_sha256"), "has no pruning.mask_sha256: it is not the record of a run"),
    "stages": (put({"a": 1}, "ledger", "stages"), "ledger.stages is {'a': 1}, not a list"),
    "comparison": (put({"full": 1}, "comparison"), "comparison.full is 1, not a mapping"),
    "fidelity": (put(3, "extrapolation", "fidelity"), "extrapolation.fidelity is 3, not a list"),
    "name": (put("../../elsewhere", "name"), "leads out of the folder of runs"),
}


@pytest.mark.parametrize("broken", list(BROKEN))
def test_a_record_that_no_run_writes_is_refused_in_one_line(run_dir, verify, monkeypatch, broken):
    monkeypatch.setattr(EXECUTE, None)
    change, expected = BROKEN[broken]
    edit(run_dir, change)
    for flags in ([], ["--quick"]):
        code, out, err = verify(run_dir, *flags)
        assert (code, out) == (2, "")
        assert expected in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("key", ["score", "scoring", "fidelity", "trainer", "optim", "selection", "method"])
def test_a_node_of_the_wrong_kind_is_one_line_or_a_difference(run_dir, verify, monkeypatch, key):
    monkeypatch.setattr(EXECUTE, None)
    for value in ("x", 1, *([None, [], {}] if key != "fidelity" else [])):  # without it, it is today's default
        set_config(run_dir, key, value)
        code, _, err = verify(run_dir)
        assert code in (1, 2)
        assert err.count("\n") == code - 1


@pytest.mark.parametrize("text", ["", "epoch,test_accuracy\n"])
def test_metrics_without_an_epoch_are_a_difference(run_dir, verify, text):
    (run_dir / "metrics.csv").write_text(text)
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "metrics.csv: has no epoch" in out
    rewrite(run_dir, "metrics.csv")
    code, out, _ = verify(run_dir)
    assert code == 1
    assert "metrics.csv: 0 rows of " in out


@pytest.mark.parametrize("header", ["[]", "{}", "3", "no JSON"])
def test_a_table_with_another_header_is_a_difference(run_dir, verify, header):
    for name in ("scores", "mask"):
        path = run_dir / f"{name}.parquet"
        pq.write_table(pq.read_table(path).replace_schema_metadata({b"secateur": header}), path)
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "mask: cannot be checked: " in out
    assert "scores: cannot be checked: " in out
