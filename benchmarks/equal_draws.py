"""Train pairs of methods that are equal: both keep a random subset of the digits, and only the draws differ.

Command: python benchmarks/equal_draws.py --pairs 150 --output outputs/equal_draws
Every pair has two arms and three training seeds of its own. A seed's two trainings share everything but the subset. The
accuracies go to docs/results/equal_draws.json, from which benchmarks/false_verdicts.py counts how often the report says
that one arm is above or below the other. Finished trainings are found in the store, so that a second call goes on.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from rich.console import Console

from secateur.core.mask import Mask, keep_count
from secateur.core.seeds import permutation
from secateur.core.store import Store
from secateur.runs.compose import resolve
from secateur.runs.context import Context
from secateur.runs.keys import canonical
from secateur.runs.paths import CONF
from secateur.runs.pools import pools
from secateur.runs.stages.training import train_on_mask
from secateur.tracking.provenance import processor

SEEDS = 3
RATIO = 0.8
OVERRIDES = ["method=random", f"pruning_ratio={RATIO}", "trainer.max_epochs=12", "trainer.evaluate_every=12"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--output", type=Path, default=Path("outputs/equal_draws"))
    parser.add_argument("--json", type=Path, default=Path("docs/results/equal_draws.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = canonical(resolve(compose("config", OVERRIDES)))
    data, _ = pools(config)
    store, quiet = Store(arguments.output / "store"), Console(quiet=True)
    start, accuracies = time.process_time(), []
    for pair in range(arguments.pairs):
        arms = [[], []]
        for seed in range(SEEDS * pair, SEEDS * (pair + 1)):
            context = Context(config.changed(seed=seed, score_seed=seed), data, store, quiet)
            for arm, found in enumerate(arms):
                found.append(train_on_mask(context, draw(context, seed, arm)).metrics["test_accuracy"])
        accuracies.append(arms)
        if (pair + 1) % 25 == 0 or pair + 1 == arguments.pairs:
            minutes = (time.process_time() - start) / 60
            write(arguments.json, config, len(data.test), accuracies)
            print(f"{pair + 1} of {arguments.pairs} pairs, {minutes:.1f} CPU minutes", flush=True)


def draw(context, seed, arm):
    """Return a random subset of the pool: one for each seed and arm."""
    keep = keep_count(context.num_total, RATIO)
    rows = permutation(context.num_total, seed, "equal-draws", arm)[:keep]
    return Mask.from_rows(context.data.pool, rows, fingerprint=context.data.fingerprint)


def write(path, config, num_test, accuracies):
    """Write what was trained and the accuracies ``[pairs][arm][seed]``."""
    about = {
        "data": config.data["name"],
        "pruning_ratio": RATIO,
        "epochs": config.trainer.max_epochs,
        "num_test": num_test,
        "seeds_per_pair": SEEDS,
        "hardware": f"{processor()}, {os.cpu_count()} cores, one thread",
        "torch": torch.__version__,
    }
    counts = [[[round(value * num_test) for value in arm] for arm in pair] for pair in accuracies]
    text = ",\n".join(json.dumps(pair) for pair in counts)
    path.write_text(f'{json.dumps({**about, "correct": "images"})[:-1]}, "pairs": [\n{text}\n]}}\n')


if __name__ == "__main__":
    main()
