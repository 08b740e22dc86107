import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex

from secateur.report.figures.all import save_figures
from secateur.report.figures.by_ratio import accuracy_figure
from secateur.report.figures.style import save_figure


def lines_of(figure):
    return {container.get_label(): container for container in figure.axes[0].containers}


def test_equal_data_gives_equal_bytes(tmp_path, rows_of, comparison):
    rows = rows_of(comparison())
    first = save_figure(accuracy_figure(rows), tmp_path / "a" / "figure")
    second = save_figure(accuracy_figure(rows), tmp_path / "b" / "figure")
    assert [path.suffix for path in first] == [".svg", ".png"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert first[1].read_bytes().startswith(b"\x89PNG")


def test_a_readers_own_style_changes_nothing(tmp_path, rows_of, comparison):
    rows = rows_of(comparison(seeds=[0, 1]))
    (plain, _) = save_figure(accuracy_figure(rows), tmp_path / "plain")
    with mpl.rc_context({"font.size": 30.0, "svg.hashsalt": "other", "axes.facecolor": "red"}):
        (styled, _) = save_figure(accuracy_figure(rows), tmp_path / "styled")
    assert plain.read_bytes() == styled.read_bytes()
    assert mpl.rcParams["svg.hashsalt"] is None


def test_the_file_says_neither_when_nor_with_what_it_was_made(tmp_path, rows_of, comparison):
    svg, png = save_figure(accuracy_figure(rows_of(comparison(seeds=[0]))), tmp_path / "figure")
    assert "<dc:date>" not in svg.read_text()
    assert b"matplotlib version" not in png.read_bytes()


def test_each_method_has_its_line_color_and_marker(rows_of, comparison):
    methods = {f"m{i}": {"method": "score", "score": f"m{i:02d}", "drop": 0.01, "extra": 0.0} for i in range(11)}
    figure = accuracy_figure(rows_of(comparison(methods=methods, seeds=[0, 1])))
    looks = {
        (to_hex(c.lines[0].get_color()), c.lines[0].get_marker(), c.lines[0].get_linestyle())
        for c in lines_of(figure).values()
    }
    assert len(looks) == 11


def test_bars_are_intervals_and_do_not_hide_each_other(rows_of, comparison):
    rows = rows_of(comparison())
    containers = lines_of(accuracy_figure(rows))
    assert list(containers) == ["random", "dynamic_uncertainty + knn", "el2n", "tdds"]
    row = next(row for row in rows if row.label == "tdds" and row.pruning_ratio == 0.5)
    bar = containers["tdds"].lines[2][0].get_segments()[1]
    assert bar[:, 1] == pytest.approx([100 * row.accuracy.low, 100 * row.accuracy.high])
    positions = {round(float(container.lines[0].get_xdata()[1]), 6) for container in containers.values()}
    assert len(positions) == 4
    assert all(abs(position - 50) < 5 for position in positions)


def test_full_data_is_a_line_with_a_band(rows_of, comparison):
    axes = accuracy_figure(rows_of(comparison())).axes[0]
    assert [line.get_label() for line in axes.lines if line.get_label() == "full"] == ["full"]
    assert len(axes.patches) == 1


def test_odd_inputs_can_be_drawn(tmp_path, rows_of, record):
    rows = rows_of([record("full", seed=0), record(data__name="a/b c", accuracy=1.0, ratio=0.9)])
    drawn = save_figures(rows, tmp_path)
    assert [figure.id for figure in drawn] == ["accuracy_a-b-c-small-cnn", "accuracy_digits-small-cnn"]
    assert [path.name for path in drawn[0].files.values()] == [f"{drawn[0].id}.svg", f"{drawn[0].id}.png"]
