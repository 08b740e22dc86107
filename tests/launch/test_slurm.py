"""What is said to Slurm and read from it, without one: sbatch and squeue are small scripts here."""

import importlib.util
import shutil
import sys

import pytest
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.launch import launcher as sweep_launch
from secateur.launch import slurm
from secateur.launch.slurm import array_size, check_launcher, queue, read_queue, submit
from secateur.runs.paths import CONF


@pytest.fixture
def node(tmp_path):
    node = OmegaConf.load(CONF / "hydra" / "launcher" / "slurm.yaml")
    node.update({"submitit_folder": str(tmp_path / "logs"), "name": "my sweep"})
    return node


@pytest.mark.parametrize(
    ("state", "is_what"),
    [
        *((state, "pending") for state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")),
        *((state, "running") for state in ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED")),
        *((state, None) for state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")),
    ],
)
def test_every_state_is_waiting_working_or_over(state, is_what):
    assert read_queue(f"12_3|{state}\n").get("12_3") == is_what


def test_an_empty_queue_is_not_an_unknown_one(commands):
    commands("squeue", "exit 0")
    assert queue() == {}
    commands("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert queue() is None


def test_squeue_is_asked_for_every_job_of_every_array(commands, tmp_path):
    commands("squeue", f'echo "$@" > {tmp_path}/asked; echo "7_0|RUNNING"')
    assert queue() == {"7_0": "running"}
    asked = (tmp_path / "asked").read_text().split()
    assert {"--noheader", "--array", "--states=all"} <= set(asked)


def test_without_slurm_the_queue_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queue() is None
    assert array_size() == 1000


def test_an_array_is_one_smaller_than_slurm_s_limit(commands):
    commands("scontrol", "echo 'MaxArraySize            = 5'")
    assert array_size() == 4


def test_a_missing_extra_is_one_line_of_advice(monkeypatch, node):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[slurm\]'"):
        check_launcher(node)


def test_a_machine_without_sbatch_is_told_before_anything_is_written(monkeypatch, node):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="log in to a node that submits jobs"):
        check_launcher(node)


@pytest.mark.parametrize(("key", "value"), [("timeout_min", "long"), ("nodes", 1.5), ("setup", "module load cuda")])
def test_a_wrong_value_names_its_key(monkeypatch, node, key, value):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    check_launcher(node)
    node[key] = value
    with pytest.raises(ConfigError, match=f"hydra.launcher.{key}: "):
        check_launcher(node)


class Recorder:
    """Stands for a set-up launcher: submit reads its parameters and sends it off as what the jobs call."""

    _EXECUTOR = "slurm"

    def __init__(self, **params):
        self.params = params

    def __call__(self, *arguments):
        return arguments


def test_the_batch_file_says_what_was_asked_for(commands, node, tmp_path):
    commands("srun", "exit 0")
    commands("sbatch", f"cp $1 {tmp_path}/batch; echo Submitted batch job 12")
    node.merge_with({"partition": "gpu", "gpus_per_node": 1, "timeout_min": 90})
    node.update({"python": "apptainer exec i.sif python", "setup": ["module load cuda"]})
    node.additional_parameters = {"nice": 100}
    params = OmegaConf.to_container(node)
    del params["_target_"]
    jobs = submit(Recorder(**params), {3: ["seed=3"], 8: ["seed=8"]})
    assert {num: job.job_id for num, job in jobs.items()} == {3: "12_0", 8: "12_1"}
    text = (tmp_path / "batch").read_text()
    for line in ("array=0-1%2", "partition=gpu", "gpus-per-node=1", "time=90", "nice=100", "job-name='my sweep'"):
        assert f"#SBATCH --{line}\n" in text
    setup, command = text.split("# setup\n")[1].split("# command\n")
    assert setup.splitlines()[:2] == [slurm.CPUS_FOR_SRUN, "module load cuda"]
    assert "apptainer exec i.sif python -u -m submitit.core._submit" in command
    assert sys.executable not in command
    assert "seed=8" in str(jobs[8].submission().args)


def test_what_sbatch_refuses_is_one_line(commands, node, tmp_path, capsys):
    commands("srun", "exit 0")
    commands("sbatch", "echo 'sbatch: error: invalid partition specified: nope' >&2; exit 1")
    with pytest.raises(ConfigError, match=r"could not be submitted: .*invalid partition specified: nope"):
        submit(Recorder(submitit_folder=str(tmp_path / "logs"), partition="nope"), {0: ["seed=0"]})
    assert capsys.readouterr().err == ""  # the error says it all, and once


def test_a_sweep_larger_than_an_array_is_several(commands, tmp_path, monkeypatch):
    commands("srun", "exit 0")
    commands("sbatch", f"echo x >> {tmp_path}/sent; echo Submitted batch job $(wc -l < {tmp_path}/sent)")
    monkeypatch.setattr(sweep_launch, "array_size", lambda: 2)
    noted = {}
    monkeypatch.setattr(sweep_launch, "_note", lambda folder, jobs: noted.update(jobs))
    launcher = Recorder(submitit_folder=str(tmp_path / "logs"))
    console = type("Silent", (), {"print": lambda self, text: None})()
    local = sweep_launch._submit_all(tmp_path, launcher, {num: [] for num in range(5)}, console, slurm=True)
    assert local == []
    assert [job.job_id for job in noted.values()] == ["1_0", "1_1", "2_0", "2_1", "3"]
