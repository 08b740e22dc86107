"""``logger=wandb``: one Weights & Biases run per job, whose every file stays inside the run's folder."""

import netrc
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from PIL import Image
from torch import Tensor

from secateur.core.errors import ConfigError, SecateurError
from secateur.core.mask import Mask
from secateur.core.record import RunRecord
from secateur.core.tables import ScoreTable
from secateur.data.prepared import PreparedData
from secateur.tracking.base import HISTORIES, Job, Result, Session, Status, Tracker, environment
from secateur.tracking.facts import filterable, summary

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

EXIT_CODES: Mapping[Status, int] = {"finished": 0, "failed": 1, "interrupted": 130}
PUBLIC_HOST = "api.wandb.ai"
TAG_LENGTH = 64  # longer tags are refused
# Files of the run folder that become artifacts, by the type they get.
ARTIFACTS = {"scores": "scores.parquet", "mask": "mask.parquet", "ranking": "ranking.parquet"}


@dataclass(frozen=True)
class WandbTracker(Tracker):
    """Logs to Weights & Biases, offline by default.

    The run's id is the run's key, so that a job that was started again goes on with its run: online in place, offline
    in a second folder with the same id, which holds the whole history again.

    Args:
        project: project the runs go to.
        entity: user or team; null takes the account's default.
        mode: ``offline`` writes into the run's folder, for ``wandb sync``; ``online`` needs a login and a network.
        group: null takes the name of the runs' folder, which is the sweep's.
        tags: beside those of data, method and paper.
        num_images: thumbnails of the highest, and as many of the lowest scores, of kept and of pruned samples; 0: none.

    Raises:
        ConfigError: ``num_images`` is negative, or a tag is too long.
    """

    NAME: ClassVar[str] = "logger/wandb"
    project: str = "secateur"
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"
    group: str | None = None
    tags: tuple[str, ...] | list[str] = ()
    num_images: int = 16

    package = "wandb"

    def __post_init__(self) -> None:
        if self.num_images < 0:
            raise ConfigError(f"logger.num_images must not be negative, got {self.num_images}.")
        for tag in self.tags:
            if not 0 < len(tag) <= TAG_LENGTH:
                raise ConfigError(f"logger.tags: a tag has 1 to {TAG_LENGTH} characters, got {tag!r}.")

    @property
    def destination(self) -> str:
        """The mode and the project."""
        return f"wandb {self.mode} {self.entity or ''}/{self.project}"

    def check(self) -> None:
        """Check that wandb is there, and for ``mode=online`` that somebody is logged in; asks no server."""
        super().check()
        if self.mode == "online" and not logged_in():
            raise ConfigError(
                "logger.mode=online needs a W&B login and there is none: run `wandb login`, set WANDB_API_KEY, or take "
                "logger.mode=offline and `wandb sync` later."
            )

    def state(self) -> str:
        """Say whether it can be used online as well."""
        return "offline and online" if logged_in() else "offline (online needs `wandb login`)"

    def open(self, job: Job) -> Session:
        """Begin the job's run.

        Raises:
            SecateurError: another run is in progress in this process.
        """
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        if wandb.run is not None:
            raise SecateurError(f"another wandb run ({wandb.run.id}) is in progress in this process")
        with ExitStack() as stack:
            stack.enter_context(environment(self._variables(job.run_dir.resolve())))
            stack.callback(wandb.teardown)
            run = wandb.init(**self._arguments(job))
            for training in HISTORIES:
                run.define_metric(f"{training}/*", step_metric=f"{training}/epoch")
            return WandbSession(WandbLogger(experiment=run), stack.pop_all(), run, job.run_key, self.num_images)

    def _variables(self, run_dir: Path) -> dict[str, str]:
        """Return what keeps wandb's files in the run's folder; the settings of a login are read where they are."""
        names = ("DATA", "CACHE", "CONFIG") if self.mode == "offline" else ("DATA", "CACHE")
        return {f"WANDB_{name}_DIR": str(run_dir / "wandb" / name.lower()) for name in names}

    def _arguments(self, job: Job) -> dict[str, Any]:
        import wandb

        return {
            "project": self.project,
            "entity": self.entity,
            "mode": self.mode,
            "dir": str(job.run_dir.resolve()),
            "id": job.run_key,
            "resume": "allow",
            "name": job.name,
            "group": self.group or job.group,
            "job_type": job.method,
            "tags": list(dict.fromkeys(tag[:TAG_LENGTH] for tag in (*job.tags, *self.tags))),
            "config": {**job.config, "label": job.label},
            "settings": wandb.Settings(console="off", silent=True, x_disable_stats=True),
        }


class WandbSession(Session):
    """One job's run."""

    def __init__(self, logger: "Logger", resources: ExitStack, run: Any, run_key: str, num_images: int) -> None:
        super().__init__(logger, resources, num_logged=run.starting_step)
        self.run, self.run_key, self.num_images = run, run_key, num_images

    def log_result(self, result: Result) -> None:
        """Log ratios and cost as configuration, metrics and ledger as summary, tables as artifacts, and images."""
        self.run.config.update(filterable(result.record), allow_val_change=True)
        self.run.summary.update(summary(result.record))
        for kind, name in ARTIFACTS.items():
            if (result.run_dir / name).is_file():
                self._log_artifact(kind, result.run_dir / name, result.record)
        if result.data is not None:
            self._log_images(result)

    def log_failure(self, result: Result) -> None:
        """Log the error."""
        self.run.config.update({"status": result.record.status}, allow_val_change=True)
        self.run.summary["error"] = result.record.error

    def release(self, status: Status) -> None:
        """Finish the run with the exit code that the status has."""
        with self.resources:
            self.run.finish(exit_code=EXIT_CODES[status])

    def _log_artifact(self, kind: str, path: Path, record: RunRecord) -> None:
        """Log a file of the run's folder as it lies there: it is final, so nothing is copied."""
        import wandb

        facts = {"fingerprint": record.data.fingerprint, "run_key": self.run_key, "label": record.label}
        order = {"higher_score": "kept first"} if kind == "scores" else {}
        artifact = wandb.Artifact(f"{kind}-{self.run_key}", type=kind, metadata={**facts, **order})
        artifact.add_file(str(path.resolve()), policy="immutable")
        self.run.log_artifact(artifact)

    def _log_images(self, result: Result) -> None:
        import wandb

        assert result.data is not None
        columns: list[str | int] = ["image", "sample_id", "class", "score", "place"]
        tables = {name: wandb.Table(columns=columns) for name in ("kept", "pruned")}
        for p in pictures(result.run_dir, result.data, self.num_images):
            row = (wandb.Image(p.image, caption=p.class_name), p.sample_id, p.class_name, p.score, p.place)
            tables["kept" if p.kept else "pruned"].add_data(*row)
        if found := {f"images/{name}": table for name, table in tables.items() if table.data}:
            self.run.log(found)


def logged_in() -> bool:
    """Whether there are credentials for W&B; asks neither anybody nor a server, which ``wandb.login`` does."""
    import wandb

    try:
        settings = wandb.setup().settings
        host = urlsplit(settings.base_url).netloc
        return bool(settings.api_key or settings.identity_token_file or _in_netrc(host))
    finally:
        wandb.teardown()  # or the environment of the first job's run would come too late


def _in_netrc(host: str) -> bool:
    """Whether the file that ``wandb login`` writes to knows a host, or the public server."""
    given = os.environ.get("NETRC")
    places = [Path(given).expanduser()] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for path in filter(Path.is_file, places):
        with suppress(netrc.NetrcParseError, OSError):
            known = netrc.netrc(path)
            return any(known.authenticators(name) for name in (host, PUBLIC_HOST))
    return False


THUMBNAIL = 96  # pixels of the longer side


@dataclass(frozen=True)
class Picture:
    """One image of a table: where its score stands among the kept, or among the pruned."""

    kept: bool
    place: str
    sample_id: int
    class_name: str
    score: float
    image: Image.Image


def ends(score: Tensor, sample_id: Tensor, num_images: int) -> dict[str, Tensor]:
    """Return rows of the highest and of the lowest scores, in descending order; no row is in both.

    Args:
        score: ``[n]``.
        sample_id: int64 ``[n]``, increasing: the lower id of two equal scores comes first.
        num_images: how many of either.

    Example:
        >>> import torch
        >>> {place: rows.tolist() for place, rows in ends(torch.tensor([3., 1., 2.]), torch.arange(3), 2).items()}
        {'highest': [0, 2], 'lowest': [1]}
    """
    order = score.argsort(descending=True, stable=True)
    return {"highest": order[:num_images], "lowest": order[num_images:][-num_images:] if num_images else order[:0]}


def pictures(run_dir: Path, data: PreparedData, num_images: int) -> Iterator[Picture]:
    """Yield thumbnails of a finished run's kept and pruned samples; none where nothing was scored or kept for good.

    Args:
        run_dir: the run's folder, with mask.parquet and scores.parquet.
        data: the data set it was made on.
        num_images: how many with the highest and how many with the lowest scores, of the kept and of the pruned.
    """
    if not num_images or not all((run_dir / name).is_file() for name in ("scores.parquet", "mask.parquet")):
        return
    mask = Mask.load(run_dir / "mask.parquet", data.fingerprint)
    table = ScoreTable.load(run_dir / "scores.parquet", data.fingerprint)
    for kept in (True, False):
        rows = (mask.keep == kept).nonzero().flatten()
        for place, found in ends(table.score[rows], mask.sample_id[rows], num_images).items():
            for row in rows[found].tolist():
                yield _picture(data, kept, place, int(mask.sample_id[row]), float(table.score[row]))


def _picture(data: PreparedData, kept: bool, place: str, sample_id: int, score: float) -> Picture:
    image = data.train.image(sample_id)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return Picture(kept, place, sample_id, data.class_names[int(data.labels[sample_id])], score, image)
