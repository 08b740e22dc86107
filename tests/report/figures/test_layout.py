"""Figures of many methods with long names: what is chosen, what is said about it, and that all of it can be read."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.report.data.cells import make_cells
from secateur.report.data.load import load_runs
from secateur.report.data.rows import make_rows
from secateur.report.figures.all import KINDS
from secateur.report.figures.class_balance import balance_figure
from secateur.report.figures.histogram import Group, draw_histograms
from secateur.report.figures.overlap import overlap_figure
from secateur.report.figures.scores import dynamics_figure, score_figure
from secateur.report.figures.style import MAX_WIDTH, looks_of, size_of, wrapped

NUM = 40
LONG = "el2n_with_a_very_very_long_user_defined_name_of_a_score"


@pytest.fixture
def rows_with_files(write, record):
    """Return the rows of methods, each with an accuracy, that left masks and scores at some ratios."""

    def make(methods, ratios=(0.5,), num_classes=4, without_dynamics=(), missing=()):
        ids = torch.arange(NUM)
        records, names = [], []
        for name, accuracy in methods.items():
            for ratio in ratios:
                for seed in (0, 1) if (name, ratio) not in missing else ():
                    counts = {"pruning__class_counts": [5] * num_classes, "metrics__worst_class_accuracy": 0.5}
                    records.append(record("score", name, ratio, seed, accuracy - 0.1 * ratio, **counts))
                    names.append(name)
        root = write(records)
        for number, name in enumerate(names):
            folder = root / f"{number:05d}"
            columns = {} if name in without_dynamics else {"mean_probability": ids / NUM, "std_probability": ids / NUM}
            ScoreTable(ids, ids % 4, ids.float(), ids >= 0, columns, "f" * 64).save(folder / "scores.parquet")
            Mask(ids, ids >= NUM // 2, "f" * 64).save(folder / "mask.parquet")
        return make_rows(make_cells(load_runs([root]).runs)[0])

    return make


def titles(figure):
    return [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes if axes.get_visible()]


def test_of_more_methods_than_panels_the_most_accurate_are_drawn_and_the_figure_says_so(rows_with_files):
    rows = rows_with_files({f"m{number}": 0.80 + 0.01 * number for number in range(8)})
    figure = score_figure(rows)
    assert titles(figure) == ["m2", "m3", "m4", "m5", "m6", "m7"]
    assert "6 of 8 methods: the most accurate at 50 %" in figure.get_suptitle()
    assert "of" not in score_figure([row for row in rows if row.label < "m6"]).get_suptitle()


def test_methods_without_the_columns_take_no_panel(rows_with_files):
    rows = rows_with_files({f"m{number}": 0.80 + 0.01 * number for number in range(8)}, without_dynamics=("m7",))
    figure = dynamics_figure(rows)
    assert titles(figure) == ["m1", "m2", "m3", "m4", "m5", "m6"]
    assert "6 of 7 methods" in figure.get_suptitle()


def test_scores_that_cannot_be_read_are_neither_drawn_nor_counted(rows_with_files):
    rows = rows_with_files({f"m{number}": 0.80 + 0.01 * number for number in range(8)})
    for run in rows[-1].runs:
        table = ScoreTable.load(run.path / "scores.parquet")
        other = ScoreTable(table.sample_id, table.label, table.score, table.observed, {}, "e" * 64)
        other.save(run.path / "scores.parquet")
    figure = score_figure(rows)
    assert titles(figure) == ["m1", "m2", "m3", "m4", "m5", "m6"]
    assert "6 of 7 methods" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("el2n_with_a_long_name", ["el2n_with_", "a_long_", "name"]),
        ("my.package.Score", ["my.", "package.", "Score"]),
        ("abcdefghijklmno", ["abcdefghij", "klmno"]),
        ("el2n + ccs", ["el2n + ccs"]),
    ],
)
def test_a_name_without_parts_is_broken_all_the_same(name, lines):
    assert wrapped(name, 10).split("\n") == lines
    assert size_of([name], 10) == (max(map(len, lines)), len(lines))


def test_titles_of_neighboring_panels_do_not_meet(rows_with_files):
    figure = score_figure(rows_with_files({f"{LONG}_{number}": 0.9 for number in range(3)}))
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes] + [
        axes._left_title.get_window_extent() for axes in figure.axes
    ]
    boxes = sorted((box for box in boxes if box.width > 1), key=lambda box: box.x0)
    assert len(boxes) == 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_end_bins_that_hold_what_lies_beyond_are_marked():
    axes = Figure().add_subplot()
    draw_histograms(axes, [Group("kept", np.array([*np.linspace(0, 1, 1000), 50.0]), "#000000")])
    assert len(axes.lines) == 2
    assert axes.get_xlabel().endswith(": this bin and all beyond")
    (scores,) = [kind for kind in KINDS if kind.name == "scores"]
    assert "a bin with an arrowhead also holds" in scores.caption
    axes = Figure().add_subplot()
    draw_histograms(axes, [Group("kept", np.repeat([0.0, 1.0], 500), "#000000")])
    assert len(axes.lines) == 0
    assert "beyond" not in axes.get_xlabel()


def test_a_method_has_one_number_in_all_panels_of_the_overlap(rows_with_files):
    methods = {"a": 0.9, "b": 0.9, LONG: 0.9}
    figure = overlap_figure(rows_with_files(methods, ratios=(0.3, 0.5), missing=[("b", 0.3)]))
    first, second = (axes for axes in figure.axes if axes.images)
    for axes, names in ((first, "13"), (second, "123")):
        assert [tick.get_text() for tick in axes.get_xticklabels()] == list(names)
        assert [tick.get_text()[-1] for tick in axes.get_yticklabels()] == list(names)


@pytest.mark.parametrize(("num_methods", "num_classes"), [(3, 10), (16, 20), (8, 100)])
def test_figures_are_narrow_enough_for_a_page_and_their_text_is_not_small(rows_with_files, num_methods, num_classes):
    methods = {f"{LONG}_{number:02d}": 0.9 - 0.01 * number for number in range(num_methods)}
    rows = rows_with_files(methods, ratios=(0.3, 0.5, 0.8), num_classes=num_classes)
    looks = looks_of([row.label for row in rows], "random")
    for kind in KINDS:
        figure = kind.draw(rows, looks, "random")
        if figure is None:
            assert kind.name == "robust"
            continue
        assert figure.get_size_inches()[0] <= MAX_WIDTH + 1e-9, kind.name
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 9.0, kind.name


def test_numbers_of_the_overlap_are_as_short_as_their_cells(rows_with_files):
    for count, expected in ((3, "1.00"), (27, "1"), (40, "")):
        figure = overlap_figure(rows_with_files({f"m{number:02d}": 0.9 for number in range(count)}))
        (axes,) = [axes for axes in figure.axes if axes.images]
        assert {text.get_text() for text in axes.texts} == {expected}


def test_the_legend_of_the_curves_names_methods_that_the_first_ratio_lacks(rows_with_files):
    rows = rows_with_files({"a": 0.9, "b": 0.9, "c": 0.9}, ratios=(0.3, 0.5), num_classes=100, missing=[("b", 0.3)])
    (legend,) = balance_figure(rows, looks_of("abc", "random")).legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["a", "b", "c"]
