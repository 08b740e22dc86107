"""Recipes: the files of conf/optim, validation, optimizers and what the schedule does to them."""

import dataclasses
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.training.recipe import Recipe

CONF = Path(__file__).parents[2] / "conf" / "optim"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
SGD = {"optimizer": "sgd", "lr": 0.1, "batch_size": 8, "momentum": 0.9, "schedule": "cosine"}


def network():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))


def load(name):
    return instantiate(OmegaConf.load(CONF / f"{name}.yaml"))


@pytest.mark.parametrize("name", OPTIONS)
def test_every_file_has_every_key_and_trains(name):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    assert set(config) == {field.name for field in dataclasses.fields(Recipe)} | {"_target_"}
    recipe = instantiate(config)
    torch.manual_seed(0)
    model = network()
    before = model[0].weight.detach().clone()
    optimizer = recipe.build_optimizer(model)
    recipe.apply_schedule(optimizer, step=3, total_steps=40, steps_per_epoch=2)
    loss = torch.nn.functional.cross_entropy(
        model(torch.randn(8, 4)), torch.zeros(8, dtype=torch.long), label_smoothing=recipe.label_smoothing
    )
    loss.backward()
    optimizer.step()
    assert 0 < optimizer.param_groups[0]["lr"] <= recipe.lr
    assert not torch.equal(before, model[0].weight)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tdds",
            {"lr": 0.1, "nesterov": True, "weight_decay": 5e-4, "schedule": "cosine", "batch_size": 100},
        ),
        ("extrapolation_dynamic_uncertainty", {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0}),
        ("extrapolation_final", {"optimizer": "adam", "schedule": "onecycle", "cycle_momentum": True}),
        (
            "adversarial_wrn",
            {"schedule": "onecycle", "momentum": 0.9, "peak_fraction": 0.025, "cycle_momentum": True, "nesterov": True},
        ),
        ("adapruner", {"period_epochs": 50, "batch_size": 256, "nesterov": False}),
        ("dp4tl_resnet18", {"lr": 0.5, "weight_decay": 5e-5, "warmup_epochs": 2, "min_lr": 1e-4}),
        ("dp4tl_vit_b_16", {"optimizer": "adamw", "weight_decay": 0.3, "label_smoothing": 0.11}),
    ],
)
def test_values_of_the_papers(name, expected):
    assert {key: getattr(load(name), key) for key in expected} == expected


def test_the_shape_of_adapruners_cycles():
    recipe = load("adapruner")
    rates = [recipe.lr_factor(step, 2000, 10) for step in (0, 500, 1000, 1500, 2000)]
    assert rates == pytest.approx([1, 0, 1, 0, 1])


def test_the_robust_recipe_peaks_at_epoch_ten_of_its_four_hundred():
    recipe = load("adversarial_wrn")
    peak = 10 * 98 - 1  # 98 steps per epoch
    assert recipe.lr_factor(peak, 400 * 98, 98) == pytest.approx(1)
    assert recipe.lr_factor(0, 400 * 98, 98) == pytest.approx(1 / 25)
    assert recipe.momentum_at(peak, 400 * 98, 98) == pytest.approx(0.85)


def test_the_peak_of_dp4tl_is_at_epoch_two():
    recipe = load("dp4tl_resnet50")
    assert recipe.lr_factor(20, 160, 10) == pytest.approx(1)
    assert recipe.lr * recipe.lr_factor(0, 160, 10) == pytest.approx(1e-4)
    assert recipe.lr * recipe.lr_factor(160, 160, 10) == pytest.approx(1e-4)


def test_optimizers():
    assert isinstance(Recipe(**SGD).build_optimizer(network()), torch.optim.SGD)
    adam = Recipe(optimizer="adam", lr=1e-3, batch_size=8, schedule="constant", betas=[0.8, 0.99])
    assert type(adam.build_optimizer(network())) is torch.optim.Adam
    assert adam.build_optimizer(network()).param_groups[0]["betas"] == (0.8, 0.99)
    adamw = Recipe(optimizer="adamw", lr=1e-3, batch_size=8, schedule="constant", weight_decay=0.1)
    assert type(adamw.build_optimizer(network().parameters())) is torch.optim.AdamW


def test_norms_and_biases_can_be_exempt_from_decay():
    model = network()
    decayed, free = Recipe(**SGD, weight_decay=0.1, decay_norm_and_bias=False).build_optimizer(model).param_groups
    assert [p.ndim for p in decayed["params"]] == [2, 2]
    assert len(free["params"]) == 4
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(Recipe(**SGD, weight_decay=0.1).build_optimizer(model).param_groups) == 1


def test_frozen_parameters_are_left_out():
    model = network()
    model[:2].requires_grad_(False)
    (group,) = Recipe(**SGD).build_optimizer(model).param_groups
    assert len(group["params"]) == 2
    with pytest.raises(ConfigError, match="nothing to train"):
        Recipe(**SGD).build_optimizer(model.requires_grad_(False))


def test_an_added_group_follows_from_its_own_peak():
    recipe = Recipe(**SGD)
    optimizer = recipe.build_optimizer(network())
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(5))], "lr": 1.0, "weight_decay": 0.0})
    for step in (0, 50, 75):
        recipe.apply_schedule(optimizer, step, 100, 10)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates[1] == pytest.approx(10 * rates[0])
    assert rates[0] == pytest.approx(0.1 * recipe.lr_factor(75, 100, 10))


def test_resuming_needs_nothing_but_the_step():
    recipe = load("cifar_fast")
    optimizer = recipe.build_optimizer(network())
    for step in range(37):
        recipe.apply_schedule(optimizer, step, 60, 6)
    resumed = recipe.build_optimizer(network())
    resumed.load_state_dict(optimizer.state_dict())
    recipe.apply_schedule(optimizer, 37, 60, 6)
    recipe.apply_schedule(resumed, 37, 60, 6)
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_momentum_cycles_where_asked():
    final = load("extrapolation_final")
    adam = final.build_optimizer(network())
    final.apply_schedule(adam, 29, 100, 10)
    assert adam.param_groups[0]["betas"] == pytest.approx((0.85, 0.999))
    sgd = Recipe(**(SGD | {"schedule": "triangular"}), warmup_epochs=2, cycle_momentum=True)
    optimizer = sgd.build_optimizer(network())
    sgd.apply_schedule(optimizer, 20, 100, 10)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.8)
    still = Recipe(**SGD)
    optimizer = still.build_optimizer(network())
    still.apply_schedule(optimizer, 20, 100, 10)
    assert optimizer.param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"optimizer": "lamb"}, "optim.optimizer"),
        ({"schedule": "linear"}, "optim.schedule"),
        ({"lr": 0.0}, "optim.lr"),
        ({"lr": float("nan")}, "optim.lr"),
        ({"batch_size": 0}, "optim.batch_size"),
        ({"batch_size": 2.5}, "optim.batch_size"),
        ({"momentum": 1.0}, "optim.momentum"),
        ({"label_smoothing": 1.0}, "optim.label_smoothing"),
        ({"weight_decay": -1e-4}, "optim.weight_decay"),
        ({"min_lr": 0.2}, "optim.min_lr"),
        ({"grad_clip_norm": 0.0}, "optim.grad_clip_norm"),
        ({"period_epochs": 0}, "optim.period_epochs"),
        ({"betas": (0.9, 0.999)}, "not read by sgd"),
        ({"optimizer": "adam"}, "optim.momentum=0"),
        ({"optimizer": "adam", "momentum": 0.0, "betas": (0.9,)}, "two numbers"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov"),
        ({"warmup_epochs": 5}, "not read by optim.schedule=cosine"),
        ({"cycle_momentum": True}, "set it to false"),
        ({"schedule": "onecycle"}, "peak_fraction"),
        (
            {"schedule": "onecycle", "peak_fraction": 0.3, "cycle_momentum": True, "momentum": 0.0},
            "momentum > 0",
        ),
        ({"schedule": "triangular"}, "warmup_epochs > 0"),
        ({"schedule": "step"}, "milestones"),
        ({"schedule": "step", "milestones": (30, 60), "gamma": 0.1}, "fractions"),
        ({"schedule": "step", "milestones": (0.5,)}, "gamma"),
    ],
)
def test_wrong_values_are_refused(change, match):
    with pytest.raises(ConfigError, match=match):
        Recipe(**(SGD | change))


def test_a_run_must_outlast_its_warmup():
    recipe = load("dp4tl_vit_b_16")
    recipe.check_epochs(100)
    load("sgd").check_epochs(1)
    with pytest.raises(ConfigError, match="warmup_epochs=10 must be below max_epochs=10"):
        recipe.check_epochs(10)
    with pytest.raises(ConfigError, match="needs optimizer steps"):
        recipe.apply_schedule(recipe.build_optimizer(network()), 0, 0, 1)
