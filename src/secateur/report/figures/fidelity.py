"""The figures of fidelity: against the scored share, and against what it costs."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from secateur.report.data.fidelity_rows import FidelityRow
from secateur.report.figures.all import file_name
from secateur.report.figures.fidelity_by_cost import cost_figure
from secateur.report.figures.fidelity_by_fraction import fraction_figure
from secateur.report.figures.style import DEFAULT_FORMATS, save_figure


def save_fidelity_figures(
    rows: Sequence[FidelityRow], output_dir: Path, formats: Sequence[str] = DEFAULT_FORMATS
) -> list[Path]:
    """Draw what there is to draw into ``output_dir/fidelity_fraction_<study>`` and ``fidelity_cost_<study>``.

    Args:
        rows: sorted as :func:`secateur.report.data.fidelity_rows.make_fidelity_rows` returns them.
        output_dir: folder of the figures; made if missing.
        formats: of ``svg``, ``pdf`` and ``png``; none: nothing is drawn.

    Returns:
        The files, one per format of each figure; empty when no study has two kinds of subset.
    """
    paths = []
    for study, members in groupby(rows, key=lambda row: row.study):
        group = list(members)
        name = file_name("_".join(study))
        for kind, figure in (("fraction", fraction_figure(group)), ("cost", cost_figure(group))):
            if figure is not None and formats:
                paths += save_figure(figure, output_dir / f"fidelity_{kind}_{name}", formats)
    return paths
