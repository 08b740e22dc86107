import json
import shutil
import sys
from importlib import metadata
from types import SimpleNamespace

import filelock
import pytest
import torch

from secateur.cli import doctor as module
from secateur.cli.doctor import Check, doctor, examine, find_data


@pytest.fixture(autouse=True)
def quiet_machine(tmp_path, monkeypatch):
    """Start in an empty folder without any data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECATEUR_DATA", raising=False)


def check_named(name, output_dir):
    return next(check for check in examine(output_dir) if check.name.startswith(name))


def test_everything_required_works_here(tmp_path, capsys):
    assert doctor([]) == 0
    out = capsys.readouterr().out
    assert out.rstrip().endswith("everything required works; what is missing is optional")
    for name in ("python", "torch + torchvision", "pytorch-lightning", "file locks in outputs", "Slurm"):
        assert name in out
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named_and_not_made(tmp_path):
    check = check_named("file locks", tmp_path / "nope" / "x")
    assert check.state == "ok"
    assert check.found == f"{tmp_path / 'nope' / 'x'} does not exist, would be created; flock works"
    assert check_named("disk", tmp_path / "nope" / "x").found.endswith("GiB free")
    assert list(tmp_path.iterdir()) == []


def test_json(capsys):
    assert doctor(["--json"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert {check["state"] for check in checks} <= {"ok", "missing", "problem"}
    assert set(checks[0]) == {"name", "state", "found", "advice", "required"}
    assert all(check["advice"] for check in checks if check["state"] != "ok")


def test_a_broken_requirement_is_exit_code_1(monkeypatch, capsys):
    versions = {"pytorch-lightning": "2.6.3", "numpy": None}
    monkeypatch.setattr(module, "_version", lambda name: versions.get(name, metadata.version("rich")))
    assert doctor([]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "2.6.3, but" in out
    assert "pip install 'pytorch-lightning" in out
    assert "numpy not installed: pip install 'numpy" in out
    assert "broken:" in out


def test_a_missing_extra_is_optional_and_says_how_to_get_it(tmp_path, monkeypatch):
    real = module._version
    monkeypatch.setattr(module, "_version", lambda name: None if name == "lightly" else real(name))
    check = check_named("lightly", tmp_path)
    assert check == Check("lightly", "missing", "not installed", "pip install 'secateur[ssl]'")


def test_development_tools_are_nobodys_business(tmp_path):
    assert not any(check.name in ("pytest", "ruff", "mypy") for check in examine(tmp_path))


def test_a_package_that_is_not_installed(tmp_path, monkeypatch):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", nothing)
    check = check_named("secateur", tmp_path)
    assert (check.state, check.required) == ("problem", True)


def test_torch_builds_that_do_not_fit_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    check = check_named("torch + torchvision", tmp_path)
    assert (check.state, check.required) == ("problem", True)
    assert check.advice == "install torch and torchvision from the same place"


def test_another_python_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PYTHONS", ((3, 50), (3, 60)))
    assert check_named("python", tmp_path).advice == "use Python >= 3.50, < 3.60"


def test_gpus_are_named(tmp_path, monkeypatch):
    device = SimpleNamespace(name="Fast One", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: device)
    assert check_named("GPU", tmp_path).found == "Fast One (80 GiB), Fast One (80 GiB)"


class NoLock:
    """A lock of a file system that grants everything."""

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    def acquire(self, timeout):
        return self


def test_locks_that_do_not_lock_are_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock, "FileLock", NoLock)
    check = check_named("file locks", tmp_path / "new")
    assert (check.state, check.found, check.required) == ("problem", "a lock can be taken twice", True)
    assert "flock" in check.advice
    assert not (tmp_path / "new").exists()


def test_an_output_folder_that_cannot_be_made_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")
    check = check_named("file locks", tmp_path / "file" / "below")
    assert (check.state, check.required) == ("problem", True)
    assert doctor(["--output-dir", str(tmp_path / "file" / "below")]) == 1


@pytest.mark.parametrize(
    ("free", "state", "required"), [(100, "ok", False), (5, "problem", False), (0.5, "problem", True)]
)
def test_disk(tmp_path, monkeypatch, free, state, required):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free * 2**30))
    check = check_named("disk", tmp_path)
    assert (check.state, check.required) == (state, required)


def test_data_sets_are_found_by_what_their_configuration_needs(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "svhn").mkdir()
    (tmp_path / "svhn" / "train_32x32.mat").touch()  # half of it: not usable
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.parquet").touch()
    (tmp_path / "shards" / "data").mkdir(parents=True)
    (tmp_path / "shards" / "data" / "train-00000-of-00002.parquet").touch()
    assert sorted(find_data(tmp_path)) == ["cifar10", "parquet (mine)", "parquet (shards)"]
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path))
    check = check_named("data sets", tmp_path)
    assert check.state == "ok"
    assert check.found.endswith("cifar10, parquet (mine), parquet (shards)")


def test_a_data_root_that_does_not_exist(tmp_path, monkeypatch):
    assert check_named("data sets", tmp_path).state == "missing"
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path / "gone"))
    check = check_named("data sets", tmp_path)
    assert (check.state, check.required) == ("problem", False)
    assert doctor([]) == 0


def test_every_logger_says_whether_it_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    checks = {check.name: check for check in examine(tmp_path) if check.name.startswith("logger=")}
    assert set(checks) == {"logger=csv", "logger=wandb", "logger=tensorboard", "logger=mlflow"}
    assert checks["logger=csv"].state == "ok"
    assert checks["logger=tensorboard"].state == "missing"
    assert checks["logger=tensorboard"].advice == "pip install 'secateur[tensorboard]'"
    assert "offline" in checks["logger=wandb"].found


@pytest.mark.parametrize(("path", "state"), [("/usr/bin/sbatch", "ok"), (None, "missing")])
def test_slurm(tmp_path, monkeypatch, path, state):
    monkeypatch.setattr(shutil, "which", lambda name: path)
    assert check_named("Slurm", tmp_path).state == state


def test_a_check_that_crashes_is_a_finding(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_gpus", lambda: 1 / 0)
    check = check_named("GPU", tmp_path)
    assert (check.state, check.found) == ("problem", "ZeroDivisionError: division by zero")
