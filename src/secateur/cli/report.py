"""``secateur report``: from run records to a table on the terminal and the files of a paper."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from secateur.cli.console import make_console
from secateur.core.errors import SecateurError
from secateur.core.record import one_line
from secateur.report.tables.markup import encodable

if TYPE_CHECKING:
    from secateur.report.build import Report
    from secateur.report.data.load import LeftOut

FIGURES, PAGE = "figures/", "report.html"
SHOWN = 10  # longer lists are cut on the terminal; report.html has all of them


def report(argv: list[str]) -> int:
    """Build the report that the arguments ask for; 0, or 2 after one line of error."""
    arguments = _parser().parse_args(argv)
    from secateur.report.build import build_report, title_of

    output_dir = arguments.output or Path("outputs", "reports", title_of(arguments.paths))
    try:
        result = build_report(
            *(arguments.paths, output_dir, arguments.baseline, arguments.format, arguments.figure_format),
            margin=arguments.margin,
        )
    except SecateurError as error:
        sys.stderr.write(f"secateur: error: {one_line(error)}\n")
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(
            f"secateur: error: {where}{error.strerror or one_line(error)}; the report was to go to {output_dir}: "
            "choose a folder that can be written with --output.\n"
        )
        return 2
    _show(result, output_dir, make_console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="secateur report", description="Compare runs: tables, figures and a page; docs/report.md explains them."
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folders with runs, searched recursively")
    parser.add_argument("--output", type=Path, help="folder of the report (default: outputs/reports/<name of PATH>)")
    parser.add_argument("--baseline", default="random", help="method the others are compared with (default: random)")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="POINTS",
        help="results that differ by less count as equal (default: 20 %% of the error of full data, at most 1 point, "
        "at least one test image)",
    )
    parser.add_argument(
        "--format",
        type=_listed,
        default=("html", "csv", "latex", "markdown"),
        metavar="NAME,...",
        help="of html, csv, latex, markdown (default: all)",
    )
    parser.add_argument(
        "--figure-format",
        type=_listed,
        default=("svg",),
        metavar="NAME,...",
        help="of svg, pdf, png (default: svg; empty: no figures)",
    )
    return parser


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.split(",") if name))


def _show(result: "Report", output_dir: Path, console: Console) -> None:
    from secateur.report.data.load import MASK_ONLY
    from secateur.report.tables.fidelity import fidelity_table
    from secateur.report.tables.terminal import comparison_table

    if result.rows:
        console.print("Did it pay?", style="bold")
        _print_lines(console, result.answers, limit=None)
        console.print()
        console.print(comparison_table(result.rows, result.baseline, result.margin))
    if result.rows and result.fidelity:
        console.print()
    if result.fidelity:
        console.print("How good are the predicted scores?", style="bold")
        _print_lines(console, result.fidelity_answers, SHOWN)
        console.print()
        console.print(fidelity_table(result.fidelity))
    _print_lines(console, [f"note: {line}" for line in result.notes], SHOWN)
    kinds = Counter(problem.kind for problem in result.problems)
    if kinds:
        console.print("problems: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
        broken = [problem for problem in result.problems if problem.kind != MASK_ONLY]
        _print_lines(console, [_problem_line(problem) for problem in broken], SHOWN)
    console.print(encodable(_written(result.files, output_dir)), markup=False, soft_wrap=True)


def _written(files: Sequence[Path], folder: Path) -> str:
    """Return the folder and what lies in it; figures are counted, as there may be hundreds."""
    names = sorted((path.name for path in files if path.parent == folder), key=lambda name: name != PAGE)
    figures = {path.with_suffix("") for path in files if path.parent != folder}
    names += [f"{len(figures)} figure{'' if len(figures) == 1 else 's'} in {FIGURES}"] if figures else []
    return f"written: {folder} ({', '.join(names) or 'nothing'})"


def _problem_line(problem: "LeftOut") -> str:
    where = "" if problem.kind == "missing" else f" ({problem.path})"
    return f"{problem.kind}: {problem.name or problem.path.name}{where}: {problem.reason}"


def _print_lines(console: Console, lines: Sequence[str], limit: int | None) -> None:
    for line in lines[:limit]:
        console.print(Text(f"  {encodable(line)}"), soft_wrap=True)
    if limit is not None and len(lines) > limit:
        console.print(f"  ... and {len(lines) - limit} more in report.html")
