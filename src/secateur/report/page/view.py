"""report.html: one file that opens from disk, needs no network, and says first what is most important."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from secateur.report.page import summary as page_summary
from secateur.report.page.data import metrics_of, script_data
from secateur.report.page.figures import files_of, pictures
from secateur.report.page.gallery import gallery_data
from secateur.report.page.ledger_view import ledger_bars, stage_colors
from secateur.report.page.table import columns, lines
from secateur.report.page.text import RelativePaths, breakable, script_json, security_policy

STYLES: Final = ("base.css", "page.css", "table.css", "charts.css", "gallery.css", "print.css")
SCRIPTS: Final = (
    "dom.js",
    "theme.js",
    "table.js",
    "marks.js",
    "pointing.js",
    "chart.js",
    "curves.js",
    "details.js",
    "gallery.js",
)


def to_html(payload: Mapping[str, Any], output_dir: Path, gallery: Mapping[str, Any] | None = None) -> str:
    """Return the page; equal payloads and figures give equal bytes.

    Whatever a record says is escaped: by the templates in HTML, by :func:`script_json` in the data of the scripts.
    Moreover the content security policy lets no script run but the page's own, and nothing be loaded.

    Args:
        payload: of the report, see :mod:`secateur.report.page.payload`.
        output_dir: folder that the figures' files are relative to.
        gallery: what :func:`secateur.report.page.gallery.gallery_data` returned; None: it is made here.
    """
    style, script = _asset("css", STYLES), _asset("js", SCRIPTS)
    environment = Environment(
        loader=FunctionLoader(lambda name: _read(name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    page = environment.get_template("page.html")
    return page.render(
        **_view(payload, output_dir, gallery_data(payload) if gallery is None else gallery),
        policy=security_policy(script, style),
        style=style,
        script=script,
    )


def _view(payload: Mapping[str, Any], output_dir: Path, gallery: Mapping[str, Any]) -> dict[str, Any]:
    relative = _paths(payload)
    colors = stage_colors(payload["runs"].values())
    shown = columns(payload)
    found = page_summary.answers(payload["answers"])
    problems = page_summary.problem_groups(payload, relative)
    return {
        "payload": payload,
        "answers": found,
        "blocks": page_summary.blocks(found, payload["tables"]),
        "count_sentence": page_summary.count_sentence(found, payload["tables"]),
        "cautious": any(word in answer.rest for answer in found for word in ("(above)", "(below)", "(matches)")),
        "fidelity_answers": page_summary.answers((payload["fidelity"] or {}).get("answers", [])),
        "sentences": page_summary.what_was_run(payload),
        "tiles": page_summary.tiles(payload),
        "problems": problems,
        "problem_sentence": page_summary.problem_sentence(problems),
        "columns": shown,
        "lines": lines(payload, shown),
        "metrics": metrics_of(payload["curves"]),
        "stages": colors,
        "bars": ledger_bars(payload, colors),
        "gallery": gallery,
        "pictures": pictures(payload, output_dir),
        "fidelity_pictures": pictures(payload, output_dir, ("fidelity",)),
        "files": files_of(payload),
        "data": script_json({**script_data(payload, relative), "gallery": gallery}),
    }


def _paths(payload: Mapping[str, Any]) -> RelativePaths:
    return RelativePaths(
        [*(run["path"] for run in payload["runs"].values()), *(problem["path"] for problem in payload["problems"])]
    )


def _asset(folder: str, names: tuple[str, ...]) -> str:
    return "\n".join(_read(f"{folder}/{name}") for name in names)


def _read(name: str) -> str:
    return files("secateur.report.page").joinpath("assets", *name.split("/")).read_text(encoding="utf-8")
