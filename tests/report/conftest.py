"""Synthetic run records: what runs would have left behind, without running them."""

import hashlib
import json
import random

import pytest

from secateur.core.files import write_json
from secateur.core.record import FILE_NAME, new_record
from secateur.report.data.cells import make_cells
from secateur.report.data.fidelity_rows import make_fidelity_rows
from secateur.report.data.load import load_runs
from secateur.report.data.rows import make_rows

CONTROLS = ("constant", "class_mean", "uniform", "proxy_direct", "subset_only")  # as their classes say
METHODS = {
    "random": {"method": "random", "drop": 0.05, "extra": 0.0},
    "el2n": {"method": "score", "score": "el2n", "drop": 0.03, "extra": 0.2},
    "tdds": {"method": "score", "score": "tdds", "drop": 0.015, "extra": 1.0},
    "dynamic_uncertainty + knn": {
        "method": "score",
        "score": "dynamic_uncertainty",
        "pruning__extrapolation": "knn",
        "drop": 0.02,
        "extra": 0.25,
    },
}


def make_record(method="random", score=None, ratio=0.5, seed=0, accuracy=0.9, **changes):
    """Return a finished record; ``changes`` replace a top-level key, or ``block__key`` a key of a block."""
    kept = 1.0 if method == "full" else 1 - ratio
    record = new_record(status="finished", config={}, finished="2026-01-01").to_json()
    record.update(started="2026-01-01", seed=seed, score_seed=seed)
    record["data"].update(name="digits", fingerprint="f" * 64, num_train=1000)
    record["models"].update(final="small_cnn")
    record["pruning"].update(method=method, score=score, pruning_ratio=ratio, keep_fraction=kept)
    record["pruning"].update(extrapolation=None, selection="top" if score else None, variant="reference")
    record["metrics"].update(test_accuracy=accuracy, test_accuracy_best=0.999)
    record["ledger"].update(cost_vs_full=kept, cost_vs_full_amortized=kept)
    for key, value in changes.items():
        block, _, name = key.partition("__")
        if name:
            record[block][name] = value
        else:
            record[block] = value
    pruning = record["pruning"]
    if isinstance(pruning, dict) and pruning["realized_pruning_ratio"] is None and pruning["keep_fraction"] is not None:
        pruning["realized_pruning_ratio"] = 1 - pruning["keep_fraction"] if method != "full" else 0.0
    if record["run_key"] is None:
        record["run_key"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]
    return record


def per_epoch(method="rs2", share=0.5, ratio=0.5, seed=0, accuracy=0.9, **changes):
    """Return a record of a method that chooses anew in every epoch, and visited a share of all visits."""
    return make_record(
        *(method, None, ratio, seed, accuracy),
        pruning__per_epoch=True,
        pruning__visited_share=share,
        pruning__realized_pruning_ratio=1 - share,
        pruning__keep_fraction=None,
        pruning__num_seen=1000,
        pruning__num_total=1000,
        **changes,
    )


def extrapolated(name="knn", spearman=0.5, seed=0, level=0.8, fraction=0.2, factor=1.0, **changes):
    """Return a record that made a mask only, from scores whose correlation is one number or one per full scoring."""
    values = spearman if isinstance(spearman, list) else [spearman]
    lines = [
        {"pruning_ratio": ratio, "chance": 1 - ratio, "jaccard": 0.4, "jaccard_chance": 0.3} for ratio in (0.5, 0.9)
    ]
    seeds = [{"pruning_ratio": line["pruning_ratio"], "recall": 0.9, "chance": line["chance"]} for line in lines]
    entries = [
        {
            **{"score_seed": 10 + number, "pearson": value, "spearman": value, "tail_recall": 0.3, "tail_chance": 0.05},
            **{"ks": 0.1, "wasserstein": 0.2},
            "by_ratio": [{**line, "recall": value, "observed_share": fraction} for line in lines],
        }
        for number, value in enumerate(values)
    ]
    block = {
        **{"subset_fraction": fraction, "subset_epochs_factor": factor, "merge": "quantile_match", "chosen": None},
        **{"cost_choosing_vs_full": fraction * factor / 2, "cost_vs_full_scoring": fraction * factor, "trace": []},
        "control": name in CONTROLS,
        "num_predicted": 800,
        "fidelity": entries,
        "seed_level": None if level is None else {"spearman": level, "by_ratio": seeds},
    }
    settings = {
        **{"extrapolation": {"_target_": name}, "train_final": False, "subset_fraction": fraction},
        **{"subset_epochs_factor": factor, "merge": "quantile_match"},
    }
    untrained = {"metrics__test_accuracy": None, "ledger__cost_vs_full": None}
    common = {"pruning__extrapolation": name, "models__scoring": "small_cnn", "config": settings, **untrained}
    for key in [key for key in changes if key in block]:
        block[key] = changes.pop(key)
    return make_record(
        "score", "tdds", changes.pop("ratio", 0.5), seed, 0.9, extrapolation=block, **{**common, **changes}
    )


def write_records(root, records):
    """Write each record into a folder of its own and return the folders."""
    folders = [root / f"{number:05d}" for number in range(len(records))]
    for folder, record in zip(folders, records, strict=True):
        write_json(folder / FILE_NAME, record)
    return folders


def benchmark(ratios=(0.3, 0.5, 0.7, 0.9), seeds=range(3), methods=METHODS, **common):
    """Return the records of a whole comparison: full data, and each method at each ratio with each seed."""
    noise = random.Random(0)
    shift = {seed: noise.gauss(0, 0.004) for seed in seeds}
    records = [
        make_record("full", None, ratios[0], seed, 0.95 + shift[seed] + noise.gauss(0, 0.001), **common)
        for seed in seeds
    ]
    for settings in methods.values():
        settings = dict(settings)
        drop, extra = settings.pop("drop"), settings.pop("extra")
        for ratio in ratios:
            for seed in seeds:
                accuracy = 0.95 - drop * ratio / (1.02 - ratio) + shift[seed] + noise.gauss(0, 0.001)
                more = {**settings, **common, "ledger__cost_vs_full": extra + 1 - ratio}
                records.append(make_record(ratio=ratio, seed=seed, accuracy=accuracy, **more))
    return records


@pytest.fixture(scope="session")
def record():
    return make_record


@pytest.fixture(scope="session")
def redrawn():
    return per_epoch


@pytest.fixture(scope="session")
def predicted():
    return extrapolated


@pytest.fixture(scope="session")
def comparison():
    return benchmark


@pytest.fixture
def write(tmp_path):
    """Write records below ``tmp_path / "runs"`` and return that folder."""

    def write_below(records):
        write_records(tmp_path / "runs", records)
        return tmp_path / "runs"

    return write_below


@pytest.fixture
def fidelity_of(write):
    """Return the fidelity rows of some records."""

    def rows_of_records(records):
        return make_fidelity_rows(load_runs([write(records)]).extrapolated)

    return rows_of_records


@pytest.fixture
def rows_of(write):
    """Return the rows of some records."""

    def rows_of_records(records, baseline="random"):
        return make_rows(make_cells(load_runs([write(records)]).runs)[0], baseline)

    return rows_of_records
