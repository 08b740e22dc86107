import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from secateur.cli.main import main

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
        GlobalHydra.instance().clear()
        code = main(["run", *arguments, *self.quick, f"paths.output_dir={self.folder}"])
        self.out, self.err = self.capsys.readouterr()
        return code

    def command(self, *arguments: str) -> int:
        GlobalHydra.instance().clear()
        code = main(arguments)
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
        code = main(["verify", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call
