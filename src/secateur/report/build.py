"""Everything a report consists of, in one call."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import write_text
from secateur.report.answers import did_it_pay, notes
from secateur.report.cells import make_cells
from secateur.report.export import to_csv, to_latex, to_markdown
from secateur.report.fidelity import FidelityRow, make_fidelity_rows
from secateur.report.fidelity_answers import fidelity_notes, is_it_better
from secateur.report.fidelity_figure import save_fidelity_figures
from secateur.report.fidelity_table import fidelity_csv, fidelity_markdown
from secateur.report.figure import save_figures
from secateur.report.load import LeftOut, Loaded, load_runs
from secateur.report.page import fidelity_section, to_html
from secateur.report.summary import Row, make_rows


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        rows: one per method and ratio; empty when nothing was trained on any mask.
        baseline: label of the method that the others are compared with.
        answers: did it pay? one line in words per ratio.
        notes: what is missing or must be known.
        left_out: records that do not enter the table, and why.
        files: the files that were written.
        fidelity: one row per extrapolator and subset; empty without score extrapolation.
        fidelity_answers: what those rows say, in words.
    """

    rows: list[Row]
    baseline: str
    answers: list[str]
    notes: list[str]
    left_out: list[LeftOut]
    files: list[Path]
    fidelity: list[FidelityRow] = field(default_factory=list)
    fidelity_answers: list[str] = field(default_factory=list)


def build_report(paths: Iterable[Path | str], output_dir: Path | str, baseline: str = "random") -> Report:
    """Read all run records under some folders and write tables, figures and a page.

    Args:
        paths: folders that are searched recursively, or run.json files.
        output_dir: where ``report.html``, ``results.csv``, ``results.md``, ``results.tex`` and the figures go; with
            score extrapolation also ``fidelity.csv`` and ``fidelity.md``.
        baseline: label of the method that the others are compared with at equal ratio.

    Raises:
        DataError: a path does not exist, or there is no finished run.
        ConfigError: there is no run of the baseline (``random`` may be absent).
    """
    output_dir = Path(output_dir)
    loaded = load_runs(paths)
    fidelity = make_fidelity_rows(loaded.extrapolated)
    if not loaded.runs and not fidelity:
        raise DataError(f"no finished run found{_first_reason(loaded.left_out)}.")
    _check_baseline(loaded, baseline)
    cells, superseded = make_cells(loaded.runs)
    rows = make_rows(cells, baseline)
    answers, words = did_it_pay(rows), is_it_better(fidelity)
    remarks = [*notes(rows), *fidelity_notes(loaded.extrapolated, fidelity)]
    left_out = [*loaded.left_out, *superseded]
    figures, fidelity_figures = save_figures(rows, output_dir, baseline), save_fidelity_figures(fidelity, output_dir)
    section = fidelity_section(fidelity, words, _drawn(fidelity_figures)) if fidelity else ""
    texts = {
        **(_result_texts(rows, baseline) if rows else {}),
        **({"fidelity.csv": fidelity_csv(fidelity), "fidelity.md": fidelity_markdown(fidelity)} if fidelity else {}),
        "report.html": to_html(rows, baseline, answers, remarks, left_out, _drawn(figures), section),
    }
    written = [write_text(output_dir / name, text) for name, text in texts.items()]
    files = [*written, *figures, *fidelity_figures]
    return Report(rows, baseline, answers, remarks, left_out, files, fidelity, words)


def _check_baseline(loaded: Loaded, baseline: str) -> None:
    labels = sorted({run.label for run in loaded.runs})
    if labels and baseline not in ("random", *labels):
        raise ConfigError(f"no finished run of baseline {baseline!r}; there are {', '.join(labels)}.")


def _drawn(figures: list[Path]) -> list[Path]:
    return [path for path in figures if path.suffix == ".svg"]


def _result_texts(rows: list[Row], baseline: str) -> dict[str, str]:
    return {
        "results.csv": to_csv(rows, baseline),
        "results.md": to_markdown(rows, baseline),
        "results.tex": to_latex(rows, baseline),
    }


def _first_reason(left_out: list[LeftOut]) -> str:
    if not left_out:
        return ""
    first = left_out[0]
    return f" ({len(left_out)} left out; the first: {first.path}: {first.kind}: {first.reason.rstrip('.')})"
