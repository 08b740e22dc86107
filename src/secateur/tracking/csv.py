"""``logger=csv``: metrics.csv in the run's folder, which is always written, and no further logger."""

from typing import ClassVar

from secateur.tracking.base import Job, Tracker


class FilesOnly(Tracker):
    """Logs nowhere: everything is in the run's folder."""

    NAME: ClassVar[str] = "logger/csv"
    destination = None

    def state(self) -> str:
        """Say that there is nothing to install."""
        return "always written"

    def open(self, job: Job) -> None:
        """Begin nothing."""
        return
