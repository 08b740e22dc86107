"""How every figure looks: one palette, one look per method, files that hold nothing but the data."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from secateur.report.data.cells import is_method
from secateur.report.data.run import FULL

# The palette of Okabe and Ito (safe for color-blind readers), without its yellow, which is too pale for a line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
BASELINE_COLOR = "#555555"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "secateur",  # equal data, equal bytes
    "pdf.fonttype": 42,  # text that can be searched, and that journals take
    "text.parse_math": False,  # a dollar sign in a name is one
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
LINES = ("-", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
MAX_WIDTH = 9.0  # inches; a page shows wider figures with letters too small to read
BAR_LENGTH = 4.0  # inches of a color bar, at most
WRAP = 32  # characters of a name in one line of a legend
FORMATS = ("svg", "pdf", "png")
DEFAULT_FORMATS = ("svg", "png")
MAX_INCHES = 100.0  # of a side of a figure, however long a name is: a picture has at most 65 535 pixels there
ROW_WRAP = 32  # of a name beside a row of a heat map
CHARACTER, LINE = 0.07, 0.15  # inches that a character, and a line, of a name takes
# What a file says of itself without being asked: when and by what it was made.
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn, in every figure of a report the same; color, marker and line each tell it apart."""

    color: str
    marker: str
    line: Any


def looks_of(labels: Iterable[str], baseline: str) -> dict[str, Look]:
    """Return a look for each method: full data black, the baseline gray and dashed, the others in color.

    Args:
        labels: every method of the report, so that each looks the same in all of its figures.
        baseline: label of the method that the others are compared with.
    """
    looks: dict[str, Look] = {}
    groups: dict[str, list[str]] = {"full": [], "baseline": [], "method": []}
    for label in sorted(set(labels)):
        groups["full" if is_method(label, FULL) else "baseline" if is_method(label, baseline) else "method"].append(
            label
        )
    for number, label in enumerate(groups["full"]):
        looks[label] = Look("#000000", "*", ("-", "--", ":")[number % 3])
    for number, label in enumerate(groups["baseline"]):
        looks[label] = Look(BASELINE_COLOR, MARKERS[number % len(MARKERS)], "--")
    for number, label in enumerate(groups["method"]):
        line = LINES[number // len(COLORS) % len(LINES)]
        looks[label] = Look(COLORS[number % len(COLORS)], MARKERS[(number + 1) % len(MARKERS)], line)
    return looks


def wrapped(label: str, width: int = WRAP) -> str:
    r"""Return a method's name in lines of at most so many characters, broken where its parts meet.

    A part that is longer than a line is broken behind a ``_`` or ``.``, or where the line ends.

    Example:
        >>> wrapped("tdds + knn_same_class_cv + ccs [lr=0.1]", 24)
        'tdds + knn_same_class_cv\n+ ccs [lr=0.1]'
    """
    lines = [""]
    for part in label.replace(" + ", "\n+ ").replace(" [", "\n[").replace(", ", ",\n").split("\n"):
        for number, piece in enumerate(_pieces(part, width)):
            if number or (lines[-1] and len(lines[-1]) + 1 + len(piece) > width):
                lines.append(piece)
            else:
                lines[-1] = f"{lines[-1]} {piece}".strip()
    return "\n".join(lines)


def _pieces(part: str, width: int) -> list[str]:
    """Break what is longer than a line behind its last space, ``_`` or ``.``, or else where the line ends."""
    pieces = []
    while len(part) > width:
        end = max(part.rfind(mark, 0, width) for mark in " _.") + 1 or width
        pieces.append(part[:end].rstrip())
        part = part[end:]
    return [*pieces, part]


def size_of(labels: Iterable[str], width: int = WRAP) -> tuple[int, int]:
    """Return the longest line and the number of all lines of names that are :func:`wrapped`."""
    lines = [line for label in labels for line in wrapped(label, width).split("\n")]
    return max(map(len, lines), default=0), len(lines)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that needs no window; to be called within :func:`house_style`."""
    figure = Figure(figsize=(min(width, MAX_INCHES), min(height, MAX_INCHES)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_color_bar(figure: Figure, image: AxesImage, panels: Sequence[Axes], **bar: Any) -> Colorbar:
    """Draw a narrow color bar to the right of panels, at the top, however tall the figure is."""
    height = figure.get_size_inches()[1]
    length = min(1.0, BAR_LENGTH / height)
    drawn = figure.colorbar(
        image, ax=list(panels), pad=0.02, shrink=length, aspect=length * height / 0.16, anchor=(0.0, 1.0), **bar
    )
    drawn.outline.set_visible(False)
    return drawn


def house_style() -> AbstractContextManager[None]:
    """Return a context in which a reader's own matplotlibrc has no say."""
    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}
    return mpl.rc_context({**defaults, **STYLE})


def text_color(color: Sequence[float]) -> str:
    """Return black or white, whichever can be read on a color (red, green and blue in ``[0, 1]``).

    Example:
        >>> text_color((1.0, 1.0, 0.8))
        'black'
    """
    red, green, blue = color[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.44 else "white"


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = DEFAULT_FORMATS) -> list[Path]:
    """Write ``<stem>.svg`` and so on; equal figures give equal bytes.

    Args:
        figure: what is drawn.
        stem: the files' path without the suffix; its folder is made if missing.
        formats: of ``svg``, ``pdf`` and ``png``.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in formats]
    with house_style():
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)  # once for all formats: each would lay it out again
            figure.set_layout_engine("none")
        for suffix, path in zip(formats, paths, strict=True):
            figure.savefig(path, format=suffix, dpi=200, metadata=METADATA[suffix])
    return paths
