"""``logger=mlflow``: one MLflow run per job, in a store inside the run's folder or on a server."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from secateur.tracking.base import HISTORIES, Job, Result, Session, Tracker, environment
from secateur.tracking.facts import filterable, summary

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TAG = "secateur.run_key"
TAG_LENGTH = 500
FILES = ("run.json", "mask.parquet", "scores.parquet", "ranking.parquet")
# Files need no database, which mlflow-skinny has none of; and a compute node tells nobody what it runs.
VARIABLES = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass(frozen=True)
class MlflowTracker(Tracker):
    """Logs to MLflow. A run that is started again is found by its key and gets what it lacks.

    Args:
        experiment_name: null takes the name of the runs' folder.
        tracking_uri: a server (``http://...``), or ``file:FOLDER`` for one store of many runs; null: ``mlflow/`` in
            the run's folder.
    """

    NAME: ClassVar[str] = "logger/mlflow"
    experiment_name: str | None = None
    tracking_uri: str | None = None

    package = extra = "mlflow"

    @property
    def destination(self) -> str:
        """The store."""
        return f"mlflow {self.tracking_uri or ''}/{self.experiment_name or ''}"

    def open(self, job: Job) -> Session:
        """Begin the job's run, or find it."""
        with ExitStack() as stack:
            stack.enter_context(environment(VARIABLES, ("MLFLOW_TRACKING_URI",)))
            from mlflow.tracking import MlflowClient
            from pytorch_lightning.loggers import MLFlowLogger

            uri = self.tracking_uri or (job.run_dir.resolve() / "mlflow").as_uri()
            name = self.experiment_name or job.group
            client = MlflowClient(uri)
            found = _find(client, name, job.run_key)
            tags = {TAG: job.run_key, "label": job.label, "tags": ", ".join(job.tags)}
            logger = MLFlowLogger(name, run_name=job.name, tracking_uri=uri, tags=tags, run_id=found)
            if found is None:
                logger.log_hyperparams({key: value for key, value in job.config.items() if key != "logger"})
            num_logged = 0 if found is None else _num_rows(client, found)
            return MlflowSession(logger, stack.pop_all(), num_logged)


def _find(client: "MlflowClient", experiment_name: str, run_key: str) -> str | None:
    """Return the id of the run with a key, if there is one; the experiment is made if there is none."""
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        client.create_experiment(experiment_name)
        return None
    runs = client.search_runs([experiment.experiment_id], f"tags.`{TAG}` = '{run_key}'", max_results=1)
    return runs[0].info.run_id if runs else None


def _num_rows(client: "MlflowClient", run_id: str) -> int:
    """Return how many epochs of all trainings a run has."""
    logged = client.get_run(run_id).data.metrics
    names = [name for training in HISTORIES if (name := f"{training}/epoch") in logged]
    return sum(len(client.get_metric_history(run_id, name)) for name in names)


class MlflowSession(Session):
    """One job's run."""

    logger: Any

    def log_result(self, result: Result) -> None:
        """Log what tells runs apart as tags, the single numbers that came out, and the tables."""
        client, run_id = self.logger.experiment, self.logger.run_id
        for key, value in filterable(result.record).items():
            client.set_tag(run_id, key, value)
        self.logger.log_metrics(summary(result.record))
        for path in (result.run_dir / name for name in FILES):
            if path.is_file():
                client.log_artifact(run_id, str(path))

    def log_failure(self, result: Result) -> None:
        """Log the error."""
        self.logger.experiment.set_tag(self.logger.run_id, "error", str(result.record.error)[:TAG_LENGTH])
