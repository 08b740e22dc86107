"""`secateur sweep`, and the folder that every sweep leaves, end to end on the digits."""

import json
import sys

import pytest
from filelock import FileLock

from secateur.core.manifest import editing, load_manifest
from secateur.launch import launcher as sweep_launch
from secateur.launch.freeze import Frozen, _copy
from secateur.launch.launcher import _new_folder
from secateur.runs.paths import CONF, conf_folder, frozen_conf

SCORER = '''
import os
from secateur.scores.base import Score, ScoreResult


class Fickle(Score):
    """Mean length of the logits; not finite while FICKLE is set."""

    def __init__(self, power=1.0):
        super().__init__()
        self.power = power

    def update(self, batch):
        self.rows_like("sum", batch.logits)[batch.rows] += batch.logits.norm(dim=1) ** self.power

    def compute(self):
        score = self.state["sum"] / self.num_epochs
        return ScoreResult(score * float("nan") if os.environ.get("FICKLE") else score)
'''


@pytest.fixture
def own(program, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "fickle_scores", raising=False)
    (tmp_path / "fickle_scores.py").write_text(SCORER)
    (tmp_path / "my_conf" / "score").mkdir(parents=True)
    (tmp_path / "my_conf" / "score" / "fickle.yaml").write_text("_target_: fickle_scores.Fickle\npower: 2.0\n")
    return program


@pytest.fixture
def folder(program):
    """Return a function that gives the only sweep's folder."""

    def only():
        (path,) = program.folder.glob("sweeps/*/*/sweep.json")
        return path.parent

    return only


def statuses(folder):
    return [cell.status for cell in load_manifest(folder).cells]


@pytest.mark.slow
def test_a_failed_job_is_retried_by_what_was_frozen_and_a_finished_one_left_alone(own, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FICKLE", "1")
    assert own.run("--config-dir", "my_conf", "-m", "score=fickle,el2n") == 2
    manifest = load_manifest(folder())
    assert statuses(folder()) == ["failed", "finished"]
    assert "not finite" in manifest.cells[0].error
    assert list(manifest.user_code) == [str(tmp_path / "fickle_scores.py")]
    finished = folder() / manifest.cells[1].run / "run.json"
    before = finished.read_bytes()

    monkeypatch.delenv("FICKLE")
    (tmp_path / "my_conf" / "score" / "fickle.yaml").write_text("_target_: fickle_scores.Fickle\npower: 9.0\n")
    assert own.command("sweep", "resume", str(folder())) == 0, own.err
    assert statuses(folder()) == ["finished", "finished"]
    assert [cell.attempts for cell in load_manifest(folder()).cells] == [2, 1]
    powers = [record["config"]["score"].get("power") for record in own.records() if record["label"] == "fickle"]
    assert powers == [2.0]
    assert finished.read_bytes() == before
    assert own.command("sweep", "status", str(folder())) == 0
    assert "2 of 2: 2 finished" in own.out
    assert "secateur report" in own.out


@pytest.mark.slow
def test_jobs_in_processes_of_their_own_find_the_user_s_code_and_refuse_an_edited_one(own, folder, tmp_path):
    local = ("hydra/launcher=submitit_local", "trainer.max_epochs=1")
    assert own.run("--config-dir", "my_conf", "-m", "score=fickle", *local) == 0, own.err
    assert statuses(folder()) == ["finished"]
    assert own.record()["label"] == "fickle"
    (tmp_path / "fickle_scores.py").write_text(SCORER + "# edited\n")
    with editing(folder()) as manifest:
        manifest.cells[0].status, manifest.cells[0].run = "failed", None
    assert own.command("sweep", "resume", str(folder())) == 2
    assert "fickle_scores.py is not what this sweep was launched with" in own.err
    assert own.err.count("\n") == 1
    assert own.command("sweep", "resume", str(folder()), "--accept-code", "hydra/launcher=basic") == 0, own.err
    assert [(cell.status, cell.attempts) for cell in load_manifest(folder()).cells] == [("finished", 2)]
    assert own.command("sweep", "resume", str(folder())) == 0  # what was accepted is the sweep's code now


@pytest.mark.slow
def test_a_resumed_sweep_is_summed_up_as_a_whole(program, folder):
    program.quick = ("trainer.max_epochs=1", "compare_with=[]")
    assert program.run("-m", "method=random", "seed=0,1") == 0
    table = program.folder / "reports" / "default" / "results.csv"
    before = table.read_bytes()
    with editing(folder()) as manifest:
        manifest.cells[1].status, manifest.cells[1].run = "failed", None
    assert program.command("sweep", "resume", str(folder())) == 0, program.err
    assert "again: 1 of 2 jobs" in program.out
    assert "(2)" in program.out  # seeds behind the mean
    assert table.read_bytes() == before


def test_an_interrupt_names_the_sweep_s_own_folder(program, folder, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("secateur.cli.run.launch", interrupted)
    assert program.run("-m", "method=random", "seed=0,1") == 130
    assert program.err == f"secateur: interrupted; go on with: secateur sweep resume {folder()}\n"


@pytest.mark.slow
def test_a_sweep_that_is_being_run_is_not_run_twice(program, folder):
    program.quick = ("trainer.max_epochs=1", "compare_with=[]")
    assert program.run("-m", "method=random", "seed=0") == 0
    with editing(folder()) as manifest:
        manifest.cells[0].status, manifest.cells[0].run = "failed", None
    with FileLock(folder() / "launch.lock"):
        assert program.command("sweep", "resume", str(folder())) == 2
    assert "is being launched by" in program.err
    with editing(folder()) as manifest:
        manifest.cwd = "/nowhere/at/all"
    assert program.command("sweep", "resume", str(folder())) == 2
    assert "/nowhere/at/all" in program.err


def test_nothing_is_left_of_a_sweep_whose_launcher_cannot_work(program, monkeypatch):
    monkeypatch.setattr("secateur.launch.slurm.shutil.which", lambda name: None)
    assert program.run("-m", "method=random", "seed=0,1", "hydra/launcher=slurm") == 2
    assert "needs sbatch and srun" in program.err
    assert not program.folder.exists()


def test_a_sweep_file_needs_no_flag_to_be_launched(program, monkeypatch):
    monkeypatch.setattr("secateur.launch.slurm.shutil.which", lambda name: None)
    program.quick = ()
    assert program.run("sweeps=demo/digits", "hydra/launcher=slurm") == 2
    assert "needs sbatch and srun" in program.err  # so it was taken for a sweep


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("status",), "needs the folder of a sweep"),
        (("status", "nowhere"), "is not the folder of a sweep"),
        (("statu",), "did you mean 'status'?"),
        (("status", ".", "--jsn"), "did you mean '--json'?"),
        (("resume", "."), "is not the folder of a sweep"),
        (("resume", "SWEEP", "seed=3"), "only hydra/launcher=... and hydra.launcher.KEY=... can be given"),
        (("submit", "seed=0,1", "hydra/launcher=basic"), "use secateur run -m"),
        (("submit", "sede=0,1"), "did you mean 'seed'?"),
        (("submit", "seed=0,1", "hydra.launcher.timout_min=3"), "did you mean 'hydra.launcher.timeout_min'?"),
    ],
    ids=["no folder", "no such folder", "typo", "flag", "no sweep", "an override", "a launcher", "a key", "its key"],
)
def test_bad_input_is_one_line(program, tmp_path, arguments, says):
    if "SWEEP" in arguments:
        sweep_launch.save_manifest(tmp_path, sweep_launch.Manifest("n", "", "", "", "", None, [], "basic", "", {}))
        arguments = tuple(str(tmp_path) if text == "SWEEP" else text for text in arguments)
    assert program.command("sweep", *arguments) == 2
    assert says in program.err
    assert program.err.count("\n") == 1
    assert not program.folder.exists()


def test_help_is_shown(program):
    assert program.command("sweep", "--help") == 0
    assert "secateur sweep resume DIR" in program.out


def test_two_sweeps_of_one_second_have_two_folders(tmp_path):
    folders = {_new_folder(tmp_path / "name") for _ in range(20)}
    assert len(folders) == 20
    assert all(folder.is_dir() for folder in folders)


def test_the_copy_holds_every_yaml_file_and_nothing_else(tmp_path):
    source = tmp_path / "conf"
    for name in ("a.yaml", "deep/er/b.yaml", "c.py", ".git/d.yaml", "outputs/runs/e.yaml"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x: 1")
    _copy(source, tmp_path / "copy")
    copied = {path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*.*")}
    assert copied == {"a.yaml", "deep/er/b.yaml"}


def test_inside_a_sweep_its_own_copy_is_the_configuration(tmp_path):
    assert conf_folder() == CONF
    with frozen_conf(Frozen(tmp_path).conf):
        assert conf_folder() == tmp_path / "frozen" / "conf"
    assert conf_folder() == CONF


@pytest.mark.slow
def test_the_manifest_is_there_while_the_jobs_run_and_says_where_each_is(program, folder, monkeypatch):
    from secateur.cli import run

    seen = []
    execute = run.execute

    def spy(config, *arguments, **named):
        outcome = execute(config, *arguments, **named)
        seen.append([(cell.status, cell.run is not None) for cell in load_manifest(folder()).cells])
        return outcome

    monkeypatch.setattr(run, "execute", spy)
    program.quick = ("trainer.max_epochs=1", "compare_with=[]")
    assert program.run("-m", "method=random", "seed=0,1") == 0
    assert seen == [[("running", True), ("pending", False)], [("finished", True), ("running", True)]]
    assert program.command("sweep", "status", str(folder()), "--json") == 0
    cells = json.loads(program.out)["cells"]
    assert all((folder() / cell["run"] / "run.json").is_file() for cell in cells)
    assert [cell["overrides"][-1] for cell in cells] == ["seed=0", "seed=1"]


def test_submit_returns_at_once_and_status_reads_the_queue(program, folder, commands, tmp_path):
    commands("srun", "exit 0")
    commands("sbatch", f"cp $1 {tmp_path}/batch; echo Submitted batch job 12")
    commands("squeue", "echo '12_0|RUNNING'; echo '12_1|PENDING'")
    assert program.command("sweep", "submit", "method=random", "seed=0,1,2", "name=mine") == 0, program.err
    assert "submitted 3 jobs as Slurm job 12" in program.out
    text = (tmp_path / "batch").read_text()
    assert "#SBATCH --job-name=mine\n" in text
    assert "#SBATCH --array=0-2%3\n" in text
    where = tmp_path / "outputs" / "sweeps" / "mine"
    assert program.command("sweep", "status", str(where)) == 0
    assert "1 running, 1 pending, 1 not started" in program.out
    assert f"secateur sweep resume {next(where.iterdir())}" in program.out

    commands("sbatch", f"cp $1 {tmp_path}/batch; echo Submitted batch job 13")
    again = ("sweep", "resume", str(where), "hydra.launcher.partition=big")
    assert program.command(*again) == 0, program.err
    assert "again: 1 of 3 jobs" in program.out
    assert "#SBATCH --partition=big\n" in (tmp_path / "batch").read_text()
    assert [cell.job for cell in load_manifest(next(where.iterdir())).cells] == ["12_0", "12_1", "13"]

    commands("squeue", "exit 1")
    assert program.command("sweep", "status", str(where)) == 0
    assert "squeue does not answer" in program.out
    assert program.command(*again) == 2
    assert "nobody can say which jobs are still in the queue" in program.err
