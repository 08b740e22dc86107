"""Measuring without labels and under attack, end to end on a few digits."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from secateur.core.mask import Mask
from secateur.core.seeds import stream_seed
from secateur.core.tables import ScoreTable
from secateur.grouping.turtle import TurtleResult
from secateur.models.small_cnn import SmallCNN

pytestmark = pytest.mark.slow
POOL, SUBSET, EPOCHS, TURTLE_EPOCHS, WINDOW = 300, 75, 3, 24, 10
FEW = ("data.first=300", "subset_fraction=0.25", "pruning_ratio=0.5", "model.width=8")
NETWORK = ("encoder_epochs=2", "encoder.hidden_dim=32", "encoder.projection_dim=32", "encoder.prediction_dim=16")
UNSUPERVISED = (
    *(*FEW, "paradigm=unsupervised", "paradigm@final_paradigm=supervised", f"scoring.max_epochs={TURTLE_EPOCHS}"),
    *(f"paradigm.{setting}" for setting in NETWORK),
)
STEPS = 2
ADVERSARIAL = (
    *(*FEW, "paradigm=adversarial", f"paradigm.num_steps={STEPS}", "paradigm.eps=0.1", "paradigm.step_size=0.06"),
    *("paradigm.eval_steps=3", "score.window=2", "score.skip_last=0"),
)
OBJECTIVE = {"trades": (), "pgd": ("paradigm.objective=pgd", "paradigm.beta=null")}


def table_of(program, record):
    return ScoreTable.load(program.run_dir(record) / "scores.parquet", record["data"]["fingerprint"])


def mask_of(program, record):
    return Mask.load(program.run_dir(record) / "mask.parquet", record["data"]["fingerprint"])


def stages_of(record):
    return [stage["stage"] for stage in record["ledger"]["stages"]]


def uncertainty_by_hand(probs):
    """Dynamic Uncertainty of one sample's probabilities: the mean of all windows' deviations but the last's."""
    starts = range(len(probs) - WINDOW)
    return float(np.mean([np.std(probs[start : start + WINDOW], ddof=1) for start in starts]))


# -- without labels ------------------------------------------------------------------------------------------------


def test_classes_that_were_found_take_the_place_of_labels(program):
    assert program.run(*UNSUPERVISED, "extrapolation=knn") == 0
    record = program.record()
    assert stages_of(record) == ["encoder", "embeddings", "scoring", "extrapolation", "training"]
    assert 0 < record["metrics"]["test_accuracy"] <= 1
    assert record["metrics"]["robust_accuracy"] is None
    table = table_of(program, record)
    assert (len(table), int(table.observed.sum())) == (POOL, SUBSET)
    (scoring,), (embeddings,) = program.stages("scoring"), program.stages("embeddings")
    features = load_file(embeddings / "embeddings.safetensors")["embeddings"]
    turtle = TurtleResult.load(scoring / "turtle.safetensors")
    logits = [features @ turtle.weight[epoch] + turtle.bias[epoch] for epoch in range(TURTLE_EPOCHS)]
    found = logits[-1].argmax(dim=1)
    assert torch.equal(table.label, found)
    probs = torch.stack([values.softmax(dim=1)[torch.arange(POOL), found] for values in logits]).double().numpy()
    expected = [uncertainty_by_hand(probs[:, row]) for row in table.observed.nonzero().flatten().tolist()]
    assert table.score[table.observed].tolist() == pytest.approx(expected, abs=1e-6)


def test_labels_change_nothing(program):
    keys = ("data.label_noise=0.0,0.4", "extrapolation=knn,none", "selection=top,class_balanced")
    assert program.run("-m", *UNSUPERVISED, *keys, "train_final=false") == 0
    assert len(program.stages("encoder")) == 2  # nothing is shared: the fingerprint covers the labels
    kept = {}
    for record in program.records():
        name = record["pruning"]["extrapolation"], record["pruning"]["selection"]
        kept.setdefault(name, []).append((record, mask_of(program, record), table_of(program, record)))
    assert len(kept) == 4
    for (one, mask, table), (other, same_mask, same_table) in kept.values():
        assert sorted([one["data"]["num_flipped"], other["data"]["num_flipped"]]) == [0, round(0.4 * POOL)]
        assert one["data"]["fingerprint"] != other["data"]["fingerprint"]
        assert torch.equal(mask.kept_ids, same_mask.kept_ids)
        assert torch.equal(table.score, same_table.score)
        assert torch.equal(table.label, same_table.label)
    masks = {name: runs[0][1].keep for name, runs in kept.items()}
    assert not torch.equal(masks["knn", "top"], masks[None, "top"])
    assert not torch.equal(masks[None, "top"], masks[None, "class_balanced"])


def test_every_sample_can_be_scored_and_classes_counted_freely(program):
    keys = ("paradigm.num_clusters=12", "selection=class_balanced", "paradigm.encoder.method=moco")
    assert program.run(*UNSUPERVISED, *keys, "paradigm.encoder.memory_size=64", "train_final=false") == 0
    record = program.record()
    assert stages_of(record) == ["encoder", "embeddings", "scoring"]
    table = table_of(program, record)
    assert bool(table.observed.all())
    assert 10 < int(table.label.max()) + 1 <= 12
    share = [
        float(mask_of(program, record).keep[table.label == label].float().mean()) for label in table.label.unique()
    ]
    assert share == pytest.approx([0.5] * len(share), abs=0.1)


def test_without_a_training_of_its_own_the_model_is_taken_as_it_is_built(program):
    keys = ("paradigm.encoder=null", "extrapolation=knn", "train_final=false")
    assert program.run(*(key for key in UNSUPERVISED if ".encoder." not in key), *keys) == 0
    assert stages_of(program.record()) == ["embeddings", "scoring", "extrapolation"]
    (encoder,) = program.stages("encoder")
    torch.manual_seed(stream_seed(0, "encoder-model"))
    built, kept = SmallCNN(num_classes=10, in_channels=1, width=8), load_file(encoder / "model.safetensors")
    assert {name: values.tolist() for name, values in built.state_dict().items()} == {
        name: values.tolist() for name, values in kept.items()
    }


def test_score_seeds_share_an_encoder_that_has_a_seed_of_its_own(program):
    keys = ("extrapolation=knn", "train_final=false")
    assert program.run("-m", *UNSUPERVISED, *keys, "score_seed=0,1", "paradigm.encoder_seed=5") == 0
    assert len(program.stages("encoder")) == len(program.stages("embeddings")) == 1
    one, other = (mask_of(program, record) for record in program.records())
    assert not torch.equal(one.keep, other.keep)
    assert program.run(*UNSUPERVISED, *keys) == 0
    assert len(program.stages("encoder")) == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["extrapolation=knn", "extrapolation.same_class=true"], "reads the labels of all samples"),
        (["extrapolation=class_mean"], "reads the labels of all samples"),
        (["extrapolation=knn_same_class_cv"], "set extrapolation.same_class=false"),
        (["extrapolation=proxy_direct", "extrapolation.measure=entropy"], "logits of a network trained on labels"),
        (["extrapolation=knn", "subset_stratified=true"], "set subset_stratified=false"),
        (["score=el2n", "score.num_networks=2"], "set score.num_networks=1"),
        (["score=dual", "selection=beta"], "without labels come with"),
        (["paradigm.encoder_seed=-1"], "paradigm.encoder_seed must not be negative"),
        (["optim@scoring.optim=dp4tl_vit_b_16"], "optim.warmup_epochs=10 must be below max_epochs=2"),  # the encoder's
    ],
)
def test_what_needs_labels_or_a_training_is_refused_before_anything_runs(program, arguments, complaint):
    assert program.run(*UNSUPERVISED, *arguments) == 2
    (line,) = program.err.splitlines()
    assert complaint in line
    assert not list(program.folder.glob("store/*/*"))


def test_a_final_network_needs_labels(program):
    assert program.run("paradigm=unsupervised") == 2
    (line,) = program.err.splitlines()
    assert "add paradigm@final_paradigm=supervised" in line
    assert not list(program.folder.glob("store/*/*"))


# -- under attack --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVE)
def test_attacks_are_counted_on_both_sides_and_robust_accuracy_is_recorded(program, objective):
    for recorded in ("clean", "adversarial"):
        keys = ("extrapolation=knn", f"paradigm.record={recorded}", "score.record=train_forward")
        assert program.run(*ADVERSARIAL, *OBJECTIVE[objective], *keys) == 0
    scores = {}
    for record in program.records():
        recorded = record["config"]["paradigm"]["record"]
        scores[recorded] = table_of(program, record)
        assert 0 <= record["metrics"]["robust_accuracy"] < record["metrics"]["test_accuracy"] <= 1
        extra = objective == "pgd" and recorded == "clean"  # passed once more to be seen
        forward = STEPS + 3 if objective == "trades" else STEPS + 1 + extra
        backward = STEPS + 2 if objective == "trades" else STEPS + 1
        stages = {stage["stage"]: stage for stage in record["ledger"]["stages"]}
        for stage, count in {"scoring": SUBSET, "training": POOL // 2}.items():
            assert stages[stage]["samples_forward"] == count * EPOCHS * forward
            assert stages[stage]["samples_backward"] == count * EPOCHS * backward
        passes = (forward + 2 * backward) * EPOCHS
        one, predicting = stages["embeddings"]["flops"] / POOL, stages["extrapolation"]["flops"]
        expected = SUBSET / POOL + 0.5 + 1 / passes + predicting / (POOL * passes * one)
        assert record["ledger"]["cost_vs_full"] == pytest.approx(expected, rel=1e-12)
    assert not torch.equal(scores["clean"].score, scores["adversarial"].score)
    means = {name: float(load_scores(program, table)["mean_probability"].mean()) for name, table in scores.items()}
    assert means["clean"] > means["adversarial"]


def load_scores(program, table):
    """Return the side columns of the scoring stage whose scores a merged table has."""
    for folder in program.stages("scoring"):
        found = ScoreTable.load(folder / "scores" / "score.parquet")
        if torch.equal(found.score, table.score[table.observed]):
            return found.columns
    raise AssertionError("no scoring stage has these scores")


def test_an_evaluation_pass_records_attacked_images_too(program):
    keys = ("extrapolation=knn", "paradigm.record=clean,adversarial", "train_final=false")
    assert program.run("-m", *ADVERSARIAL, *keys) == 0
    spent = {record["config"]["paradigm"]["record"]: record["ledger"]["stages"][0] for record in program.records()}
    forward, backward = STEPS + 3, STEPS + 2
    for recorded, attack in {"clean": 0, "adversarial": STEPS}.items():
        assert spent[recorded]["samples_forward"] == SUBSET * EPOCHS * (forward + 1 + attack)
        assert spent[recorded]["samples_backward"] == SUBSET * EPOCHS * (backward + attack)
    one, other = (table_of(program, record) for record in program.records())
    assert not torch.equal(one.score, other.score)


def test_own_images_are_scored_and_extra_ones_predicted(program, tmp_path):
    digits, noise = load_digits(), np.random.default_rng(0)
    images = (digits.images[-120:] * 15 + noise.integers(0, 12, (120, 8, 8))).astype(np.uint8)
    np.savez(tmp_path / "generated.npz", image=images, label=digits.target[-120:])
    keys = (f"data.extra={tmp_path / 'generated.npz'}", "subset_include=original", f"subset_fraction={POOL / 420}")
    assert program.run(*ADVERSARIAL, *keys, "extrapolation=knn", "extrapolation.k=12") == 0
    record = program.record()
    table = table_of(program, record)
    assert len(table) == POOL + 120
    assert torch.equal(table.observed, table.sample_id < 300)
    assert table.label[~table.observed].tolist() == digits.target[-120:].tolist()
    assert record["pruning"]["num_kept"] == (POOL + 120) // 2
    assert 0 < record["pruning"]["observed_share"] < 1
    assert record["metrics"]["robust_accuracy"] is not None


# -- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [UNSUPERVISED, (*ADVERSARIAL, "paradigm.record=adversarial")],
    ids=["unsupervised", "adversarial"],
)
def test_equal_runs_give_equal_bytes(program, arguments):
    files = {}
    for name in ("here", "there"):
        program.folder = program.folder.with_name(name)
        assert program.run(*arguments, "extrapolation=knn") == 0
        run_dir = program.run_dir(program.record())
        files[name] = [(run_dir / file).read_bytes() for file in ("scores.parquet", "mask.parquet", "metrics.csv")]
    assert files["here"] == files["there"]
