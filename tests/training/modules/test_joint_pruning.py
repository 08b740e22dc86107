"""Joint pruning: which mask value a sample meets, cold start, its parameter group, resuming, and what is pruned."""

import itertools

import pytest
import pytorch_lightning as pl
import torch

from secateur.core.errors import ConfigError, NumericalError
from secateur.data.batch import Batch
from secateur.data.digits import DigitsData
from secateur.data.order import Shuffled
from secateur.data.prepared import prepare
from secateur.dynamic.adapruner_schedule import AdaPrunerConstants, ScaleController
from secateur.models.small_cnn import SmallCNN
from secateur.training.callbacks.mask_tracker import MaskTracker, PoolFacts
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.fit import fit
from secateur.training.modules.joint_pruning import JointPruning
from secateur.training.recipe import Recipe
from secateur.training.settings import TrainerSettings

EPOCHS = 3
GLOBAL_SEEDS = itertools.count(1)


def recipe(batch_size=64):
    """The release's recipe for joint pruning."""
    return Recipe(
        **{"optimizer": "sgd", "lr": 0.1, "batch_size": batch_size, "momentum": 0.9, "weight_decay": 5e-4},
        **{"schedule": "cosine", "period_epochs": 50},
    )


class Watch(pl.Callback):
    """Remembers the mask after every epoch; raises in the middle of an epoch or makes the weights NaN if asked to."""

    def __init__(self, stop=None, break_at=None):
        self.stop, self.break_at = stop, break_at
        self.masks = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.break_at:
            torch.nn.init.constant_(pl_module.model.head.bias, float("nan"))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.stop, 2):
            raise InterruptedError

    def on_train_epoch_end(self, trainer, pl_module):
        self.masks.append(pl_module.mask_logits.detach().clone())


def train(folder, data, *callbacks, epochs=EPOCHS, seed=0, constants=None, keep_fraction=0.8, **options):
    """Run joint pruning in a folder, resuming what lies there; return the module and the tracker."""
    torch.manual_seed(seed)
    model = SmallCNN(num_classes=10, in_channels=1, width=options.pop("width", 8))
    torch.manual_seed(next(GLOBAL_SEEDS))  # nothing below may depend on the global stream
    optim = recipe()
    loader = data.train_loader(Shuffled(data.pool, seed), optim.batch_size, seed)
    controller = ScaleController(constants or AdaPrunerConstants(), keep_fraction, epochs, len(loader))
    module = JointPruning(model, optim, epochs, seed, pool=data.pool, controller=controller, **options)
    metrics = EpochMetrics({}, data.num_classes)
    tracker = MaskTracker(metrics, PoolFacts(data.pool_labels, data.flipped, data.num_classes), "last", 0.02)
    settings = TrainerSettings(max_epochs=epochs, accelerator="cpu", checkpoint_every=1)
    fit(module, loader, settings, folder, [metrics, tracker, *callbacks], max_epochs=epochs)
    return module, tracker


# -- the mask's rows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["sample", "position"])
def test_sample_follows_the_id_and_position_the_place_in_the_epoch(digits, index):
    pool = digits.pool
    controller = ScaleController(AdaPrunerConstants(), 0.8, 1, 4)
    network = SmallCNN(num_classes=10, in_channels=1, width=4)
    module = JointPruning(network, recipe(), 1, 0, pool=pool, controller=controller, index=index)
    module.on_train_epoch_start()
    ids = pool[torch.tensor([7, 2, 150])]
    loss = module.training_step(Batch(torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 2]), ids), batch_idx=1)["loss"]
    loss.backward()
    moved = module.mask_logits.grad.nonzero().flatten().tolist()
    assert moved == ([2, 7, 150] if index == "sample" else [64, 65, 66])
    assert module.epoch_losses().isfinite().nonzero().flatten().tolist() == [2, 7, 150]  # losses are the samples' own


def test_momentum_and_decay_move_every_value_at_every_step(digits, tmp_path):
    watch = Watch()
    train(tmp_path, digits, watch, epochs=1)
    assert bool((watch.masks[0] != 1).all())


def test_a_cold_start_freezes_the_mask(digits, tmp_path):
    watch = Watch()
    train(tmp_path, digits, watch, constants=AdaPrunerConstants(cold_start_epochs=2))
    frozen, still_frozen, moved = watch.masks
    assert bool((frozen == 1).all())
    assert torch.equal(frozen, still_frozen)
    assert bool((moved != 1).all())


def test_the_mask_has_its_own_rate_momentum_and_decay(digits, tmp_path):
    given = {"lr": 0.5, "momentum": 0.3, "weight_decay": 0.0}
    module, _ = train(tmp_path, digits, epochs=1, mask_optim=given)
    (optimizer,) = module.trainer.optimizers
    network, mask = optimizer.param_groups
    assert (network["initial_lr"], network["momentum"], network["weight_decay"]) == (0.1, 0.9, 5e-4)
    assert (mask["initial_lr"], mask["momentum"], mask["weight_decay"]) == (0.5, 0.3, 0.0)
    assert mask["lr"] / network["lr"] == pytest.approx(5)


def test_a_batch_larger_than_the_pool_is_refused(digits):
    controller = ScaleController(AdaPrunerConstants(), 0.8, 1, 1)
    with pytest.raises(ConfigError, match="A batch of 256 is larger than the pool of 200"):
        JointPruning(
            SmallCNN(num_classes=10, in_channels=1, width=4), recipe(256), 1, 0, pool=digits.pool, controller=controller
        )


# -- resuming, and numbers that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["sample", "position"])
def test_interrupted_in_every_epoch_it_ends_with_the_same_mask(digits, tmp_path, index):
    module, tracker = train(tmp_path / "whole", digits, index=index)
    for epoch in range(EPOCHS):
        with pytest.raises(InterruptedError):
            train(tmp_path / "parts", digits, Watch(stop=epoch), index=index)
    resumed, tracked = train(tmp_path / "parts", digits, index=index)
    assert torch.equal(resumed.mask_logits, module.mask_logits)
    assert resumed.controller.state == module.controller.state
    assert tracked.rows == tracker.rows
    again, _ = train(tmp_path / "parts", digits, index=index)  # killed after the last epoch: nothing left to train
    assert torch.equal(again.mask_logits, module.mask_logits)


def test_a_loss_that_is_nan_names_epoch_and_step(digits, tmp_path):
    with pytest.raises(NumericalError, match="became nan in epoch 1, step 2"):
        train(tmp_path, digits, Watch(break_at=(1, 2)))


# -- what is pruned ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_mask_of_samples_knows_the_flipped_labels_and_one_of_positions_does_not(tmp_path):
    """15 % flipped labels, 20 % pruned, released constants: it prunes what is easy and keeps the flipped labels."""
    distance = {"sample": 0.0, "position": 0.0}
    for index, seed in itertools.product(distance, range(3)):
        data = prepare(DigitsData(name="digits", label_noise=0.15, corruption_seed=seed, validation_fraction=0.0))
        _, tracker = train(tmp_path / f"{index}{seed}", data, epochs=20, seed=seed, width=16, index=index)
        base = data.flipped.float().mean().item()
        distance[index] += (tracker.rows[-1]["flipped_share_pruned"] - base) / 3
    assert distance["sample"] < -0.05
    assert abs(distance["position"]) < 0.05
