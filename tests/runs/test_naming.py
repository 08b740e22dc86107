"""A part of a run is called by the option that its node is, however it was typed."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from secateur.runs import naming
from secateur.runs.compose import compose_node, default_experiment, option_node
from secateur.runs.naming import composed, exact_choices
from secateur.runs.paths import CONF


def config_of(**nodes):
    return default_experiment().changed(**{"score": None, **nodes})


def test_a_node_that_is_another_option_is_called_by_its_name():
    node = {**composed("extrapolation", "knn", None), "k": 12, "weighting": "average"}
    choices = {"extrapolation": "knn", "score": "el2n"}
    expected = {"extrapolation": "knn_average", "score": "el2n"}
    assert exact_choices(config_of(extrapolation=node), choices) == expected
    assert exact_choices(config_of(extrapolation={**node, "k": 13}), choices) == choices
    own = {"extrapolation": "an_option_of_the_users"}
    assert exact_choices(config_of(extrapolation=node), own) == own


def test_networks_too():
    nodes = {"model": composed("model", "resnet20", None), "retrain_model": composed("model", "resnet34", None)}
    choices = {"model": "resnet8", "model@retrain_model": "resnet18"}
    expected = {"model": "resnet20", "model@retrain_model": "resnet34"}
    assert exact_choices(config_of(**nodes), choices) == expected


@pytest.mark.parametrize("name", ["knn", "knn_average", "knn_same_class_cv", "gnn_same_class", "gat"])
def test_what_was_typed_as_it_is_costs_no_look_at_the_others(name, monkeypatch):
    monkeypatch.setattr(naming, "exact_options", None)
    choices = {"extrapolation": name}
    assert exact_choices(config_of(extrapolation=composed("extrapolation", name, None)), choices) == choices


def test_an_option_is_what_hydra_composes():
    for path in sorted((CONF / "extrapolation").glob("*.yaml")):
        if path.stem != "none":
            assert composed("extrapolation", path.stem, None) == compose_node(
                CONF, "extrapolation", f"extrapolation/{path.stem}"
            )


def test_a_preset_is_a_part_of_its_option():
    node = composed("extrapolation", "knn", "released")
    assert node != composed("extrapolation", "knn", "reference")
    choices = {"extrapolation": "knn"}
    assert exact_choices(config_of(variant="released", extrapolation=node), choices) == choices


def test_the_hydra_that_runs_the_job_stays():
    option_node.cache_clear()
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        running = GlobalHydra.instance().hydra
        composed("extrapolation", "knn_cv", None)
        assert GlobalHydra.instance().hydra is running
        assert compose("config").name == "default"
