"""What the files of sweeps/ say about themselves: the header that a person reads, and the grid that Hydra launches."""

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from secateur.runs.compose import values_of
from secateur.runs.paths import SWEEPS

FIELDS = ("Reproduces", "Command", "Jobs", "Budget", "Expected", "Ours")
PAGE = """\
# Sweeps

One file per table or figure, `sweeps/<paper>/<table>.yaml`. The header of a file says what it reproduces, how many
jobs it has and how they multiply, what it costs, which published numbers are known, and what came out here. Run one
with `secateur run sweeps=<paper>/<table>`; a key given on the command line replaces that key's values in the file.
`secateur cost sweeps=<paper>/<table> ...` says what all of it costs, before it runs.

This page is made from the headers by `make docs`.
"""


@dataclass(frozen=True)
class SweepFile:
    """One file of sweeps/.

    Args:
        path: the file.
        folder: the folder of all of them.
    """

    path: Path
    folder: Path = SWEEPS

    @property
    def option(self) -> str:
        """What ``sweeps=`` takes to run it: ``adapruner/cifar10``."""
        return self.path.relative_to(self.folder).with_suffix("").as_posix()

    @cached_property
    def header(self) -> dict[str, str]:
        """The header's fields by name, lines that belong together joined by line breaks."""
        fields: dict[str, list[str]] = {}
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            if field := re.match(r"# ([A-Z][A-Za-z ]*): *(.*)", line):
                current = fields.setdefault(field[1], [])
                current.append(field[2].rstrip())
            elif fields and (more := re.match(r"#  +(.*)", line)):
                current.append(more[1].rstrip())
        return {name: "\n".join(lines) for name, lines in fields.items()}

    @cached_property
    def params(self) -> dict[str, list[str]]:
        """The overrides of every swept key, one for each of its values: ``{"seed": ["seed=0", "seed=1"]}``."""
        node: Any = OmegaConf.select(OmegaConf.load(self.path), "hydra.sweeper.params") or {}
        return {str(key): values_of(f"{key}={value}") for key, value in node.items()}

    @property
    def num_jobs(self) -> int:
        """How many jobs Hydra launches: the product of the numbers of values."""
        return prod(len(values) for values in self.params.values())

    @property
    def command(self) -> str:
        """The command of the header, without the remarks after it and without the lines that show variations."""
        return re.split(r" {2,}|\s\(", self.header["Command"].split("\n")[0])[0]


def sweep_files(folder: Path = SWEEPS) -> list[SweepFile]:
    """Return all sweep files, by name."""
    return [SweepFile(path, folder) for path in sorted(folder.rglob("*.yaml"))]


def page(files: list[SweepFile]) -> str:
    """Return the listing of all sweeps as a page of Markdown, one table per paper."""
    lines = [PAGE]
    for paper in sorted({file.option.split("/")[0] for file in files}):
        lines += [
            f"## {paper}",
            "",
            "| reproduces | command | jobs | budget | expected | ours |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(file) for file in files if file.option.split("/")[0] == paper]
        lines.append("")
    return "\n".join(lines)


def _row(file: SweepFile) -> str:
    text = {name: file.header[name].replace("\n", " ").replace("|", r"\|") for name in FIELDS}
    cells = [text["Reproduces"], f"`{file.command}`", *(text[name] for name in ("Jobs", "Budget", "Expected", "Ours"))]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page(sweep_files()))
