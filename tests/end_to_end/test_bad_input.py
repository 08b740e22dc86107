"""Bad input: one clear line, exit code 2, no traceback, nothing half-written."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.runs.compose import check_groups
from secateur.runs.paths import CONF

BEFORE_ANYTHING_STARTS = {
    "pruning_ratio=30": "Did you mean 0.3?",
    "pruning_ratio=1.0": "must be in [0, 1)",
    "pruning_ratio=-0.1": "must be in [0, 1)",
    "-m pruning_ratio=0.3,30": "Did you mean 0.3?",
    "pruning_ratio=0.3,0.5": "add -m",
    "score=tds": "did you mean 'tdds'?",
    "-m score=tdds,el3n": "did you mean 'el2n'?",
    "scor=tdds": "did you mean 'score'?",
    "score.windw=3": "did you mean 'score.window'?",
    "score=dynamic_uncertainty score.window=10 trainer.max_epochs=3": "DynamicUncertainty needs at least 11 epochs",
    "score=tdds score.window=1": "window",
    "trainer.max_epochs=x": "trainer.max_epochs='x'",
    "seed=1.5": "seed=1.5",
    "seed=-1": "seed must not be negative",
    "ratio=r30 pruning_ratio=0.6": "ratio=r30 and pruning_ratio=0.6 contradict each other",
    "ratio=r35": "ratio has no option 'r35'",
    "data=parquet data.root=/no/such/folder": "/no/such/folder",
    "data.label_noise=2": "label_noise",
    "score.record=sometimes": "='sometimes': input should be 'train_forward', 'before_step' or 'eval_pass'.",
    "score=el2n score.record=final_pass": "input should be 'train_forward', 'before_step' or 'eval_pass'.",
    "score=entropy +score.record=eval_pass": "scores.entropy.Entropy; it has no arguments.",
    "compare_with=[ful]": "compare_with",
    "optim.lr=-1": "lr",
    "force=perhaps": "force",
    "name=a/b": "name",
    "sweeps=demo/nope": "sweeps has no option 'demo/nope'; did you mean 'demo/steps' or 'demo/digits'?",
    "sweeps=adapruner/digts": "did you mean 'adapruner/digits' or ",
    "sweeps=cifar100": "did you mean 'adapruner/cifar100' or 'extrapolation/cifar100' or 'tdds/cifar100'?",
    "sweeps=zzzzzz": "sweeps has no option 'zzzzzz' (there are ",
    "experiment=demo/tds": "did you mean 'demo/tdds' or ",
    "-m method=random,full sead=1": "unknown key 'sead'; did you mean 'seed'?",
    "sweeps=adapruner/digits method.joint_epochs=2": "method.joint_epochs=2: not a key with experiment=adapruner/",
    "sweeps=adapruner/digits method.join_epochs=2": "unknown key 'method.join_epochs'",
    "--config-dir=/no/such/folder score=mine": "/no/such/folder",
    "score._target_=no_such_module.Thing": "no_such_module",
    "trainer.accelerator=gpu": "no GPU",
    "+new=1": "new is not a key",
    "score=dual selection=ccs pruning_ratio=0.05": "mislabel_fraction",
    "score=aum selection=beta": "must not be negative",
    "model=resnet18 model.width=8": "'model.width' is not a key of the options chosen here",
    "model=timm model.architecture=3": "model.architecture=3",
    "score=null": "score= must name one option: aum, dual, ",
    "-m score=null,aum": "score= must name one option: aum, dual, ",
    "score=[tdds]": "score= must name one option: aum, dual, ",
    "~score": "score= must name one option: aum, dual, ",
    "score=3": "score= must name one option: aum, dual, ",
    "data=null": "data= must name one option: cifar10, ",
    "logger=null": "logger= must name one option: csv, ",
    "finetune=null": "finetune= must name one option: both, full, linear_probe; leave it out for the default",
    "model@retrain_model=null": "model= must name one option: ",
    "ratio=0.3": "a number is pruning_ratio=0.3",
    "hydra/launcher=slurm score=aum": "hydra/launcher=slurm launches sweeps: add -m, or use secateur sweep submit",
    "lr=0.1": "did you mean 'optim.lr'?",
    "epochs=3": "did you mean 'trainer.max_epochs'?",
    "max_epoch=3": "unknown key 'max_epoch'",
    "workers=2": "did you mean 'data.num_workers'?",
    "device=cuda": "did you mean 'trainer.accelerator'?",
    "gpus=2": "did you mean 'strategy.devices'?",
    "trainer.lr=1": "did you mean 'optim.lr'?",
    "--resolve score=aum": "add --cfg job",
}


@pytest.mark.parametrize(("arguments", "expected"), BEFORE_ANYTHING_STARTS.items())
def test_found_before_anything_starts(program, arguments, expected):
    program.quick = ()
    assert program.run(*arguments.split()) == 2
    assert program.err.startswith("secateur: error: ")
    assert program.err.count("\n") == 1
    assert expected in program.err
    assert "Traceback" not in program.err + program.out
    assert not program.folder.exists()


FOUND_ON_THE_DATA = {
    "data.first=100000": "data.first=100000 is more than the",
    "data.extra=/etc/passwd": "data.extra=/etc/passwd is not an .npz or .parquet file",
    "model=vit_b_16": "cannot take images of 1x8x8",
    "method=random data.validation_fraction=0.9999": "holds out all",
    "extrapolation=knn extrapolation.k=100000": "100000",
    "extrapolation=knn subset_fraction=0.0001": "subset_fraction=0.0001 scores 0",
    "method=random pruning_ratio=0.99999": "would keep 0 of",
    "method=random_groups pruning_ratio=0.99": "would keep 0 of 10 groups",
    "method=mask method.path=scores.parquet": "scores.parquet is not a mask table",
    "method=mask method.path=mask.parquet ratio=r70": "mask.parquet keeps 10 of 20 samples (pruning_ratio=0.5)",
    "method=imported_scores method.path=mask.parquet": "mask.parquet is not a scores table",
    "method=mask method.path=mask.parquet": "mask.parquet was made for other data",
    "method=imported_scores method.path=scores.parquet": "scores.parquet was made for other data",
}


@pytest.mark.parametrize(("arguments", "expected"), FOUND_ON_THE_DATA.items())
def test_what_only_the_data_can_tell_leaves_no_record(program, tmp_path, arguments, expected):
    ids = torch.arange(20)
    Mask(ids, ids < 10, "0" * 64).save(tmp_path / "mask.parquet")
    observed = torch.ones(20, dtype=torch.bool)
    ScoreTable(ids, ids % 10, ids.float(), observed, fingerprint="0" * 64).save(tmp_path / "scores.parquet")
    program.quick = ()
    assert program.run(*arguments.split()) == 2
    assert program.err.startswith("secateur: error: ")
    assert program.err.count("\n") == 1
    assert expected in program.err
    assert not list(program.folder.glob("runs/*/*"))


def test_a_key_that_nothing_is_like_is_not_taken_for_an_internal_one(program):
    program.quick = ()
    assert program.run("model.num_classes=3") == 2
    assert program.err == "secateur: error: unknown key 'model.num_classes'\n"


def test_what_a_run_refuses_its_plan_refuses_too(program):
    assert program.command("cost", "score=null") == 2
    assert "score= must name one option" in program.err
    assert program.err.count("\n") == 1


def test_several_options_of_a_group_that_nothing_is_named_after_are_hydra_s_to_merge():
    check_groups(["logger=[csv,tensorboard]", "score='el2n'", "seed=null", "score=el2n,aum"], [CONF])


def test_an_output_folder_that_cannot_be_used(program, tmp_path):
    (tmp_path / "file").touch()
    program.folder = tmp_path / "file" / "outputs"
    assert program.run("method=random") == 2
    assert "is not a writable folder" in program.err


def parquet_root(folder, *, labels=None, broken=None):
    """A tiny data set of 40 grey PNGs; ``broken`` is the row whose bytes are cut."""
    from io import BytesIO

    from PIL import Image

    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        encoded = []
        for row in range(40):
            buffer = BytesIO()
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(buffer, "PNG")
            cut = 20 if (split == "train" and row == broken) else None
            encoded.append({"bytes": buffer.getvalue()[:cut], "path": None})
        values = labels if labels is not None and split == "train" else [row % 4 for row in range(40)]
        folder.mkdir(exist_ok=True)
        names = b'{"info": {"features": {"label": {"names": ["a", "b", "c", "d"], "_type": "ClassLabel"}}}}'
        table = pa.table({"image": encoded, "label": values}).replace_schema_metadata({b"huggingface": names})
        pq.write_table(table, folder / f"{split}.parquet")
    return folder


def test_a_corrupt_image_is_named_and_the_run_recorded_as_failed(program, tmp_path):
    root = parquet_root(tmp_path / "data", broken=7)
    assert program.run("method=random", "data=parquet", f"data.root={root}", "data.validation_fraction=0") == 2
    assert "train.parquet" in program.err
    assert "7" in program.err
    record = program.record()
    assert record["status"] == "failed"
    assert "train.parquet" in record["error"]


def test_labels_outside_the_classes_are_an_error_with_a_record(program, tmp_path):
    root = parquet_root(tmp_path / "data", labels=[9, *([0] * 39)])
    assert program.run("method=random", "data=parquet", f"data.root={root}") == 2
    assert "label" in program.err
    assert program.record()["status"] == "failed"


def test_in_a_sweep_the_other_jobs_run_on(program, tmp_path):
    root = parquet_root(tmp_path / "data")
    broken = parquet_root(tmp_path / "broken", broken=3)
    roots = f"data.root={root},{broken}"
    assert program.run("-m", "method=random", "data=parquet", roots, "data.validation_fraction=0") == 2
    assert sorted(record["status"] for record in program.records()) == ["failed", "finished"]
    assert "failed" in program.out


@pytest.mark.slow
def test_a_loss_that_diverges_names_epoch_and_step(program):
    assert (
        program.run("method=random", "optim=sgd", "optim.lr=1e30", "optim.schedule=constant", "optim.batch_size=64")
        == 2
    )
    assert "epoch 0, step" in program.err
    assert program.record()["status"] == "failed"


def test_a_failed_run_is_tried_again(program, tmp_path):
    root = parquet_root(tmp_path / "data", broken=3)
    arguments = ("method=random", "data=parquet", f"data.root={root}", "data.validation_fraction=0")
    assert program.run(*arguments) == 2
    parquet_root(root)
    assert program.run(*arguments) == 0
    assert "finished" in {record["status"] for record in program.records()}


def test_an_unknown_command_is_one_line(capsys):
    from secateur.cli.main import main

    assert main(["rnu"]) == 2
    assert "did you mean 'run'?" in capsys.readouterr().err


HAS_NO_EFFECT = {
    "method=random subset_fraction=0.3": "subset_fraction=0.3 has no effect: method=random predicts no scores.",
    "method=random score=el2n": "score=el2n has no effect: method=random does not read it.",
    "method=random score.window=3": "score.window=3 has no effect: method=random does not read it.",
    "method=full pruning_ratio=0.5": "pruning_ratio=0.5 has no effect: method=full does not read it.",
    "method=full ratio=r50": "ratio=r50 has no effect: method=full does not read it.",
    "score=el2n fidelity.against=[0]": "fidelity.against=[0] has no effect: extrapolation=none scores every sample.",
    "score=entropy variant=released": "variant=released has no effect: nothing of method=score, score=entropy has such",
    "method=random ratio=r50 pruning_ratio=0.5 seed=1": None,
    "method=random score=el2n -m": None,
}


@pytest.mark.parametrize(("arguments", "expected"), HAS_NO_EFFECT.items())
def test_what_has_no_effect_is_said(program, arguments, expected):
    program.quick = ("trainer.max_epochs=11", "data.first=100", "train_final=false")
    assert program.run(*arguments.split()) == 0
    ignored = program.record()["ignored"]
    assert [line.startswith(expected) for line in ignored] == [True] if expected else ignored == []
    assert ("has no effect" in program.out) == bool(expected)


def test_a_ratio_that_a_mask_has_is_no_contradiction(program):
    program.quick = ("data.first=100", "trainer.max_epochs=1", "train_final=false")
    assert program.run("method=random", "pruning_ratio=0.5") == 0
    path = program.run_dir(program.record()) / "mask.parquet"
    assert program.run("method=mask", f"method.path={path}", "pruning_ratio=0.5") == 0
    assert program.run("method=mask", f"method.path={path}") == 0
    assert [record["ignored"] for record in program.records()] == [[], []]


@pytest.mark.parametrize("name", ["mask", "scores"])
def test_a_file_that_has_changed_is_read_again(program, tmp_path, name):
    """The key of a run has the path of the file; what is in it decides whether the run is the same."""
    program.quick = ("data.first=100", "trainer.max_epochs=11", "train_final=false", "compare_with=[]")
    path = tmp_path / f"{name}.parquet"
    method = {"mask": "method=mask", "scores": "method=imported_scores"}[name]
    for ratio, again in (("0.5", False), ("0.8", True)):
        assert program.run("score=aum", f"pruning_ratio={ratio}", f"score_seed={ratio[-1]}", f"name=made{ratio}") == 0
        shutil.copy(next(program.folder.glob(f"runs/made{ratio}/*/{name}.parquet")), path)
        assert program.run(method, f"method.path={path}", "name=read") == 0
        assert ("runs again" in program.out) == again
        (folder,) = program.folder.glob("runs/read/*")
        assert (folder / f"{name}.parquet").read_bytes()
    read = [Mask.load(folder / "mask.parquet"), ScoreTable.load(path) if name == "scores" else Mask.load(path)]
    assert program.run(method, f"method.path={path}", "name=read") == 0
    assert "already finished" in program.out
    if name == "mask":
        assert read[0].sha256 == read[1].sha256
    else:
        assert torch.equal(ScoreTable.load(folder / "scores.parquet").score, read[1].score)


def test_labels_with_gaps_are_warned_of(program, tmp_path):
    images, labels = np.random.default_rng(0).integers(0, 255, (30, 8, 8), dtype=np.uint8), np.arange(30) % 3 * 10
    np.savez(tmp_path / "gaps.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    program.quick = ("trainer.max_epochs=1", "train_final=false", "data=npz", f"data.root={tmp_path / 'gaps.npz'}")
    assert program.run("method=random") == 0
    said = "18 of 21 classes of gaps have no training sample, the first is '1'"
    assert [said in warning for warning in program.record()["warnings"]] == [True]
    assert said in " ".join(program.out.split())
