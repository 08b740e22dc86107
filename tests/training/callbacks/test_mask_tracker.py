"""What is told of every epoch, and which epoch's mask is taken."""

from types import SimpleNamespace

import pytest
import torch

from secateur.dynamic.adapruner_schedule import AdaPrunerConstants, ScaleController
from secateur.training.callbacks.mask_tracker import NUM_BINS, MaskTracker, PoolFacts

LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 2])
FLIPPED = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0, 0, 1], dtype=torch.bool)
LOSSES = torch.linspace(0, 9, 10)


class FakeMetrics:
    """Stands for the accuracies measured just before."""

    def __init__(self):
        self.last = {}

    def set(self, accuracy):
        self.last = {"validation": SimpleNamespace(accuracy=accuracy)}


def track(epochs, select_on="validation", flipped=FLIPPED, keep_fraction=0.8, tolerance=0.11):
    """Feed a tracker with (mask, accuracy) per epoch."""
    metrics = FakeMetrics()
    tracker = MaskTracker(metrics, PoolFacts(LABELS, flipped, 3), select_on, tolerance)
    controller = ScaleController(AdaPrunerConstants(), keep_fraction, 10, 1)
    for epoch, (mask, accuracy) in enumerate(epochs):
        metrics.set(accuracy)
        module = SimpleNamespace(mask_logits=mask, epoch_losses=lambda: LOSSES.clone(), controller=controller)
        tracker.on_train_epoch_end(SimpleNamespace(current_epoch=epoch), module)
    return tracker


def mask_that_keeps(count):
    """The first ``count`` rows are above zero, the first one highest."""
    return count - 0.5 - torch.arange(10.0)


def test_the_most_accurate_epoch_near_the_ratio_is_chosen():
    tracker = track(
        [(mask_that_keeps(10), 0.99), (mask_that_keeps(8), 0.7), (mask_that_keeps(9), 0.8), (mask_that_keeps(7), 0.75)]
    )
    row, mask = tracker.chosen
    assert row["epoch"] == 2
    assert torch.equal(mask, mask_that_keeps(9))


@pytest.mark.parametrize("select_on", ["validation", "last"])
def test_without_an_admissible_epoch_or_by_wish_the_last_one_is(select_on):
    counts = [10, 3] if select_on == "validation" else [8, 9]
    tracker = track([(mask_that_keeps(count), 0.9 - 0.1 * count) for count in counts], select_on)
    assert tracker.chosen[0]["epoch"] == 1


def test_a_row_describes_the_epoch():
    mask = -mask_that_keeps(2)  # rows 2 to 9 are above zero, the last one highest
    (row,) = track([(mask, 0.5)], keep_fraction=0.7).rows
    assert row["raw_kept_fraction"] == pytest.approx(0.8)
    assert (row["scale"], row["penalty"]) == (0.1, 50.0)
    soft = torch.sigmoid(0.1 * mask)
    assert row["ratio_penalty"] == pytest.approx(50 * (soft.mean().item() - 0.7) ** 2)
    assert sum(row["soft_mask_histogram"]) == 10
    assert sum(row["loss_histogram_kept"]) == 7  # round(10 * 0.7), not what is above zero
    assert sum(row["loss_histogram_pruned"]) == 3
    assert row["loss_histogram_pruned"][:3] == [1, 0, 1]  # losses 0, 1, 2 in bins of 9 / 20
    assert len(row["loss_histogram_pruned"]) == NUM_BINS
    assert (row["flipped_share_kept"], row["flipped_share_pruned"]) == (pytest.approx(1 / 7), pytest.approx(1 / 3))
    assert (row["class_counts"], row["class_totals"]) == ([2, 4, 1], [5, 4, 1])


def test_without_flipped_labels_there_are_no_shares():
    (row,) = track([(mask_that_keeps(8), 0.5)], flipped=torch.zeros(10, dtype=torch.bool)).rows
    assert row["flipped_share_kept"] is None
    assert row["flipped_share_pruned"] is None


def test_saved_and_restored_it_chooses_the_same():
    tracker = track([(mask_that_keeps(8), 0.7), (mask_that_keeps(8) + 0.1, 0.6)])
    restored = track([])
    restored.load_state_dict(tracker.state_dict())
    assert restored.rows == tracker.rows
    assert torch.equal(restored.chosen[1], tracker.chosen[1])
