"""``secateur export``: a run's mask or scores as the files of a release."""

import argparse
import sys
from pathlib import Path

from secateur.cli.console import make_console
from secateur.cli.terminal import BAD_INPUT, message

DESCRIPTION = """\
Write what a run kept, or its scores, in the form that another project reads. secateur import reads all of it again."""
EPILOG = """\
adapruner      mask.pt: selected_data, 0 or 1 for every row of the training split (reads the data set's labels)
dp4tl          kept rows, a bare tensor
dyn-unc        /class/file label of the kept files (data sets of image files)
extrapolation  JSON: row to score, of the pool
tdds           OUTPUT with the pool's rows by ascending score, and score_OUTPUT with the scores in that order

Higher scores are kept first in every file, as in ours. A file that exists is written over with --force only, and one
that belongs to the run never. There is no export for ccs: its files are pickles."""
FORMATS = ("adapruner", "dp4tl", "dyn-unc", "extrapolation", "tdds")


def export(arguments: list[str]) -> int:
    """Write a run's files; 0, or 2 after one line of error."""
    parsed = _parser().parse_args(arguments)
    from secateur.runs.exporting import export_run
    from secateur.runs.user_code import make_importable

    own_code = parsed.config_dir is not None
    if own_code:
        make_importable(parsed.config_dir)
    try:
        exported = export_run(
            parsed.run_dir, parsed.format, parsed.output, parsed.data_root, force=parsed.force, own_code=own_code
        )
    except BAD_INPUT as error:
        sys.stderr.write(f"secateur: error: {message(error)}\n")
        return 2
    names = ", ".join(str(path) for path in exported.files)
    make_console().print(f"{names}: {exported.remark}", markup=False, soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="secateur export",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--output", required=True, type=Path, metavar="FILE")
    parser.add_argument(
        "--config-dir",
        metavar="DIR",
        help="beside the code of your own data set; runs whatever code the record names: only where you trust it",
    )
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where the data lies now (adapruner, dyn-unc)")
    parser.add_argument("--force", action="store_true", help="write over files that exist, except the run's own")
    return parser
