"""``secateur import``: foreign mask files to ours."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from secateur.cli.console import make_console
from secateur.cli.errors import BAD_INPUT, message
from secateur.interop.adapruner import ForeignMask, read_adapruner
from secateur.pipeline.importing import Imported, adopt

if TYPE_CHECKING:
    from secateur.data.prepared import PreparedData

FORMATS: dict[str, Callable[[Path], ForeignMask]] = {"adapruner": read_adapruner}


def import_(arguments: list[str]) -> int:
    """Read a foreign file for a data set and write mask.parquet; 0, or 2 after one line of error."""
    parsed = _parser().parse_args(arguments)
    try:
        data = _prepare(parsed.data, parsed.overrides)
        imported = adopt(FORMATS[parsed.format](parsed.file), data, parsed.format)
    except BAD_INPUT as error:
        sys.stderr.write(f"secateur: error: {message(error)}\n")
        return 2
    path = imported.mask.save(parsed.output)
    _tell(imported, data.class_names, path)
    return 0


def _parser() -> argparse.ArgumentParser:
    description = "Turn a published mask file into mask.parquet; train on it with method=mask method.path=mask.parquet."
    parser = argparse.ArgumentParser(prog="secateur import", description=description)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--format", required=True, choices=sorted(FORMATS))
    parser.add_argument("--data", required=True, help="the data set it was made for: an option of data=")
    parser.add_argument("--output", type=Path, default=Path("mask.parquet"), help="default: mask.parquet")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="further settings, such as data.root=DIR")
    return parser


def _prepare(data: str, overrides: list[str]) -> "PreparedData":
    """Prepare a data set by the configuration of ``secateur run``."""
    from hydra import compose, initialize_config_dir

    from secateur.data.prepare import prepare
    from secateur.pipeline.config import build, resolve
    from secateur.pipeline.paths import CONF

    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = resolve(compose("config", [f"data={data}", *overrides]))
    recipe = build(config["data"])
    recipe.check()
    return prepare(recipe)


def _tell(imported: Imported, class_names: list[str], path: Path) -> None:
    console, mask = make_console(), imported.mask
    console.print(f"{path}: keeps {mask.num_kept} of {len(mask)} samples ({100 * mask.num_kept / len(mask):.1f} %)")
    if imported.num_outside:
        console.print(f"{imported.num_outside} kept rows of the file are not in the pool and were dropped")
    for name, count in zip(class_names, imported.class_counts.tolist(), strict=True):
        console.print(f"  {name}: {count}")
