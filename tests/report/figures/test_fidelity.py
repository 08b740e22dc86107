"""The figures of fidelity: what they show, when there are any, and that equal records give equal bytes."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from secateur.core.errors import DataError, FingerprintError
from secateur.core.tables import ScoreTable
from secateur.report.figures.fidelity import cost_figure, fraction_figure, save_fidelity_figures, spread, to_draw
from secateur.report.figures.predicted import predicted_figure, save_predicted_figure


def study(predicted, fractions=(0.1, 0.2), factors=(1.0, 2.0), level=0.8):
    names = {"knn": 0.6, "ridge": 0.55, "class_mean": 0.4, "uniform": 0.0, "constant": None}
    return [
        predicted(name, None if value is None else value + 0.3 * fraction + 0.01 * seed, seed, level, fraction, factor)
        for name, value in names.items()
        for fraction in fractions
        for factor in factors
        for seed in (0, 1)
    ]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_equal_records_give_equal_bytes(tmp_path, fidelity_of, predicted):
    rows = fidelity_of(study(predicted))
    first, second = (save_fidelity_figures(rows, tmp_path / name) for name in "ab")
    assert [path.name for path in first] == [
        *("fidelity_fraction_digits-small-cnn-tdds.svg", "fidelity_fraction_digits-small-cnn-tdds.png"),
        *("fidelity_cost_digits-small-cnn-tdds.svg", "fidelity_cost_digits-small-cnn-tdds.png"),
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_share_is_drawn_over_the_fraction_with_a_panel_per_factor_and_a_name_per_line(fidelity_of, predicted):
    rows = fidelity_of(study(predicted))
    panels = fraction_figure(rows).axes
    assert len(panels) == 2
    for axes in panels:
        assert texts(axes) == ["full scoring, other seed", "class_mean", "knn", "ridge"]
        assert len(axes.containers) == 3
    row = next(row for row in rows if row.label == "knn" and row.subset == (0.1, 1.0))
    line = panels[0].containers[1].lines[0]
    assert line.get_ydata()[0] == pytest.approx(row.of_seed_level.mean)
    assert line.get_xdata() == pytest.approx([0.1, 0.2], rel=0.02)


def test_without_a_level_the_correlation_itself_is_drawn(fidelity_of, predicted):
    (axes,) = fraction_figure(fidelity_of(study(predicted, factors=(1.0,), level=None))).axes
    assert axes.get_ylabel() == "Spearman correlation"
    assert texts(axes) == ["class_mean", "knn", "ridge"]


def test_cost_has_a_marker_per_factor_and_the_full_scoring_at_one(fidelity_of, predicted):
    rows = fidelity_of(study(predicted))
    (axes,) = cost_figure(rows).axes
    star = next(line for line in axes.lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (1.0, pytest.approx(0.8))
    points = {
        (line.get_marker(), line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_marker() in "os"
    }
    drawn = [row for row in rows if row.spearman and row.label != "uniform"]
    markers = {1.0: "o", 2.0: "s"}
    assert points == {(markers[row.subset_epochs_factor], row.cost_vs_full_scoring, row.spearman.mean) for row in drawn}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["epochs x1", "epochs x2"]


def test_a_control_that_is_no_better_than_chance_is_not_drawn_whatever_it_is_called(fidelity_of, predicted):
    values = {"knn": 0.0, "somebodys_own": 0.0, "uniform": 0.5}
    records = [
        predicted(name, value, control=name != "knn", fraction=share)
        for name, value in values.items()
        for share in (0.1, 0.2)
    ]
    assert {row.label for row in to_draw(fidelity_of(records))} == {"knn", "uniform"}


def test_one_kind_of_subset_has_no_figure(tmp_path, fidelity_of, predicted):
    assert save_fidelity_figures(fidelity_of(study(predicted, (0.2,), (1.0,))), tmp_path) == []


def test_what_cannot_be_drawn_is_left_out(fidelity_of, predicted):
    unknown = [predicted(fraction=share, cost_vs_full_scoring=None) for share in (0.1, 0.2)]
    assert cost_figure(fidelity_of(unknown)) is None


def test_several_factors_of_one_fraction_are_drawn_against_cost_only(fidelity_of, predicted):
    rows = fidelity_of(study(predicted, (0.2,), (0.5, 1.0)))
    assert fraction_figure(rows) is None
    assert cost_figure(rows) is not None


def test_merges_are_drawn_once(fidelity_of, predicted):
    records = [
        predicted("knn", 0.5, 0, 0.8, share, merge=merge) for share in (0.1, 0.4) for merge in ("raw", "quantile_match")
    ]
    (axes,) = fraction_figure(fidelity_of(records)).axes
    assert len(axes.containers) == 1
    assert len(axes.containers[0].lines[0].get_xdata()) == 2


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12), st.floats(0.01, 1.0))
def test_labels_keep_their_order_and_distance_and_stay_in_the_middle(values, gap):
    places = spread(values, gap)
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert all(places[b] - places[a] >= gap - 1e-9 for a, b in pairwise(order))
    assert sum(places) == pytest.approx(sum(values), abs=1e-6)


@pytest.fixture
def run_dir(tmp_path):
    """Write the tables of a run with 400 samples, a quarter of them scored, and return its folder."""

    def make(num_samples=400, full=True, raw=True):
        generator = torch.Generator().manual_seed(0)
        true = torch.randn(num_samples, generator=generator)
        observed = torch.arange(num_samples) % 4 == 0
        predicted = torch.where(observed, true, 0.3 * true + 0.1 * torch.randn(num_samples, generator=generator))
        merged = torch.where(observed, true, 3 * predicted)
        ids, label = torch.arange(num_samples), torch.zeros(num_samples)
        ScoreTable(ids, label, merged, observed, {"predicted_raw": predicted} if raw else {}, "f").save(
            tmp_path / "scores.parquet"
        )
        if full:
            ScoreTable(ids, label, true, torch.ones(num_samples), {}, "f").save(tmp_path / "fidelity.parquet")
        wanted = spearmanr(true[~observed], predicted[~observed]).statistic
        return tmp_path, wanted

    return make


def test_predicted_scores_are_drawn_with_their_correlation_on_the_unscored(run_dir):
    folder, spearman = run_dir()
    left, right = predicted_figure(folder / "scores.parquet", folder / "fidelity.parquet").axes
    assert right.get_title(loc="left") == f"unscored samples: Spearman {spearman:.3f}"
    assert len(right.lines[0].get_xdata()) == 300
    names = [text.get_text() for text in left.get_legend().get_texts()]
    assert names == ["observed (100)", "predicted (300)", "predicted, merged (300)"]
    assert [patch.get_data().values.sum() for patch in left.patches] == pytest.approx([1, 1, 1])


def test_without_full_scores_there_is_one_panel_and_without_raw_predictions_no_merge(run_dir):
    folder, _ = run_dir(full=False, raw=False)
    (axes,) = predicted_figure(folder / "scores.parquet").axes
    assert len(axes.patches) == 2


def test_many_samples_are_hexagons(run_dir):
    folder, _ = run_dir(num_samples=4000)
    right = predicted_figure(folder / "scores.parquet", folder / "fidelity.parquet").axes[1]
    assert right.collections[0].get_array().sum() == 3000


def test_a_constant_prediction_has_no_correlation(run_dir):
    folder, _ = run_dir()
    table = ScoreTable.load(folder / "scores.parquet")
    columns = {"predicted_raw": torch.ones(len(table))}
    ScoreTable(table.sample_id, table.label, torch.ones(len(table)), table.observed, columns, "f").save(
        folder / "scores.parquet"
    )
    right = predicted_figure(folder / "scores.parquet", folder / "fidelity.parquet").axes[1]
    assert right.get_title(loc="left") == "unscored samples: Spearman not defined"


def test_the_runs_figure_is_the_same_every_time(tmp_path, run_dir):
    folder, _ = run_dir()
    first, second = (save_predicted_figure(folder, tmp_path / name) for name in "ab")
    assert [path.name for path in first] == ["predicted_scores.svg", "predicted_scores.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_full_scores_of_other_samples_are_refused(run_dir):
    folder, _ = run_dir()
    few = torch.arange(3)
    for fingerprint, error in (("f", DataError), ("g", FingerprintError)):
        ScoreTable(few, few, few.float(), few.bool(), {}, fingerprint).save(folder / "fidelity.parquet")
        with pytest.raises(error):
            save_predicted_figure(folder, folder / "figures")
