"""What a report costs: seconds and memory over synthetic run records, and over any folder of runs.

Command: python benchmarks/report.py [--records 2000] [--runs outputs/runs/demo]
Budgets: 20 s and 1 GiB for 2 000 records; 5 s for the demo's runs. Each is measured in a process of its own, from
         the start of Python to its end, with the page, the tables and the figures in SVG and PNG.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from secateur.core.files import write_json
from secateur.core.record import FILE_NAME, new_record
from secateur.tracking.provenance import processor

METHODS = {"random": None, "el2n": 0.2, "tdds": 1.0, "aum": 1.0, "dual": 0.3, "dynamic_uncertainty": 1.0}
RATIOS = tuple(round(0.1 * step, 1) for step in range(1, 10))
MIB = 2**20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--runs", type=Path, help="a folder of runs to measure as well")
    arguments = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, one thread")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_records(root / "runs", arguments.records)
        size = sum(path.stat().st_size for path in root.glob("runs/*/run.json")) / MIB
        measure(f"{arguments.records} records, {size:.0f} MiB of JSON", root / "runs", root / "report")
        if arguments.runs:
            count = len(list(arguments.runs.rglob("run.json")))
            measure(f"{count} runs in {arguments.runs}", arguments.runs, root / "other")


def measure(what, runs, output):
    """Run the program and print its wall time, its processor time and its largest resident size."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-m", "secateur", "report", str(runs), "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    page = (output / "report.html").stat().st_size / MIB
    print(f"{what}: {wall:.1f} s ({busy:.1f} s busy), at most {after.ru_maxrss / 1024:.0f} MiB, page {page:.1f} MiB")
    shutil.rmtree(output)


def make_records(root, count):
    """Write finished records of full data and six methods at nine ratios, with as many seeds as it takes."""
    noise = random.Random(0)
    seed = made = 0
    while made < count:
        for method, ratio in [("full", 0.0), *((method, ratio) for method in METHODS for ratio in RATIOS)]:
            if made < count:
                write_json(root / f"{made:05d}" / FILE_NAME, make_record(method, ratio, seed, noise))
                made += 1
        seed += 1


def make_record(method, ratio, seed, noise):
    """Return a record as large as a real one: a whole configuration, provenance, ledger and class counts."""
    scored = method not in ("full", "random")
    accuracy = 0.95 - 0.1 * ratio**3 + noise.gauss(0, 0.004)
    node = {f"key_{j}": j for j in range(10)}
    record = new_record(
        status="finished",
        run_key=f"{method}-{ratio}-{seed}",
        name="synthetic",
        seed=seed,
        score_seed=seed,
        command="python -m secateur run sweeps=synthetic",
        config={"seed": seed, "score_seed": seed, "pruning_ratio": ratio, **{f"group_{i}": node for i in range(20)}},
        provenance={"packages": {f"package_{i}": "1.0.0" for i in range(12)}, "host": "host"},
        finished="2026-01-01T00:00:00+00:00",
    ).to_json()
    names = [f"class {i}" for i in range(100)]
    record["data"].update(name="synthetic", fingerprint="f" * 64, num_train=50_000, num_test=10_000, class_names=names)
    record["models"].update(final="resnet18", scoring="resnet18" if scored else None)
    kept = [round(500 * (1 - ratio) * noise.uniform(0.5, 1.5)) for _ in names]
    record["pruning"].update(
        method="score" if scored else method,
        score=method if scored else None,
        selection="top" if scored else None,
        pruning_ratio=ratio,
        keep_fraction=1 - ratio,
        num_total=50_000,
        num_kept=sum(kept),
        class_counts=kept,
        mask_sha256="0" * 64,
    )
    record["metrics"].update(test_accuracy=accuracy, worst_class_accuracy=accuracy - 0.1)
    stages = ["scoring", "training"] if scored else ["training"]
    stage = {"samples_forward": 10**6, "samples_backward": 10**6, "flops": 1e15, "seconds": 60.0, "reused": False}
    record["ledger"].update(
        stages=[{"stage": name, "pruning": name == "scoring", **stage} for name in stages],
        total_seconds=120.0,
        cost_vs_full=(METHODS.get(method) or 0.0) + 1 - ratio,
        cost_vs_full_amortized=1 - ratio,
    )
    return json.loads(json.dumps(record))


if __name__ == "__main__":
    main()
