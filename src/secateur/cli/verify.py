"""``secateur verify``: is a finished run what its record says, and does it come out again?"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from secateur.cli.console import make_console
from secateur.cli.terminal import BAD_INPUT, message

if TYPE_CHECKING:
    from secateur.runs.config import Experiment
    from secateur.verify.repeat import Options
    from secateur.verify.verdict import Verification

DESCRIPTION = """\
Check a finished run. First, in seconds, whether its folder agrees with itself: run.json, config.yaml, the run_key that
follows from them, every file's sha256, the mask's counts. Then its configuration runs again in a temporary folder with
an empty store, and scores, mask, metrics, weights and the numbers in run.json are compared value by value."""
EPILOG = """\
The verdict is "identical", "within tolerance" (largest differences are shown) or "different" (and where first: file,
sample_id, column, both values). On the same machine with the same versions a run comes out bit for bit, so nothing is
tolerated by default. On other hardware or with other versions, which are pointed out, give --tolerance.

examples:
  secateur verify outputs/runs/demo/0123456789ab
  secateur verify outputs/runs/demo --quick
  secateur verify RUN_DIR --data-root /data/cifar10 --tolerance 0.01 --tolerance scores=0.1

exit codes: 0 identical or within tolerance, 1 different, 2 bad input (no finished run, other data, ...)"""
CONFIG_DIR = (
    "as for secateur run: your own options, and classes beside them; runs whatever code the record names, so only for "
    "records you trust (without it only Secateur's own classes are made)"
)
STYLES = {"identical": "green", "within tolerance": "yellow", "different": "red"}


def verify(arguments: list[str]) -> int:
    """Verify runs; 0 when all hold, 1 when one differs, 2 after one line of error when one cannot be verified."""
    parsed = _parser().parse_intermixed_args(arguments)
    try:
        run_dirs, moved = _sort_out(parsed.arguments)
        options = _options(parsed, moved)
    except BAD_INPUT as error:
        sys.stderr.write(f"secateur: error: {message(error)}\n")
        return 2
    console, codes = make_console(), []
    for number, run_dir in enumerate(run_dirs, 1):
        if len(run_dirs) > 1:
            console.print(f"[bold]{number} of {len(run_dirs)}:[/] ", end="")
            console.print(str(run_dir), markup=False, soft_wrap=True)
        codes.append(_verify_one(run_dir, options, console))
    if len(run_dirs) > 1:
        words = {0: "hold", 1: "differ", 2: "cannot be verified"}
        counts = [f"{codes.count(code)} {word}" for code, word in words.items() if code in codes]
        console.print(f"of {len(codes)} runs: {', '.join(counts)}")
    return max(codes)


def _sort_out(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the folders of runs, those below a folder of runs among them, and what is ``KEY=VALUE``.

    Raises:
        ConfigError: no folder is named, or there is no run at one.
    """
    from secateur.core.errors import ConfigError
    from secateur.core.record import FILE_NAME

    moved = [text for text in arguments if "=" in text and not Path(text).exists()]
    run_dirs: list[Path] = []
    for path in [Path(text) for text in arguments if text not in moved]:
        below = [] if (path / FILE_NAME).is_file() else sorted(file.parent for file in path.glob(f"*/{FILE_NAME}"))
        run_dirs += below or [path]
    if not run_dirs:
        raise ConfigError("name the folder of a run, or of runs: outputs/runs/NAME/RUN_KEY.")
    return list(dict.fromkeys(run_dirs)), moved


def _options(parsed: argparse.Namespace, moved: Sequence[str]) -> "Options":
    from secateur.runs.user_code import make_importable
    from secateur.verify.configuration import check_moved
    from secateur.verify.repeat import Options
    from secateur.verify.verdict import Tolerances

    make_importable(parsed.config_dir)
    roots = [f"data.root={parsed.data_root}"] if parsed.data_root else []
    check_moved(moved)
    return Options(
        tolerances=Tolerances.parse(parsed.tolerance),
        quick=parsed.quick,
        comparison=parsed.comparison,
        keep=parsed.keep,
        moved=[*roots, *moved],
        user_conf=Path(parsed.config_dir) if parsed.config_dir else None,
    )


def _verify_one(run_dir: Path, options: "Options", console: Console) -> int:
    from secateur.verify.repeat import verify

    started = time.monotonic()
    try:
        outcome = verify(run_dir, _defaults(), options, console)
    except BAD_INPUT as error:
        sys.stderr.write(f"secateur: error: {message(error)}\n")
        return 2
    _show(outcome, options, console, time.monotonic() - started)
    return 1 if outcome.state == "different" else 0


def _defaults() -> "Experiment":
    """Return today's default configuration."""
    from secateur.runs.compose import default_experiment

    return default_experiment()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="secateur verify",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "arguments",
        nargs="+",
        metavar="RUN_DIR | KEY=VALUE",
        help="folders of runs, or of several runs; what lies elsewhere now: downstream.root=DIR, method.path=FILE",
    )
    add("--quick", action="store_true", help="only the check of the folder; nothing is trained")
    add("--data-root", type=Path, metavar="DIR", help="where the data lies now; the same as data.root=DIR")
    add("--config-dir", metavar="DIR", help=CONFIG_DIR)
    add(
        "--tolerance",
        action="append",
        default=[],
        metavar="[KIND=]X",
        help="largest difference that is tolerated; kinds: scores (in standard deviations of the column), mask (share "
        "of the samples), metrics (absolute), weights (in standard deviations); X alone is for all (default: 0)",
    )
    add(
        "--no-comparison",
        dest="comparison",
        action="store_false",
        help="do not repeat what the run was compared with (compare_with, fidelity.against), which is not its result",
    )
    add("--keep", action="store_true", help="keep the repetition's folder and say where it is")
    return parser


def _show(outcome: "Verification", options: "Options", console: Console, seconds: float) -> None:
    if outcome.compared:
        console.print(_table(outcome))
    if outcome.repeated:
        console.print(f"repetition: {outcome.repeated}", markup=False, soft_wrap=True)
    console.print(f"[{STYLES[outcome.state]}]{_sentence(outcome, options.quick)}[/] ({seconds:.0f} s)", soft_wrap=True)
    for line in outcome.lines():
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if not options.comparison and outcome.compared:
        console.print("not checked: what it was compared with", markup=False)


def _sentence(outcome: "Verification", quick: bool) -> str:
    if outcome.state == "different":
        return (
            "different:" if outcome.compared else "different: the folder contradicts itself, and nothing was run again:"
        )
    if quick:
        return "the folder agrees with itself; without --quick it is run again"
    return f"{outcome.state}: the run comes out again"


def _table(outcome: "Verification") -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("part", "verdict", "largest difference"):
        table.add_column(header)
    for part in outcome.compared:
        state = part.state(outcome.tolerances)
        size = "" if state == "identical" else _size(part.size, part.kind)
        table.add_row(part.name, f"[{STYLES[state]}]{state}[/]", size)
    return table


def _size(size: float, kind: str) -> str:
    units = {"scores": " sd", "weights": " sd", "mask": " of the samples", "metrics": ""}
    return "not a number" if size == float("inf") else f"{size:.3g}{units[kind]}"
