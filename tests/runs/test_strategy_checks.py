"""What several processes cannot do is refused early, and their number enters no key unless it changes a result."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from secateur.core.errors import ConfigError
from secateur.runs.compose import resolve
from secateur.runs.config import Experiment
from secateur.runs.keys import canonical, run_key, stage_reads
from secateur.runs.paths import CONF
from secateur.runs.validate import check_strategy

STRATEGIES = ("single", "ddp", "ddp_cpu", "fsdp")


@pytest.fixture(autouse=True)
def hydra():
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield
    GlobalHydra.instance().clear()


def composed(*overrides):
    return canonical(resolve(compose("config", list(overrides))))


def keys(*overrides):
    config = composed(*overrides)
    return run_key(config, "pool", {}), stage_reads(config, optim=config.optim)


def test_the_number_of_processes_is_in_no_key():
    found = [keys(f"strategy={name}") for name in STRATEGIES]
    found.append(keys("strategy=ddp", "strategy.devices=8", "strategy.num_nodes=4", "strategy.backend=gloo"))
    assert all(key == found[0] for key in found)


def test_a_record_from_before_there_were_strategies_keeps_its_key():
    config = composed()
    before = Experiment.of({key: value for key, value in config.to_json().items() if key != "strategy"}, recorded=True)
    assert run_key(before, "pool", {}) == run_key(config, "pool", {})


def test_slices_that_are_normalized_by_themselves_are_in_all_keys():
    local = ("strategy=ddp", "strategy.sync_batchnorm=false")
    two, four = keys(*local), keys(*local, "strategy.devices=4")
    assert len({key for key, _ in (two, four, keys())}) == 3
    assert [reads["numerics"].get("batchnorm_slices") for _, reads in (two, four, keys())] == [2, 4, None]
    assert keys(*local, "strategy.devices=1") == keys()


@pytest.mark.parametrize("name", STRATEGIES)
def test_plain_training_can_be_divided(name):
    assert check_strategy(composed(f"strategy={name}")).num_processes == (1 if name == "single" else 2)


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["strategy=ddp_cpu", "trainer.accelerator=gpu"], "take strategy=ddp"),
        (["strategy=ddp", "paradigm=self_supervised", "paradigm.method=moco"], r"take paradigm\.method=simsiam"),
        (["strategy=fsdp", "method=adapruner"], "cannot divide AdaPruner's mask"),
        (["strategy=fsdp", "paradigm=adversarial"], "trains paradigm=supervised only"),
        (["strategy=fsdp", "optim.grad_clip_norm=1.0"], r"cannot clip by .*optim\.grad_clip_norm"),
        (["strategy=fsdp", "optim.decay_norm_and_bias=false"], "cannot tell biases from other weights"),
        (["strategy=ddp", "strategy.devices=0"], r"strategy\.devices must be at least 1, got 0"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_divided_is_refused(overrides, complaint):
    with pytest.raises(ConfigError, match=complaint):
        check_strategy(composed(*overrides))


def test_a_single_device_can_do_all_of_it():
    check_strategy(composed("strategy=ddp", "strategy.devices=1", "paradigm=self_supervised", "paradigm.method=moco"))
