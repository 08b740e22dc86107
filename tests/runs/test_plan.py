"""What is planned is what is booked: the forecast of a run equals the ledger in its run.json."""

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from secateur.core.record import read_record
from secateur.core.store import Store
from secateur.data.prepared import prepare
from secateur.models.small_cnn import SmallCNN
from secateur.runs.compose import resolve
from secateur.runs.context import Context
from secateur.runs.forecast import forecast
from secateur.runs.keys import canonical
from secateur.runs.memory import memory_plan, network_bytes, scorer_bytes
from secateur.runs.nodes import build
from secateur.runs.paths import CONF
from secateur.runs.pools import prepare_downstream
from secateur.runs.run import execute
from secateur.scores.el2n import EL2N
from secateur.scores.moderate import Moderate
from secateur.training.recipe import Recipe

QUICK = ("data.first=120", "trainer.max_epochs=3", "trainer.evaluate_every=3", "compare_with=[]")  # 108 in the pool
PREDICTED = ("score=el2n", "subset_fraction=0.3", "scoring.max_epochs=2", "pruning_ratio=0.45")
EXACT = {
    "full": ("method=full",),
    "random": ("method=random", "pruning_ratio=0.37"),
    "rs2": ("method=rs2", "pruning_ratio=0.37"),
    "train_forward": ("score=aum", "pruning_ratio=0.37"),
    "eval_pass": ("score=aum", "score.record=eval_pass", "scoring.max_epochs=2"),
    "before_step": ("score=aum", "score.record=before_step", "scoring.max_epochs=2"),
    "the first epochs": ("score=tdds", "score.window=3", "scoring.max_epochs=7"),
    "the first epochs of dual": ("score=dual", "scoring.max_epochs=12", "train_final=false"),
    "all epochs but the last": ("score=dynamic_uncertainty", "scoring.max_epochs=12", "train_final=false"),
    "other final network": ("score=aum", "model@retrain_model=resnet8", "trainer.max_epochs=2"),
    "two networks": ("score=el2n", "score.num_networks=2", "score.epoch=1", "scoring.max_epochs=3"),
    "two networks, train_forward": (
        "score=el2n",
        "score.num_networks=2",
        "score.epoch=2",
        "score.record=train_forward",
    ),
    "final pass": ("score=entropy",),
    "knn": (*PREDICTED, "extrapolation=knn", "extrapolation.k=3"),
    "class_mean": (*PREDICTED, "extrapolation=class_mean"),
    "ridge": (*PREDICTED, "extrapolation=ridge", "subset_epochs_factor=2"),
    "knn on a final pass": (*PREDICTED, "extrapolation=knn", "extrapolation.k=3", "score=margin"),
    "the mask alone": ("score=aum", "train_final=false"),
    "adversarial": ("method=random", "paradigm=adversarial", "paradigm.num_steps=2", "trainer.max_epochs=1"),
    "adversarial, recorded in attacked passes": (
        *("paradigm=adversarial", "paradigm.record=adversarial", "paradigm.num_steps=1", "score=el2n"),
        *("scoring.max_epochs=1", "trainer.max_epochs=1", "train_final=false"),
    ),
    "adversarial, final pass": (
        *("paradigm=adversarial", "paradigm.record=adversarial", "paradigm.num_steps=1", "score=entropy"),
        *("scoring.max_epochs=1", "trainer.max_epochs=1", "train_final=false"),
    ),
    "transfer": (
        *("method=random", "downstream=digits", "downstream.per_class=3", "finetune=both", "finetune.max_epochs=2"),
        *("finetune.probe_epochs=2", "trainer.max_epochs=1"),
    ),
    "unsupervised": (
        *("paradigm=unsupervised", "paradigm@final_paradigm=supervised", "paradigm.encoder_epochs=1", "score=aum"),
        *("scoring.max_epochs=2",),
    ),
    "unsupervised, knn": (
        *("paradigm=unsupervised", "paradigm@final_paradigm=supervised", "paradigm.encoder_epochs=1", "score=aum"),
        *("scoring.max_epochs=2", "subset_fraction=0.5", "extrapolation=knn", "extrapolation.k=3"),
        "paradigm.encoder.method=moco",
        "paradigm.encoder.memory_size=64",
    ),
    "adapruner": ("method=adapruner", "optim@method.optim=adapruner_small", "method.warmup_epochs=1"),
    "adapruner, from scratch": (
        *("method=adapruner", "optim@method.optim=adapruner_small", "method.warmup_epochs=0"),
        *("method.joint_epochs=2", "method.finetune=true"),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One store for all: what a stage costs is in its record, also when it is found finished."""
    return tmp_path_factory.mktemp("planned")


def composed(folder, *overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        cfg = compose("config", [*QUICK, *overrides, f"paths.output_dir={folder}"])
    GlobalHydra.instance().clear()
    return cfg


def context_of(folder, *overrides):
    config = canonical(resolve(composed(folder, *overrides)))
    data, silent = prepare(build(config.data)), Console(quiet=True)
    downstream = prepare_downstream(build(config.downstream), data) if config.downstream else None
    return Context(config, data, Store(folder / "no store", silent.print), silent, downstream=downstream)


def booked(folder, *overrides):
    outcome = execute(resolve(composed(folder, *overrides)), Console(quiet=True))
    return read_record(outcome.run_dir), outcome.run_dir


def what_counts(stages):
    keys = ("stage", "samples_forward", "samples_backward", "flops", "pruning")
    return [tuple(stage[key] for key in keys) for stage in stages]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", EXACT.values(), ids=EXACT)
def test_the_plan_is_the_ledger(folder, overrides):
    planned = forecast(context_of(folder, *overrides))
    record, _ = booked(folder, *overrides)
    ledger = record["ledger"]
    assert what_counts(planned.ledger.to_json()["stages"]) == what_counts(ledger["stages"])
    if ledger["cost_vs_full"] is None:
        assert planned.training is None
        assert {stage.stage for stage in planned.ledger.stages} <= {"scoring", "scoring_final_pass"}
    else:
        assert planned.ledger.cost_vs_full == ledger["cost_vs_full"]
        assert planned.training == planned.ledger.cost_vs_full_amortized == ledger["cost_vs_full_amortized"]
    assert not planned.at_most


@pytest.mark.parametrize("score", ["tdds", "dual"])
def test_a_scoring_of_200_epochs_that_reads_30_of_them_costs_30(folder, score):
    planned = forecast(context_of(folder, f"score={score}", "trainer.max_epochs=200", "pruning_ratio=0.5"))
    assert planned.choosing == pytest.approx(0.15)
    assert planned.ledger.cost_vs_full == pytest.approx(0.65)


def test_each_scorer_is_planned_by_what_it_reads_of_200_epochs(folder):
    expected = {"el2n": 20 + 1 / 3, "grand": 20 + 1 / 3, "tdds": 30, "dual": 30, "aum": 200, "forgetting": 200}
    expected |= {"dynamic_uncertainty": 199 + 199 / 3, "entropy": 200 + 1 / 3, "moderate": 200 + 1 / 3}
    for score, epochs in expected.items():
        planned = forecast(context_of(folder, f"score={score}", "trainer.max_epochs=200"))
        assert planned.choosing == pytest.approx(epochs / 200), score


def test_a_mask_file_is_planned_by_what_it_keeps(folder):
    record, run_dir = booked(folder, *EXACT["random"])
    overrides = ("method=mask", f"method.path={run_dir / 'mask.parquet'}")
    planned = forecast(context_of(folder, *overrides))
    assert what_counts(planned.ledger.to_json()["stages"]) == what_counts(record["ledger"]["stages"])
    assert planned.remarks == ("The cost of making the mask file is not known and not counted.",)


def test_infobatch_is_planned_at_its_upper_bound_and_says_so(folder):
    overrides = ("method=infobatch", "pruning_ratio=0.8")
    planned, (record, _) = forecast(context_of(folder, *overrides)), booked(folder, *overrides)
    (stage,), (spent,) = planned.ledger.stages, record["ledger"]["stages"]
    assert planned.at_most
    assert "upper bound" in planned.remarks[0]
    assert stage.samples_forward > spent["samples_forward"] > 0


@pytest.mark.parametrize("rule", ["groups", "min_samples"])
def test_whole_classes_are_planned_at_their_upper_bound(folder, rule):
    overrides = ("method=random_groups", "pruning_ratio=0.45", f"mapping.keep_by={rule}")
    planned, (record, _) = forecast(context_of(folder, *overrides)), booked(folder, *overrides)
    (stage,), (spent,) = planned.ledger.stages, record["ledger"]["stages"]
    assert planned.at_most
    assert "Which classes are kept is not known before" in planned.remarks[0]
    assert stage.samples_forward >= spent["samples_forward"] > 0
    assert f"planned on {stage.samples_forward // 3:,} samples" in planned.remarks[0]


def test_a_share_of_clusters_is_planned_and_said_to_be_no_bound(folder):
    overrides = ("method=random_clusters", "method.num_clusters=5", "pruning_ratio=0.4")
    planned = forecast(context_of(folder, *overrides))
    assert planned.remarks[0].startswith("How large clusters will be is not known before")
    assert not planned.at_most


def test_a_raw_adapruner_mask_is_planned_at_its_upper_bound(folder):
    overrides = (*EXACT["adapruner"], "method.exact_ratio=false", "method.ratio_tolerance=0.1", "pruning_ratio=0.5")
    context = context_of(folder, *overrides)
    planned = forecast(context)
    assert planned.at_most
    assert planned.training == pytest.approx(0.6, abs=1 / context.num_total)


def test_a_choice_among_predictors_is_planned_at_its_upper_bound(folder):
    ridge = "+extrapolation.candidates.ridge._target_=secateur.extrapolation.ridge.Ridge"
    overrides = (*PREDICTED, "extrapolation=knn_cv", ridge)
    planned, (record, _) = forecast(context_of(folder, *overrides)), booked(folder, *overrides)
    (spent,) = [stage for stage in record["ledger"]["stages"] if stage["stage"] == "extrapolation"]
    assert planned.at_most
    assert "upper bound" in planned.remarks[0]
    assert spent["flops"] <= planned.ledger.stages[-2].flops <= 3 * spent["flops"]


def test_full_scoring_is_what_the_run_without_extrapolation_costs(folder):
    overrides = (*PREDICTED, "extrapolation=class_mean")
    planned = forecast(context_of(folder, *overrides))
    without = forecast(context_of(folder, *PREDICTED))
    assert planned.full_scoring == pytest.approx(without.ledger.cost_vs_full)
    assert without.full_scoring is None


def test_an_extrapolator_that_says_nothing_is_named(folder, monkeypatch):
    monkeypatch.setattr("secateur.extrapolation.base.NoArithmetic.planned_flops", lambda *sizes: None)
    planned = forecast(context_of(folder, *PREDICTED, "extrapolation=class_mean"))
    assert planned.ledger.stages[-2].flops == 0
    assert "ClassMean does not say what it will compute" in planned.remarks[0]


def test_what_is_done_beside_is_named_and_not_counted(folder):
    overrides = (*PREDICTED, "extrapolation=class_mean", "compare_with=[full,random]", "fidelity.against=[7,8]")
    baselines, scorings = forecast(context_of(folder, *overrides)).remarks
    assert "full (1.00) and random (0.55)" in baselines
    assert "2 full scorings of 0.44 each" in scorings  # el2n: one of three epochs, and a pass


def test_planning_computes_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "backward", None)
    context = context_of(tmp_path, *PREDICTED, "extrapolation=knn")
    assert forecast(context).ledger.stages
    assert memory_plan(context)
    assert context.ledger.stages == []
    assert list(tmp_path.iterdir()) == []


# -- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "copies"), [({"momentum": 0.9}, 3), ({}, 2), ({"optimizer": "adam"}, 4)])
def test_a_network_is_held_with_gradients_and_the_optimizers_state(settings, copies):
    recipe = Recipe(**{"optimizer": "sgd", "lr": 0.1, "batch_size": 8, "schedule": "constant", **settings})
    model = SmallCNN(num_classes=4, in_channels=1, width=8)
    weights = sum(parameter.numel() for parameter in model.parameters())
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    steps = 4 * len(list(model.parameters())) if "optimizer" in settings else 0
    assert network_bytes(model, recipe) == 4 * weights * copies + buffers + steps


def test_scorers_hold_so_many_bytes_per_sample():
    assert scorer_bytes([EL2N(epoch=3)], num_epochs=5, num_classes=7, num_features=9) == 4
    assert scorer_bytes([Moderate()], num_epochs=5, num_classes=7, num_features=9) == 4 * 9 + 8
    both = scorer_bytes([EL2N(epoch=3), Moderate()], num_epochs=5, num_classes=7, num_features=9)
    assert both == 4 + 4 * 9 + 8


def test_memory_lists_what_the_run_needs(folder):
    context = context_of(folder, *PREDICTED, "extrapolation=knn")
    held = {item.what.split(",")[0].split(":")[0]: item.num_bytes for item in memory_plan(context)}
    num_images = len(context.data.train) + len(context.data.test)
    assert held["decoded images"] == num_images * int(np.prod(context.data.image_shape))
    width = context.model("model").num_features + context.data.num_classes
    assert held[f"embeddings and logits of {context.num_total} samples"] == 4 * context.num_total * width
    assert held["neighbor search"] == 256 * 2**20
    assert {"scoring network", "final network"} < set(held)
    streamed = context_of(folder, "method=random", "data.resident=false", "data.mean=[0.5]", "data.std=[1]")
    assert [item.what.split(":")[0] for item in memory_plan(streamed)] == ["final network"]
