"""What every selection promises: exact counts, determinism, refusals, metadata, and its configuration."""

import importlib
import inspect
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.core.tables import ScoreTable
from secateur.selection.beta import Beta
from secateur.selection.ccs import CCS
from secateur.selection.class_balanced import ClassBalanced
from secateur.selection.random import RandomSelection
from secateur.selection.top import Top

CONF = Path(__file__).parents[2] / "conf" / "selection"
MAKERS = {
    "top": Top,
    "class_balanced": ClassBalanced,
    "ccs": lambda: CCS(mislabel_fraction=0.0),
    "beta": Beta,
    "random": RandomSelection,
}
DRAWS = {"ccs", "beta", "random"}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_keeps_exactly_what_is_asked(table_of, name, data):
    num_samples = data.draw(st.integers(1, 60))
    num_keep = data.draw(st.integers(1, num_samples))
    classes = data.draw(st.integers(1, 8))
    decimals = data.draw(st.sampled_from([None, 1, 0]))
    table = table_of(num_samples, classes, data.draw(st.integers(0, 999)), decimals=decimals, skip=3)
    mask = MAKERS[name]()(table, num_keep, 7)
    assert mask.num_kept == num_keep
    assert torch.equal(mask.sample_id, table.sample_id)


@pytest.mark.parametrize("name", MAKERS)
def test_is_a_function_of_table_and_seed(table_of, name):
    table = table_of(200)
    first, again, other = (MAKERS[name]()(table, 80, seed) for seed in (0, 0, 1))
    assert torch.equal(first.keep, again.keep)
    assert torch.equal(first.keep, other.keep) == (name not in DRAWS)


@pytest.mark.parametrize("name", MAKERS)
def test_draws_leave_the_global_generator_alone(table_of, name):
    state = torch.random.get_rng_state()
    MAKERS[name]()(table_of(50), 20, 0)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", MAKERS)
def test_ids_do_not_decide_beyond_their_order(table_of, name):
    near, far = table_of(100), table_of(100, skip=17)
    assert torch.equal(MAKERS[name]()(near, 40, 3).keep, MAKERS[name]()(far, 40, 3).keep)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("num_keep", [0, -1, 31, 3.0, True])
def test_impossible_counts_are_refused(table_of, name, num_keep):
    with pytest.raises(ConfigError, match=r"num_keep must be an integer in \[1, 30\]"):
        MAKERS[name]()(table_of(30), num_keep, 0)


@pytest.mark.parametrize("name", MAKERS)
def test_the_mask_says_what_made_it(table_of, name):
    table = table_of(30)
    selection = MAKERS[name]()
    mask = selection(table, 10, 0)
    assert mask.fingerprint == table.fingerprint
    assert mask.metadata == {"selection": type(selection).__name__, **vars(selection)}
    json.dumps(dict(mask.metadata))


@pytest.mark.parametrize("name", MAKERS)
def test_needs_are_columns_of_a_table(table_of, name):
    for column in MAKERS[name]().needs:
        table_of(3).column(column)


@pytest.mark.parametrize("name", MAKERS)
def test_configuration_equals_the_constructor(name):
    conf = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    module, _, cls = conf.pop("_target_").rpartition(".")
    assert module == f"secateur.selection.{name}"
    selection = getattr(importlib.import_module(module), cls)
    parameters = {} if selection.__init__ is object.__init__ else inspect.signature(selection).parameters
    assert conf == {key: parameter.default for key, parameter in parameters.items()}
    assert vars(selection(**conf)) == conf


def test_every_configuration_is_tested():
    assert sorted(path.stem for path in CONF.glob("*.yaml")) == sorted(MAKERS)


def test_top_equals_sorting_by_score_then_id(table_of):
    table = table_of(100, decimals=1)
    pairs = zip(table.score.tolist(), table.sample_id.tolist(), strict=True)
    best = sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:37]
    assert Top()(table, 37, 0).kept_ids.tolist() == sorted(sample_id for _, sample_id in best)


def test_random_is_uniform(table_of):
    table = table_of(6)
    counts = sum(RandomSelection()(table, 2, seed).keep.long() for seed in range(600))
    assert counts.sum() == 1200
    assert bool(((counts - 200).abs() < 60).all())  # about five standard deviations


def test_random_ignores_scores(table_of):
    table = table_of(40)
    flat = ScoreTable(table.sample_id, table.label, torch.zeros(40), table.observed)
    assert torch.equal(RandomSelection()(table, 11, 5).keep, RandomSelection()(flat, 11, 5).keep)
