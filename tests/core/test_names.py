"""Names of shipped classes: stated once, unique, the same wherever the class lies."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.core.names import name_of, named, path_of, shipped_classes, short_name, targeted

ROOT = Path(__file__).parents[2]
KEYS = """
from hydra import compose, initialize_config_dir
from secateur.runs.compose import resolve
from secateur.runs.keys import canonical, run_key, stage_reads
from secateur.runs.paths import CONF
from secateur.core.store import stage_key
with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
    config = canonical(resolve(compose("config", ["score=el2n", "extrapolation=knn_cv"])))
print(run_key(config, "pool", {}), stage_key("scoring", 1, stage_reads(config, score=config.score), "pool"))
"""


def targets(node):
    """Yield every import path in a configuration file."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "_target_")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from targets(child)


def conf_targets():
    """Return the import path of every class of Secateur that a shipped option makes."""
    files = [*(ROOT / "conf").rglob("*.yaml")]
    found = {target for path in files for target in targets(yaml.safe_load(path.read_text()))}
    return sorted(target for target in found if target.startswith("secateur."))


def test_every_class_that_an_option_makes_states_its_own_name():
    assert len(conf_targets()) > 60
    for path in conf_targets():
        module, _, name = path.rpartition(".")
        stated = vars(getattr(import_module(module), name)).get("NAME")
        assert stated is not None, path
        assert stated == name_of(path)
        assert path_of(stated) == path


def test_names_and_class_names_are_unique_and_begin_with_a_group():
    classes = shipped_classes()
    assert len({path.rpartition(".")[2] for path in classes.values()}) == len(classes)
    groups = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} | {"mapping"}
    assert {name.partition("/")[0] for name in classes} <= groups


def test_a_class_that_is_imported_elsewhere_has_its_one_name():
    assert name_of("secateur.training.fit.Classifier") == "secateur.training.fit.Classifier"  # there is none
    assert name_of("secateur.runs.memory.Unsupervised") == "paradigm/unsupervised"


def test_classes_of_the_users_own_are_called_by_their_path():
    node = {"_target_": "my_lab.hardness.Hardness", "power": 2}
    assert named(node) == {"_class_": "my_lab.hardness.Hardness", "power": 2}
    assert targeted(named(node)) == node
    assert short_name("my_lab.hardness.Hardness") == "hardness"


def test_a_path_of_a_record_of_before_leads_to_where_the_class_is_now():
    assert path_of("secateur.somewhere.else_.EL2N") == path_of("score/el2n")
    assert name_of(path_of("secateur.somewhere.else_.EL2N")) == "score/el2n"


def test_a_name_of_no_class_is_refused():
    with pytest.raises(ConfigError, match="score/nothing"):
        targeted({"score": {"_class_": "score/nothing"}})


NODES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1).filter(lambda key: key[0] != "_"), inner),
)


@given(NODES, st.sampled_from(sorted(shipped_classes().values())))
def test_naming_loses_nothing(inner, path):
    config = {"score": {"_target_": path, "inner": inner}, "seed": 3}
    assert targeted(named(config)) == config
    assert named(named(config)) == named(config)
    assert "_target_" not in str(named({"score": {"_target_": path}}))


@pytest.mark.slow
def test_a_class_that_moves_keeps_its_keys(tmp_path):
    before = keys(ROOT)
    for folder in ("src", "conf", "sweeps"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src/secateur/scores/el2n.py").rename(tmp_path / "src/secateur/grouping/elsewhere.py")
    for path in [*(tmp_path / "src").rglob("*.py"), *(tmp_path / "conf").rglob("*.yaml")]:
        path.write_text(path.read_text().replace("secateur.scores.el2n", "secateur.grouping.elsewhere"))
    assert keys(tmp_path) == before


def keys(root):
    """Return a run's key and a stage's key as the code below a folder makes them."""
    code = f"import sys; sys.path.insert(0, {str(root / 'src')!r})\n{KEYS}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
