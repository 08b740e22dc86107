"""`secateur verify`: finished runs come out again; what was changed afterwards is found, and where."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from secateur.cli.main import main
from secateur.core.errors import ConfigError
from secateur.core.names import targeted
from secateur.core.record import Models, load_record

pytestmark = pytest.mark.slow

QUICK = ("trainer.max_epochs=3", "trainer.evaluate_every=3", "compare_with=[]", "score_seed=1", "name=demo")
ARMS = {"el2n": ("experiment=demo/el2n", "pruning_ratio=0.5"), "random": ("experiment=demo/random", "seed=2")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two finished runs of the demo's arms, by arm."""
    folder = tmp_path_factory.mktemp("outputs")
    runs = {}
    for arm, overrides in ARMS.items():
        GlobalHydra.instance().clear()
        assert main(["run", *overrides, *QUICK, f"paths.output_dir={folder}"]) == 0
        (runs[arm],) = set((folder / "runs" / "demo").iterdir()) - set(runs.values())
    return runs


@pytest.fixture
def run_dir(finished, tmp_path):
    """A copy of the finished run with scores, to be tampered with."""
    copy = tmp_path / finished["el2n"].name
    return Path(shutil.copytree(finished["el2n"], copy, copy_function=shutil.copyfile))  # not read-only


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def load_targeted(run_dir):
    """Return the record with import paths in place of names, as every check of it gets it."""
    record = load_record(run_dir)
    record.config = targeted(record.config)
    return record


def config_of(record):
    """Return a record's configuration as an experiment."""
    from secateur.runs.config import Experiment

    return Experiment.of(targeted(record.config if hasattr(record, "config") else record["config"]), recorded=True)


def fingerprints(record):
    """Return what a key of a run without a downstream set has of its data: the pool, and what it is judged on."""
    return f"{record['data']['fingerprint']}+{record['data']['evaluation_fingerprint']}"


def set_score(run_dir, row, value):
    path = run_dir / "scores.parquet"
    table = pq.read_table(path)
    score = table["score"].to_numpy().copy()
    score[row] = value
    position = table.column_names.index("score")
    pq.write_table(table.set_column(position, "score", pa.array(score)), path, compression="zstd")
    return table["sample_id"].to_pylist()[row]


@pytest.mark.parametrize("arm", list(ARMS))
def test_a_finished_run_comes_out_again_from_an_empty_store(finished, verify, arm, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    code, out, err = verify(finished[arm])
    assert (code, err) == (0, "")
    assert "identical: the run comes out again" in out
    assert "different" not in out
    assert ("scores.parquet" in out) == (arm == "el2n")
    assert list(tmp_path.iterdir()) == []  # nothing of the repetition is left


def test_the_quick_check_trains_nothing(finished, verify, monkeypatch):
    monkeypatch.setattr("secateur.verify.repeat.execute_resolved", None)
    code, out, _ = verify(finished["el2n"], "--quick")
    assert code == 0
    assert "agrees with itself" in out


def test_one_changed_score_is_found_at_once_and_then_by_its_row(run_dir, verify):
    sample_id = set_score(run_dir, 700, 0.123)
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "scores.parquet: is not the file that was recorded" in out
    code, out, _ = verify(run_dir)
    assert code == 1
    assert f"scores.parquet: sample_id {sample_id}, column score: 0.123 recorded, " in " ".join(out.split())


def test_a_changed_score_is_found_even_with_its_new_hash_in_the_record(run_dir, verify):
    from secateur.core.hashing import file_sha256

    sample_id = set_score(run_dir, 3, 0.5)
    sha256 = file_sha256(run_dir / "scores.parquet")
    size = (run_dir / "scores.parquet").stat().st_size

    def forge(record):
        record["artifacts"]["scores.parquet"], record["artifact_bytes"]["scores.parquet"] = sha256, size

    edit(run_dir / "run.json", forge)
    code, out, _ = verify(run_dir)
    assert code == 1
    assert f"sample_id {sample_id}, column score" in out
    assert verify(run_dir, "--tolerance", "100")[0] == 0  # a tolerance is for the values, as one asks for it


def change_seed_of_record(record):
    record["seed"] = 5


def change_seed_of_config(record):
    record["config"]["seed"] = 5


def change_both(record):
    record["seed"] = record["config"]["seed"] = 5


@pytest.mark.parametrize("change", [change_seed_of_record, change_seed_of_config, change_both])
def test_an_edited_seed_is_found_and_nothing_is_run(run_dir, verify, monkeypatch, change):
    monkeypatch.setattr("secateur.verify.repeat.execute_resolved", None)
    edit(run_dir / "run.json", change)
    for flags in ([], ["--quick"]):
        code, out, _ = verify(run_dir, *flags)
        assert code == 1
        assert "seed" in out
        assert "0" in out
        assert "5" in out


def test_a_seed_edited_everywhere_contradicts_the_key_and_nothing_is_run(run_dir, verify, monkeypatch):
    monkeypatch.setattr("secateur.verify.repeat.execute_resolved", None)
    edit(run_dir / "run.json", change_both)
    config = OmegaConf.load(run_dir / "config.yaml")
    config.seed = 5
    OmegaConf.save(config, run_dir / "config.yaml")
    for flags in ([], ["--quick"]):
        code, out, _ = verify(run_dir, *flags)
        assert code == 1
        assert "nothing was run again" in out
        assert "run_key is" in out


def test_an_edited_accuracy_is_found(run_dir, verify):
    edit(run_dir / "run.json", lambda record: record["metrics"].update(test_accuracy=0.999))
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "metrics.test_accuracy is 0.999, but the last epoch in metrics.csv has" in out
    code, out, _ = verify(run_dir)
    assert code == 1
    assert "run.json metrics: test_accuracy: 0.999 recorded" in out


def test_what_is_missing_or_broken_is_named(run_dir, verify):
    (run_dir / "metrics.csv").unlink()
    mask = run_dir / "mask.parquet"
    mask.write_bytes(mask.read_bytes()[:100])
    code, out, _ = verify(run_dir)
    assert code == 1
    for line in (
        "metrics.csv: is missing",
        "mask.parquet: is not the file that was recorded",
        "mask.parquet: the recorded file cannot be read",
        "metrics.csv: the recorded file is missing",
    ):
        assert line in out


def test_a_file_cannot_be_taken_off_the_list(run_dir, verify):
    edit(run_dir / "run.json", lambda record: record["artifacts"].pop("scores.parquet"))
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "scores.parquet: is not among the files that run.json lists" in out


def put(value, *path):
    """Return what sets one value of a record."""

    def change(record):
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return change


NAMES = {
    "label": (put("tdds", "label"), "label is tdds, but its names give el2n"),
    "score": (put("tdds", "pruning", "score"), "pruning.score is tdds, but its config says el2n"),
    "own_score": (put("mine", "pruning", "score"), "pruning.score is mine, but its config says el2n (an option of"),
    "method": (put("random", "pruning", "method"), "pruning.method is random, but its config says score"),
    "selection": (put("ccs", "pruning", "selection"), "pruning.selection is ccs, but its config says top"),
    "extrapolation": (put("knn", "pruning", "extrapolation"), "pruning.extrapolation is knn, but its config says None"),
    "data": (put("cifar10", "data", "name"), "data.name is cifar10, but its config says digits"),
    "final": (put("resnet18", "models", "final"), "models.final is resnet18, but its config says small_cnn"),
    "scoring": (put("resnet18", "models", "scoring"), "models.scoring is resnet18, but its config says small_cnn"),
    "select_on": (put("banana", "select_on"), "select_on is banana, but its config says last"),
}


@pytest.mark.parametrize(("change", "expected"), NAMES.values(), ids=list(NAMES))
def test_a_name_that_the_configuration_contradicts_is_found_at_once(run_dir, verify, change, expected):
    edit(run_dir / "run.json", change)
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert f"run.json: {expected}" in " ".join(out.split())


def test_a_record_forged_all_over_is_found_part_by_part(run_dir, verify):
    (run_dir / "scores.parquet").unlink()

    def forge(record):
        del record["artifacts"]["scores.parquet"]
        record.update(label="tdds", select_on="banana", warnings=["nothing to see"])
        record["pruning"]["score"], record["data"]["name"], record["models"]["final"] = "tdds", "cifar10", "resnet18"

    edit(run_dir / "run.json", forge)
    code, out, _ = verify(run_dir)
    out = " ".join(out.split())
    assert code == 1
    for line in (
        "scores.parquet: the run makes it, but run.json does not list it",
        "run.json pruning: score: tdds recorded, el2n now",
        "run.json names: label: tdds recorded, el2n now",
        "run.json warnings: nothing to see: a warning recorded, none now",
    ):
        assert line in out


def test_a_network_of_several_with_one_class_is_told_by_its_settings(run_dir):
    from secateur.runs.paths import CONF
    from secateur.verify.names import name_problems, names_from_config

    record = load_targeted(run_dir)
    node = OmegaConf.to_container(OmegaConf.load(CONF / "model" / "resnet20.yaml"))
    record.config.update(model=node, retrain_model=node)

    def problems():
        config = config_of(record)
        return list(name_problems(record, config, names_from_config(record, config)))

    for name, expected in (("resnet20", 0), ("resnet18", 2)):
        record.models = Models(scoring=name, final=name)
        assert len(problems()) == expected
    node["widths"] = [8, 8, 8]
    assert not problems()


@pytest.mark.parametrize("said", ["knn_cv", "knn_same_class_cv", "knn"])
def test_an_extrapolation_of_several_with_one_class_is_told_by_its_settings(run_dir, said):
    from hydra import compose, initialize_config_dir

    from secateur.runs.paths import CONF
    from secateur.verify.names import names_from_config

    record = load_targeted(run_dir)
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        node = OmegaConf.to_container(compose("extrapolation/knn_same_class_cv"))["extrapolation"]
    record.config["extrapolation"] = node
    record.pruning.extrapolation = said
    assert names_from_config(record, config_of(record))["extrapolation"] == "knn_same_class_cv"


def test_a_score_option_of_the_users_own_is_known_with_its_folder(program, verify, tmp_path):
    (tmp_path / "own" / "score").mkdir(parents=True)
    (tmp_path / "own" / "score" / "mine.yaml").write_text("defaults: [el2n, _self_]\nnum_networks: 1\n")
    program.quick = ("trainer.max_epochs=1", "compare_with=[]", "train_final=false", "score.epoch=1")
    own = ("--config-dir", str(tmp_path / "own"))
    assert program.run(*own, "score=mine") == 0
    run_dir = program.run_dir(program.record())
    code, out, _ = verify(run_dir, *own)
    assert (code, "identical" in out) == (0, True)
    code, out, _ = verify(run_dir, "--quick")
    assert code == 1
    assert "add --config-dir" in out


def test_an_older_record_s_key_is_not_checked_and_the_rest_is(run_dir, verify):
    edit(run_dir / "run.json", lambda record: record["config"].pop("downstream"))
    OmegaConf.save(OmegaConf.create(json.loads((run_dir / "run.json").read_text())["config"]), run_dir / "config.yaml")
    code, out, err = verify(run_dir, "--quick")
    assert (code, err) == (0, "")
    assert "an older record: its key cannot be checked" in out
    code, out, _ = verify(run_dir)
    assert code == 0
    assert "identical: the run comes out again" in out
    set_score(run_dir, 3, 0.5)
    assert verify(run_dir, "--quick")[0] == 1


def test_other_versions_are_said_and_it_goes_on(run_dir, verify):
    def older(record):
        record["provenance"]["packages"]["torch"] = "1.0"
        record["provenance"]["code"] = "0" * 64
        record["provenance"]["processor"] = "Abacus"

    edit(run_dir / "run.json", older)
    code, out, _ = verify(run_dir, "--keep")
    assert code == 0
    assert "torch 1.0 then" in out
    assert "Abacus then" in out
    assert "the code's sha256 was 000000000000" in out
    (folder,) = {word for word in out.split() if "secateur-verify-" in word and word.endswith(run_dir.name)}
    assert (Path(folder) / "run.json").is_file()
    shutil.rmtree(Path(folder).parents[2])


def test_that_several_processes_made_it_is_said(run_dir, verify):
    edit(run_dir / "run.json", lambda record: record["provenance"].update(num_processes=2))
    code, out, _ = verify(run_dir)
    assert code == 0
    assert "2 processes made it, 1 repeats it: trainings agree up to rounding" in " ".join(out.split())


def test_slices_that_normalized_themselves_are_not_repeated_by_one_process(run_dir):
    from secateur.verify.configuration import repeatable

    record = load_record(run_dir)
    strategy = {
        "_target_": "secateur.training.distributed.strategy.DataParallel",
        "devices": 2,
        "sync_batchnorm": False,
    }
    record.config["strategy"] = strategy
    config = config_of(record)
    with pytest.raises(ConfigError, match="each of 2 slices of a batch by itself"):
        repeatable(record, config, config, run_dir, [], comparison=False)


def test_a_stage_of_another_version_is_said(run_dir, verify):
    from secateur.runs.keys import run_key

    def older(record):
        versions = record["provenance"]["stage_versions"]
        versions["training"] = 1
        record["run_key"] = run_key(config_of(record), fingerprints(record), versions)

    edit(run_dir / "run.json", older)
    code, out, _ = verify(run_dir)
    assert code == 0
    assert "stage training was version 1" in out


def test_keys_that_came_later_take_their_default(run_dir, verify):
    """A record of code that did not have a key yet: the key did not exist for its run_key either."""

    def older(record):
        for key in ("relabel", "budget"):
            del record["config"][key]
        from secateur.runs.keys import run_key

        versions = record["provenance"]["stage_versions"]
        record["run_key"] = run_key(config_of(record), fingerprints(record), versions)

    edit(run_dir / "run.json", older)
    OmegaConf.save(OmegaConf.create(json.loads((run_dir / "run.json").read_text())["config"]), run_dir / "config.yaml")
    assert verify(run_dir)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["nowhere"], "No run record", id="no_run"),
        pytest.param(["RUN", "--tolerance", "score=1"], "there are scores, mask, metrics, weights", id="kind"),
        pytest.param(["RUN", "--tolerance", "mask=x"], "'x' is not a number", id="number"),
        pytest.param(["RUN", "--tolerance", "-1"], "at least 0", id="negative"),
        pytest.param(["RUN", "seed=3"], "the rest is what is verified", id="override"),
        pytest.param(["RUN", "downstream.root=x"], "the run has no key", id="no_downstream"),
    ],
)
def test_bad_input_is_one_line(run_dir, verify, arguments, expected):
    arguments = [str(run_dir) if argument == "RUN" else argument for argument in arguments]
    if "-1" in arguments:
        arguments = [arguments[0], "--tolerance=-1"]
    code, _, err = verify(*arguments)
    assert code == 2
    assert expected in err
    assert err.count("\n") == 1


def test_only_a_finished_run_is_verified(run_dir, verify):
    edit(run_dir / "run.json", lambda record: record.update(status="failed"))
    code, _, err = verify(run_dir)
    assert code == 2
    assert "only a finished run" in err


def test_what_it_was_compared_with_is_repeated_or_left_out(program, verify):
    program.quick = ("trainer.max_epochs=1",)
    assert program.run("method=random", "compare_with=[full]") == 0
    run_dir = program.run_dir(program.record())
    edit(run_dir / "run.json", lambda record: record["comparison"]["full"].update(test_accuracy=0.999))
    code, out, _ = verify(run_dir)
    assert code == 1
    assert "run.json comparison: full.test_accuracy: 0.999 recorded" in out
    edit(run_dir / "run.json", lambda record: record.update(comparison={}))
    code, out, _ = verify(run_dir)
    assert code == 1
    assert "run.json comparison: full: nothing recorded" in out
    edit(run_dir / "run.json", lambda record: record.update(comparison={"banana": {"test_accuracy": 1.0}}))
    assert verify(run_dir)[0] == 1
    code, out, _ = verify(run_dir, "--no-comparison")
    assert code == 0
    assert "not checked: what it was compared with" in out


KINDS = {
    "extrapolation": (
        *("score=el2n", "extrapolation=knn_cv", "subset_fraction=0.3", "fidelity.against=[7]"),
        "trainer.max_epochs=2",
    ),
    "mask_only": (
        "score=el2n",
        "extrapolation=ridge",
        "subset_fraction=0.3",
        "train_final=false",
        "trainer.max_epochs=2",
    ),
    "adapruner": ("method=adapruner", "method.warmup_epochs=1", "method.joint_epochs=2", "trainer.max_epochs=1"),
    "transfer": (
        *("method=label_mapping", "downstream=digits", "finetune=linear_probe", "finetune.max_epochs=2"),
        "trainer.max_epochs=1",
    ),
    "rs2": ("method=rs2", "trainer.max_epochs=2"),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_run_comes_out_again(program, verify, kind):
    program.quick = ("compare_with=[]",)
    assert program.run(*KINDS[kind]) == 0
    code, out, err = verify(program.run_dir(program.record()))
    assert (code, err) == (0, "")
    assert "identical: the run comes out again" in out


def test_data_that_moved_is_given_anew_and_other_data_is_refused(program, verify, tmp_path):
    import numpy as np

    def archive(folder, shift):
        folder.mkdir()
        pixels = np.random.default_rng(shift).integers(0, 255, (60, 8, 8, 1), dtype=np.uint8)
        labels = np.arange(60) % 3
        names = ("train_images", "train_labels", "test_images", "test_labels")
        np.savez(folder / "data.npz", **dict(zip(names, (pixels, labels, pixels[:12], labels[:12]), strict=True)))
        return folder

    here, other = archive(tmp_path / "here", 0), archive(tmp_path / "other", 1)
    program.quick = ("trainer.max_epochs=1", "compare_with=[]")
    data = npz_overrides(here)
    assert program.run("method=random", *data) == 0
    run_dir = program.run_dir(program.record())
    there = here.rename(tmp_path / "there")
    code, _, err = verify(run_dir)
    assert code == 2
    assert "here" in err
    code, _, err = verify(run_dir, "--data-root", other / "data.npz")
    assert code == 2
    assert "does not hold what the run was made of" in err
    assert verify(run_dir, "--data-root", there / "data.npz")[0] == 0


def npz_overrides(folder):
    return ("data=npz", f"data.root={folder / 'data.npz'}")


def test_the_users_own_scorer_is_found_and_an_edited_one_is_said(program, verify, tmp_path, monkeypatch):
    import importlib
    import linecache
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "own"
    (folder / "score").mkdir(parents=True)
    source = folder / "scorer_of_a_verify_test.py"
    source.write_text("from secateur.scores.el2n import EL2N\n\n\nclass Own(EL2N):\n    pass\n")
    node = "_target_: scorer_of_a_verify_test.Own\nepoch: 1\nnum_networks: 1\n"
    (folder / "score" / "own.yaml").write_text(node)
    program.quick = ("trainer.max_epochs=1", "compare_with=[]", "train_final=false")
    assert program.run("--config-dir", str(folder), "score=own") == 0
    run_dir = program.run_dir(program.record())
    assert verify(run_dir, "--config-dir", folder)[0] == 0
    source.write_text(source.read_text() + "    edited = True\n")
    linecache.clearcache()
    importlib.reload(sys.modules["scorer_of_a_verify_test"])
    code, out, _ = verify(run_dir, "--quick", "--config-dir", folder)
    assert code == 1
    assert "scorer_of_a_verify_test was edited" in out
    sys.path.remove(str(folder))
    monkeypatch.delitem(sys.modules, "scorer_of_a_verify_test")
    for flags, expected in (
        ([], "not a class of Secateur"),
        (["--config-dir", tmp_path / "other"], "cannot be imported"),
    ):
        code, _, err = verify(run_dir, *flags)
        assert code == 2
        assert expected in err
        assert "--config-dir" in err


def test_several_runs_are_verified_one_after_the_other(run_dir, verify, tmp_path):
    other = tmp_path / "runs" / "other"
    for folder in (other, other.with_name("third")):
        shutil.copytree(run_dir, folder)
    assert verify(other.parent, "--quick")[1].count("the folder agrees with itself") == 2
    set_score(other, 3, 0.5)
    code, out, _ = verify(run_dir, other, "--quick")
    assert code == 1
    assert "of 2 runs: 1 hold, 1 differ" in " ".join(out.split())
    code, out, err = verify(other.with_name("third"), tmp_path / "nothing", "--quick")
    assert code == 2
    assert "No run record" in err
    assert "1 hold, 1 cannot be verified" in " ".join(out.split())


@pytest.mark.parametrize("argument", ["seed=3", "foo"])
def test_what_cannot_be_set_anew_is_refused_before_anything_is_checked(run_dir, verify, argument):
    code, _, err = verify(run_dir, argument, "--quick")
    assert code == 2
    assert err.count("\n") == 1
