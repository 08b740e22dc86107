"""One row per epoch, the same after a resume."""

import copy
import csv

import pytest
import torch
from torch.nn import functional as F

from secateur.data.order import Shuffled
from secateur.models.small_cnn import SmallCNN
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.evaluate import evaluate
from secateur.training.fit import fit
from secateur.training.modules.classifier import Classifier
from secateur.training.recipe import Recipe
from secateur.training.settings import TrainerSettings


@pytest.fixture
def train(digits, tmp_path):
    """Train on 200 digits, or resume what lies in the folder, with the metrics given."""

    def train_with(metrics, max_epochs, *callbacks):
        torch.manual_seed(0)
        model = SmallCNN(num_classes=10, in_channels=1, width=4)
        recipe = Recipe(optimizer="sgd", lr=0.1, batch_size=64, momentum=0.9, schedule="cosine")
        loader = digits.train_loader(Shuffled(digits.pool, 0), 64, seed=0)
        module = Classifier(model, recipe, num_epochs=5, seed=0)
        settings = TrainerSettings(max_epochs=5)
        fit(module, loader, settings, tmp_path, [metrics, *callbacks], max_epochs=max_epochs)
        return model

    return train_with


def loaders(digits, *splits):
    return {split: lambda split=split: digits.eval_loader(split, 128) for split in splits}


def test_a_row_says_what_an_epoch_was(digits, train):
    metrics = EpochMetrics(loaders(digits, "validation", "test"), 10)
    model = train(metrics, 3)
    assert [row["epoch"] for row in metrics.rows] == [0, 1, 2]
    assert [row["num_samples"] for row in metrics.rows] == [200, 200, 200]
    assert metrics.num_samples == 600
    last = metrics.rows[-1]
    assert list(last) == [
        *("epoch", "train_loss", "learning_rate", "num_samples", "validation_accuracy", "test_accuracy")
    ]
    assert last["test_accuracy"] == evaluate(model, digits.eval_loader("test", 50), 10).accuracy
    assert metrics.last["test"].accuracy == last["test_accuracy"]
    assert metrics.rows[0]["learning_rate"] > last["learning_rate"] > 0
    assert metrics.clocks.parts()["train_seconds"] > 0


def test_the_loss_is_the_mean_over_samples_not_over_batches(digits):
    module = Classifier(SmallCNN(num_classes=10, in_channels=1, width=4), None, num_epochs=1, seed=0)
    module.recipe = Recipe(optimizer="sgd", lr=0.1, batch_size=64, schedule="constant")
    with torch.no_grad():
        for batch in digits.train_loader(Shuffled(digits.pool, 0), 64, seed=0):
            module.training_step(batch, 0)
    sizes = [64, 64, 64, 8]
    expected = sum(float(loss) * size for loss, size in zip(module._losses, sizes, strict=True)) / 200
    assert module.epoch_loss() == (pytest.approx(expected), 200)
    assert module.epoch_loss()[0] != pytest.approx(float(torch.stack(module._losses).mean()), rel=1e-6)


def test_the_last_epoch_is_always_evaluated(digits, train):
    metrics = EpochMetrics(loaders(digits, "test"), 10, every=2)
    train(metrics, 5)
    measured = [row["test_accuracy"] is not None for row in metrics.rows]
    assert measured == [False, True, False, True, True]


def test_best_is_the_highest_of_any_epoch_or_none():
    metrics = EpochMetrics({}, 10)
    assert metrics.best("test") is None
    metrics.rows = [{"test_accuracy": value} for value in (0.5, None, 0.75, 0.25)]
    assert metrics.best("test") == 0.75
    assert metrics.best("validation") is None


def test_the_csv_holds_the_rows_and_leaves_unmeasured_cells_empty(tmp_path):
    metrics = EpochMetrics({}, 10)
    metrics.rows = [{"epoch": 0, "test_accuracy": None}, {"epoch": 1, "test_accuracy": 0.1 + 0.2}]
    path = metrics.save(tmp_path / "deep" / "metrics.csv")
    assert b"\r" not in path.read_bytes()
    rows = list(csv.DictReader(path.open()))
    assert rows[0] == {"epoch": "0", "test_accuracy": ""}
    assert float(rows[1]["test_accuracy"]) == 0.1 + 0.2


def test_rows_and_seconds_survive_a_resume(digits, train):
    first = EpochMetrics(loaders(digits, "test"), 10)
    train(first, 2)
    before, spent = copy.deepcopy(first.rows), first.clocks.state_dict()["spent"]
    second = EpochMetrics(loaders(digits, "test"), 10)
    train(second, 4)
    assert second.rows[:2] == before
    assert [row["epoch"] for row in second.rows] == [0, 1, 2, 3]
    assert len(second.clocks.epochs) == 4
    again = second.clocks.state_dict()["spent"]
    assert all(again[part][clock] > spent[part][clock] for part in spent for clock in (0, 1))


def test_the_last_evaluation_survives_a_resume_of_a_finished_training(digits, train):
    first, second = (EpochMetrics(loaders(digits, "test"), 10) for _ in range(2))
    train(first, 2)
    train(second, 2)
    assert second.rows == first.rows
    assert second.last["test"].accuracy == first.last["test"].accuracy
    assert second.last["test"].class_accuracies == first.last["test"].class_accuracies
    assert second.last["test"].predictions.confidence.equal(first.last["test"].predictions.confidence)


def test_evaluating_changes_nothing_in_the_training(digits, train, tmp_path):
    quiet = train(EpochMetrics({}, 10), 3)
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    watched = train(EpochMetrics(loaders(digits, "test", "validation"), 10), 3)
    x = next(iter(digits.eval_loader("test", 64))).x
    assert F.mse_loss(quiet.eval()(x), watched.eval()(x)) == 0


def test_a_history_that_was_begun_without_a_monitor_is_saved_with_its_columns(tmp_path):
    metrics = EpochMetrics({}, 10)
    metrics.rows = [{"epoch": 0}, {"epoch": 1, "knn_accuracy": 0.5}]
    assert metrics.save(tmp_path / "metrics.csv").read_text() == "epoch,knn_accuracy\n0,\n1,0.5\n"
