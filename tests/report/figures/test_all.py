"""What the figures show: the numbers behind them, when there are any, and that equal runs give equal bytes."""

import numpy as np
import pytest
import torch

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.report.data.cells import make_cells
from secateur.report.data.kept import chosen_ratios
from secateur.report.data.load import load_runs
from secateur.report.data.pareto import pareto_front
from secateur.report.data.rows import make_rows
from secateur.report.figures.all import save_figures
from secateur.report.figures.by_cost import cost_figure
from secateur.report.figures.by_ratio import WORST_CLASS, accuracy_figure
from secateur.report.figures.class_balance import balance_figure, class_totals, relative_shares
from secateur.report.figures.overlap import chance_level, jaccard, overlap, overlap_figure
from secateur.report.figures.scores import dynamics_figure, score_figure
from secateur.report.figures.style import looks_of, save_figure, text_color

NUM = 40
KINDS = ["accuracy", "worst_class", "cost", "overlap", "class_balance", "scores", "dynamics"]


def kept_by(method, ratio, seed):
    """Return a mask of 40 samples: ``top`` keeps the last ones, ``shift`` moves with the seed, ``random`` is random."""
    num_keep = round(NUM * (1 - ratio))
    order = {"top": np.arange(NUM), "shift": np.roll(np.arange(NUM), seed)}.get(method)
    order = np.random.default_rng(seed).permutation(NUM) if order is None else order
    keep = torch.zeros(NUM, dtype=torch.bool)
    keep[torch.from_numpy(order[NUM - num_keep :].copy())] = True
    return keep


@pytest.fixture
def rows(write, record):
    """Return the rows of runs that left masks and scores: four classes, three methods, two ratios, two seeds."""
    labels = torch.arange(NUM) % 4
    records, files = [], []
    for method in ("random", "top", "shift"):
        for ratio in (0.5, 0.75):
            for seed in (0, 1):
                keep = kept_by(method, ratio, seed)
                counts = torch.bincount(labels[keep], minlength=4).tolist()
                block = {"pruning__class_counts": counts, "metrics__worst_class_accuracy": 0.5 + 0.01 * seed}
                which = ("random", None) if method == "random" else ("score", method)
                records.append(record(*which, ratio, seed, 0.9 - 0.1 * ratio + 0.01 * seed, **block))
                files.append((method, keep))
    records += [
        record(
            "full", seed=seed, accuracy=0.95, pruning__class_counts=[10, 10, 10, 10], metrics__worst_class_accuracy=0.8
        )
        for seed in (0, 1)
    ]
    root = write(records)
    ids = torch.arange(NUM)
    columns = {"mean_probability": ids / NUM, "std_probability": 0.3 - 0.005 * ids}
    for number, (method, keep) in enumerate(files):
        folder = root / f"{number:05d}"
        Mask(ids, keep, "f" * 64).save(folder / "mask.parquet")
        if method != "random":
            ScoreTable(ids, labels, ids.float(), ids >= 0, columns, "f" * 64).save(folder / "scores.parquet")
    return make_rows(make_cells(load_runs([root]).runs)[0])


def test_every_figure_is_there_and_equal_runs_give_equal_bytes(tmp_path, rows):
    first, second = (save_figures(rows, tmp_path / name, formats=["svg"]) for name in "ab")
    assert [figure.kind for figure in first] == KINDS
    for one, two in zip(first, second, strict=True):
        assert one.files["svg"].read_bytes() == two.files["svg"].read_bytes(), one.id
    assert all(figure.caption and figure.title and figure.table == "digits, small_cnn" for figure in first)


def test_no_format_is_no_figure(tmp_path, rows):
    assert save_figures(rows, tmp_path, formats=()) == []
    assert list(tmp_path.glob("figures*")) == []


def test_without_files_only_the_records_are_drawn(tmp_path, rows_of, comparison):
    drawn = save_figures(rows_of(comparison(seeds=[0, 1])), tmp_path, formats=["svg"])
    assert [figure.kind for figure in drawn] == ["accuracy", "cost"]


@pytest.mark.parametrize("name", ["mask.parquet", "scores.parquet"])
def test_damaged_files_are_passed_over(tmp_path, rows, name):
    for row in rows:
        for run in row.runs:
            (run.path / name).write_bytes(b"PAR1 no more")
    kinds = [figure.kind for figure in save_figures(rows, tmp_path, formats=["svg"])]
    gone = {"overlap"} if name == "mask.parquet" else {"scores", "dynamics"}
    assert kinds == [kind for kind in KINDS if kind not in gone]


def test_overlap_is_the_jaccard_index_of_the_masks(rows):
    found = overlap(rows, 0.5)
    assert found.labels == ["random", "shift", "top"]
    at = {(a, b): found.jaccard[i, j] for i, a in enumerate(found.labels) for j, b in enumerate(found.labels)}
    sets = {
        (method, seed): set(np.flatnonzero(kept_by(method, 0.5, seed)))
        for method in ("random", "top", "shift")
        for seed in (0, 1)
    }

    def mean(pairs):
        return np.mean([len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in pairs])

    for one, other in (("top", "shift"), ("random", "top"), ("random", "shift")):
        assert at[one, other] == pytest.approx(mean([((one, seed), (other, seed)) for seed in (0, 1)]))
        assert at[one, other] == at[other, one]
    assert at["top", "top"] == 1.0
    assert at["shift", "shift"] == pytest.approx(mean([(("shift", 0), ("shift", 1))]))
    assert found.chance == pytest.approx(1 / 3)


def test_the_chance_level_is_that_of_random_masks():
    rng = np.random.default_rng(0)
    masks = [np.isin(np.arange(2000), rng.permutation(2000)[:600]) for _ in range(20)]
    found = np.mean([jaccard(a, b) for a, b in zip(masks[::2], masks[1::2], strict=True)])
    assert found == pytest.approx(chance_level(0.3), rel=0.03)
    assert chance_level(1.0) == 1.0


def test_masks_of_other_pools_are_not_compared(rows):
    ids = torch.arange(9)
    for row in rows:
        if row.label == "top":
            for run in row.runs:
                Mask(ids, ids > 3, "f" * 64).save(run.path / "mask.parquet")
    assert overlap(rows, 0.5) is None
    assert overlap_figure([row for row in rows if row.label == "random"]) is None


def test_class_balance_is_relative_to_the_pool(rows):
    assert class_totals(rows).tolist() == [10, 10, 10, 10]
    assert relative_shares(np.array([2.0, 0, 4, 2]), np.array([4.0, 4, 4, 4])).tolist() == [1.0, 0.0, 2.0, 1.0]
    unbalanced = relative_shares(np.array([9.0, 1.0]), np.array([90.0, 10.0]))
    assert unbalanced.tolist() == [1.0, 1.0]
    panels = [
        axes for axes in balance_figure(rows, looks_of([row.label for row in rows], "random")).axes if axes.images
    ]
    assert len(panels) == 2
    texts = [text.get_text() for text in panels[1].texts]
    assert len(texts) == 3 * 4
    assert texts[4:8] == ["0.80", "1.00", "1.20", "1.00"]  # shift keeps 2 2 3 3 with seed 0 and 2 3 3 2 with seed 1


def test_many_classes_are_curves(write, record):
    records = [
        record(*which, 0.5, seed, 0.9, pruning__class_counts=list(range(1, 101)))
        for which in (("random", None), ("score", "tdds"))
        for seed in (0, 1)
    ]
    rows = make_rows(make_cells(load_runs([write(records)]).runs)[0])
    (axes,) = balance_figure(rows, looks_of(["random", "tdds"], "random")).axes
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert np.all(np.diff(curves["tdds"]) >= 0)
    assert len(curves["tdds"]) == 100


def test_counts_that_are_no_counts_are_no_figure(rows_of, record):
    odd = [[1, 2], [1, 2, 3], "x", [], ["a"]]
    for counts in odd[2:]:
        assert balance_figure(rows_of([record(pruning__class_counts=counts)]), looks_of(["random"], "random")) is None
    mixed = [record(seed=seed, pruning__class_counts=counts) for seed, counts in enumerate(odd[:2])]
    assert balance_figure(rows_of(mixed), looks_of(["random"], "random")) is None


def test_the_pareto_front_is_what_nothing_beats(rows_of, comparison):
    rows = rows_of(comparison())
    front = pareto_front(rows)
    for row in rows:
        cost, mean = round(row.cost_vs_full, 9), round(row.accuracy.mean, 9)
        beaten = any(round(other.cost_vs_full, 9) <= cost and round(other.accuracy.mean, 9) > mean for other in rows)
        assert (row in front) == (not beaten)
    assert [row.cost_vs_full for row in front] == sorted(row.cost_vs_full for row in front)


def test_means_of_equal_numbers_that_round_otherwise_are_equal(rows_of, record):
    cost = {"ledger__cost_vs_full": 0.3822}
    random = [record(seed=seed, accuracy=0.90, **cost) for seed in range(3)]
    better = [record("score", "el2n", seed=seed, accuracy=0.93, **cost) for seed in range(2)]
    assert [row.label for row in pareto_front(rows_of([*random, *better]))] == ["el2n"]


def test_cost_is_drawn_where_it_was_measured(rows_of, record):
    looks = looks_of(["random", "full"], "random")
    rows = rows_of([record("full", accuracy=0.9), record(accuracy=0.8, ratio=0.3), record(accuracy=0.85, ratio=0.5)])
    axes = cost_figure(rows, looks).axes[0]
    (front,) = [line for line in axes.lines if line.get_label() == "Pareto front"]
    assert np.allclose(front.get_xdata(), [0.5, 1.0])
    assert [text.get_text() for text in axes.texts] == ["50 %", "full"]


def test_one_known_cost_is_no_figure(rows_of, record):
    rows = rows_of([record(ledger__cost_vs_full=None), record("full")])
    assert cost_figure(rows, looks_of(["random", "full"], "random")) is None


def test_costs_of_other_magnitudes_are_on_a_logarithmic_axis(rows_of, record):
    rows = rows_of([record("full"), record(ratio=0.9, ledger__cost_vs_full=0.01)])
    assert cost_figure(rows, looks_of(["random", "full"], "random")).axes[0].get_xscale() == "log"


def test_the_worst_class_has_a_figure_of_its_own(rows):
    axes = accuracy_figure(rows, measure=WORST_CLASS).axes[0]
    containers = {container.get_label(): container for container in axes.containers}
    assert list(containers["top"].lines[0].get_ydata()) == pytest.approx([50.5, 50.5])


def test_observed_scores_are_split_by_the_mask_and_predicted_ones_drawn_beside(rows):
    figure = score_figure(rows)
    assert [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes] == ["shift", "top"]
    names = figure.axes[1].get_legend_handles_labels()[1]
    assert names == ["kept (10)", "pruned (30)"]
    ids = torch.arange(NUM)
    for row in rows:
        for run in row.runs if row.label == "top" else ():
            table = ScoreTable(ids, ids % 4, ids.float(), ids < 8, {"predicted_raw": ids / 2}, "f" * 64)
            table.save(run.path / "scores.parquet")
    assert score_figure(rows).axes[1].get_legend_handles_labels()[1] == ["observed (8)", "predicted (32)"]
    assert len(dynamics_figure(rows).axes) == 1  # an extrapolated table has no dynamics


@pytest.mark.parametrize("size", [NUM, 3000])
def test_dynamics_tell_kept_from_pruned(rows, size):
    ids = torch.arange(size)
    columns = {"mean_probability": ids / size, "std_probability": 0.3 * (ids / size) * (1 - ids / size)}
    for row in rows:
        for run in row.runs if row.label == "top" else ():
            ScoreTable(ids, ids % 4, ids.float(), ids >= 0, columns, "f" * 64).save(run.path / "scores.parquet")
            Mask(ids, ids >= size // 4, "f" * 64).save(run.path / "mask.parquet")
    axes = dynamics_figure([row for row in rows if row.label == "top"]).axes[0]
    if size == NUM:
        points = {line.get_label(): line.get_ydata() for line in axes.lines}
        assert points["pruned"].max() < points["kept"].min()
        assert len(points["kept"]) == 30
    else:
        shares = axes.collections[0].get_array()
        assert set(np.unique(shares.compressed())) == {0.0, 1.0}
        assert shares.mask.any()


def test_a_look_is_the_same_in_every_figure_and_like_no_other():
    labels = [f"m{number:02d}" for number in range(12)]
    looks = looks_of([*labels, "random", "full", "full [lr=0.1]"], "random")
    assert len({(look.color, look.marker, str(look.line)) for look in looks.values()}) == len(looks)
    assert looks["random"] == looks_of(["x", "random"], "random")["random"]
    assert looks["full"].color == "#000000"


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 2, 3]), (9, [0, 4, 8])],
)
def test_ratios_are_chosen_from_low_to_high(rows_of, record, count, chosen):
    ratios = [round(0.05 + 0.1 * number, 2) for number in range(count)]
    rows = rows_of([record(*which, ratio=r) for r in ratios for which in (("random", None), ("score", "a"))])
    assert chosen_ratios(rows) == [ratios[number] for number in chosen]


def test_text_can_be_read_on_its_color():
    assert [text_color((value, value, value)) for value in (0.0, 1.0)] == ["white", "black"]


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_other_formats_are_the_same_every_time(tmp_path, rows, kind):
    (first,), (second,) = (save_figure(overlap_figure(rows), tmp_path / name, [kind]) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert b"/CreationDate" not in first.read_bytes()
    assert b"atplotlib" not in first.read_bytes()


def test_a_format_that_is_not_asked_for_is_not_written(tmp_path, rows):
    paths = save_figure(accuracy_figure(rows), tmp_path / "x", ["pdf"])
    assert sorted(tmp_path.glob("x*")) == paths == [tmp_path / "x.pdf"]


def redrawn(write, record, method):
    """Return rows of three methods with masks and class counts, of which one draws a new subset every epoch."""
    records, keeps = [], []
    for which in (("random", None), ("score", "top"), (method, None)):
        for seed in (0, 1):
            keep = kept_by(which[1] or "random", 0.5, seed)
            anew = {"pruning__per_epoch": True, "pruning__visited_share": 0.5} if which[0] == method else {}
            records.append(record(*which, 0.5, seed, 0.9, pruning__class_counts=[5, 5, 5, 5], **anew))
            keeps.append(keep)
    root = write(records)
    for number, keep in enumerate(keeps):
        Mask(torch.arange(NUM), keep, "f" * 64).save(root / f"{number:05d}" / "mask.parquet")
    return make_rows(make_cells(load_runs([root]).runs)[0])


@pytest.mark.parametrize("method", ["rs2", "somebodys_own"])
def test_the_mask_of_a_method_that_draws_anew_every_epoch_is_not_shown_as_trained_on(write, record, method):
    rows = redrawn(write, record, method)
    looks = looks_of([row.label for row in rows], "random")
    for figure in (overlap_figure(rows), balance_figure(rows, looks)):
        assert [tick.get_text().split()[0] for tick in figure.axes[0].get_yticklabels()] == ["random", "top"]
        assert f"without {method}: no kept set, a new subset every epoch" in figure.get_suptitle()


def test_where_only_methods_that_draw_anew_left_masks_nothing_is_compared(write, record):
    rows = [row for row in redrawn(write, record, "rs2") if row.label != "top"]
    assert overlap_figure(rows) is None
    assert balance_figure([row for row in rows if row.label == "rs2"], {}) is None
