"""A training that was interrupted ends as if it had not been: same weights, same rows, same scores, bit by bit."""

import dataclasses
import itertools
import shutil

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from secateur.core.errors import ConfigError, NumericalError
from secateur.core.store import Store
from secateur.data.digits import DigitsData
from secateur.data.order import Shuffled
from secateur.data.prepared import prepare
from secateur.dynamic.infobatch import InfoBatch
from secateur.dynamic.rs2 import RS2
from secateur.models.backbone import Backbone
from secateur.models.small_cnn import SmallCNN
from secateur.scores.dynamic_uncertainty import DynamicUncertainty
from secateur.scores.entropy import Entropy
from secateur.scores.tdds import TDDS
from secateur.training import checkpoints
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.recorder import ScoreRecorder
from secateur.training.fit import cpu_threads, finish_folder, fit
from secateur.training.modules.classifier import Classifier
from secateur.training.recipe import Recipe
from secateur.training.sampling import Sampling
from secateur.training.settings import TrainerSettings

EPOCHS = 6
GLOBAL_SEEDS = itertools.count(1)
POLICIES = {
    "plain": lambda n: None,
    "rs2": lambda n: RS2(n, num_keep=110, num_epochs=EPOCHS, seed=3),
    "rs2 with replacement": lambda n: RS2(n, num_keep=110, num_epochs=EPOCHS, seed=3, replacement=True),
    "infobatch": lambda n: InfoBatch(n, pruning_ratio=0.5, num_epochs=EPOCHS, seed=3),
    "infobatch without annealing": lambda n: InfoBatch(n, pruning_ratio=0.5, num_epochs=EPOCHS, seed=3, anneal=0.0),
}


class DropoutCNN(SmallCNN):
    """Draws random numbers in the model itself."""

    def features(self, x):
        return torch.nn.functional.dropout(super().features(x), 0.2, self.training)


class Killed(pl.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch, step=1):
        self.moment = (epoch, step)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.moment:
            raise InterruptedError


class Epochs(list, pl.Callback):
    """The numbers of the epochs that were started."""

    def on_train_epoch_start(self, trainer, pl_module):
        self.append(trainer.current_epoch)


class Breaks(pl.Callback):
    """Makes the weights NaN before one step."""

    def __init__(self, epoch, step):
        self.moment = (epoch, step)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.moment:
            torch.nn.init.constant_(pl_module.model.head.bias, float("nan"))


@pytest.fixture(scope="module")
def data():
    """200 digits, augmented."""
    data = prepare(DigitsData(name="digits", crop_padding=1))
    return dataclasses.replace(data, pool=data.pool[:200], flipped=data.flipped[:200])


@pytest.fixture
def said():
    """The lines about checkpoints."""
    return []


@pytest.fixture
def train(data, said):
    """Train in a folder (resuming what lies there), as the pipeline does; return model and metrics."""

    def train_in(folder, policy="plain", *callbacks, model=SmallCNN, max_epochs=EPOCHS, **settings):
        torch.manual_seed(0)
        network = model(num_classes=10, in_channels=1, width=4)
        torch.manual_seed(next(GLOBAL_SEEDS))  # nothing below may depend on the global stream
        rule = POLICIES[policy](len(data.pool))
        sampling = None if rule is None else Sampling(rule, data.pool, num_keep=110)
        recipe = Recipe(optimizer="sgd", lr=0.1, batch_size=32, momentum=0.9, schedule="onecycle", peak_fraction=0.3)
        loader = data.train_loader(sampling or Shuffled(data.pool, 1), recipe.batch_size, seed=1)
        module = Classifier(network, recipe, num_epochs=EPOCHS, seed=1, sampling=sampling)
        metrics = EpochMetrics({"test": lambda: data.eval_loader("test", 512)}, data.num_classes)
        fit(
            *(module, loader, TrainerSettings(max_epochs=EPOCHS, **settings), folder),
            [metrics, *([sampling] if sampling else []), *callbacks],
            max_epochs=max_epochs,
            reload_every_epoch=sampling is not None,
            say=said.append,
        )
        return network, metrics

    return train_in


def assert_same(first, second):
    """Bit-identical weights and equal rows."""
    weights, others = (model.state_dict() for model, _ in (first, second))
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert first[1].rows == second[1].rows


# -- resuming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_an_interrupted_training_ends_like_an_undisturbed_one(train, tmp_path, policy):
    undisturbed = train(tmp_path / "a", policy)
    with pytest.raises(InterruptedError):
        train(tmp_path / "b", policy, Killed(epoch=2))
    epochs = Epochs()
    resumed = train(tmp_path / "b", policy, epochs)
    assert epochs == [2, 3, 4, 5]
    assert_same(resumed, undisturbed)
    assert len(resumed[1].rows) == EPOCHS


def test_in_model_randomness_resumes_too(train, tmp_path):
    undisturbed = train(tmp_path / "a", model=DropoutCNN)
    for epoch in (0, 3):
        with pytest.raises(InterruptedError):
            train(tmp_path / "b", "plain", Killed(epoch), model=DropoutCNN)
    assert_same(train(tmp_path / "b", model=DropoutCNN), undisturbed)


def test_a_checkpoint_every_other_epoch_is_enough(train, tmp_path):
    undisturbed = train(tmp_path / "a")
    with pytest.raises(InterruptedError):
        train(tmp_path / "b", "plain", Killed(epoch=3), checkpoint_every=2)
    epochs = Epochs()
    assert_same(train(tmp_path / "b", "plain", epochs, checkpoint_every=2), undisturbed)
    assert epochs == [2, 3, 4, 5]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_training_that_was_killed_after_its_last_epoch_is_only_finished(train, tmp_path, policy):
    first = train(tmp_path, policy)
    epochs = Epochs()
    again = train(tmp_path, policy, epochs)
    assert epochs == []
    assert_same(again, first)


def test_scores_recorded_over_an_interruption_are_the_same(data, train, tmp_path):
    def recorder():
        scores = {"tdds": TDDS(window=3), "uncertainty": DynamicUncertainty(window=3), "entropy": Entropy()}
        return ScoreRecorder(scores, sample_ids=data.pool, eval_loader=lambda: data.eval_loader(data.pool, 64))

    whole, part, rest = recorder(), recorder(), recorder()
    train(tmp_path / "a", "plain", whole)
    with pytest.raises(InterruptedError):
        train(tmp_path / "b", "plain", part, Killed(epoch=2))
    train(tmp_path / "b", "plain", rest)
    for name, table in whole.compute().items():
        assert torch.equal(rest.compute()[name].score, table.score)
        assert torch.equal(rest.compute()[name].column("aum"), table.column("aum"))
    assert torch.equal(whole.compute()["tdds"].label, data.pool_labels)


class Lost(pl.Callback):
    """Has a state that nothing takes, where it is left out."""

    def state_dict(self):
        return {"seen": 1}


OTHER_CODE = {  # what the code was when the checkpoint was written: callbacks and settings; and what does not fit today
    "fits": ((), {}, None),
    "weights of another shape": ((), {"model": lambda **sizes: SmallCNN(**{**sizes, "width": 5})}, "size mismatch"),
    "a state that would be lost": ((Lost(),), {}, "it holds the state of Lost"),
}


@pytest.mark.parametrize("case", OTHER_CODE)
def test_a_checkpoint_of_other_code_is_gone_on_from_where_it_fits(train, said, tmp_path, monkeypatch, case):
    callbacks, settings, flaw = OTHER_CODE[case]
    undisturbed, epochs, results = train(tmp_path / "a"), Epochs(), []
    folder = tmp_path / "training" / "0123.partial"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_code", lambda: "other")
        with pytest.raises(InterruptedError):
            train(folder, "plain", *callbacks, Killed(epoch=2), **settings)

    def compute(partial):
        results.append(train(partial, "plain", epochs))
        return {}

    Store(tmp_path).get("training", "0123", compute)
    assert_same(results[0], undisturbed)
    assert epochs == [*range(0 if flaw else 2, EPOCHS)]
    assert "was written by other code of the same version of this stage" in said[0]
    assert sum("does not fit this one" in line for line in said) == (
        2 if flaw else 0
    )  # the last one, and the one before
    assert all(flaw in line for line in said if "does not fit" in line)


def test_what_fails_with_a_checkpoint_of_this_code_is_not_retried(train, tmp_path):
    with pytest.raises(InterruptedError):
        train(tmp_path, "plain", Killed(epoch=2), model=lambda **sizes: SmallCNN(**{**sizes, "width": 5}))
    with pytest.raises(RuntimeError, match="size mismatch"):
        train(tmp_path)
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


# -- what a training is --------------------------------------------------------------------------------------------


def test_the_seed_decides_everything(train, tmp_path):
    assert_same(train(tmp_path / "a"), train(tmp_path / "b"))


def test_rs2_and_infobatch_train_on_their_own_numbers_of_samples(train, tmp_path):
    plain, rs2, infobatch = (train(tmp_path / name, name)[1] for name in ("plain", "rs2", "infobatch"))
    assert {row["num_samples"] for row in plain.rows} == {200}
    assert {row["num_samples"] for row in rs2.rows} == {110}
    sizes = [row["num_samples"] for row in infobatch.rows]
    assert (sizes[0], sizes[-1]) == (200, 200)
    assert 100 < min(sizes) < 200


def test_a_schedule_may_be_stopped_early(train, tmp_path):
    whole, stopped = train(tmp_path / "a"), train(tmp_path / "b", max_epochs=2)
    assert stopped[1].rows == whole[1].rows[:2]


@pytest.mark.parametrize("policy", ["plain", "rs2", "infobatch"])
def test_a_loss_that_is_nan_names_epoch_and_step(train, tmp_path, policy):
    with pytest.raises(NumericalError, match=r"became nan in epoch 1, step 2\. Lower optim\.lr"):
        train(tmp_path, policy, Breaks(epoch=1, step=2))


def test_after_a_nan_the_last_good_checkpoint_stands(train, tmp_path):
    undisturbed = train(tmp_path / "a")
    with pytest.raises(NumericalError):
        train(tmp_path / "b", "plain", Breaks(epoch=3, step=0))
    assert_same(train(tmp_path / "b"), undisturbed)


def test_what_a_finished_folder_holds(train, tmp_path):
    model, metrics = train(tmp_path)
    finish_folder(tmp_path, model, metrics)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "metrics.csv", "model.safetensors"]
    weights = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(values, weights[name]) for name, values in model.state_dict().items())
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + EPOCHS


def test_while_it_runs_the_last_two_checkpoints_are_kept(train, tmp_path):
    with pytest.raises(InterruptedError):
        train(tmp_path, "plain", Killed(epoch=3))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt", "previous.ckpt"]
    shutil.rmtree(tmp_path / "checkpoints")
    assert list(tmp_path.iterdir()) == []


def test_channels_last_keeps_the_memory_order_of_the_weights(train, tmp_path):
    model, _ = train(tmp_path, max_epochs=1, channels_last=True)
    assert isinstance(model, Backbone)
    assert model.body[3].weight.is_contiguous(memory_format=torch.channels_last)


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["max_epochs", "evaluate_every", "checkpoint_every", "num_threads"])
def test_counts_below_one_are_refused(key):
    with pytest.raises(ConfigError, match=f"trainer.{key} must be at least 1.*got 0"):
        TrainerSettings(**{"max_epochs": 3, key: 0})


def test_the_device_is_the_accelerators():
    assert TrainerSettings(max_epochs=1, accelerator="cpu").device == torch.device("cpu")


@pytest.mark.parametrize("asked", [2, None])
def test_the_number_of_threads_holds_for_the_block(asked):
    before = torch.get_num_threads()
    with cpu_threads(asked):
        assert torch.get_num_threads() == (asked or before)
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), cpu_threads(2):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
