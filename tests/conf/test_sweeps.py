"""Every file of sweeps/ says what it is, truly, and all that it sweeps over can work."""

import re
import shlex
from math import prod

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from secateur.launch.sweep_files import FIELDS, SweepFile, page, sweep_files
from secateur.runs.compose import parse, resolve
from secateur.runs.paths import CONF, SWEEPS
from secateur.runs.validate import validate

FILES = sweep_files()
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.option)


def test_all_were_seen_in_a_folder_per_paper():
    assert len(FILES) == len(list(SWEEPS.rglob("*.yaml"))) > 40
    assert {len(file.path.relative_to(SWEEPS).parts) for file in FILES} == {2}
    assert {"adapruner", "dynamic_uncertainty", "tdds", "extrapolation", "dp4tl"} <= {
        file.path.parent.name for file in FILES
    }


# -- the header ----------------------------------------------------------------------------------------------------


@every_file
def test_the_header_is_complete(file):
    lines = file.path.read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert list(file.header)[: len(FIELDS)] == list(FIELDS)
    assert all(file.header[name] for name in FIELDS)
    assert not any(line.startswith("#") and len(line) > 140 for line in lines)


@every_file
def test_a_published_number_comes_with_its_source(file):
    expected = file.header["Expected"]
    sources = ("abstract", "issue", "notebook", "mask files", "caption")
    if re.search(r"\d+\.\d", re.sub(r"arXiv [\d.]+", "", expected)):
        assert any(source in expected for source in sources)
    else:
        assert re.search(r"\bno\b|nothing|abstract|caption|table is", expected)


@every_file
def test_what_came_out_is_a_page_or_was_not_run(file):
    ours = file.header["Ours"]
    pages = re.findall(r"docs/[\w/]+\.md", ours)
    assert pages or ours.startswith("not run")
    assert all((CONF.parent / page).is_file() for page in pages)


@every_file
def test_the_number_of_jobs_is_what_hydra_launches(file):
    given, _, factors = re.match(r"(\d+): ((?:.(?!; ))*.)", file.header["Jobs"])[0].partition(": ")
    numbers = [int(re.match(r"\d+", factor)[0]) for factor in factors.split(" x ")]
    assert int(given) == prod(numbers) == file.num_jobs
    sizes = [len(values) for values in file.params.values()]
    assert sorted(n for n in numbers if n > 1) == sorted(n for n in sizes if n > 1)


@every_file
def test_the_command_runs_this_very_file(file):
    program, command, *arguments = shlex.split(file.command)
    assert (program, command) == ("secateur", "run")
    overrides = OverridesParser.create().parse_overrides(parse(arguments).overrides)
    assert [o.value() for o in overrides if o.key_or_group == "sweeps"] == [file.option]
    assert {o.key_or_group for o in overrides} <= {"sweeps", "data.root", "downstream.root"}


# -- the grid ------------------------------------------------------------------------------------------------------


@every_file
def test_it_is_a_sweep_over_seeds(file):
    node = OmegaConf.load(file.path)
    assert node.hydra.mode == "MULTIRUN"
    assert {"seed", "score_seed"} & set(file.params)
    assert "experiment" not in file.params or len(file.params["experiment"]) > 1, "one: override /experiment instead"


def test_no_two_share_a_name():
    names = [OmegaConf.load(file.path)["name"] for file in FILES]
    assert len(set(names)) == len(names)


@every_file
def test_every_swept_value_composes_and_is_valid(file, composed, data_is_there):
    """Row by row, each with the next value of every key: the longest list, not the product of all."""
    parser, bases, tried = OverridesParser.create(), {}, set()
    for row in range(max(map(len, file.params.values()))):
        values = {key: values[min(row, len(values) - 1)] for key, values in file.params.items()}
        options = tuple(value for key, value in values.items() if is_group(key))
        if options not in bases:  # a plain value chooses no file: it is set as Hydra sets it, on what is composed once
            bases[options] = composed(f"sweeps={file.option}", *options)
        cfg = bases[options].copy()
        plain = [parser.parse_override(value) for key, value in values.items() if not is_group(key)]
        ConfigLoaderImpl._apply_overrides_to_config(plain, cfg)
        validate(resolve(cfg))
        tried |= set(values.values())
    assert tried == {value for values in file.params.values() for value in values}


def is_group(key):
    return (CONF / key.split("@")[0]).is_dir()


# -- the page ------------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_headers_say():
    path = CONF.parent / "docs" / "sweeps.md"
    assert path.read_text(encoding="utf-8") == page(FILES), "make docs writes it anew"


def test_a_header_is_read_field_by_field(tmp_path):
    path = tmp_path / "paper" / "table.yaml"
    path.parent.mkdir()
    path.write_text(
        "# @package _global_\n# Reproduces: a | b,\n#             c\n# Command:    secateur run sweeps=x a=1  (or)\n"
        "#             Otherwise: z\n# Wall time:  long\nhydra:\n  sweeper:\n    params:\n      seed: 0,1,2\n"
        "      name: only\n      optim.lr: range(1,4)\n"
    )
    file = SweepFile(path, tmp_path)
    assert file.option == "paper/table"
    assert file.header == {
        "Reproduces": "a | b,\nc",
        "Command": "secateur run sweeps=x a=1  (or)\nOtherwise: z",
        "Wall time": "long",
    }
    assert file.command == "secateur run sweeps=x a=1"
    assert file.params["seed"] == ["seed=0", "seed=1", "seed=2"]
    assert file.params["name"] == ["name=only"]
    assert (len(file.params["optim.lr"]), file.num_jobs) == (3, 9)
