"""One thread for all tests, a small real data set, and the command line as fixtures."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("secateur", deadline=None, max_examples=50)
settings.load_profile("secateur")
torch.set_num_threads(1)  # small networks are many times slower when threads wait for each other


@pytest.fixture(scope="session")
def digits():
    """The digits with a pool of 200 samples, whose ids have gaps (the validation split is taken out of them)."""
    from secateur.data.digits import DigitsData
    from secateur.data.prepared import prepare

    data = prepare(DigitsData(name="digits", validation_fraction=0.1))
    small = dataclasses.replace(data, pool=data.pool[:200], flipped=data.flipped[:200])
    assert int(small.pool[-1]) > 199
    return small


def _main(arguments):
    """Run the program in this process, as if no Hydra had run in it before."""
    from hydra.core.global_hydra import GlobalHydra

    from secateur.cli.main import main

    GlobalHydra.instance().clear()
    return main(arguments)


QUICK = ("trainer.max_epochs=3", "compare_with=[]", "trainer.evaluate_every=3")


@dataclass
class Program:
    """The command line, run in this process in a folder of its own."""

    folder: Path
    capsys: pytest.CaptureFixture
    out: str = ""
    err: str = ""
    quick: tuple[str, ...] = field(default=QUICK)

    def run(self, *arguments: str) -> int:
        code = _main(["run", *arguments, *self.quick, f"paths.output_dir={self.folder}"])
        self.out, self.err = self.capsys.readouterr()
        return code

    def command(self, *arguments: str) -> int:
        code = _main(arguments)
        self.out, self.err = self.capsys.readouterr()
        return code

    def records(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("runs/*/*/run.json"))]

    def record(self) -> dict:
        (record,) = self.records()
        return record

    def run_dir(self, record: dict) -> Path:
        return self.folder / "runs" / record["name"] / record["run_key"]

    def stages(self, name: str) -> list[Path]:
        return [path.parent for path in self.folder.glob(f"store/{name}/*/stage.json")]


@pytest.fixture
def program(tmp_path, capsys, monkeypatch) -> Program:
    monkeypatch.chdir(tmp_path)
    return Program(tmp_path / "outputs", capsys)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Return a function that puts a shell script of some name in front of all programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def make(name, body):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    return make


@pytest.fixture
def verify(capsys, tmp_path, monkeypatch):
    """Return a function that verifies a run and returns the exit code, what was printed, and the line of error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = _main(["verify", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call
