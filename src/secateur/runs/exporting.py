"""A run's mask and scores as foreign files."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from secateur.core.errors import DataError
from secateur.core.files import writing
from secateur.core.mask import Mask
from secateur.core.names import targeted
from secateur.core.record import RunRecord, load_record
from secateur.core.tables import ScoreTable
from secateur.data.encoded import FileImages
from secateur.data.prepared import PreparedData, prepare
from secateur.interop.adapruner import write_adapruner
from secateur.interop.dp4tl import write_dp4tl
from secateur.interop.dyn_unc import FileList, read_file_list, relative_names, write_dyn_unc
from secateur.interop.extrapolation_json import write_extrapolation
from secateur.interop.tdds import write_tdds
from secateur.runs.config import Node
from secateur.runs.nodes import build
from secateur.runs.recorded import check_targets

OF_SCORES = ("extrapolation", "tdds")
OF_MASKS = ("adapruner", "dp4tl", "dyn-unc")
FORMATS = (*OF_MASKS, *OF_SCORES)
# Of what the training split is needed for, since the mask has the pool's rows only.
NEEDS_DATA = ("adapruner", "dyn-unc")


@dataclass(frozen=True)
class Exported:
    """What was written: the files, and what they hold in words."""

    files: tuple[Path, ...]
    remark: str


def export_run(
    run_dir: Path,
    file_format: str,
    output: Path,
    data_root: Path | None = None,
    *,
    force: bool = False,
    own_code: bool = False,
) -> Exported:
    """Write a run's mask, or its scores, as the files of a release.

    Args:
        run_dir: folder of a run.
        file_format: one of :data:`FORMATS`.
        output: the file to write; the scores of ``tdds`` go beside it, as ``score_<name>``.
        data_root: where the data lies now, for the formats that need it; None: as recorded.
        force: write over files that exist; never over those of the run.
        own_code: whether the data set may be of a class of the user's own, which runs whatever the record names.

    Raises:
        ConfigError: the record's data set is not of a class of Secateur, and ``own_code`` is not given.
        DataError: there is no run, it has no scores, the format needs what the data does not have, or the output exists
            or cannot be written.
    """
    record = load_record(run_dir)
    targets = (output, _score_file(output)) if file_format == "tdds" else (output,)
    for path in targets:
        _check_free(path, run_dir, record, force)
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    if file_format in OF_SCORES:
        table = ScoreTable.load(_there(run_dir / "scores.parquet"))
        with writing(output):
            return _export_scores(table, file_format, output)
    return _export_mask(run_dir, record, file_format, output, data_root, own_code)


def _export_mask(
    run_dir: Path, record: RunRecord, file_format: str, output: Path, data_root: Path | None, own_code: bool
) -> Exported:
    mask = Mask.load(_there(run_dir / "mask.parquet"))
    if file_format not in NEEDS_DATA:
        with writing(output):
            return Exported((write_dp4tl(output, mask.kept_ids),), f"{mask.num_kept} kept rows")
    data = _data(_data_node(run_dir, record, own_code), data_root, mask)
    if file_format == "adapruner":
        keep = torch.zeros(len(data.labels), dtype=torch.bool)
        keep[mask.kept_ids] = True
        with writing(output):
            return Exported((write_adapruner(output, keep),), _remark(mask, len(keep) - len(mask)))
    every = file_list(data)
    with writing(output):
        return Exported((write_dyn_unc(output, every, mask.kept_ids),), f"{mask.num_kept} kept files")


def file_list(data: PreparedData) -> FileList:
    """Return the files of a training split as ``<class folder>/<file>``, and their labels.

    Raises:
        DataError: the data set is not made of files.
    """
    if not isinstance(data.train, FileImages):
        raise DataError(
            f"{data.name} does not consist of image files whose names could be compared: take data=image_folder or "
            "data=imagenet, or give the list of all files with --file-list."
        )
    return FileList(relative_names(data.train.paths, 2), data.clean_labels)


def listed_files(path: Path, data: PreparedData) -> FileList:
    """Read the list of all files of a training split, in its order.

    Raises:
        DataError: it cannot be read, or is not of this data: another length, or other labels.
    """
    every = read_file_list(path)
    if len(every.names) != len(data.clean_labels):
        raise DataError(
            f"{path} lists {len(every.names)} files, but the training split of {data.name} has "
            f"{len(data.clean_labels)}."
        )
    wrong = (every.labels != data.clean_labels).nonzero().flatten()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{path}, line {row + 1}: class {int(every.labels[row])}, but row {row} of {data.name} is of class "
            f"{int(data.clean_labels[row])}: the files are in another order."
        )
    return every


def _export_scores(table: ScoreTable, file_format: str, output: Path) -> Exported:
    if file_format == "extrapolation":
        return Exported((write_extrapolation(output, table.sample_id, table.score),), f"{len(table)} scores")
    files = write_tdds(output, _score_file(output), table.sample_id, table.score)
    return Exported(files, f"{len(table)} rows by ascending score, and their scores")


def _score_file(output: Path) -> Path:
    """Return the file of scores that belongs to a list of ids of TDDS."""
    return output.with_name(f"score_{output.name.removeprefix('data_mask_')}")


def _check_free(path: Path, run_dir: Path, record: RunRecord, force: bool) -> None:
    """Refuse to write over what a run consists of, and over anything else without being told to."""
    own = {os.path.realpath(run_dir / name) for name in ("run.json", "config.yaml", *record.artifacts)}
    with writing(path):
        if os.path.realpath(path) in own:
            raise DataError(f"{path} is a file of the run itself, which export never writes over: choose another path.")
        if path.is_dir():
            raise DataError(f"{path} is a folder; --output is the file to write.")
        if path.exists() and not force:
            raise DataError(f"{path} exists already; add --force to write over it.")


def _data_node(run_dir: Path, record: RunRecord, own_code: bool) -> Node:
    node = targeted(record.config.get("data"))
    if not isinstance(node, dict) or "_target_" not in node:
        raise DataError(f"{run_dir}/run.json has no configuration of its data set.")
    if not own_code:
        check_targets(node, "config.data")
    return node


def _data(node: Node, data_root: Path | None, mask: Mask) -> PreparedData:
    recipe = build({**node, "root": str(data_root)} if data_root else node)
    recipe.check()
    data = prepare(recipe)
    if not torch.equal(data.pool, mask.sample_id):
        raise DataError(f"The pool of {data.name} is not the one that the mask was made for.")
    return data


def _there(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path.parent} has no {path.name}: this format is for runs that have one.")
    return path


def _remark(mask: Mask, outside: int) -> str:
    return f"{mask.num_kept} of {len(mask)} rows kept; {outside} rows outside of the pool are written as not kept"
