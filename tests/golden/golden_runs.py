"""Golden runs: small experiments, what is kept of their results, and the command that writes them down anew.

    python -m tests.golden.golden_runs    # writes tests/golden/runs.json; only where results are meant to change

A run is kept as its record and the digests of its tables, without what differs from run to run (times, paths, the
machine) and without what names the code (the run key, import paths).
"""

import copy
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FILE = Path(__file__).with_name("runs.json")
NAME = "golden"
COMMON = ("data.first=300", "trainer.max_epochs=3", f"name={NAME}", "hydra.run.dir=hydra")
ALONE = ("compare_with=[]",)
SOURCE = (
    *ALONE,
    "downstream=digits",
    "downstream.per_class=4",
    "downstream.validation_fraction=0.0",
    "pruning_ratio=0.5",
)
TRANSFER = (*SOURCE, "finetune=linear_probe", "finetune.max_epochs=4")
NEIGHBORS = (*ALONE, "score=tdds", "score.window=3", "score.trajectory_epochs=3", "subset_fraction=0.3")
CASES: dict[str, tuple[str, ...]] = {
    **{
        f"tdds_{seed}": ("score=tdds", "score.window=3", "score.trajectory_epochs=3", f"seed={seed}")
        for seed in range(3)
    },
    "dynamic_uncertainty": (
        *ALONE,
        "score=dynamic_uncertainty",
        "score.window=2",
        "score.skip_last=0",
        "data.label_noise=0.1",
    ),
    "el2n_class_balanced": (*ALONE, "score=el2n", "score.epoch=2", "selection=class_balanced", "budget=steps"),
    "ccs": (*ALONE, "score=aum", "selection=ccs", "pruning_ratio=0.5", "data.validation_fraction=0.1"),
    "beta": (*ALONE, "score=dual", "score.window=3", "score.num_epochs=3", "selection=beta"),
    "infobatch": (*ALONE, "method=infobatch", "pruning_ratio=0.5"),
    "rs2": (*ALONE, "method=rs2", "pruning_ratio=0.5"),
    "adapruner": (*ALONE, "method=adapruner"),
    "label_mapping": (*TRANSFER, "method=label_mapping"),
    "feature_mapping": (*TRANSFER, "method=feature_mapping", "method.grouping=kmeans", "method.num_clusters=8"),
    "score_groups": (*TRANSFER, "method=score_groups", "score=moderate", "score.rank_within=all"),
    "random_groups": (*SOURCE, "method=random_groups", "finetune=both", "finetune.max_epochs=1"),
    "knn": (*NEIGHBORS, "extrapolation=knn", "extrapolation.k=5", "fidelity.against=[100]"),
    "gnn": (*NEIGHBORS, "extrapolation=gnn", "extrapolation.max_epochs=5"),
    "class_mean": (*NEIGHBORS, "extrapolation=class_mean", "merge=raw"),
    "knn_cv": (*NEIGHBORS, "extrapolation=knn_cv", "merge=per_source_quota"),
    "unsupervised": (
        *ALONE,
        "paradigm=unsupervised",
        "paradigm@final_paradigm=supervised",
        "paradigm.encoder_epochs=2",
        "paradigm.encoder.hidden_dim=64",
        "paradigm.encoder.prediction_dim=16",
        "paradigm.encoder.projection_dim=64",
        "scoring.max_epochs=24",
        "extrapolation=knn",
        "extrapolation.k=5",
    ),
    "adversarial": (
        *ALONE,
        "paradigm=adversarial",
        "paradigm.num_steps=2",
        "paradigm.eval_steps=2",
        "score=el2n",
        "score.epoch=2",
    ),
}
TIMES = re.compile(r".*(seconds|_memory_bytes)$")
DAY = "2026-01-01T00:00:00+00:00"


def run_all(folder: Path) -> dict[str, dict[str, Any]]:
    """Run all cases in a folder, in this process.

    Returns:
        By case: ``record``, ``tables`` (digests by path) and ``path`` (the run's folder).
    """
    from hydra.core.global_hydra import GlobalHydra

    from secateur.cli.main import main

    results = {}
    for case, overrides in CASES.items():
        GlobalHydra.instance().clear()
        before = set(_records(folder))
        code = main(["run", *COMMON, *overrides, f"paths.output_dir={folder}"])
        if code != 0:
            raise AssertionError(f"golden run {case} ended with {code}")
        (path,) = set(_records(folder)) - before
        record = json.loads(path.read_text(encoding="utf-8"))
        results[case] = {
            "record": plain(record, case),
            "tables": {name: digest(path.parent / name) for name in sorted(record["artifacts"])},
            "path": path.parent,
        }
    return results


def _records(folder: Path) -> Iterator[Path]:
    return (folder / "runs").glob("*/*/run.json")


def key_of(case: str) -> str:
    """Return the key that stands for a case's own one."""
    return hashlib.sha256(case.encode()).hexdigest()[:12]


def plain(record: Mapping[str, Any], case: str) -> dict[str, Any]:
    """Return a record without what differs from run to run, and without what names the code.

    Times become numbers that follow from the samples, so that a report can be made of the result.
    """
    record = copy.deepcopy(dict(record))
    record |= {"run_key": key_of(case), "command": f"secateur run {case}", "started": DAY, "finished": DAY}
    record["provenance"] = {"packages": {}, "platform": "none", "device": "cpu"}
    record["artifacts"] = dict.fromkeys(sorted(record["artifacts"]), "0" * 64)
    record["artifact_bytes"] = None
    record["config"]["paths"] = {"output_dir": "outputs"}
    record["config"] = _ordered(record["config"])
    for stage in record["ledger"]["stages"]:
        for name in stage:
            if TIMES.fullmatch(name) and stage[name] is not None:
                stage[name] = stage["samples_forward"] / 1000
    record["ledger"]["total_seconds"] = sum(stage["seconds"] for stage in record["ledger"]["stages"])
    return json.loads(json.dumps(record))


def _ordered(node: Any) -> Any:
    """Return a configuration with sorted keys."""
    if isinstance(node, Mapping):
        return {key: _ordered(value) for key, value in sorted(node.items())}
    if isinstance(node, list):
        return [_ordered(value) for value in node]
    return node


def digest(path: Path) -> str:
    """Return the sha256 of a file; of a table, of its columns (its metadata name the code)."""
    if path.suffix != ".parquet":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    table = pq.read_table(path).replace_schema_metadata(None).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue().to_pybytes()).hexdigest()


def report_of(results: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Make the report of all runs with their plain records, in a folder; return the digests of its files."""
    import shutil

    from secateur.cli.main import main

    before = Path.cwd()
    os.chdir(folder)
    try:
        for case, result in results.items():
            run = Path("outputs/runs", NAME, key_of(case))
            shutil.copytree(result["path"], run)
            for path in run.rglob("run.json"):  # of the run, and of the baselines within it
                part = "/".join([case, *path.parent.relative_to(run).parts[:-1]])
                record = plain(json.loads(path.read_text(encoding="utf-8")), part)
                path.write_text(json.dumps(record, indent=2), encoding="utf-8")
        if main(["report", f"outputs/runs/{NAME}", "--output", "report"]) != 0:
            raise AssertionError("the report of the golden runs failed")
        files = sorted(path for path in Path("report").rglob("*") if path.is_file())
        return {path.relative_to("report").as_posix(): digest(path) for path in files}
    finally:
        os.chdir(before)


def machine() -> dict[str, str]:
    """Return what floating-point results and pictures depend on."""
    import matplotlib
    import numpy
    import sklearn
    import torch

    from secateur.tracking.provenance import processor

    return {
        "processor": f"{processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
        "matplotlib": matplotlib.__version__,
    }


def make(folder: Path) -> dict[str, Any]:
    """Return what runs.json holds, made now."""
    results = run_all(folder / "made")
    report = report_of(results, folder)
    runs = {case: {"record": result["record"], "tables": result["tables"]} for case, result in results.items()}
    return {"machine": machine(), "runs": runs, "report": report}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        text = json.dumps(make(Path(name)), indent=1, sort_keys=True) + "\n"
    if len(sys.argv) > 1:
        FILE = Path(sys.argv[1])
    FILE.write_text(text, encoding="utf-8")
