"""The cards are what their generator makes, and what they point to is there."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from secateur.cli.main import COMMANDS
from secateur.runs.compose import is_sweep, resolve, values_of
from secateur.runs.paths import CONF, SWEEPS
from secateur.runs.validate import validate

ROOT = Path(__file__).resolve().parents[2]
CARDS = sorted((ROOT / "docs" / "cards").glob("*.yaml"))
NAMES = [path.stem for path in CARDS]


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_cards", ROOT / "docs" / "cards" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hydra():
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield
    GlobalHydra.instance().clear()


def commands_in(path):
    """Return the arguments of every ``secateur`` command in a card."""
    found = re.findall(r"`secateur ([^`]*)`", path.with_suffix(".md").read_text(encoding="utf-8"))
    return [shlex.split(command) for command in dict.fromkeys(found)]


def composed(overrides):
    """Compose a command, of a sweep the first value of every key."""
    plain = [values_of(text)[0] if is_sweep(text) else text for text in overrides if text != "-m"]
    return compose("config", [f"hydra.searchpath=[file://{SWEEPS.parent}]", *plain])


def test_there_is_a_card_for_every_paper():
    assert set(NAMES) == {"adapruner", "dp4tl", "extrapolation"}


@pytest.mark.parametrize("path", CARDS, ids=NAMES)
def test_a_card_is_what_its_generator_makes(make, path):
    assert path.with_suffix(".md").read_text(encoding="utf-8") == make.card(path), "run python docs/cards/make.py"


@pytest.mark.parametrize("path", CARDS, ids=NAMES)
def test_every_command_in_a_card_composes(hydra, path):
    commands = commands_in(path)
    assert len(commands) > 3
    for command, *arguments in commands:
        assert command in COMMANDS
        if command == "run":
            composed(arguments)


@pytest.mark.parametrize("path", CARDS, ids=NAMES)
def test_what_reproduces_a_release_is_a_valid_run(hydra, path):
    runs = [entry["run"] for entry in yaml.safe_load(path.read_text())["differences"] if "run" in entry]
    assert runs
    for run in runs:
        validate(resolve(composed([*shlex.split(run), "data=digits"])))


@pytest.mark.parametrize("path", CARDS, ids=NAMES)
def test_every_test_that_a_card_names_is_there(path):
    named = [entry["test"] for entry in yaml.safe_load(path.read_text())["differences"] if "test" in entry]
    assert named
    for test in named:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert f"def {name}(" in (ROOT / file).read_text() if name else True, test


DOCUMENT = """\
# Results

Command: `secateur run
a=1` (2 jobs).

| x | y |
| --- | ---: |
| 1 | 2 |

## Part

| x | y |
| --- | ---: |
| 1 | 3 |
| 2 | 4 |

### Deeper

Commands: `secateur run b=2`.

| z |
| --- |
| 5 |
"""


def test_tables_and_commands_are_found_by_their_headings(make):
    section, command = make.find_section(DOCUMENT, None)
    assert (make.table_in(section), command) == ([["x", "y"], ["1", "2"]], "secateur run a=1")
    section, command = make.find_section(DOCUMENT, "Part")
    assert command == "secateur run a=1"  # the nearest above
    assert make.chosen(make.table_in(section), ["y"], {"x": ["2"]}) == [["y"], ["4"]]
    assert make.find_section(DOCUMENT, "Deeper")[1] == "secateur run b=2"


def test_what_is_not_in_the_results_is_an_error(make):
    section, _ = make.find_section(DOCUMENT, "Part")
    table = make.table_in(section)
    with pytest.raises(ValueError, match="no heading 'Other'"):
        make.find_section(DOCUMENT, "Other")
    with pytest.raises(ValueError, match="no column 'q'"):
        make.chosen(table, ["q"], {})
    with pytest.raises(ValueError, match="No row"):
        make.chosen(table, None, {"x": ["1", "7"]})
    with pytest.raises(ValueError, match="no table number 1"):
        make.table_in(section, 1)
