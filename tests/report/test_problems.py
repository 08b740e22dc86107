"""What is missing, failed, lost, damaged or stale is named: by method, ratio and seed wherever that can be told."""

import json

import pytest

from secateur.core.manifest import Cell, Manifest, save_manifest
from secateur.report.build import build_report


def config_of(score, seed, ratio, **more):
    scorer = {"_target_": f"secateur.scores.{score}.Scorer"} if score else None
    method = "score.ScoreAndSelect" if score else "random.RandomSubset"
    node = {"_target_": f"secateur.runs.methods.{method}"}
    return {"method": node, "score": scorer, "seed": seed, "score_seed": seed, "pruning_ratio": ratio, **more}


@pytest.fixture
def grid(record):
    """Return the records of two methods, two ratios, three seeds."""

    def records():
        return [
            record(
                *("score" if score else "random", score, ratio, seed, 0.9 + 0.001 * seed),
                config=config_of(score, seed, ratio),
                name="study",
            )
            for score in (None, "tdds")
            for ratio in (0.3, 0.5)
            for seed in range(3)
        ]

    return records


def problems_of(root, tmp_path):
    result = build_report([root], tmp_path / "out", formats=["markdown"], figure_formats=[])
    return [(one.kind, one.name) for one in result.problems]


def test_a_whole_grid_has_no_problem(tmp_path, write, grid):
    assert problems_of(write(grid()), tmp_path) == []


def test_a_removed_record_is_missed_by_its_seed(tmp_path, write, grid):
    root = write(grid())
    (root / "00011" / "run.json").unlink()
    assert problems_of(root, tmp_path) == [("missing", "tdds, 50 % pruned, seed 2")]


def test_a_method_without_a_ratio_is_missed_where_most_others_have_it(tmp_path, write, grid, record):
    records = [*grid(), *(record("score", "el2n", 0.3, seed, 0.9, name="study") for seed in range(3))]
    assert problems_of(write(records), tmp_path) == [("missing", "el2n, 50 % pruned")]


def test_other_names_expect_nothing_of_each_other(tmp_path, write, grid, record):
    alone = record("score", "el2n", 0.3, 7, 0.9, name="another")
    assert problems_of(write([*grid(), alone]), tmp_path) == []


DAMAGE = {
    "truncated": lambda path: path.write_text(path.read_text()[:100]),
    "corrupt": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()[2:]),
    "emptied": lambda path: path.write_text(""),
    "removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_record_is_named_by_the_configuration_beside_it(tmp_path, write, grid, name):
    root = write(grid())
    folder = root / "00007"
    (folder / "config.yaml").write_text(json.dumps(config_of("tdds", 1, 0.3)))  # JSON is YAML
    (folder / "run.lock").touch()
    DAMAGE[name](folder / "run.json")
    assert problems_of(root, tmp_path) == [("damaged", "tdds, 30 % pruned, seed 1")]


def test_a_damaged_record_with_a_damaged_configuration_goes_by_its_folder(tmp_path, write, grid):
    root = write(grid())
    (root / "00007" / "config.yaml").write_text("a: [")
    DAMAGE["truncated"](root / "00007" / "run.json")
    assert problems_of(root, tmp_path) == [("damaged", "00007"), ("missing", "tdds, 30 % pruned, seed 1")]


STATES = {
    "failed": {"status": "failed", "error": "no room"},
    "killed": {"status": "running"},
    "interrupted": {"status": "interrupted"},
}


@pytest.mark.parametrize("kind", STATES)
def test_what_did_not_finish_is_named_once_and_not_missed_as_well(tmp_path, write, grid, kind):
    records = grid()
    records[-1].update(STATES[kind])
    expected = "interrupted" if kind == "killed" else kind
    assert problems_of(write(records), tmp_path) == [(expected, "tdds, 50 % pruned, seed 2")]


def test_a_method_that_never_finished_is_called_by_its_modules(tmp_path, write, grid, record):
    failed = record("score", "x", status="failed", config=config_of("brand_new", 0, 0.3), name="study")
    assert problems_of(write([*grid(), failed]), tmp_path) == [("failed", "brand_new, 30 % pruned, seed 0")]


def test_settings_tell_which_of_two_alike_failed(tmp_path, write, record):
    def tdds(seed, epochs, **more):
        config = config_of("tdds", seed, 0.3, trainer={"max_epochs": epochs})
        return record("score", "tdds", 0.3, seed, 0.9, config=config, **more)

    records = [tdds(0, 10), tdds(0, 20), tdds(1, 10), tdds(1, 20, status="failed", error="x")]
    assert problems_of(write(records), tmp_path) == [("failed", "tdds [max_epochs=20], 30 % pruned, seed 1")]


def provenance(commit, **more):
    return {"git": {"commit": commit, "dirty": False}, "packages": {"secateur": "0.1.0"}, **more}


def test_a_cell_of_other_code_is_stale_but_counts(tmp_path, write, grid):
    records = grid()
    for number, made in enumerate(records):
        made["provenance"] = provenance("b" * 40 if number == 11 else "a" * 40)
    result = build_report([write(records)], tmp_path / "out", formats=[], figure_formats=[])
    (stale,) = result.problems
    assert (stale.kind, stale.name) == ("stale", "tdds, 50 % pruned")
    assert stale.reason == (
        "1 of 3 runs by commit bbbbbbbbbbbb instead of commit aaaaaaaaaaaa (11 of the table's 12 runs by the latter)"
    )
    assert [row.accuracy.n for row in result.rows] == [3, 3, 3, 3]


def test_stage_versions_that_differ_are_named(tmp_path, write, grid):
    records = grid()
    for number, made in enumerate(records):
        made["provenance"] = provenance("a" * 40, stage_versions={"training": 1 if number < 3 else 2, "scoring": 1})
    result = build_report([write(records)], tmp_path / "out", formats=[], figure_formats=[])
    (stale,) = result.problems
    assert stale.name == "random, 30 % pruned"
    assert "(stage versions: training 1 instead of 2)" in stale.reason


@pytest.mark.parametrize("odd", [[1], {"a": 1}, "2", None], ids=str)
def test_stage_versions_may_be_anything(tmp_path, write, grid, odd):
    records = grid()
    for number, made in enumerate(records):
        made["provenance"] = provenance("a" * 40, stage_versions={"training": odd if number < 3 else 2})
    result = build_report([write(records)], tmp_path / "out", formats=[], figure_formats=[])
    (stale,) = result.problems
    assert f"(stage versions: training {odd!r} instead of 2)" in stale.reason


@pytest.mark.parametrize("key", ["pruning_ratio", "method", "score"])
@pytest.mark.parametrize("odd", [[], {}, None, "x", 2.5, True], ids=str)
def test_what_names_a_run_in_a_configuration_may_be_anything(tmp_path, write, record, key, odd):
    root = write([record("score", "tdds", config={key: odd}), record(seed=1, status="failed")])
    assert [kind for kind, _ in problems_of(root, tmp_path)] == ["failed"]


def test_of_two_equally_frequent_versions_the_older_is_stale(tmp_path, write, record):
    records = [
        record(ratio=0.3, finished="2026-01-01", provenance=provenance("a" * 40)),
        record(ratio=0.5, finished="2026-02-01", provenance=provenance("b" * 40)),
    ]
    assert problems_of(write(records), tmp_path) == [("stale", "random, 30 % pruned")]


@pytest.mark.parametrize("what", [{}, {"git": None, "packages": None}, {"code": "c" * 64}], ids=str)
def test_any_provenance_will_do(tmp_path, write, record, what):
    assert problems_of(write([record(provenance=what)]), tmp_path) == []


def sweep_file(root, cells, where="study", name="study", created="2026"):
    folder = root / "sweeps" / where
    folder.mkdir(parents=True)
    made = [Cell(**{"num": number, "overrides": ["a=1"], **cell}) for number, cell in enumerate(cells)]
    save_manifest(folder, Manifest(name, "run", created, "/", "config", None, [], "basic", "abc", {}, made))
    return folder


@pytest.fixture
def swept(tmp_path, grid, write):
    """Write the grid as the runs of a sweep and return the folder of outputs."""
    root = tmp_path / "outputs"
    (root / "runs").mkdir(parents=True)
    write(grid()).rename(root / "runs" / "study")
    return root


def test_a_sweep_says_what_was_not_started(tmp_path, swept):
    done = [{"run": f"../../runs/study/{number:05d}", "status": "finished"} for number in range(12)]
    more = [{}, {"status": "failed", "error": "CUDA\nout of memory"}, {"status": "interrupted", "attempts": 1}]
    sweep_file(swept, [*done, *more, {"run": "../../runs/study/gone", "status": "finished"}])
    expected = [
        ("not started", "job 12 of study: a=1"),
        ("failed", "job 13 of study: a=1"),
        ("interrupted", "job 14 of study: a=1"),
        ("missing", "job 15 of study: a=1"),
    ]
    for path in (swept, swept / "runs" / "study", swept / "sweeps" / "study"):
        result = build_report([path], tmp_path / "out", formats=[], figure_formats=[])
        assert [(one.kind, one.name) for one in result.problems] == expected
        assert result.problems[1].reason == "CUDA out of memory"
        assert len(result.rows) == 4


def test_choices_of_which_no_job_finished_are_named(tmp_path, swept):
    done = [
        {"run": f"../../../runs/study/{number:05d}", "status": "finished", "overrides": ["name=study", "score=tdds"]}
        for number in range(12)
    ]
    never = [{"overrides": ["name=study", "score=el2n", f"seed={seed}", "pruning_ratio=0.5"]} for seed in (0, 1)]
    begun = {"overrides": ["name=study", "score=aum"], "status": "running", "attempts": 1, "started": "2026"}
    sweep_file(swept, [*done, *never, begun], "study/2026-01-01")
    for path in (swept / "runs" / "study", swept):
        result = build_report([path], tmp_path / "out", formats=[], figure_formats=[])
        assert result.notes[:2] == [
            "none of the 2 jobs with score=el2n of the sweep study has finished",
            "none of the 1 job with score=aum of the sweep study has finished",
        ]
        assert [one.kind for one in result.problems] == ["not started", "not started", "interrupted"]
        assert result.problems[0].reason == "it was never started"


def test_a_folder_of_runs_without_any_record_is_told_of_by_its_sweep(tmp_path):
    root = tmp_path / "outputs"
    (root / "runs" / "study").mkdir(parents=True)
    sweep_file(root, [{}], "study/2026-01-01")
    result = build_report([root / "runs" / "study"], tmp_path / "out", formats=[], figure_formats=[])
    assert [one.kind for one in result.problems] == ["not started"]
    assert result.notes == ["none of the 1 job with its configuration of the sweep study has finished"]


def test_with_a_sweep_nothing_is_guessed_from_the_grid(tmp_path, swept):
    (swept / "runs" / "study" / "00011" / "run.json").unlink()
    sweep_file(swept, [{"run": f"../../runs/study/{number:05d}"} for number in range(11)])
    assert problems_of(swept, tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "study"}', '{"name": "study", "cells": [1]}'])
def test_a_broken_sweep_file_is_named_and_the_runs_are_read(tmp_path, swept, text):
    (sweep_file(swept, []) / "sweep.json").write_text(text)
    assert problems_of(swept, tmp_path) == [("damaged", "study")]


@pytest.mark.parametrize(
    "cell", [{"run": "a\0b"}, {"status": ["failed"]}, {"error": "\ud800"}, {"run": "r" * 5000}, {"run": "loop/x"}]
)
def test_no_cell_of_a_sweep_stops_the_report(tmp_path, write, record, cell):
    root = write([record()])
    folder = sweep_file(root, [{}])
    values = json.loads((folder / "sweep.json").read_text())
    values["cells"][0].update(cell)
    (folder / "sweep.json").write_text(json.dumps(values))
    (folder / "loop").symlink_to("loop")
    assert [one.kind for one in build_report([root], tmp_path / "out", figure_formats=[]).problems] in (
        ["damaged"],
        ["missing"],
        ["not started"],
        ["interrupted"],
    )


def launched(swept, number, cells):
    """Write the sweep that a command launched: ``cells`` has run and status of each of four jobs."""
    jobs = [f"score={score} seed={seed}" for score in ("tdds", "el2n") for seed in (0, 1)]
    overrides = [["name=study", *job.split(" ")] for job in jobs]
    made = [{"overrides": texts, **cell} for texts, cell in zip(overrides, cells, strict=True)]
    sweep_file(swept, made, f"study/{number}", created=f"2026-01-0{number}")


def told(swept, tmp_path):
    result = build_report([swept / "runs" / "study"], tmp_path / "out", formats=[], figure_formats=[])
    problems = [f"{one.kind} {one.name.removeprefix('job ')}" for one in result.problems]
    return problems, [note for note in result.notes if note.startswith("none of the")]


def done(number):
    return {"run": f"../../../runs/study/{number:05d}", "status": "finished"}


def test_a_sweep_that_was_interrupted_and_launched_again_is_settled_by_the_later_one(tmp_path, swept):
    launched(swept, 1, [done(0), {"status": "interrupted"}, {}, {}])
    assert told(swept, tmp_path)[1] == ["none of the 2 jobs with score=el2n of the sweep study has finished"]
    launched(swept, 2, [done(number) for number in range(4)])
    assert told(swept, tmp_path) == ([], [])


def test_a_later_sweep_says_what_is_left_of_the_jobs_and_each_is_named_once(tmp_path, swept):
    launched(swept, 1, [done(0), {}, {}, {}])
    launched(swept, 2, [{}, done(1), {}, {}])
    problems, notes = told(swept, tmp_path)
    assert problems == [f"not started {num} of study: name=study score=el2n seed={num - 2}" for num in (2, 3)]
    assert notes == ["none of the 2 jobs with score=el2n of the sweep study has finished"]


def test_a_job_that_was_run_by_itself_is_settled(tmp_path, swept):
    launched(swept, 1, [done(0), done(1), {}, {}])
    for seed in (0, 1):
        path = swept / "runs" / "study" / f"{4 + seed:05d}" / "run.json"
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, "command": f"secateur run seed={seed} score=el2n name=study"}))
    assert told(swept, tmp_path) == ([], [])


def test_jobs_of_another_name_settle_nothing(tmp_path, swept):
    launched(swept, 1, [done(0), done(1), {}, {}])
    overrides = [{**done(number), "overrides": ["name=study", "score=el2n", f"seed={number}"]} for number in (0, 1)]
    sweep_file(swept, overrides, "other/1", name="other", created="2027")
    assert len(told(swept, tmp_path)[0]) == 2
