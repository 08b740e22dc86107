"""Prune a source, pretrain on what is kept, adapt to a downstream set: end to end on the digits, twice."""

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from secateur.core.mask import Mask
from secateur.core.ranking import GroupRanking
from secateur.core.tables import ScoreTable

pytestmark = pytest.mark.slow
POOL, EPOCHS = 1437, 3
TRAINED = ("training", "linear_probe")
FEW = ("downstream=digits", "downstream.per_class=4", "downstream.validation_fraction=0.0")
PROBE = (*FEW, "finetune=linear_probe", "finetune.max_epochs=4")
SSL = ("paradigm.hidden_dim=32", "paradigm.projection_dim=32", "paradigm.prediction_dim=16", "paradigm.views.flip=0.0")


CLUSTERS = ("method.grouping=kmeans",)
FURTHER = ("+data@method.further.more=digits",)


def saved(path, num_train=120, classes=range(10), blank=False):
    """Write digits of some classes, or blank images, as an archive; return its path."""
    digits = load_digits()
    rows = np.isin(digits.target, list(classes))
    images = np.round(digits.images[rows] * 255 / 16).astype(np.uint8) * (not blank)
    labels = np.unique(digits.target[rows], return_inverse=True)[1]
    train, test = {"x_train": images[:num_train], "y_train": labels[:num_train]}, slice(-50, None)
    np.savez(path, **train, x_test=images[test], y_test=labels[test])
    return path


def mask_of(program, record):
    return Mask.load(program.run_dir(record) / "mask.parquet", record["data"]["fingerprint"])


def stages_of(record):
    return {stage["stage"]: stage for stage in record["ledger"]["stages"]}


def test_label_mapping_from_surrogate_to_probe(program):
    assert program.run("method=label_mapping", "pruning_ratio=0.5", *PROBE) == 0
    record = program.record()
    stages, pruning, metrics = stages_of(record), record["pruning"], record["metrics"]
    assert list(stages) == ["surrogate", "mapping", "training", "linear_probe"]
    assert (pruning["num_groups"], pruning["num_groups_kept"]) == (10, 5)
    ranking = GroupRanking.load(program.run_dir(record) / "ranking.parquet", record["data"]["fingerprint"])
    assert int(ranking.votes.sum()) == 40
    kept = {label for label, count in enumerate(pruning["class_counts"]) if count}
    assert kept == set(ranking.order[:5].tolist())
    assert metrics["test_accuracy"] == metrics["linear_probe_accuracy"] > 0
    assert metrics["finetune_accuracy"] is None
    assert metrics["source_accuracy"] is not None
    assert record["transfer"]["downstream"] == "digits"
    assert stages["surrogate"]["samples_forward"] == POOL * EPOCHS
    assert stages["mapping"]["samples_forward"] == stages["linear_probe"]["samples_forward"] == 40
    assert stages["linear_probe"]["samples_backward"] == 0
    assert stages["training"]["samples_forward"] == pruning["num_kept"] * EPOCHS
    flops = stages["mapping"]["flops"] / 40
    units = 3 * EPOCHS * (POOL + pruning["num_kept"]) + 40 + 40
    assert record["ledger"]["cost_vs_full"] == pytest.approx(units * flops / (3 * EPOCHS * POOL * flops))
    assert "keeps no sample of" not in program.out
    transfer = record["transfer"]
    assert transfer["surrogate_cost_vs_full"] == pytest.approx(1.0)
    assert transfer["cost_vs_full_shared"]["5"] == pytest.approx(record["ledger"]["cost_vs_full"] - 0.8)


def test_one_surrogate_and_one_ranking_serve_every_ratio_and_nest(program):
    assert program.run("-m", "method=label_mapping", "pruning_ratio=0.2,0.5,0.8", *PROBE) == 0
    assert len(program.stages("surrogate")) == len(program.stages("mapping")) == 1
    kept = {r["pruning"]["pruning_ratio"]: set(mask_of(program, r).kept_ids.tolist()) for r in program.records()}
    assert kept[0.8] < kept[0.5] < kept[0.2]


def test_another_transform_of_the_downstream_images_votes_anew(program):
    large = ("method=label_mapping", "pruning_ratio=0.5", *PROBE, "data.image_size=16", "downstream.image_size=16")
    assert program.run(*large) == 0
    assert program.run(*large, "downstream.resize_size=24") == 0
    assert len(program.stages("surrogate")) == 1
    assert len(program.stages("mapping")) == 2


def test_reverse_keeps_the_other_end(program):
    program.run("-m", "method=label_mapping", "pruning_ratio=0.5", "mapping.reverse=false,true", *PROBE)
    first, second = program.records()
    assert not set(mask_of(program, first).kept_ids.tolist()) & set(mask_of(program, second).kept_ids.tolist())
    assert {first["label"], second["label"]} == {"label_mapping", "label_mapping + reverse"}


def test_feature_mapping_by_class_and_by_clusters(program):
    keys = ("method=feature_mapping", "pruning_ratio=0.5", "train_final=false", *PROBE)
    assert program.run(*keys) == 0
    by_class = program.record()
    assert list(stages_of(by_class)) == ["surrogate", "group_means", "mapping"]
    assert program.run(*keys, "method.grouping=kmeans", "method.num_clusters=20") == 0
    clustered = next(record for record in program.records() if record["run_key"] != by_class["run_key"])
    assert list(stages_of(clustered)) == ["surrogate", "embeddings", "groups", "group_means", "mapping"]
    assert (clustered["pruning"]["num_groups"], clustered["pruning"]["num_groups_kept"]) == (20, 10)
    passed = {name: stage["samples_forward"] for name, stage in stages_of(clustered).items()}
    assert (passed["embeddings"], passed["groups"], passed["group_means"]) == (POOL, 0, 0)  # the pool once
    assert stages_of(by_class)["group_means"]["samples_forward"] == POOL


def test_random_clusters_are_those_that_feature_mapping_chooses_among(program):
    keys = ("pruning_ratio=0.5", "train_final=false", "method.num_clusters=20", *PROBE)
    assert program.run("method=feature_mapping", "method.grouping=kmeans", *keys) == 0
    chosen = program.record()
    assert program.run("method=random_clusters", *keys) == 0
    drawn = next(record for record in program.records() if record["run_key"] != chosen["run_key"])
    assert len(program.stages("groups")) == 1
    assert list(stages_of(drawn)) == ["surrogate", "embeddings", "groups"]
    rankings = [GroupRanking.load(program.run_dir(record) / "ranking.parquet") for record in (chosen, drawn)]
    assert torch.equal(rankings[0].size, rankings[1].size)
    assert not torch.equal(rankings[0].order, rankings[1].order)
    assert (rankings[1].kind, rankings[1].voted) == ("cluster", False)


@pytest.mark.parametrize("score", ["moderate", "grand"])
@pytest.mark.parametrize("selection", ["top", "class_balanced"])
def test_samples_by_a_score_are_a_baseline_for_transfer(program, score, selection):
    keys = ("method=score", f"score={score}", f"selection={selection}", "pruning_ratio=0.5", *PROBE)
    assert program.run(*keys) == 0
    record = program.record()
    assert list(stages_of(record)) == ["scoring", *(["scoring_final_pass"] * (score == "moderate")), *TRAINED]
    assert record["pruning"]["num_kept"] == round(POOL / 2)
    assert record["metrics"]["test_accuracy"] == record["metrics"]["linear_probe_accuracy"] > 0


@pytest.mark.parametrize("score", [["moderate", "score.rank_within=all"], ["grand"]], ids=["moderate", "grand"])
def test_classes_by_a_score_are_a_baseline_for_transfer(program, score):
    name, *settings = score
    assert program.run("method=score_groups", f"score={name}", *settings, "pruning_ratio=0.5", *PROBE) == 0
    record = program.record()
    assert record["label"] == f"score_groups + {name}"
    assert stages_of(record).keys() >= {"scoring", *TRAINED}
    table = ScoreTable.load(program.run_dir(record) / "scores.parquet")
    means = [float(table.score[table.label == label].mean()) for label in range(10)]
    kept = {label for label, count in enumerate(record["pruning"]["class_counts"]) if count}
    assert kept == set(sorted(range(10), key=lambda label: -means[label])[:5])
    assert record["pruning"]["num_groups_kept"] == 5


def test_one_pretraining_serves_every_downstream_set(program):
    keys = ("method=random", "downstream=digits", "finetune=linear_probe", "finetune.max_epochs=2")
    assert program.run("-m", *keys, "downstream.per_class=3,5") == 0
    assert len(program.stages("training")) == 1
    assert len(program.stages("finetune")) == 2


def test_both_ways_to_adapt_start_from_the_pretraining(program):
    assert program.run("method=full", *FEW, "finetune=both", "finetune.max_epochs=2", "finetune.probe_epochs=2") == 0
    metrics = program.record()["metrics"]
    assert metrics["test_accuracy"] == metrics["finetune_accuracy"]
    assert metrics["linear_probe_accuracy"] is not None
    files = set(program.record()["artifacts"])
    assert {"linear_probe.csv", "full.csv", "checkpoints/full.safetensors", "metrics.csv"} <= files


def test_as_many_steps_cost_as_much_as_all(program):
    program.run("-m", "method=random_groups", "pruning_ratio=0.5", "budget=epochs,steps", *PROBE)
    visits = {r["config"]["budget"]: stages_of(r)["training"]["samples_backward"] for r in program.records()}
    kept = program.records()[0]["pruning"]["num_kept"]
    assert visits == {"epochs": EPOCHS * kept, "steps": kept * round(EPOCHS * POOL / kept)}


def test_several_downstream_sets_share_a_ranking(program):
    further = ("+data@method.further.more=digits", "method.further.more.per_class=2")
    assert program.run("method=label_mapping", "pruning_ratio=0.5", "train_final=false", *PROBE, *further) == 0
    record = program.record()
    ranking = GroupRanking.load(program.run_dir(record) / "ranking.parquet")
    assert ranking.votes.sum() == pytest.approx(1.0)
    assert ranking.metadata["downstream"] == ["digits", "more"]


def test_self_supervised_pretraining_on_clusters(program):
    keys = ("method=feature_mapping", "method.grouping=kmeans", "method.num_clusters=8", "pruning_ratio=0.5")
    assert program.run("paradigm=self_supervised", *SSL, *keys, *PROBE, "trainer.max_epochs=2") == 0
    record = program.record()
    assert record["metrics"]["linear_probe_accuracy"] > 0.1
    assert record["metrics"]["source_accuracy"] is None
    assert record["pruning"]["num_groups_kept"] == 4
    for folder in (program.run_dir(record), *program.stages("surrogate")):
        *before, last = csv.DictReader((folder / "metrics.csv").open())
        assert 0.2 < float(last["knn_accuracy"]) <= 1  # of ten digits
        assert 0.2 < float(last["probe_accuracy"]) <= 1
        assert float(last["feature_spread"]) > 0
        assert all(row["knn_accuracy"] == "" for row in before)  # evaluate_every=3
    assert set(stages_of(record)) == {"surrogate", "embeddings", "groups", "group_means", "mapping", *TRAINED}


def test_adversarial_pretraining_tells_robust_accuracy_downstream(program):
    keys = ("paradigm=adversarial_dp4tl", "method=label_mapping", "pruning_ratio=0.5", *PROBE)
    assert program.run(*keys, "trainer.max_epochs=1", "scoring.max_epochs=1") == 0
    metrics = program.record()["metrics"]
    assert 0 <= metrics["robust_accuracy"] <= metrics["linear_probe_accuracy"]
    surrogate = stages_of(program.record())["surrogate"]
    assert surrogate["samples_backward"] == 4 * POOL  # three attack steps and the training's own


def test_the_kept_set_does_not_depend_on_the_order_of_downstream_images(program, tmp_path):
    images = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    labels = load_digits().target.astype(np.int64)
    for name, order in (("plain", np.arange(200)), ("shuffled", np.random.default_rng(0).permutation(200))):
        np.savez(
            tmp_path / f"{name}.npz",
            **{"x_train": images[order], "y_train": labels[order], "x_test": images[:50], "y_test": labels[:50]},
        )
        further = ("downstream=npz", f"downstream.root={tmp_path}/{name}.npz", "downstream.validation_fraction=0.0")
        keys = ("method=label_mapping", "pruning_ratio=0.5", "train_final=false", "finetune=linear_probe")
        assert program.run(*keys, *further) == 0
    masks = [mask_of(program, record).kept_ids.tolist() for record in program.records()]
    assert len(masks) == 2
    assert masks[0] == masks[1]


def test_a_head_of_the_kept_classes_only(program):
    keys = ("method=random_groups", "pruning_ratio=0.5", "finetune=both", "finetune.max_epochs=1", *FEW)
    assert program.run("-m", *keys, "relabel=false,true") == 0
    heads = {
        record["config"]["relabel"]: [
            len(load_file(program.run_dir(record) / "checkpoints" / f"{name}.safetensors")["head.weight"])
            for name in ("last", "full", "linear_probe")
        ]
        for record in program.records()
    }
    assert heads == {False: [10, 10, 10], True: [5, 10, 10]}
    source = {record["config"]["relabel"]: record["metrics"]["source_accuracy"] for record in program.records()}
    assert source[True] > source[False]  # classes that were never seen are not asked for
    first, second = (mask_of(program, record).kept_ids for record in program.records())
    assert torch.equal(first, second)


def test_the_oracle_leaves_each_class_out_in_turn(program):
    few = (
        "downstream=digits",
        "downstream.per_class=4",
        "downstream.validation_fraction=0.1",
        "finetune=linear_probe",
        "finetune.max_epochs=2",
    )
    keys = ("method=leave_one_out", "pruning_ratio=0.5", "trainer.max_epochs=1", "train_final=false")
    assert program.run(*keys, *few) == 0
    record = program.record()
    assert len(program.stages("training")) == len(program.stages("finetune")) == 11
    assert record["pruning"]["num_groups_kept"] == 5
    choosing = [stage["samples_backward"] for stage in record["ledger"]["stages"] if stage["stage"] == "training"]
    assert sum(choosing) == EPOCHS * (POOL + 9 * POOL)
    assert all(stage["pruning"] for stage in record["ledger"]["stages"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["downstream=digits"], "downstream= needs finetune= as well"),
        (["finetune=both"], "finetune= needs downstream= as well"),
        (["method=label_mapping"], "needs a downstream set"),
        (["method=feature_mapping", "method.grouping=kmeans", *PROBE], "kmeans needs a number of clusters"),
        (["method=random_groups", "pruning_ratio=0.97"], "would keep 0 of 10 groups"),
        (["method=random_groups", "mapping.keep_by=some"], "keep_by"),
        (["method=random_groups", "mapping.keep_by=num_groups", "mapping.num_groups=11"], "the source has 10 groups"),
        (["method=label_mapping", *PROBE, "downstream.image_size=16"], "1x16x16"),
        (["method=full", *PROBE, "finetune.max_epochs=0"], "at least 1 epoch"),
        (["budget=time"], "budget='time'"),
        (["method=leave_one_out", *PROBE], "leave_one_out ranks by downstream validation"),
        (["method=leave_one_out", "method.max_groups=9", *PROBE], "raise method.max_groups"),
        (["method=label_mapping", "paradigm=self_supervised", *PROBE], "label_mapping reads the classes"),
        (["paradigm=self_supervised", "method=random"], "needs downstream="),
        (["method=score_groups", "score=moderate", "score.rank_within=class", *PROBE], "set score.rank_within=all"),
        (["method=random_clusters", *PROBE], "random_clusters needs a number of clusters"),
        (["method=random_clusters", "method.num_clusters=1", *PROBE], "method.num_clusters must be at least 2, got 1"),
        (["method=random_clusters", "method.num_clusters=9", "method.kmeans_backend=x"], "minibatch, lloyd, faiss"),
        (["method=random_clusters", "method.num_clusters=1438"], "num_clusters=1438 is more than the 1437 samples"),
        (["method=feature_mapping", *CLUSTERS, "method.num_clusters=1", *PROBE], "must be at least 2, got 1"),
        (["method=feature_mapping", *CLUSTERS, "method.num_clusters=1438", *PROBE], "is more than the 1437 samples"),
        (["method=feature_mapping", "mapping.keep_by=num_groups", "mapping.num_groups=11", *PROBE], "has 10 groups"),
        (["method=label_mapping", "pruning_ratio=0.97", *PROBE], "would keep 0 of 10 groups"),
        (["method=leave_one_out", "pruning_ratio=0.97", *PROBE], "would keep 0 of 10 groups"),
        (["method=label_mapping", "downstream=digits", "downstream.per_class=0", "finetune=full"], "got 0"),
        (["method=label_mapping", *PROBE, *FURTHER, "method.further.more.image_size=4"], "1x4x4"),
        (["method=label_mapping", "optim.lr=1e30", *PROBE], "The training loss became nan"),
    ],
)
def test_what_cannot_work_is_one_line(program, arguments, complaint):
    assert program.run(*arguments) == 2
    (line,) = program.err.splitlines()
    assert complaint in line
    assert program.stages("training") == program.stages("surrogate") == []


@pytest.mark.parametrize("method", ["label_mapping", "feature_mapping", "random_groups"])
def test_a_source_of_one_class_has_no_groups_to_choose_among(program, tmp_path, method):
    root = saved(tmp_path / "one.npz", classes=[3])
    source = ("data=npz", f"data.root={root}", f"method={method}", "train_final=false")
    assert program.run(*source, *PROBE) == 2
    assert "at least 2 groups, got 1" in program.err
    assert program.stages("surrogate") == []


def test_a_downstream_set_without_an_image_is_one_line(program, tmp_path):
    root = saved(tmp_path / "none.npz", num_train=0)
    assert program.run("method=label_mapping", "downstream=npz", f"downstream.root={root}", "finetune=full") == 2
    assert "The training split of none is empty." in program.err
    assert len(program.err.splitlines()) == 1


def test_a_network_whose_features_are_all_the_same_has_no_clusters(program, tmp_path):
    root = saved(tmp_path / "flat.npz", blank=True)
    keys = ("method=feature_mapping", *CLUSTERS, "method.num_clusters=3", "train_final=false")
    assert program.run("data=npz", f"data.root={root}", *keys, *PROBE) == 2
    assert "hold only 1 distinct points" in program.err


@pytest.mark.parametrize("method", ["label_mapping", "feature_mapping", "random_groups"])
def test_all_groups_are_the_whole_source(program, method):
    assert program.run("method=full", *PROBE) == 0
    whole = program.record()
    assert program.run(f"method={method}", "mapping.keep_by=num_groups", "mapping.num_groups=10", *PROBE) == 0
    chosen = next(record for record in program.records() if record["run_key"] != whole["run_key"])
    first, second = mask_of(program, whole), mask_of(program, chosen)
    assert first.sha256 == second.sha256
    assert first.keep.numpy().tobytes() == second.keep.numpy().tobytes()
    assert len(program.stages("training")) == 1  # and so is the pretraining
    assert whole["metrics"] == chosen["metrics"]


def test_votes_of_more_downstream_images_than_groups_are_counted(program):
    keys = ("method=feature_mapping", "pruning_ratio=0.5", "train_final=false")
    assert program.run(*keys, "downstream=digits", "finetune=linear_probe") == 0
    ranking = GroupRanking.load(program.run_dir(program.record()) / "ranking.parquet")
    assert int(ranking.votes.sum()) == POOL
    assert int((ranking.votes > 0).sum()) > 5  # and not all on the first two
    assert torch.equal(ranking.order.sort().values, torch.arange(10))
