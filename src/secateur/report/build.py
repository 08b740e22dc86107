"""Everything a report consists of, in one call."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import write_text
from secateur.report.answers import did_it_pay, notes
from secateur.report.cells import make_cells
from secateur.report.export import to_csv, to_latex, to_markdown
from secateur.report.figure import save_figures
from secateur.report.load import LeftOut, load_runs
from secateur.report.page import to_html
from secateur.report.summary import Row, make_rows


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        rows: one per method and ratio.
        baseline: label of the method that the others are compared with.
        answers: did it pay? one line in words per ratio.
        notes: what is missing or must be known.
        left_out: records that do not enter the table, and why.
        files: the files that were written.
    """

    rows: list[Row]
    baseline: str
    answers: list[str]
    notes: list[str]
    left_out: list[LeftOut]
    files: list[Path]


def build_report(paths: Iterable[Path | str], output_dir: Path | str, baseline: str = "random") -> Report:
    """Read all run records under some folders and write tables, figures and a page.

    Args:
        paths: folders that are searched recursively, or run.json files.
        output_dir: where ``results.csv``, ``results.md``, ``results.tex``, ``report.html`` and the figures go.
        baseline: label of the method that the others are compared with at equal ratio.

    Raises:
        DataError: a path does not exist, or there is no finished run.
        ConfigError: there is no run of the baseline (``random`` may be absent).
    """
    output_dir = Path(output_dir)
    loaded = load_runs(paths)
    if not loaded.runs:
        raise DataError(f"no finished run found{_first_reason(loaded.left_out)}.")
    labels = sorted({run.label for run in loaded.runs})
    if baseline not in ("random", *labels):
        raise ConfigError(f"no finished run of baseline {baseline!r}; there are {', '.join(labels)}.")
    cells, superseded = make_cells(loaded.runs)
    rows = make_rows(cells, baseline)
    answers, remarks, left_out = did_it_pay(rows), notes(rows), [*loaded.left_out, *superseded]
    figures = save_figures(rows, output_dir, baseline)
    drawn = [path for path in figures if path.suffix == ".svg"]
    texts = {
        "results.csv": to_csv(rows, baseline),
        "results.md": to_markdown(rows, baseline),
        "results.tex": to_latex(rows, baseline),
        "report.html": to_html(rows, baseline, answers, remarks, left_out, drawn),
    }
    written = [write_text(output_dir / name, text) for name, text in texts.items()]
    return Report(rows, baseline, answers, remarks, left_out, [*written, *figures])


def _first_reason(left_out: list[LeftOut]) -> str:
    if not left_out:
        return ""
    first = left_out[0]
    return f" ({len(left_out)} left out; the first: {first.path}: {first.kind}: {first.reason.rstrip('.')})"
