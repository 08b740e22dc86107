"""Score a part, predict the rest, end to end on the digits."""

import pytest
import torch
from safetensors.torch import load_file

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.runs.paths import CONF

pytestmark = pytest.mark.slow
POOL, SUBSET = 1437, 287
SIMPLE = "class_mean,constant,uniform,ridge,proxy_direct,subset_only"
PREDICT = ("score=el2n", "extrapolation=knn", "subset_fraction=0.2")


def table_of(program, record):
    return ScoreTable.load(program.run_dir(record) / "scores.parquet", record["data"]["fingerprint"])


def stages_of(record):
    return [stage["stage"] for stage in record["ledger"]["stages"]]


def test_a_run_scores_a_part_and_says_so(program):
    assert program.run(*PREDICT, "pruning_ratio=0.5") == 0
    record = program.record()
    assert record["label"] == "el2n + knn"
    assert record["pruning"]["extrapolation"] == "knn"
    assert stages_of(record) == ["scoring", "embeddings", "extrapolation", "training"]
    table, mask = table_of(program, record), Mask.load(program.run_dir(record) / "mask.parquet")
    assert (len(table), int(table.observed.sum())) == (POOL, SUBSET)
    assert record["extrapolation"]["num_observed"] == SUBSET
    assert record["extrapolation"]["num_predicted"] == POOL - SUBSET
    assert record["pruning"]["observed_share"] == pytest.approx(float(table.observed[mask.keep].float().mean()))
    assert record["extrapolation"]["neighbors"]["without_neighbor"] == 0
    (scoring,) = program.stages("scoring")
    observed = ScoreTable.load(scoring / "scores" / "el2n.parquet")
    assert torch.equal(table.score[table.observed], observed.score)
    assert torch.equal(table.sample_id[table.observed], observed.sample_id)
    assert len(table.column("predicted_raw").unique()) > SUBSET


def test_the_ledger_is_what_the_note_says_it_should_be(program):
    program.run("score=aum", "extrapolation=knn", "subset_fraction=0.1", "pruning_ratio=0.5")
    ledger = program.record()["ledger"]
    subset, kept, epochs = round(POOL * 0.1), round(POOL * 0.5), 3
    flops = {stage["stage"]: stage["flops"] for stage in ledger["stages"]}
    forward = flops["embeddings"] / POOL
    assert flops["scoring"] == 3 * subset * epochs * forward
    assert flops["training"] == 3 * kept * epochs * forward
    assert flops["extrapolation"] == 2 * subset * (POOL - subset) * 32
    expected = subset / POOL + kept / POOL + 1 / (3 * epochs) + flops["extrapolation"] / (3 * POOL * epochs * forward)
    assert ledger["cost_vs_full"] == pytest.approx(expected, rel=1e-12)
    assert ledger["cost_vs_full"] < 0.75
    block = program.record()["extrapolation"]
    assert block["cost_choosing_vs_full"] == pytest.approx(expected - kept / POOL, rel=1e-12)
    assert block["cost_vs_full_scoring"] == pytest.approx(block["cost_choosing_vs_full"], rel=1e-12)


def test_every_simple_predictor_works_on_one_scoring_of_the_subset(program):
    assert program.run("-m", "score=aum", f"extrapolation={SIMPLE}", "train_final=false", "merge=raw") == 0
    assert len(program.records()) == len(SIMPLE.split(","))
    assert len(program.stages("scoring")) == len(program.stages("embeddings")) == 1
    for record in program.records():
        reads_network = record["pruning"]["extrapolation"] in ("ridge", "proxy_direct")
        assert ("embeddings" in stages_of(record)) == reads_network
        assert record["extrapolation"]["num_observed"] == SUBSET
    only = next(record for record in program.records() if record["pruning"]["extrapolation"] == "subset_only")
    table = table_of(program, only)
    assert table.score[table.observed].min() > table.score[~table.observed].max()


def test_any_scorer_can_be_predicted(program):
    scorers = ",".join(sorted(path.stem for path in CONF.glob("score/*.yaml")))
    keys = ("extrapolation=knn", "train_final=false", "trainer.max_epochs=11")
    program.quick = ("compare_with=[]",)
    assert program.run("-m", f"score={scorers}", *keys, "optim.batch_size=256") == 0
    assert {record["status"] for record in program.records()} == {"finished"}
    assert len(program.records()) == len(scorers.split(","))
    assert len(program.stages("scoring")) == 1
    networks = {record["extrapolation"]["num_observed"] for record in program.records()}
    assert len(networks) == 1
    assert len(program.stages("embeddings")) == 3  # of the network after 1, 10 and 11 epochs, where the scorers stop


def test_full_scores_change_nothing_but_the_diagnostic(program):
    program.run(*PREDICT, "pruning_ratio=0.5")
    alone = program.record()
    assert len(program.stages("scoring")) == 1  # no full scoring exists
    assert program.run(*PREDICT, "pruning_ratio=0.5", "fidelity.against=[7,8]", "fidelity.ratios=[0.5,0.9]") == 0
    assert "already finished" in program.out
    judged = program.record()
    for part in ("pruning", "metrics", "ledger", "run_key"):
        assert judged[part] == alone[part]
    assert judged["artifacts"]["mask.parquet"] == alone["artifacts"]["mask.parquet"]
    entries = judged["extrapolation"]["fidelity"]
    assert [entry["score_seed"] for entry in entries] == [7, 8]
    assert [row["pruning_ratio"] for row in entries[0]["by_ratio"]] == [0.5, 0.9]
    level = judged["extrapolation"]["seed_level"]
    assert 0 < level["spearman"] <= 1
    assert level["num_compared"] == POOL - SUBSET


def test_full_scores_that_lie_there_are_not_read(program):
    program.run("-m", "score=el2n", "score_seed=0,7", "train_final=false")
    program.run(*PREDICT, "train_final=false")
    record = next(record for record in program.records() if record["extrapolation"])
    with_scores = record["artifacts"]["mask.parquet"]
    program.folder = program.folder.with_name("elsewhere")
    program.run(*PREDICT, "train_final=false")
    assert program.record()["artifacts"]["mask.parquet"] == with_scores


def test_embeddings_are_made_once_and_are_the_same_anywhere(program):
    program.run("-m", *PREDICT[:1], "extrapolation=knn,ridge", "train_final=false")
    (first,) = program.stages("embeddings")
    program.folder = program.folder.with_name("elsewhere")
    program.run(*PREDICT, "train_final=false")
    (second,) = program.stages("embeddings")
    file = "embeddings.safetensors"
    assert first.name == second.name
    assert (first / file).read_bytes() == (second / file).read_bytes()
    tensors = load_file(first / file)
    assert tensors["embeddings"].shape == (POOL, 32)
    assert tensors["logits"].shape == (POOL, 10)


def test_the_mask_alone_trains_nothing_on_it(program):
    program.run(*PREDICT, "train_final=false")
    record = program.record()
    assert program.stages("training") == []
    assert record["status"] == "finished"
    assert record["metrics"]["test_accuracy"] is None
    assert record["ledger"]["cost_vs_full"] is None
    assert set(record["artifacts"]) == {"mask.parquet", "scores.parquet", "extrapolation.json"}
    assert "kept" in program.out


def test_merging_decides_how_much_of_the_kept_is_observed(program):
    program.run("-m", *PREDICT, "merge=raw,quantile_match,per_source_quota", "pruning_ratio=0.8", "train_final=false")
    share = {record["config"]["merge"]: record["pruning"]["observed_share"] for record in program.records()}
    assert share["per_source_quota"] == pytest.approx(0.2, abs=0.005)
    assert share["quantile_match"] == pytest.approx(0.2, abs=0.02)
    labels = {record["label"] for record in program.records()}
    assert labels == {"el2n + knn", "el2n + knn + raw", "el2n + knn + per_source_quota"}
    assert len(program.stages("extrapolation")) == 1


def test_subset_training_length_and_draw(program):
    keys = (*PREDICT, "train_final=false", "subset_stratified=true")
    program.run("-m", *keys, "subset_epochs_factor=1.0,2.0", "score_seed=0,1")
    drawn = {}
    for record in program.records():
        table = table_of(program, record)
        counts = torch.bincount(table.label[table.observed], minlength=10).tolist()
        full = torch.bincount(table.label, minlength=10).tolist()
        assert all(abs(part - 0.2 * whole) <= 1 for part, whole in zip(counts, full, strict=True))
        factor = record["config"]["subset_epochs_factor"]
        assert record["extrapolation"]["subset_epochs"] == 3 * factor
        epochs_read = max(1, round(3 * factor / 10))  # of EL2N, which then reads one pass
        assert record["ledger"]["stages"][0]["samples_forward"] == SUBSET * (epochs_read + 1)
        drawn[record["score_seed"], factor] = table.observed
    assert torch.equal(drawn[0, 1.0], drawn[0, 2.0])
    assert not torch.equal(drawn[0, 1.0], drawn[1, 1.0])


def test_cross_validation_leaves_its_trace(program):
    assert program.run("score=el2n", "extrapolation=knn_same_class_cv", "train_final=false") == 0
    block = program.record()["extrapolation"]
    assert block["chosen"] in {trial["candidate"] for trial in block["trace"]}
    assert len(block["trace"]) == 12


def test_the_subset_may_train_longer_than_a_full_scoring_could(program):
    keys = ("score=tdds", "extrapolation=knn", "scoring.max_epochs=4", "subset_epochs_factor=3.0")
    assert program.run(*keys, "train_final=false") == 0
    block = program.record()["extrapolation"]
    assert block["subset_epochs"] == 12
    assert block["cost_vs_full_scoring"] is None  # 4 epochs are too few for the score
    assert block["cost_choosing_vs_full"] > 0
    program.folder = program.folder.with_name("elsewhere")
    assert program.run(*keys, "fidelity.against=[5]") == 2
    assert "needs at least" in program.err
    assert program.stages("scoring") == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["subset_fraction=20"], "subset_fraction must be in (0, 1), got 20"),
        (["subset_fraction=1.0"], "extrapolation=none scores every sample"),
        (["subset_epochs_factor=0.0"], "subset_epochs_factor must be positive"),
        (["merge=mean"], "merge='mean'"),
        (["subset_fraction=0.0001"], "subset_fraction=0.0001 scores 0 of 1437 samples"),
        (["subset_fraction=0.01"], "k=20 neighbors cannot be found among 14 scored samples"),
        (["selection=beta"], "predicted scores come with"),
        (["score=dynamic_uncertainty"], "needs at least"),
        (["method=random"], "extrapolation= predicts scores, and this method reads none"),
        (["subset_include=some"], "subset_include='some'"),
        (["subset_include=original", "subset_fraction=0.9"], "give data.extra, or leave subset_include=none"),
        (["extrapolation=subset_only"], "needs merge=raw"),
        (["extrapolation=kn"], "knn"),
        (["fidelity.ratios=[30]"], "Did you mean 0.3?"),
        (["fidelity.against=[5]", "fidelity.ratios=[0.9999]"], "would keep 0 of 1437 samples"),
        (["fidelity.against=[5,-1]"], "score seeds, which are not negative; got -1"),
        (["extrapolation=knn_cv", "subset_fraction=0.002"], "at least 4 scores, got 3"),
    ],
)
def test_what_cannot_work_is_one_line(program, arguments, complaint):
    assert program.run(*PREDICT, *arguments) == 2
    (line,) = program.err.splitlines()
    assert complaint in line
    assert program.stages("scoring") == []


def test_an_unsupervised_scoring_of_another_length_is_another_one(program):
    small = ("paradigm.encoder_epochs=1", "paradigm.encoder.hidden_dim=32", "paradigm.encoder.prediction_dim=16")
    keys = ("paradigm=unsupervised", "paradigm@final_paradigm=supervised", "score=el2n", "train_final=false", *small)
    assert program.run("-m", *keys, "scoring.max_epochs=3,6") == 0
    assert len(program.stages("encoder")) == 1
    assert len(program.stages("scoring")) == 2
    first, second = (record["artifacts"]["scores.parquet"] for record in program.records())
    assert first != second
