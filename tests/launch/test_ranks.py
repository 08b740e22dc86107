"""Which processes a run has, and what is refused before any is started."""

import os
import sys
from types import SimpleNamespace

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.core.group import current
from secateur.launch import ranks
from secateur.launch.ranks import ONE, Ranks, check_sweep, given_ranks, is_follower, start_processes, together
from secateur.training.distributed.strategy import DataParallel
from secateur.training.settings import TrainerSettings

PLACE = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node7", "MASTER_PORT": "1234"}
SLURM = {
    **{"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0"},
    **{"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "gpu[5-6]"},
}
BASIC = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
SINGLE = {"_target_": "secateur.training.distributed.strategy.SingleProcess"}


def ddp(**settings):
    return {"_target_": "secateur.training.distributed.strategy.DataParallel", **settings}


def configs(*strategies):
    trainer = TrainerSettings(max_epochs=1, accelerator="cpu")
    return [SimpleNamespace(strategy=strategy, trainer=trainer) for strategy in strategies]


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch):
    for name in {*PLACE, *SLURM, "SUBMITIT_EXECUTOR"}:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def environment(monkeypatch):
    def put(values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.fixture
def launched(monkeypatch):
    calls = []
    monkeypatch.setattr(ranks, "launch", lambda command, count: calls.append((command, count)) or 7)
    return calls


# -- who is there --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ONE),
        (PLACE, Ranks(3, 4, 1, "node7")),
        (SLURM, Ranks(2, 4, 0, "gpu5")),
        ({**SLURM, **PLACE}, Ranks(3, 4, 1, "node7")),
        ({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, ONE),
        ({"SLURM_JOB_ID": "17", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, ONE),
    ],
    ids=["nothing", "torchrun", "srun", "torchrun in srun", "a step of one task", "a batch script"],
)
def test_the_environment_tells(environment, values, expected):
    environment(values)
    assert given_ranks() == expected
    assert is_follower() == (expected.rank > 0)


def test_processes_of_a_slurm_step_meet_at_one_port_and_those_of_another_elsewhere(environment, monkeypatch):
    ports = []
    for step in ("0", "1"):
        for rank in ("0", "1"):
            monkeypatch.delenv("MASTER_PORT", raising=False)
            environment({**SLURM, "SLURM_STEP_ID": step, "SLURM_PROCID": rank})
            given_ranks()
            ports.append(int(os.environ["MASTER_PORT"]))
    assert ports[0] == ports[1] != ports[2] == ports[3]
    assert 1024 < min(ports) <= max(ports) < 65536


def test_half_an_environment_is_refused(environment):
    environment({"RANK": "1", "WORLD_SIZE": "2"})
    with pytest.raises(ConfigError, match="LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set: unset RANK"):
        given_ranks()
    assert not is_follower()  # somebody has to say it


# -- what is started -----------------------------------------------------------------------------------------------


def test_this_command_is_started_once_per_process(launched):
    assert start_processes(configs(ddp(devices=3)), ["seed=1"]) == 7
    assert launched == [([sys.executable, "-m", "secateur", "run", "seed=1"], 3)]


@pytest.mark.parametrize("strategy", [SINGLE, ddp(devices=1)], ids=["single", "one device"])
def test_one_process_is_this_one(launched, strategy):
    assert start_processes(configs(strategy), []) is None
    assert launched == []


@pytest.mark.parametrize("values", [PLACE, SLURM], ids=["torchrun", "srun"])
def test_nothing_is_started_where_all_are_there(launched, environment, values):
    environment(values)
    assert start_processes(configs(ddp(devices=2, num_nodes=2)), []) is None
    assert launched == []


def test_other_nodes_cannot_be_started_from_here(launched):
    with pytest.raises(ConfigError, match=r"strategy\.num_nodes=2, but this machine is one: start .* by srun or"):
        start_processes(configs(ddp(devices=2, num_nodes=2)), [])
    assert launched == []


def test_a_slurm_step_of_one_task_starts_no_second_one(launched, environment):
    environment({**SLURM, "SLURM_STEP_NUM_TASKS": "1"})
    with pytest.raises(ConfigError, match="is 2, but 1 processes were started"):
        start_processes(configs(ddp(devices=2)), [])
    assert launched == []


# -- sweeps --------------------------------------------------------------------------------------------------------


def test_a_sweep_in_one_process_is_refused():
    with pytest.raises(ConfigError, match=r"jobs of 2 processes each: .*submitit_local .*tasks_per_node=2"):
        check_sweep(configs(SINGLE, ddp(devices=2)), BASIC)


def test_a_sweep_of_single_processes_is_not():
    check_sweep(configs(SINGLE, ddp(devices=1)), BASIC)


@pytest.mark.parametrize(("tasks", "nodes"), [(2, 2), (1, 1), (4, 1)])
def test_the_launcher_of_a_sweep_must_start_as_many(tasks, nodes):
    with pytest.raises(ConfigError, match=f"starts {tasks} processes on each of {nodes} nodes, but strategy"):
        check_sweep(configs(ddp(devices=2)), {"tasks_per_node": tasks, "nodes": nodes})
    check_sweep(configs(ddp(devices=2)), {"tasks_per_node": 2, "nodes": 1})


@pytest.mark.parametrize(("tasks", "nodes"), [(2, 1), (1, 2)])
def test_a_sweep_of_single_processes_is_not_started_in_several(tasks, nodes):
    launcher = {"tasks_per_node": tasks, "nodes": nodes}
    with pytest.raises(
        ConfigError, match=r"strategy=single is 1, but hydra\.launcher starts 2 processes: make the two"
    ):
        check_sweep(configs(SINGLE), launcher)
    with pytest.raises(ConfigError, match="make them equal"):
        check_sweep(configs(ddp(devices=1)), launcher)
    check_sweep(configs(SINGLE, ddp(devices=1)), {"tasks_per_node": 1, "nodes": 1})


def test_the_command_line_refuses_it_before_anything_is_written(program):
    assert program.run("-m", "seed=0,1", "method=full", "strategy=ddp_cpu") == 2
    assert program.err.count("\n") == 1
    assert "A sweep in one process cannot run jobs of 2 processes each" in program.err
    assert not program.folder.exists()


def test_and_where_the_strategy_itself_is_swept(program):
    assert program.run("-m", "method=full", "strategy=single,ddp") == 2
    assert "A sweep in one process" in program.err


# -- joining -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "asked"),
    [(SINGLE, "strategy=single is 1"), (ddp(devices=2), r"strategy\.devices=2 times strategy\.num_nodes=1 is 2")],
    ids=["single", "ddp"],
)
def test_other_processes_than_asked_for_are_an_error(environment, strategy, asked):
    environment(PLACE)
    with (
        pytest.raises(ConfigError, match=f"{asked}, but 4 processes were started"),
        together(SimpleNamespace(strategy=strategy)),
    ):
        pass


@pytest.mark.parametrize(("accelerator", "device"), [("cpu", torch.device("cpu")), ("auto", None)])
def test_one_process_alone_computes_where_the_strategy_says(accelerator, device):
    strategy = ddp(devices=1, accelerator=accelerator)
    with together(SimpleNamespace(strategy=strategy, trainer=TrainerSettings(max_epochs=1))):
        assert (current().size, current().device) == (1, device)


def test_fewer_gpus_than_processes_are_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    settings, strategy = TrainerSettings(max_epochs=1), DataParallel(devices=3)
    assert ranks._device(strategy, settings, 1) == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match=r"strategy\.devices=3, but this machine shows 2 GPUs"):
        ranks._device(strategy, settings, 2)


def test_sharding_needs_gpus(program):
    assert program.run("method=full", "strategy=fsdp", "trainer.accelerator=cpu") == 2
    assert "strategy=fsdp divides a network among GPUs, and there is none here" in program.err
    assert not program.folder.exists()
