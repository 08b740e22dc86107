"""What a record may have made: Secateur's own classes, however the rest is named."""

import pytest
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.runs.nodes import targets
from secateur.runs.paths import CONF
from secateur.runs.recorded import check_targets

OWN = {"_target_": "secateur.scores.el2n.EL2N"}


@pytest.mark.parametrize(
    "target",
    [
        "shutil.copyfile",
        "os.system",
        "secateur.core.files.os.system",  # Hydra would find it: a module's imports are its attributes
        "secateur.core.files.write_text",  # its own, but a function that writes anywhere
        "secateur.core.files.Path",  # a class of somebody else's
        "secateur.core.nothing.Here",
        "secateur..EL2N",
        "secateur_evil.Thing",
        "secateur",
        "",
        None,
        ["os.system"],
    ],
)
def test_code_that_is_no_class_of_secateur_is_refused_wherever_it_stands(target):
    for node, path in (
        ({"_target_": target}, "config"),
        ({"a": [1, {"b": {**OWN, "c": {"_target_": target}}}]}, "config.a.1.b.c"),
    ):
        with pytest.raises(ConfigError, match="not a class of Secateur") as found:
            check_targets(node, "config")
        assert f"{path}._target_" in str(found.value)


def test_a_reference_could_bring_code_in():
    node = {**OWN, "epoch": "${oc.create:{_target_:os.system,_args_:[ls]}}"}
    with pytest.raises(ConfigError, match="refers to nothing else"):
        check_targets(node, "config")


def test_all_that_ships_is_made():
    nodes = {path: OmegaConf.to_container(OmegaConf.load(path)) for path in CONF.rglob("*.yaml")}
    made = {path: node for path, node in nodes.items() if "launcher" not in path.parts and any(targets(node))}
    assert len(made) > 60
    for path, node in made.items():
        for _, found in targets(node):
            check_targets({"_target_": found["_target_"]}, path.name)
