"""``logger=tensorboard``: event files in the run's folder."""

import shutil
from contextlib import ExitStack
from typing import ClassVar

from secateur.tracking.base import Job, Result, Session, Tracker
from secateur.tracking.facts import filterable, summary

FOLDER = "tensorboard"


class TensorBoardTracker(Tracker):
    """Writes ``tensorboard/`` in the run's folder; ``tensorboard --logdir outputs/runs`` shows all runs.

    A run that is started again writes its whole history again in place of what lay there.
    """

    NAME: ClassVar[str] = "logger/tensorboard"
    package = extra = "tensorboard"
    destination = "tensorboard"

    def open(self, job: Job) -> Session:
        """Begin new event files."""
        from pytorch_lightning.loggers import TensorBoardLogger

        shutil.rmtree(job.run_dir / FOLDER, ignore_errors=True)
        logger = TensorBoardLogger(str(job.run_dir), name=FOLDER, version="", default_hp_metric=False)
        return TensorBoardSession(logger, ExitStack())


class TensorBoardSession(Session):
    """One job's event files."""

    def log_result(self, result: Result) -> None:
        """Log what tells runs apart as hyper-parameters, and the single numbers that came out."""
        keys = ("seed", "score_seed", "pruning_ratio")
        settings = {**{key: result.record.config[key] for key in keys}, **filterable(result.record)}
        self.logger.log_hyperparams(settings, summary(result.record))
