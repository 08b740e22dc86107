"""The files of a run's folder: written once, and compared with run.json when the run is asked for again."""

import json
import os
from collections.abc import Collection
from pathlib import Path

from omegaconf import OmegaConf

from secateur.core.files import link_or_copy, write_text
from secateur.core.group import is_rank_zero
from secateur.core.hashing import file_sha256
from secateur.core.record import RunRecord
from secateur.core.stage_files import file_flaw
from secateur.runs.config import Config
from secateur.runs.final import Final
from secateur.runs.methods.base import Pruned
from secateur.runs.stages.training import STATIC_MASK

CONFIG = "config.yaml"
FIDELITY = "fidelity.parquet"
HASHED_BYTES = 1 << 30  # files of a run that are together larger are hashed on demand only: it takes a second per GB


def write_artifacts(run_dir: Path, pruned: Pruned, final: Final | None) -> list[Path]:
    """Put tables, metrics and weights into a run's folder; return their paths. Only rank 0 does."""
    if not is_rank_zero():
        return []
    paths = []
    if pruned.mask is not None:
        paths.append(pruned.mask.save(run_dir / "mask.parquet"))
    if pruned.static_mask is not None:
        paths.append(pruned.static_mask.save(run_dir / STATIC_MASK))
    if pruned.scores is not None:
        paths.append(pruned.scores.save(run_dir / "scores.parquet"))
    if pruned.ranking is not None:
        paths.append(pruned.ranking.save(run_dir / "ranking.parquet"))
    for target, source in final.files.items() if final else ():
        paths.append(link_or_copy(source, run_dir / target))
    return paths + [link_or_copy(path, run_dir / path.name) for path in pruned.files]


def list_artifacts(record: RunRecord, run_dir: Path, paths: list[Path]) -> None:
    """Add files to a record's ``artifacts`` (sha256) and ``artifact_bytes`` (size), by their path in the run's folder.

    Args:
        record: the record.
        run_dir: the run's folder.
        paths: files in it.
    """
    files = {path.relative_to(run_dir).as_posix(): path for path in paths}
    record.artifacts = {**record.artifacts, **{name: file_sha256(path) for name, path in files.items()}}
    record.artifact_bytes = {**record.artifact_bytes, **{name: path.stat().st_size for name, path in files.items()}}


def write_config(run_dir: Path, config: Config) -> Path:
    """Write config.yaml, the configuration in run.json."""
    return write_text(run_dir / CONFIG, _yaml(config))


def flaws(run_dir: Path, record: RunRecord, *, check: bool = False) -> dict[str, str]:
    """Return what is wrong with the files of a finished run, by their path in its folder.

    Sizes are always compared. Hashes are where the files have at most :data:`HASHED_BYTES` together, or on demand.
    config.yaml is compared with the configuration in the record.

    Args:
        run_dir: the run's folder.
        record: its record.
        check: compare the hashes, however large the files are.
    """
    sizes = record.artifact_bytes  # records of before do not have them
    hashed = check or sum(sizes.values()) <= HASHED_BYTES
    found = {
        name: file_flaw(run_dir / name, sizes.get(name), sha256 if hashed or name not in sizes else None)
        for name, sha256 in record.artifacts.items()
    }
    found[CONFIG] = _config_flaw(run_dir / CONFIG, record.config)
    return {name: flaw for name, flaw in found.items() if flaw}


def replace_files(run_dir: Path, made: Path, record: RunRecord, names: Collection[str]) -> None:
    """Move files that were made anew into a finished run's folder, where they are as its record says.

    Args:
        run_dir: the run's folder.
        made: folder on the same file system that holds the new files by the same paths.
        record: the run's record.
        names: the files to replace; all others are left alone.
    """
    for name in names:
        sha256 = record.artifacts.get(name)
        if sha256 is not None and file_flaw(made / name, record.artifact_bytes.get(name), sha256) is None:
            (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(made / name, run_dir / name)


def _config_flaw(path: Path, config: Config) -> str | None:
    try:
        return None if path.read_bytes() == _yaml(config).encode() else "is not the configuration in run.json"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _yaml(config: Config) -> str:
    """Return config.yaml of a configuration, the same before and after it went through run.json."""
    return OmegaConf.to_yaml(OmegaConf.create(json.loads(json.dumps(config))))
