"""Query Slurm about jobs without its accounting, and send it job arrays through submitit."""

import contextlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from secateur.core.errors import ConfigError
from secateur.runs.compose import hydra_state

if TYPE_CHECKING:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
    from submitit import Job

PLUGIN = "hydra_plugins.hydra_submitit_launcher"
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
WORKING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
DEFAULT_ARRAY_SIZE = 1000  # Slurm's own MaxArraySize is 1001, one more than the largest array
# Keys of the launcher that make the executor; all others are parameters of its jobs. ``python`` is ours.
OF_EXECUTOR = ("max_num_timeout", "python")
# From 22.05 on srun no longer takes this from the job it runs in.
CPUS_FOR_SRUN = 'if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi'
SECONDS = 60.0  # that a busy controller may take to answer


def queue() -> dict[str, str] | None:
    """Return ``{job id: pending or running}`` of this user's jobs in the queue; None where squeue does not answer.

    Jobs of an array are called ``12_3``. A job that ended is not in it, whatever became of it.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return read_queue(done.stdout)


def read_queue(text: str) -> dict[str, str]:
    r"""Return the jobs of squeue's lines ``id|STATE`` that wait or work.

    Example:
        >>> read_queue("7_0|RUNNING\n7_1|PENDING\n7_2|FAILED\n")
        {'7_0': 'running', '7_1': 'pending'}
    """
    jobs = {}
    for line in text.splitlines():
        job, _, state = line.strip().partition("|")
        if state in WAITING | WORKING:
            jobs[job] = "pending" if state in WAITING else "running"
    return jobs


def is_submitit(node: DictConfig) -> bool:
    """Whether a launcher node is of the submitit plugin."""
    return str(node.get("_target_", "")).startswith(f"{PLUGIN}.")


def is_slurm(node: DictConfig) -> bool:
    """Whether a launcher node sends jobs to Slurm."""
    return is_submitit(node) and str(node["_target_"]).endswith(".SlurmLauncher")


def check_launcher(node: DictConfig) -> None:
    """Check what a launcher node needs, before anything is written.

    Raises:
        ConfigError: the plugin or Slurm's commands are missing, or a value has the wrong type.
    """
    if not is_submitit(node):
        return
    if importlib.util.find_spec("submitit") is None or importlib.util.find_spec(PLUGIN) is None:
        raise ConfigError("This launcher needs the extra slurm: pip install 'secateur[slurm]'.")
    if is_slurm(node) and not (shutil.which("sbatch") and shutil.which("srun")):
        raise ConfigError(
            "This launcher needs sbatch and srun: log in to a node that submits jobs, or take "
            "hydra/launcher=submitit_local, or basic."
        )
    from hydra_plugins.hydra_submitit_launcher.config import LocalQueueConf, SlurmQueueConf

    schema = OmegaConf.structured(SlurmQueueConf if is_slurm(node) else LocalQueueConf)
    for key in (str(key) for key in node if key in schema):
        try:
            OmegaConf.update(schema, key, node[key])
        except OmegaConfBaseException as error:
            raise ConfigError(f"hydra.launcher.{key}: {str(error).splitlines()[0]}.") from error


def array_size() -> int:
    """Return how many jobs an array may hold here."""
    try:
        done = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, check=True, timeout=SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return DEFAULT_ARRAY_SIZE
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", done.stdout)
    return max(1, int(found[1]) - 1) if found else DEFAULT_ARRAY_SIZE


def submit(launcher: "BaseSubmititLauncher", jobs: Mapping[int, Sequence[str]]) -> "dict[int, Job[Any]]":
    """Send jobs off as one array; the launcher itself is what they call, so they compose where they run.

    Args:
        launcher: a set-up launcher of the submitit plugin.
        jobs: the overrides of each job, by its number.

    Returns:
        The jobs, by number.

    Raises:
        ConfigError: the scheduler refused them.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    kind = str(launcher._EXECUTOR)
    params = {key: value for key, value in launcher.params.items() if value is not None}
    if kind == "slurm":
        params["setup"] = [CPUS_FOR_SRUN, *params.get("setup", [])]
    made_of = {f"{kind}_{key}": params.pop(key) for key in OF_EXECUTOR if key in params}
    executor = submitit.AutoExecutor(cluster=kind, folder=params.pop("submitit_folder"), **made_of)
    shared = executor._typed_parameters()
    state = hydra_state()
    calls = [(list(texts), "hydra.sweep.dir", num, str(num), state) for num, texts in jobs.items()]
    try:
        executor.update_parameters(**{key if key in shared else f"{kind}_{key}": params[key] for key in params})
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what sbatch says, and raises the same
            sent = executor.map_array(launcher, *zip(*calls, strict=True))
    except (FailedJobError, NameError, ValueError, AssertionError) as error:
        raise ConfigError(f"The jobs could not be submitted: {' '.join(str(error).split())}") from error
    return dict(zip(jobs, sent, strict=True))
