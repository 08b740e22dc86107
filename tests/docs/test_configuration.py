"""docs/configuration.md and the help of ``secateur run`` name what can be set."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from secateur.cli.main import main
from secateur.runs.paths import CONF

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
NODES = ("trainer", "scoring", "optim", "data", "mapping", "fidelity", "paths")


def named():
    """Return every key in the first column of a table, and the default beside those that stand alone."""
    cells = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    alone = [match for cell in cells if (match := re.fullmatch(r" `([\w.]+)` \((.*)\) ", cell))]
    return {key for cell in cells for key in re.findall(r"`([\w.]+)`", cell)}, dict(m.groups() for m in alone)


@pytest.fixture(scope="module")
def cfg():
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield compose("config")
    GlobalHydra.instance().clear()


def test_every_key_of_the_root_is_named():
    keys = set(map(str, OmegaConf.load(CONF / "config.yaml"))) - {"defaults", "hydra", *NODES}
    assert keys - named()[0] == set()


@pytest.mark.parametrize("node", NODES)
def test_every_key_of_a_node_is_named(cfg, node):
    keys = {f"{node}.{key}" for key in cfg[node] if not str(key).startswith("_")}
    assert keys - named()[0] == set()


def test_the_defaults_are_those_of_the_configuration(cfg):
    spelled = {key: text for key, text in named()[1].items() if "`" not in text}
    assert len(spelled) > 50
    for key, text in spelled.items():
        value = OmegaConf.select(cfg, key)
        shown = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        assert OmegaConf.create(f"value: {text}").value == shown, key


def test_the_help_of_a_run_names_what_is_no_group_of_the_configuration(capsys):
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as ended:
        main(["run", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for word in ("sweeps=demo/digits", "hydra/launcher", "docs/configuration.md", "submitit_local", "basic"):
        assert word in out
    assert all(path.stem in out for path in (CONF / "hydra" / "launcher").glob("*.yaml"))


def test_the_roles_of_keys_are_those_of_the_schema():
    folder = Path(__file__).resolve().parents[2] / "docs" / "reference"
    spec = spec_from_file_location("make_reference", folder / "make.py")
    make = module_from_spec(spec)
    spec.loader.exec_module(make)
    assert make.PAGE.read_text(encoding="utf-8") == make.page(), "run make docs"
