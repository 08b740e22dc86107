"""Everything a report consists of, in one call."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import write_text
from secateur.report.answers import did_it_pay, fidelity_notes, is_it_better, notes
from secateur.report.data.cells import Cell, is_method, make_cells
from secateur.report.data.equality import Margin
from secateur.report.data.fidelity_rows import FidelityRow, make_fidelity_rows
from secateur.report.data.league import with_ranks
from secateur.report.data.load import MASK_ONLY, LeftOut, Loaded, load_runs
from secateur.report.data.rows import Row, make_rows, several_baselines
from secateur.report.data.run import FULL
from secateur.report.figures.all import FOLDER, Drawn, save_figures
from secateur.report.figures.fidelity import save_fidelity_figures
from secateur.report.figures.style import FORMATS as FIGURE_FORMATS
from secateur.report.page.gallery_process import begin_gallery
from secateur.report.page.payload import make_payload
from secateur.report.page.payload_types import FigureEntry
from secateur.report.page.view import to_html
from secateur.report.problems import describe, missing, stale
from secateur.report.tables.fidelity import LEGEND, fidelity_csv, fidelity_markdown, fidelity_parts
from secateur.report.tables.files import to_csv, to_latex, to_markdown
from secateur.report.tables.markup import encodable

FORMATS = ("html", "csv", "latex", "markdown")


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        rows: one per method and ratio; empty when nothing was trained on any mask.
        baseline: label of the method that the others are compared with.
        answers: did it pay? one line in words per ratio.
        notes: what must be known.
        problems: runs that are missing, not started, failed, interrupted, damaged or stale, and why.
        files: the files that were written.
        fidelity: one row per extrapolator and subset; empty without score extrapolation.
        fidelity_answers: what those rows say, in words.
        margin: how the margin of equality was set.
    """

    rows: list[Row]
    baseline: str
    answers: list[str]
    notes: list[str]
    problems: list[LeftOut]
    files: list[Path]
    fidelity: list[FidelityRow] = field(default_factory=list)
    fidelity_answers: list[str] = field(default_factory=list)
    margin: Margin = field(default_factory=Margin)


def build_report(
    paths: Iterable[Path | str],
    output_dir: Path | str,
    baseline: str = "random",
    formats: Sequence[str] = FORMATS,
    figure_formats: Sequence[str] = ("svg",),
    margin: float | None = None,
) -> Report:
    """Read all run records under some folders and write tables, figures and a page.

    Whatever cannot be used is named among the problems; a report is built as soon as there is any record.

    Args:
        paths: folders that are searched recursively, or run.json files.
        output_dir: where ``report.html``, ``results.csv``, ``results.md``, ``results.tex`` and ``figures/`` go; with
            score extrapolation also ``fidelity.csv`` and ``fidelity.md``.
        baseline: label of the method that the others are compared with at equal ratio.
        formats: of ``html``, ``csv``, ``latex`` and ``markdown``.
        figure_formats: of ``svg``, ``pdf`` and ``png``.
        margin: results count as equal within so many points; None: see :class:`~secateur.report.data.equality.Margin`.

    Raises:
        DataError: a path does not exist, or there is nothing below it to tell of.
        ConfigError: there is no run of the baseline (``random`` may be absent), or it stands for several cells that
            a method could be compared with, or is ``full``, which all are compared with anyway; a format is unknown, or
            the margin is out of range.
        OSError: a file cannot be written.
    """
    _check_names("format", formats, FORMATS)
    _check_names("figure format", figure_formats, FIGURE_FORMATS)
    within = Margin(margin)
    paths, output_dir = list(paths), Path(output_dir)
    loaded = load_runs(paths)
    fidelity = make_fidelity_rows(loaded.extrapolated)
    _check_there_is_something(loaded, fidelity)
    cells, superseded = make_cells(loaded.runs)
    _check_baseline(cells, baseline)
    rows = with_ranks(make_rows(cells, baseline, within))
    report = Report(
        rows=rows,
        baseline=baseline,
        answers=did_it_pay(rows),
        notes=[*loaded.unfinished, *notes(rows), *fidelity_notes(loaded.extrapolated, fidelity)],
        problems=_problems([*loaded.left_out, *superseded], cells, loaded.planned),
        files=[],
        fidelity=fidelity,
        fidelity_answers=is_it_better(fidelity),
        margin=within,
    )
    texts = _texts(report, formats)
    page = _begin_page(report, paths) if "html" in formats else None
    drawn = [
        *save_figures(rows, output_dir, baseline, figure_formats),
        *_fidelity_figures(fidelity, output_dir, figure_formats),
    ]
    if page is not None:
        texts["report.html"] = page(drawn, output_dir)
    report.files.extend(write_text(output_dir / name, encodable(text)) for name, text in texts.items())
    report.files.extend(path for figure in drawn for path in figure.files.values())
    return report


def title_of(paths: Sequence[Path | str]) -> str:
    """Return a report's name: that of its first folder, and how many there are beside it."""
    first = Path(paths[0]).resolve().name or "all"
    return first if len(paths) == 1 else f"{first}-and-{len(paths) - 1}-more"


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown {what} {name!r}; there are {', '.join(known)}.")


def _check_there_is_something(loaded: Loaded, fidelity: Sequence[FidelityRow]) -> None:
    """Refuse a report of nothing; of what failed there is one."""
    if loaded.runs or fidelity or any(one.kind != MASK_ONLY for one in loaded.left_out):
        return
    if loaded.left_out:
        only = loaded.left_out[0]
        raise DataError(f"no finished run found ({len(loaded.left_out)} {only.kind}: {only.reason}).")
    raise DataError("no run record found.")


def _check_baseline(cells: Sequence[Cell], baseline: str) -> None:
    methods = sorted({run.label for cell in cells for run in cell.runs})
    if is_method(baseline, FULL):
        raise ConfigError("baseline 'full': the comparison with full data is always there; name another method.")
    if methods and baseline not in ("random", *methods, *(cell.label for cell in cells)):
        raise ConfigError(f"no finished run of baseline {baseline!r}; there are {', '.join(methods)}.")
    if several := several_baselines(cells, baseline):
        raise ConfigError(
            f"baseline {baseline!r} stands for several methods with the same final training: name one of "
            f"{', '.join(repr(label) for label in several)}."
        )


def _problems(left_out: Sequence[LeftOut], cells: Sequence[Cell], planned: Collection[str]) -> list[LeftOut]:
    described = describe(left_out, cells)
    return [*described, *missing(cells, described, planned), *stale(cells)]


def _texts(report: Report, formats: Sequence[str]) -> dict[str, str]:
    """Return the tables by file name."""
    texts: dict[str, str] = {}
    if report.rows:
        given = (report.rows, report.baseline)
        if "csv" in formats:
            texts["results.csv"] = to_csv(*given)
        if "markdown" in formats:
            texts["results.md"] = to_markdown(*given, report.margin)
        if "latex" in formats:
            texts["results.tex"] = to_latex(*given, report.margin)
    if report.fidelity and "csv" in formats:
        texts["fidelity.csv"] = fidelity_csv(report.fidelity)
    if report.fidelity and "markdown" in formats:
        texts["fidelity.md"] = fidelity_markdown(report.fidelity)
    return texts


def _fidelity_figures(rows: Sequence[FidelityRow], output_dir: Path, formats: Sequence[str]) -> list[Drawn]:
    by_stem: dict[str, dict[str, Path]] = {}
    for path in save_fidelity_figures(rows, output_dir / FOLDER, formats):
        by_stem.setdefault(path.with_suffix("").name, {})[path.suffix[1:]] = path
    titles = {
        "fidelity_fraction": ("Fidelity against the scored share", "One line per extrapolator; bars: 95 % t interval."),
        "fidelity_cost": (
            "Fidelity against cost",
            "A point per extrapolator and subset; the star: a full scoring.",
        ),
    }
    return [
        Drawn(stem, "fidelity", None, *next(words for start, words in titles.items() if stem.startswith(start)), files)
        for stem, files in by_stem.items()
    ]


def _begin_page(report: Report, paths: Sequence[Path | str]) -> Callable[[Sequence[Drawn], Path], str]:
    """Begin with what takes longest, the images; the page is finished with the figures that are drawn meanwhile."""
    payload = make_payload(
        report.rows,
        title=title_of(paths),
        paths=[str(path) for path in paths],
        baseline=report.baseline,
        answers=report.answers,
        notes=report.notes,
        problems=report.problems,
        fidelity=_fidelity(report) if report.fidelity else None,
        margin=report.margin,
    )
    gallery = begin_gallery(payload)

    def finish(drawn: Sequence[Drawn], output_dir: Path) -> str:
        payload["figures"] = [_figure_entry(figure, output_dir) for figure in drawn]
        return to_html(payload, output_dir, gallery())

    return finish


def _figure_entry(figure: Drawn, output_dir: Path) -> FigureEntry:
    return {
        "id": figure.id,
        "kind": figure.kind,
        "table": figure.table,
        "title": figure.title,
        "caption": figure.caption,
        "files": {name: path.relative_to(output_dir).as_posix() for name, path in figure.files.items()},
    }


def _fidelity(report: Report) -> dict[str, Any]:
    parts = [
        {
            **{"title": part.title, "headers": list(part.headers), "numbers": list(part.numbers)},
            **{"lines": [list(line) for line in part.lines], "first": part.first, "verdicts": part.verdicts},
        }
        for part in fidelity_parts(report.fidelity)
    ]
    return {"answers": report.fidelity_answers, "parts": parts, "legend": list(LEGEND)}
