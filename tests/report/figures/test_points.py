"""How means and their bars are drawn: nothing beyond 0 and 100 %, nothing hidden, nothing that looks exact."""

import pytest
from matplotlib.figure import Figure

from secateur.report.data.statistics import Estimate
from secateur.report.figures.all import KINDS
from secateur.report.figures.by_cost import cost_figure
from secateur.report.figures.by_ratio import PERCENT, WORST_CLASS, accuracy_figure, limits
from secateur.report.figures.points import dodged, draw_points
from secateur.report.figures.style import Look, looks_of

LOOK = Look("#0072B2", "s", "-")


def drawn(values, bottom=-5.0, top=105.0):
    """Return axes with points of one method at 0, 1, ..."""
    axes = Figure().add_subplot()
    axes.set_ylim(bottom, top)
    draw_points(axes, list(range(len(values))), values, LOOK, "m")
    return axes


def bars(axes):
    return [segment[:, 1].tolist() for segment in axes.containers[0].lines[2][0].get_segments() if len(segment)]


def marks(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_bars_end_at_0_and_100_percent():
    axes = drawn([Estimate(0.9, 3, 0.2, 0.4, 1.4), Estimate(0.1, 3, 0.2, -0.4, 0.6)])
    assert bars(axes) == [pytest.approx([40, 100]), pytest.approx([0, 60])]


def test_a_bar_that_leaves_the_axes_ends_in_a_triangle():
    wide, narrow = Estimate(0.5, 3, 0.2, 0.1, 0.9), Estimate(0.5, 3, 0.01, 0.48, 0.52)
    axes = drawn([narrow, wide], bottom=40, top=60)
    for marker, edge in (("v", 40), ("^", 60)):
        (cut,) = marks(axes, marker)
        assert (list(cut.get_xdata()), list(cut.get_ydata())) == ([1], [edge])
        assert not cut.get_clip_on()
    assert marks(drawn([narrow, wide]), "v") == []


def test_a_single_seed_is_hollow_and_has_no_bar():
    axes = drawn([Estimate(0.5, 1), Estimate(0.6, 3, 0.01, 0.58, 0.62)])
    (hollow,) = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert list(hollow.get_xdata()) == [0]
    assert bars(axes)[-1] == pytest.approx([58, 62])
    assert not any(bar == pytest.approx([50, 50]) for bar in bars(axes))


def test_a_legend_without_intervals_shows_no_caps(rows_of, record):
    rows = rows_of([record("full", accuracy=0.9), record(accuracy=0.8, ratio=0.3), record(accuracy=0.85)])
    for figure in (accuracy_figure(rows), cost_figure(rows, looks_of(["random", "full"], "random"))):
        axes = figure.axes[0]
        assert axes.containers == []
        (line,) = [line for line in axes.lines if line.get_label() == "random"]
        assert line.get_markerfacecolor() == "white"


def test_an_interval_without_width_has_caps_that_stick_out_of_the_marker():
    axes = drawn([Estimate(0.5, 3, 0.0, 0.5, 0.5)])
    points, caps, _ = axes.containers[0].lines
    assert all(cap.get_markersize() > points.get_markersize() + 2 for cap in caps)


def test_a_marker_at_0_or_100_percent_is_not_cut_and_no_tick_lies_beyond(rows_of, record):
    rows = rows_of([record(ratio=ratio, metrics__worst_class_accuracy=a) for ratio, a in ((0.3, 1.0), (0.9, 0.0))])
    figure = accuracy_figure(rows, measure=WORST_CLASS)
    bottom, top = figure.axes[0].get_ylim()
    assert (bottom, top) == limits([row.worst_class_accuracy for row in rows]) == (-5.0, 105.0)
    assert [PERCENT(value) for value in (-2, 0, 100, 102)] == ["", "0 %", "100 %", ""]


def test_points_at_one_place_stand_beside_each_other():
    assert dodged([0.2, 0.8, 0.2], 1.0) == pytest.approx([0.192, 0.8, 0.208])
    assert dodged([0.2, 0.205], 1.0) == [0.2, 0.205]
    close = dodged([0.2, 0.205, 0.9], 1.0, tolerance=0.01)
    assert close == pytest.approx([0.1945, 0.2105, 0.9])
    many = dodged([0.5] * 30, 1.0)
    assert len(set(many)) == 30
    assert max(many) - min(many) <= 0.08


@pytest.mark.parametrize("low", [0.5, 0.01])
def test_methods_of_one_cost_do_not_cover_each_other(rows_of, record, low):
    records = [record("full", seed=seed) for seed in (0, 1)]
    for number, name in enumerate("abc"):
        for ratio, cost in ((0.3, 0.7), (0.8, low)):
            accuracy = 0.8 - 0.01 * number
            records += [
                record("score", name, ratio, seed, accuracy, ledger__cost_vs_full=cost + 1e-9 * number)
                for seed in (0, 1)
            ]
    rows = rows_of(records)
    axes = cost_figure(rows, looks_of([row.label for row in rows], "random")).axes[0]
    methods = [container for container in axes.containers if container.get_label() != "full"]
    places = axes.transData.transform([(x, 0.0) for c in methods for x in c.lines[0].get_xdata()])[:, 0]
    assert min(abs(a - b) for i, a in enumerate(places) for b in places[:i]) > 2
    (front,) = [line for line in axes.lines if line.get_label() == "Pareto front"]
    assert front.get_xdata()[0] in methods[0].lines[0].get_xdata()  # the ring is around the point


def test_the_ratio_of_a_point_near_the_axis_stands_to_its_right(rows_of, record):
    rows = rows_of([record("full", accuracy=0.9), record(accuracy=0.8, ratio=0.8, ledger__cost_vs_full=0.2)])
    first, second = cost_figure(rows, looks_of(["random", "full"], "random")).axes[0].texts
    assert (first.get_text(), first.get_ha(), second.get_ha()) == ("80 %", "left", "right")


def test_captions_of_all_figures_with_bars_say_what_bars_are():
    for kind in KINDS[:4]:
        assert "95 % t interval" in kind.caption
        assert "triangle" in kind.caption
