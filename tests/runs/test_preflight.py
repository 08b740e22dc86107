"""What a command sets is checked, and understood, before anything starts."""

import pytest

from secateur.core.errors import ConfigError
from secateur.runs.compose import expand_glob, parse
from secateur.runs.paths import CONF
from secateur.runs.preflight import preflight


def checked(*arguments):
    configs = []
    return preflight(parse(arguments), configs), configs


@pytest.mark.parametrize(
    "arguments",
    [
        ("ratio=r30", "pruning_ratio=0.5"),
        ("-m", "ratio=r10,r30", "pruning_ratio=0.1"),
        ("-m", "ratio=r30", "pruning_ratio=0.3,0.5"),
        ("ratio=r50", "experiment=tdds/cifar100_resnet18_r30"),
    ],
)
def test_two_ratios_that_contradict_each_other_are_refused(arguments):
    with pytest.raises(ConfigError, match=r"ratio=r\d\d and pruning_ratio=0\.\d contradict each other"):
        checked(*arguments)


@pytest.mark.parametrize("arguments", [("ratio=r30",), ("ratio=r30", "pruning_ratio=0.3"), ("-m", "ratio=r30,r50")])
def test_the_option_sets_the_only_key_that_is_read(arguments):
    _, configs = checked(*arguments)
    assert {config.pruning_ratio for config in configs} == ({0.3, 0.5} if "-m" in arguments else {0.3})


def test_a_folder_of_its_own_for_every_job_is_refused():
    with pytest.raises(ConfigError, match=r"hydra\.job\.chdir=true .* leave it false"):
        checked("hydra.job.chdir=true")
    with pytest.raises(ConfigError, match=r"hydra\.job\.chdir=true"):
        checked("-m", "seed=0,1", "hydra.job.chdir=true")


def test_a_glob_is_every_option_that_it_matches():
    overrides, configs = checked("-m", "model=glob(resnet*,exclude=*_imagenet)", "trainer.max_epochs=12")
    assert "model=resnet18,resnet20,resnet34,resnet50,resnet8" in overrides
    assert len(configs) == 5
    assert "score=dual,dynamic_uncertainty" in checked("-m", "score=glob(d*)")[0]


def test_a_glob_finds_the_user_s_own_options(tmp_path):
    (tmp_path / "score").mkdir()
    (tmp_path / "score" / "dzz.yaml").write_text("defaults: [el2n, _self_]\n")
    overrides, _ = checked("--config-dir", str(tmp_path), "-m", "score=glob(d*)")
    assert "score=dual,dynamic_uncertainty,dzz" in overrides


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score=glob(z*)", "no option of score matches; it has aum, "),
        ("seed=glob(*)", "no option of seed matches; there is no such group"),
    ],
)
def test_a_glob_that_matches_nothing_says_so(text, message):
    with pytest.raises(ConfigError) as error:
        checked("-m", text)
    assert message in str(error.value)


def test_what_is_no_glob_stays_as_it_is():
    for text in ("score=el2n", "name='glob(x)'", "+a=glob_not"):
        assert expand_glob(text, [CONF]) == text
