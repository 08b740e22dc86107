"""``secateur import``: published masks and scores as ours, over a pool, the right way round."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from secateur.cli.console import make_console
from secateur.cli.terminal import BAD_INPUT, message

if TYPE_CHECKING:
    from secateur.core.mask import Mask
    from secateur.core.tables import ScoreTable
    from secateur.data.prepared import PreparedData
    from secateur.interop.align import Imported
    from secateur.interop.foreign import ForeignMask, ForeignRows, ForeignScores

    Foreign = ForeignMask | ForeignRows | ForeignScores

DESCRIPTION = """\
Turn a published file into mask.parquet or scores.parquet for a data set: its rows that are in the pool, with the pool's
fingerprint. Train on a mask with method=mask method.path=mask.parquet, select from scores with
method=imported_scores method.path=scores.parquet selection=top (or ccs, class_balanced, ...)."""
EPILOG = """\
format         FILE                                            gives    direction
adapruner      mask.pt: selected_data, 0 or 1 of every row     mask     1 is kept
dp4tl          *_topN.indices: rows                            mask     listed is kept; N is the number of classes kept,
                                                                        and is checked
dyn-unc        *_P_file_list.txt: /class/file label            mask     listed is kept; P percent is checked
tdds           data_mask_*.npy, --score-file score_*.npy       scores   higher is kept; both are sorted by score, and
                                                                        that order is checked; without --score-file
                                                                        the direction has to be given; ids that ascend
                                                                        with their scores need --insist
ccs            data-score-*.pickle, --column el2n              scores   by the column, checked against the others;
                                                                        the opposite of one of them is refused
                                                                        unless the direction is given
extrapolation  JSON: row to score                              scores   the file does not say: it has to be given
                                                                        (the release keeps the highest)

A mask is checked over the pool and over the whole training split, by --pruning-ratio or by what its name says; a
warning says where nothing tells its direction.
--higher-is-kept and --higher-is-pruned replace what the format says (of a mask: whether 1, or listed, means kept).
Pickles are read as numbers alone: one that asks for code is refused."""
MASKS, SCORES = ("adapruner", "dp4tl", "dyn-unc"), ("ccs", "extrapolation", "tdds")


def import_(arguments: list[str]) -> int:
    """Read a foreign file for a data set and write our table; 0, or 2 after one line of error."""
    parsed = _parser().parse_intermixed_args(arguments)
    from secateur.interop.foreign import ForeignScores

    console = make_console()
    try:
        _check(parsed)
        data = _prepare(parsed.data, parsed.overrides)
        foreign = _readers(parsed, data)[parsed.format]()
        if isinstance(foreign, ForeignScores):
            _import_scores(foreign, data, parsed, console)
        else:
            _import_mask(foreign, data, parsed, console)
    except BAD_INPUT as error:
        sys.stderr.write(f"secateur: error: {message(error)}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="secateur import",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", type=Path, metavar="FILE")
    add("--format", required=True, choices=sorted((*MASKS, *SCORES)))
    add("--data", required=True, help="the data set it was made for: an option of data=")
    add("--output", type=Path, help="default: mask.parquet, or scores.parquet")
    add("--score-file", type=Path, metavar="FILE", help="tdds: the sorted scores that belong to FILE")
    add("--insist", action="store_true", help="tdds: take ids that ascend just as their sorted scores do")
    add("--column", help="ccs: which score of the file")
    add(
        "--file-list", type=Path, metavar="FILE", help="dyn-unc: list of all training files, if data= has no file names"
    )
    add("--pruning-ratio", type=float, metavar="R", help="masks: what the file is said to remove; it is checked")
    direction = parser.add_mutually_exclusive_group()
    for name, value in (("kept", True), ("pruned", False)):
        direction.add_argument(
            *(f"--higher-is-{name}",),
            dest="higher_is_kept",
            action="store_const",
            const=value,
            help=f"the highest scores (of a mask: 1, or listed) are {name}",
        )
    add("overrides", nargs="*", metavar="KEY=VALUE", help="further settings, such as data.root=DIR")
    return parser


def _check(parsed: argparse.Namespace) -> None:
    """Refuse options that the format would ignore."""
    from secateur.core.errors import ConfigError
    from secateur.core.mask import check_pruning_ratio

    of_format = {"score_file": ("tdds",), "column": ("ccs",), "file_list": ("dyn-unc",), "pruning_ratio": MASKS}
    for option, formats in of_format.items():
        if getattr(parsed, option) is not None and parsed.format not in formats:
            raise ConfigError(f"--{option.replace('_', '-')} is for --format {' or '.join(formats)}.")
    if parsed.insist and parsed.format != "tdds":
        raise ConfigError("--insist is for --format tdds.")
    if parsed.pruning_ratio is not None:
        check_pruning_ratio(parsed.pruning_ratio)


def _readers(parsed: argparse.Namespace, data: "PreparedData") -> dict[str, Callable[[], "Foreign"]]:
    """Return a reader for every format."""
    from secateur.interop import adapruner, ccs, dp4tl, dyn_unc, extrapolation_json, tdds
    from secateur.runs.exporting import file_list, listed_files

    def every() -> dyn_unc.FileList:
        return listed_files(parsed.file_list, data) if parsed.file_list else file_list(data)

    return {
        "adapruner": lambda: adapruner.read_adapruner(parsed.file),
        "ccs": lambda: ccs.read_ccs(parsed.file, parsed.column),
        "dp4tl": lambda: dp4tl.read_dp4tl(parsed.file),
        "dyn-unc": lambda: dyn_unc.read_dyn_unc(parsed.file, every()),
        "extrapolation": lambda: extrapolation_json.read_extrapolation(parsed.file),
        "tdds": lambda: tdds.read_tdds(parsed.file, parsed.score_file, insist=parsed.insist),
    }


def _prepare(data: str, overrides: list[str]) -> "PreparedData":
    """Prepare a data set by the configuration of ``secateur run``."""
    from secateur.data.prepared import prepare
    from secateur.runs.compose import default_experiment
    from secateur.runs.nodes import build

    recipe = build(default_experiment(f"data={data}", *overrides).data)
    recipe.check()
    return prepare(recipe)


def _import_mask(
    foreign: "ForeignMask | ForeignRows", data: "PreparedData", parsed: argparse.Namespace, console: Console
) -> None:
    from secateur.interop.align import adopt

    imported = adopt(
        *(foreign, data, parsed.format), higher_is_kept=parsed.higher_is_kept, pruning_ratio=parsed.pruning_ratio
    )
    path = _save(imported.mask, parsed.output or Path("mask.parquet"))
    _tell(imported, data.class_names, path, console)


def _import_scores(
    foreign: "ForeignScores", data: "PreparedData", parsed: argparse.Namespace, console: Console
) -> None:
    from secateur.interop.align import adopt_scores

    imported = adopt_scores(foreign, data, parsed.format, higher_is_kept=parsed.higher_is_kept)
    path = _save(imported.table, parsed.output or Path("scores.parquet"))
    console.print(f"{path}: {len(imported.table)} scores, higher = kept first", markup=False)
    if imported.num_outside:
        console.print(f"{imported.num_outside} rows of the file are not in the pool and were dropped")
    _remark(imported.remarks, console)


def _save(table: "Mask | ScoreTable", path: Path) -> Path:
    from secateur.core.files import writing

    with writing(path):
        return table.save(path)


def _tell(imported: "Imported", class_names: list[str], path: Path, console: Console) -> None:
    mask = imported.mask
    console.print(f"{path}: keeps {mask.num_kept} of {len(mask)} samples ({100 * mask.num_kept / len(mask):.1f} %)")
    if imported.num_outside:
        console.print(f"{imported.num_outside} kept rows of the file are not in the pool and were dropped")
    _remark(imported.remarks, console)
    for name, count in zip(class_names, imported.class_counts.tolist(), strict=True):
        console.print(f"  {name}: {count}", markup=False)


def _remark(remarks: Iterable[str], console: Console) -> None:
    for remark in remarks:
        console.print(remark, markup=False)
