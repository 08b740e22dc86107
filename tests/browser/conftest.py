"""A report of small made-up runs with images, and one headless Chromium to look at it."""

import hashlib
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.core.hashing import fingerprint
from secateur.core.ledger import StageCost
from secateur.core.mask import Mask, keep_count
from secateur.core.record import new_record, save_record
from secateur.core.tables import ScoreTable
from secateur.report.build import build_report

HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
ARMS = {"full": 0.0, "random": 0.08, "el2n": 0.05, "tdds": 0.01, HOSTILE: 0.12}
RATIOS, SEEDS, NUM, CLASSES = (0.3, 0.5, 0.8), (0, 1, 2), 90, ("apple", "pear", "plum")


def missing(what: str) -> None:
    """Skip where something is not installed; on CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing: the browser tests have to run on CI")
    pytest.skip(f"{what} is missing")


def images(folder: Path) -> tuple[Path, torch.Tensor, str]:
    """Write an archive of color images and return it with the labels and the fingerprint of the pool."""
    noise = np.random.default_rng(0)
    labels = np.arange(NUM) % len(CLASSES)
    pixels = noise.integers(0, 60, (NUM, 24, 24, 3), dtype=np.uint8)
    pixels[np.arange(NUM), :, :, labels] += 160
    path = folder / "fruit.npz"
    names = {"class_names": np.array(CLASSES)}
    np.savez(path, x_train=pixels, y_train=labels, x_test=pixels[:9], y_test=labels[:9], **names)
    stored = (image.transpose(2, 0, 1).tobytes() for image in pixels)
    return path, torch.from_numpy(labels), fingerprint(torch.arange(NUM), stored, torch.from_numpy(labels))


def write_run(folder: Path, arm: str, ratio: float, seed: int, accuracy: float, data: tuple) -> None:
    path, labels, found = data
    method = arm if arm in ("full", "random") else "score"
    settings = {"_target_": "secateur.data.npz.NpzData", "name": "fruit", "root": str(path)}
    config = {"data": settings, "trainer": {"max_epochs": 3}, "pruning_ratio": ratio, "score": {"name": arm}}
    record = new_record(status="finished", seed=seed, score_seed=seed, config=config, finished="2026-01-01")
    record.command = f"python -m secateur run score={'x' if arm == HOSTILE else arm} pruning_ratio={ratio}"
    record.provenance = {"python": "3.11.7", "packages": {"torch": "2.15.0"}, "host": "secret-host"}
    record.run_key = hashlib.sha256(f"{arm} {ratio} {seed}".encode()).hexdigest()[:12]
    record.data.update({"name": "fruit", "fingerprint": found, "class_names": list(CLASSES), "num_train": NUM})
    record.data.num_test = 9000
    record.models.final = "small_cnn"
    kept = 1.0 if arm == "full" else keep_count(NUM, ratio) / NUM
    record.pruning.update({"method": method, "score": None if method != "score" else arm, "variant": "reference"})
    record.pruning.update({"pruning_ratio": ratio, "keep_fraction": kept})
    record.pruning.update({"num_total": NUM, "num_kept": round(kept * NUM)})
    record.metrics.update({"test_accuracy": accuracy, "worst_class_accuracy": accuracy - 0.1})
    stages = [StageCost("training", 0, 0, flops=100.0 * kept, seconds=1.0, pruning=False)]
    if method == "score":
        stages.insert(0, StageCost("scoring", 0, 0, flops=50.0, seconds=1.0, reused=seed > 0))
        record.warnings = ["a class nearly vanished"] if ratio == 0.8 else []
    cost = sum(stage.flops for stage in stages) / 100
    record.ledger.update({"stages": stages, "cost_vs_full": cost, "cost_vs_full_amortized": kept})
    if arm != "full":
        write_tables(folder, method, ratio, seed, labels, found)
        record.artifacts = {file.name: "" for file in sorted(folder.iterdir())}
    save_record(folder, record)


def write_tables(folder: Path, method: str, ratio: float, seed: int, labels: torch.Tensor, found: str) -> None:
    ids, generator = torch.arange(NUM), torch.Generator().manual_seed(seed)
    score = torch.rand(NUM, generator=generator)
    mask = Mask.from_rows(ids, score.argsort(descending=True)[: keep_count(NUM, ratio)], fingerprint=found)
    mask.save(folder / "mask.parquet")
    if method == "score":
        ScoreTable(ids, labels, score, torch.ones(NUM, dtype=torch.bool), fingerprint=found).save(
            folder / "scores.parquet"
        )


def write_runs(root: Path) -> None:
    noise, data = random.Random(0), images(root.parent)
    for arm, drop in ARMS.items():
        for ratio in RATIOS if arm != "full" else RATIOS[:1]:
            for seed in SEEDS:
                if (arm, ratio, seed) == ("tdds", 0.8, 2):
                    continue  # a seed is missing
                folder = root / f"{list(ARMS).index(arm)}_{ratio}_{seed}"
                folder.mkdir(parents=True)
                write_run(folder, arm, ratio, seed, 0.95 - drop * ratio + noise.gauss(0, 0.002), data)
    failed = new_record(status="failed", seed=0, config={}, error="<b>disk & all</b>", label="tdds")
    save_record(root / "failed", failed)
    (root / "cut").mkdir()
    (root / "cut" / "run.json").write_text(json.dumps(failed.to_json())[:50])


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """Path of the page, built once."""
    folder = tmp_path_factory.mktemp("report")
    write_runs(folder / "runs")
    build_report([folder / "runs"], folder / "out", formats=("html",), figure_formats=("svg",))
    return folder / "out" / "report.html"


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe():
    """The accessibility checker."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python")
    return Axe()


@pytest.fixture
def look(browser, report):
    """Open the page in a fresh context; whatever it logs or asks for beside itself fails the test at its end."""
    contexts, complaints = [], []

    def open_page(width=1280, height=900, **options):
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", lambda request: note(request.url))
        page.goto(report.as_uri())
        return page

    def note(url):
        if url != report.as_uri() and not url.startswith(("data:", "blob:")):
            complaints.append(f"request: {url}")

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
