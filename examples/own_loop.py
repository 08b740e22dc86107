"""Score your own training, keep the better half, train on it: python examples/own_loop.py [EPOCHS]."""

import sys

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from secateur import IndexedDataset, ScoreRecorder, Top
from secateur.scores.tdds import TDDS


class Classifier(pl.LightningModule):
    """Yours: all that a recorder asks of it is what training_step returns, and batches (x, y, sample_id)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))

    def training_step(self, batch, batch_idx):
        x, y, _ = batch
        logits = self.net(x)
        return {"loss": F.cross_entropy(logits, y), "logits": logits}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def fit(dataset, epochs, *callbacks):
    pl.seed_everything(0, verbose=False)
    module, quiet = Classifier(), dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", callbacks=list(callbacks), **quiet)
    trainer.fit(module, DataLoader(dataset, batch_size=64, shuffle=True))
    return module


def main(epochs=20):
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    train_set = IndexedDataset(TensorDataset(x[:1400], y[:1400]))  # (x, y, sample_id)

    recorder = ScoreRecorder(TDDS(window=5), num_samples=len(train_set))
    everything = fit(train_set, epochs, recorder)
    table = recorder.compute()["TDDS"]  # sample_id, label, score (higher = keep), ...
    mask = Top()(table, num_keep=len(train_set) // 2, seed=0)
    mask.save("mask.parquet")  # Mask.load reads it again; so it does that of a run
    half = fit(mask.subset(train_set), epochs)

    for name, module in (("all", everything), (f"{mask.num_kept} of {len(mask)}", half)):
        accuracy = (module.net(x[1400:]).argmax(dim=1) == y[1400:]).float().mean()
        print(f"trained on {name}: {accuracy:.1%} of the test images are right")
    return mask


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
