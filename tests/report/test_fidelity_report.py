"""Runs that made a mask only, and the report's files, page and terminal with score extrapolation."""

import os
import time

import pytest
import torch
from rich.console import Console

from secateur.cli.report import report
from secateur.cli.run import draw_figures, outcome_line, print_summary
from secateur.core.errors import DataError
from secateur.core.tables import ScoreTable
from secateur.report.build import build_report
from secateur.report.data.load import load_runs
from secateur.runs.run import Outcome


def test_a_mask_only_run_is_no_error_and_its_fidelity_counts(write, predicted, record):
    loaded = load_runs([write([predicted(), record("full"), record("random", config={"train_final": True})])])
    assert [(left.kind, left.reason) for left in loaded.left_out] == [("mask only", "nothing was trained on the mask")]
    assert [run.label for run in loaded.runs] == ["full", "random"]
    assert [run.extrapolation for run in loaded.extrapolated] == ["knn"]


def test_an_accuracy_that_is_missing_without_being_asked_to_is_still_unusable(write, record):
    loaded = load_runs([write([record(metrics__test_accuracy=None)])])
    assert [left.kind for left in loaded.left_out] == ["unusable"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cost_vs_full_scoring": "cheap"}, "extrapolation.cost_vs_full_scoring is 'cheap', not a number"),
        ({"subset_fraction": None}, "extrapolation.subset_fraction is not recorded"),
        ({"spearman": True}, "extrapolation.fidelity[0].pearson is true, not a number"),
        ({"score_seed": None}, "score_seed is not recorded"),
        ({"fidelity": 5}, "extrapolation.fidelity is 5, not a list"),
        (
            {"fidelity": [{"score_seed": 1, "by_ratio": [{}]}]},
            "extrapolation.fidelity[0].by_ratio[0] has no pruning_ratio",
        ),
        ({"seed_level": [1]}, "extrapolation.seed_level is [1], not a mapping"),
        ({"subset_fraction": 7}, "extrapolation.subset_fraction is 7, not a number in [0, 1]"),
        ({"cost_choosing_vs_full": -1}, "extrapolation.cost_choosing_vs_full is -1, not a number in [0, 1e100]"),
    ],
)
def test_a_record_with_a_broken_extrapolation_is_left_out_as_a_whole(write, predicted, changes, reason):
    trained = {"metrics__test_accuracy": 0.9, "ledger__cost_vs_full": 0.7}
    loaded = load_runs([write([predicted(**trained, **changes)])])
    assert (loaded.runs, loaded.extrapolated) == ([], [])
    (left,) = loaded.left_out
    assert left.kind == "unusable"
    assert reason in left.reason


ENDS = ("svg", "png")


def several(predicted):
    return [
        predicted(name, value + 0.01 * seed, seed, fraction=fraction)
        for name, value in (("knn", 0.6), ("ridge", 0.4), ("<b>", 0.5), ("class_mean", 0.45))
        for fraction in (0.1, 0.2)
        for seed in range(3)
    ]


def test_masks_alone_make_a_report(tmp_path, write, predicted):
    root = write(several(predicted))
    first, second = (build_report([root], tmp_path / name, figure_formats=ENDS) for name in "ab")
    assert [path.relative_to(tmp_path / "a").as_posix() for path in first.files] == [
        *("fidelity.csv", "fidelity.md", "report.html"),
        *(f"figures/fidelity_{kind}_digits-small-cnn-tdds.{end}" for kind in ("fraction", "cost") for end in ENDS),
    ]
    assert [one.read_bytes() for one in first.files] == [two.read_bytes() for two in second.files]
    assert (first.rows, len(first.fidelity)) == ([], 8)
    page = (tmp_path / "a" / "report.html").read_text().replace("<wbr>", "")
    assert "How good are the predicted scores?" in page
    assert "Did pruning pay?" not in page
    assert "ridge is worse than class_mean" in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert page.count("nothing was trained on the mask") == 1
    assert "<strong>24 runs</strong>: nothing was trained on the mask" in page
    assert "<td>&lt;b&gt;</td>" in page
    assert "| full, other seed | 10 % | 0.800 | 100 % |" in (tmp_path / "a" / "fidelity.md").read_text()


def test_accuracies_and_fidelity_stand_in_one_report(tmp_path, write, predicted, comparison):
    trained = {"metrics__test_accuracy": 0.9, "ledger__cost_vs_full": 0.7}
    result = build_report([write([*comparison(seeds=[0, 1]), predicted(**trained)])], tmp_path / "out")
    assert {"results.csv", "fidelity.csv", "report.html"} <= {path.name for path in result.files}
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("Did pruning pay?") < page.index("How good are the predicted scores?")
    assert result.fidelity[0].ratios[0].cost_vs_full == 0.7


def test_masks_without_any_comparison_are_nothing_to_report(tmp_path, write, predicted):
    with pytest.raises(DataError, match=r"no finished run found \(1 mask only: nothing was trained"):
        build_report([write([predicted(fidelity=[])])], tmp_path / "out")


def test_the_terminal_counts_masks_in_one_line(tmp_path, write, predicted, capsys):
    assert report([str(write(several(predicted))), "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "How good are the predicted scores?\n  10 % scored: the best extrapolation is knn: Spearman 0.610" in out
    assert "Did it pay?" not in out
    assert "problems: 24 mask only\nwritten:" in out
    assert max(map(len, out[out.index("fidelity:") : out.index("Spearman: ")].splitlines())) <= 100


def test_fifty_runs_take_seconds(tmp_path, write, predicted):
    root = write([record for _ in range(3) for record in several(predicted)][:50])
    start = time.process_time()
    build_report([root], tmp_path / "out")
    assert time.process_time() - start < 5


def test_the_end_of_a_run_that_made_a_mask_only(write, predicted, capsys):
    counts = {"label": "tdds + knn", "pruning__num_kept": 700, "pruning__num_total": 1000}
    root = write([predicted(seed=seed, **counts) for seed in (0, 1)])
    folders = [root / "00000", root / "00001"]
    assert outcome_line(Outcome(folders[0], reused=False)).startswith(
        "[bold]tdds + knn[/] kept 700 of 1000: mask only, its cost 0.10 of a full training; finished: "
    )
    print_summary(folders, [], Console(width=100))
    out = capsys.readouterr().out
    assert "0.500 ± 0.000 (2)" in out
    assert "20 % scored: the best extrapolation is knn" in out
    assert (folders[0].parents[2] / "reports" / "runs" / "fidelity.csv").is_file()


def test_a_run_with_extrapolation_gets_its_figure_once(write, predicted, record):
    root = write([predicted(), record()])
    ids = torch.arange(8)
    ScoreTable(ids, ids, ids.float(), ids < 4, {"predicted_raw": ids.float()}, "f").save(root / "00000/scores.parquet")
    draw_figures(Outcome(root / "00000", reused=True))
    assert not (root / "00000" / "figures").exists()
    for name in ("00000", "00001"):
        draw_figures(Outcome(root / name, reused=False))
    figure = root / "00000" / "figures" / "predicted_scores.svg"
    before = figure.read_bytes()
    ScoreTable(ids, ids, ids.float(), ids < 8, {}, "f").save(root / "00000/fidelity.parquet")
    os.utime(figure, (0, 0))
    draw_figures(Outcome(root / "00000", reused=True))
    assert figure.read_bytes() != before
    assert sorted(path.name for path in root.glob("*/figures/*")) == ["predicted_scores.png", "predicted_scores.svg"]
