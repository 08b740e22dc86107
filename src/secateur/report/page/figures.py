"""The drawn figures inside the page, as images: their own style cannot touch the page, nor the page theirs."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

WIDE: Final = 400.0  # points: what half of the page shows at about its own size
POINTS: Final = 72.0
HEAD: Final = 2000  # characters in which an SVG says its size
SIZE: Final = re.compile(r'<svg [^>]*?width="(?P<width>[0-9.]+)pt"')
LIMIT: Final = 1_500_000
TOTAL: Final = 4_000_000
DRAWN_BY_THE_PAGE: Final = ("accuracy", "cost", "worst_class")
TYPES: Final = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        title: what it shows.
        caption: how to read it.
        uri: the image itself; None when it is too large, or of a format that no page shows.
        files: the files beside the page.
        wide: whether it needs the whole width of the page to be read.
    """

    title: str
    caption: str
    uri: str | None
    files: tuple[str, ...]
    wide: bool = False


def pictures(payload: Mapping[str, Any], output_dir: Path, kinds: tuple[str, ...] | None = None) -> list[Picture]:
    """Return the figures of some kinds (None: all that the page does not draw itself), in the order of the payload.

    Args:
        payload: of the report.
        output_dir: folder that the figures' files are relative to.
        kinds: which figures.
    """
    found, spent = [], 0
    for figure in payload["figures"]:
        if (figure["kind"] in kinds) if kinds else (figure["kind"] not in (*DRAWN_BY_THE_PAGE, "fidelity")):
            uri = _data_uri(figure["files"], output_dir, TOTAL - spent)
            spent += len(uri or "")
            where = f", {figure['table']}" if figure["table"] and len(payload["tables"]) > 1 else ""
            names = tuple(sorted(figure["files"].values()))
            found.append(Picture(figure["title"] + where, figure["caption"], uri, names, _wide(figure, output_dir)))
    return found


def files_of(payload: Mapping[str, Any]) -> list[str]:
    """Return the files of the figures that the page draws itself."""
    return sorted(
        path
        for figure in payload["figures"]
        if figure["kind"] in DRAWN_BY_THE_PAGE
        for path in figure["files"].values()
    )


def _wide(figure: Mapping[str, Any], output_dir: Path) -> bool:
    """Whether a figure is drawn on more than half a page's width, which would shrink its words."""
    path = output_dir / figure["files"].get("svg", "")
    if "svg" in figure["files"] and path.is_file():
        size = SIZE.search(path.read_text(encoding="utf-8", errors="replace")[:HEAD])
        return size is not None and float(size["width"]) > WIDE
    path = output_dir / figure["files"].get("png", "")
    if "png" not in figure["files"] or not path.is_file():
        return False
    with Image.open(path) as image:
        resolution = float(image.info.get("dpi", (POINTS, POINTS))[0])
        return image.width * POINTS > WIDE * resolution


def _data_uri(files: Mapping[str, str], output_dir: Path, left: int) -> str | None:
    for kind, media in TYPES.items():
        path = output_dir / files.get(kind, "")
        if kind in files and path.is_file() and path.stat().st_size * 4 / 3 <= min(LIMIT, left):
            return f"data:{media};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return None
