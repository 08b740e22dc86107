"""A checkpoint is either whole or not used, whatever happens to the process, the disk or the file."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import StoreError
from secateur.training import checkpoints as module
from secateur.training.checkpoints import Checkpoints, is_sealed, sealed


def value(number):
    """A checkpoint's content, as Lightning's: tensors in nested containers."""
    return {"epoch": number, "state_dict": {"weight": torch.full((40,), float(number))}, "callbacks": {"a": [number]}}


class Stage:
    """One stage's checkpoints, and what was said of them."""

    def __init__(self, folder):
        self.said = []
        self.io = Checkpoints(folder, self.said.append)
        self.last, self.previous = (self.io.folder / name for name in ("last.ckpt", "previous.ckpt"))

    def save(self, *numbers):
        for number in numbers:
            self.io.save_checkpoint(value(number), self.last)

    def found(self):
        """The epoch that a new process would go on from."""
        path = self.io.latest()
        return None if path is None else self.io.load_checkpoint(path)["epoch"]

    def names(self):
        return sorted(path.name for path in self.io.folder.iterdir())


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "training" / "0123.partial")


def test_the_last_two_are_kept_and_the_last_is_read(stage):
    assert stage.found() is None
    stage.save(1)
    assert (stage.names(), stage.found()) == (["last.ckpt"], 1)
    stage.save(2, 3)
    assert (stage.names(), stage.found()) == (["last.ckpt", "previous.ckpt"], 3)
    assert stage.io.load_checkpoint(stage.previous)["epoch"] == 2
    assert stage.said == []


def test_a_checkpoint_is_a_file_that_pytorch_reads(stage):
    stage.save(1)
    content = torch.load(stage.last, weights_only=True)
    assert torch.equal(content["state_dict"]["weight"], torch.ones(40))
    reader = torch._C.PyTorchFileReader(str(stage.last))  # how a strategy that shards weights reads it
    assert reader.has_record("data.pkl")


def test_nothing_is_written_into_the_temporary_folder(stage, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    temporary.chmod(0o555)
    stage.save(1, 2)
    assert list(temporary.iterdir()) == []


# -- damage --------------------------------------------------------------------------------------------------------

DAMAGE = {
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "only its seal left": lambda path: path.write_bytes(path.read_bytes()[-80:]),
    "text": lambda path: path.write_text("epoch 3"),
    "written on": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a checkpoint of another program": lambda path: torch.save(value(9), path),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_read(stage, damage):
    stage.save(1, 2)
    DAMAGE[damage](stage.last)
    assert stage.found() == 1
    assert stage.names() == ["last.ckpt.unreadable", "previous.ckpt"]
    (line,) = stage.said
    assert line.startswith(f"{stage.last} cannot be used (it is ")
    assert line.endswith("is now last.ckpt.unreadable: stage training/0123 goes on from previous.ckpt.")
    stage.save(2, 3)
    assert stage.found() == 3


def test_without_one_before_it_the_stage_starts_again(stage):
    stage.save(1)
    stage.last.write_bytes(b"")
    assert stage.found() is None
    stage.save(1, 2)
    for path in (stage.last, stage.previous):
        path.write_bytes(b"")
    assert stage.found() is None
    assert stage.said[-1].endswith("is now previous.ckpt.unreadable: stage training/0123 starts again.")
    assert stage.said[-1].count("\n") == 0


@given(st.data())
def test_no_changed_bit_is_overlooked(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.ckpt"
        content = bytearray(sealed(value(1)))
        path.write_bytes(content)
        assert is_sealed(path)
        place = data.draw(st.integers(0, 8 * len(content) - 1))
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        assert not is_sealed(path)


def test_the_checkpoint_of_another_stage_is_not_used(stage, tmp_path):
    other = Stage(tmp_path / "scoring" / "0123.partial")
    other.save(7)
    stage.io.folder.mkdir(parents=True)
    shutil.copy(other.last, stage.last)
    assert stage.found() is None
    assert "it is of stage scoring/0123" in stage.said[0]


def test_the_checkpoint_of_other_code_is_used_and_named(stage, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "_code", lambda: "other")
        Stage(stage.io.folder.parent).save(7)
    assert (stage.found(), stage.io.is_of_other_code) == (7, True)
    (line,) = stage.said
    assert line.startswith(f"{stage.last} was written by other code of the same version of this stage: stage training/")
    assert line.endswith("0123 goes on from it.")
    stage.save(8)
    assert (stage.found(), stage.io.is_of_other_code, len(stage.said)) == (8, False, 1)


def test_the_checkpoint_of_another_schema_is_not_used(stage, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "SCHEMA", module.SCHEMA + 1)
        Stage(stage.io.folder.parent).save(7)
    assert stage.found() is None
    assert f"it is of checkpoint schema {module.SCHEMA + 1}" in stage.said[0]


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_payload_in_a_checkpoint_is_not_executed(stage, tmp_path):
    executed = tmp_path / "executed"
    stage.save(1, 2)
    stage.last.write_bytes(sealed({**value(3), "secateur": stage.io.identity, "more": Payload(str(executed))}))
    assert is_sealed(stage.last)
    assert stage.found() == 1
    assert not executed.exists()
    assert "it cannot be read: UnpicklingError" in stage.said[0]


# -- a process that dies, a disk that is full ------------------------------------------------------------------------


class DiedError(BaseException):
    """Stands for SIGKILL: nothing is caught, and nothing is cleaned up after it."""


def die_at(monkeypatch, moment):
    """Let the process die at the given call of what touches the disk."""
    calls = iter(range(100))

    def dying(real):
        def call(*arguments):
            if next(calls) == moment:
                raise DiedError
            return real(*arguments)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(module.os, name, dying(getattr(os, name)))
    monkeypatch.setattr(module.Path, "unlink", lambda self, missing_ok=False: None)  # a dead process removes nothing


@pytest.mark.parametrize("moment", range(4))
def test_dying_while_a_checkpoint_is_written_loses_at_most_that_one(stage, monkeypatch, moment):
    stage.save(1, 2)
    with monkeypatch.context() as patch:
        die_at(patch, moment)
        with pytest.raises(DiedError):
            stage.save(3)
    assert stage.found() == (2 if moment < 3 else 3)  # the last call makes the new name durable
    assert stage.said == []
    stage.save(3, 4)
    assert stage.found() == 4
    assert stage.names() == ["last.ckpt", "previous.ckpt"]


def fill(monkeypatch, folder, room):
    """Let the disk of a folder have room for so many bytes; what is written beyond them is ENOSPC."""
    real = Path.open

    class File:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            used = sum(path.stat().st_size for path in folder.iterdir())
            self.file.write(content[: max(room - used, 0)])
            if len(content) > room - used:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def flush(self):
            self.file.flush()

        def fileno(self):
            return self.file.fileno()

    def opened(path, mode="r", *arguments, **options):
        file = real(path, mode, *arguments, **options)
        return File(file) if mode == "wb" else file

    monkeypatch.setattr(module.Path, "open", opened)


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(stage, monkeypatch):
    stage.save(1)
    with monkeypatch.context() as patch:
        fill(patch, stage.io.folder, room=stage.last.stat().st_size + 100)
        with pytest.raises(StoreError, match=r"last\.ckpt cannot be written: No space left on device\. Older ones"):
            stage.save(2)
    assert (stage.names(), stage.found()) == (["last.ckpt"], 1)
    stage.save(2)
    assert stage.found() == 2


def test_with_room_for_two_checkpoints_the_older_one_makes_room(stage, monkeypatch):
    stage.save(1, 2)
    fill(monkeypatch, stage.io.folder, room=5 * stage.last.stat().st_size // 2)
    stage.save(3, 4)
    assert stage.found() == 4
    assert stage.io.load_checkpoint(stage.previous)["epoch"] == 3
