"""The page of joint pruning: it shows what the diagnostics say, and equal runs give equal bytes."""

import json

import pytest

from secateur.core.errors import DataError
from secateur.report.figures.joint import joint_figure, save_joint_figure

NUM_BINS = 20


def row(epoch, *, num_classes=10, flipped=0.15):
    return {
        "epoch": epoch,
        "keep_fraction": 0.8,
        "raw_kept_fraction": 1 - 0.05 * epoch,
        "scale": 0.1 + epoch,
        "penalty": 11.0,
        "ratio_penalty": 0.2,
        "soft_mask_histogram": [0] * 10 + [30] * 10,
        "loss_histogram_top": 4.0,
        "loss_histogram_kept": [200] + [2] * (NUM_BINS - 1),
        "loss_histogram_pruned": [60] + [0] * (NUM_BINS - 1),
        "flipped_share_kept": flipped,
        "flipped_share_pruned": None if flipped is None else 0.0,
        "class_counts": [8] * num_classes,
        "class_totals": [10] * num_classes,
    }


def panels(rows):
    return {axes.get_title(loc="left"): axes for axes in joint_figure(rows).axes if axes.get_title(loc="left")}


def test_equal_runs_give_equal_bytes(tmp_path):
    path = tmp_path / "diagnostics.json"
    path.write_text(json.dumps([row(epoch) for epoch in range(5)]))
    first, second = (save_joint_figure(path, tmp_path / name) for name in ("a", "b"))
    assert [file.name for file in first] == ["joint_pruning.svg", "joint_pruning.png"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_every_panel_shows_its_rows():
    axes = panels([row(epoch) for epoch in range(5)])
    assert len(axes) == 7
    assert list(axes["kept by the threshold, m > 0"].lines[1].get_ydata()) == pytest.approx([1, 0.95, 0.9, 0.85, 0.8])
    assert list(axes["scale g"].lines[0].get_ydata()) == pytest.approx([0.1, 1.1, 2.1, 3.1, 4.1])
    assert [line.get_label() for line in axes["share of flipped labels"].lines] == ["kept", "pruned"]
    assert axes["soft keep weights s, share of the pool"].images[0].get_array().shape == (NUM_BINS, 5)
    assert [patch.get_height() for patch in axes["kept share per class, last epoch"].patches] == [0.8] * 10


def test_odd_runs_can_be_drawn(tmp_path):
    axes = panels([row(0, flipped=None, num_classes=100)])
    assert axes["share of flipped labels"].texts[0].get_text() == "no flipped labels"
    assert not axes["kept share per class, last epoch"].patches
    (tmp_path / "diagnostics.json").write_text("[]")
    with pytest.raises(DataError, match="holds no epoch"):
        save_joint_figure(tmp_path / "diagnostics.json", tmp_path)
