"""A key that only a swept option brings can be set for the whole sweep, when every value of the sweep brings it."""

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from secateur.runs.compose import parse
from secateur.runs.preflight import _for_jobs, preflight

ARMS = "experiment=adapruner/digits,adapruner/digits_position"


def checked(*arguments):
    GlobalHydra.instance().clear()
    return preflight(parse(arguments))


def test_only_what_nothing_else_takes_is_left_to_the_jobs():
    overrides = checked("-m", ARMS, "method.joint_epochs=2", "optim.lr=0.01", "name=mine")
    assert "method.joint_epochs=choice(2)" in overrides
    assert {"optim.lr=0.01", "name=mine", ARMS} <= set(overrides)


def test_the_order_of_the_command_line_does_not_matter():
    overrides = checked("method.joint_epochs=2", "score.window=5", "score=tdds", ARMS, "-m")
    assert "method.joint_epochs=choice(2)" in overrides
    assert {"score.window=5", "score=tdds"} <= set(overrides)


def test_a_key_of_the_default_configuration_is_no_exception():
    assert not any("choice" in text for text in checked("-m", "seed=0,1", "score.window=5", "model=resnet8"))


@pytest.mark.parametrize("value", ["2", "0.5", "null", "true", "[1,2]", "{a:1,b:[2]}", "'a b'", "'x,y'", "${seed}", ""])
def test_a_sweep_over_one_value_is_that_value(value):
    parser = OverridesParser.create()
    one, swept = parser.parse_override(f"a.b={value}"), parser.parse_override(_for_jobs(f"a.b={value}"))
    assert swept.is_sweep_override()
    (text,) = swept.sweep_string_iterator()
    both = [{"seed": 0, "value": value} for value in (parser.parse_override(f"a.b={text}").value(), one.value())]
    swept, one = (OmegaConf.to_container(OmegaConf.create(node), resolve=True) for node in both)
    assert swept == one


@pytest.mark.slow
def test_every_job_has_it(program):
    program.quick = ("trainer.max_epochs=1", "compare_with=[]", "method.joint_epochs=2", "seed=0", "pruning_ratio=0.2")
    assert program.run("sweeps=adapruner/digits", ARMS) == 0
    methods = [record["config"]["method"] for record in program.records()]
    assert [method["joint_epochs"] for method in methods] == [2, 2]
    assert {method["index"] for method in methods} == {"sample", "position"}
