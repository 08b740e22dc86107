"""The wrapper for people with their own Lightning loop."""

import doctest
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from secateur.core.errors import ConfigError, FingerprintError
from secateur.core.mask import Mask
from secateur.data import datamodule
from secateur.data.datamodule import ImageDataModule


class Recorder(LightningModule):
    """Notes the ids of every training epoch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3 * 64, 3)
        self.epochs = {}
        self.num_validated = 0

    def training_step(self, batch, _):
        self.epochs.setdefault(self.current_epoch, []).append(batch.sample_id)
        return torch.nn.functional.cross_entropy(self.layer(batch.x.flatten(1)), batch.y)

    def validation_step(self, batch, _):
        self.num_validated += len(batch.y)

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_trains_on_what_the_mask_keeps(build):
    module = ImageDataModule(build.ArrayData(flip=True), batch_size=8)
    kept = module.data.pool[::2].clone()
    module.mask = Mask.from_kept_ids(module.data.pool, kept, fingerprint=module.data.fingerprint)
    recorder = Recorder()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=2, num_sanity_val_steps=0, enable_model_summary=False, **quiet)
    trainer.fit(recorder, datamodule=module)
    orders = [torch.cat(ids) for ids in recorder.epochs.values()]
    assert len(orders) == 2
    assert not torch.equal(*orders)
    for order in orders:
        assert torch.equal(order.sort().values, kept)
    assert recorder.num_validated == 2 * len(module.data.validation)
    trainer.test(recorder, datamodule=module, verbose=False)
    assert recorder.num_validated == 2 * len(module.data.validation) + 12


def test_refuses_a_foreign_mask_and_more_processes(build):
    module = ImageDataModule(build.ArrayData(), batch_size=8)
    module.mask = Mask.from_kept_ids(module.data.pool, module.data.pool, fingerprint="0" * 64)
    with pytest.raises(FingerprintError):
        module.setup("fit")
    module.trainer = SimpleNamespace(world_size=2)
    with pytest.raises(ConfigError, match="runs 2"):
        module.setup("fit")


def test_no_validation_split_means_no_loader(build):
    module = ImageDataModule(build.ArrayData(validation_fraction=0.0), batch_size=8)
    assert module.val_dataloader() == []
    assert len(module.train_dataloader()) == 8


def test_docstring_example():
    assert doctest.testmod(datamodule).failed == 0
