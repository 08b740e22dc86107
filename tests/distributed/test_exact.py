"""Two processes measure what one does, to the last bit where weights are the same, and train what one does."""

import dataclasses
import os
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.multiprocessing import spawn

from secateur.core.errors import ConfigError
from secateur.core.group import current
from secateur.core.seeds import stream_seed
from secateur.data.augment import Normalization
from secateur.data.digits import DigitsData
from secateur.data.order import Shuffled
from secateur.data.prepared import prepare
from secateur.dynamic.infobatch import InfoBatch
from secateur.grouping.means import GroupMeans
from secateur.mapping.feature_mapping import FeatureVotes
from secateur.mapping.label_mapping import LabelVotes
from secateur.models.backbone import Backbone
from secateur.models.small_cnn import SmallCNN
from secateur.runs.nodes import build
from secateur.runs.stages.scoring import standard_scores
from secateur.scores.el2n import EL2N
from secateur.selection.top import Top
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.recorder import ScoreRecorder
from secateur.training.distributed.processes import joined
from secateur.training.distributed.sharded import open_root, put_weights, whole_weights
from secateur.training.distributed.strategy import DataParallel
from secateur.training.distributed.together import EqualBuffers
from secateur.training.evaluate import evaluate, forward_pass
from secateur.training.fit import fit
from secateur.training.modules.adversarial import AdversarialClassifier
from secateur.training.modules.classifier import Classifier
from secateur.training.recipe import Recipe
from secateur.training.sampling import Sampling
from secateur.training.settings import TrainerSettings

pytestmark = pytest.mark.slow
WORLD, NUM_SAMPLES, BATCH, EPOCHS = 2, 21, 4, 12
SIDE = ("mean_probability", "std_probability", "aum")
STILL = Recipe(optimizer="sgd", lr=1e-30, batch_size=BATCH, schedule="constant")  # no weight ever changes
MOVING = Recipe(optimizer="sgd", lr=0.05, batch_size=BATCH, momentum=0.9, weight_decay=1e-3, schedule="cosine")
SETTINGS = TrainerSettings(max_epochs=EPOCHS, accelerator="cpu")


class Plain(Backbone):
    """Without batch norm: a training changes nothing but its weights."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 16), nn.Linear(16, 10)

    def features(self, x):
        return torch.tanh(self.body(x.flatten(1)))


def small_digits():
    data = prepare(DigitsData(name="digits", validation_fraction=0.1))
    part = {"pool": data.pool[:NUM_SAMPLES], "flipped": data.flipped[:NUM_SAMPLES]}
    return dataclasses.replace(data, **part, validation=data.validation[:10])


def seeded(make):
    torch.manual_seed(7)
    return make()


def normed():
    return SmallCNN(in_channels=1, num_classes=10, width=4)


def passes(data):
    """Embeddings, votes, means and accuracies from one untrained network."""
    model = seeded(Plain)

    def steps():
        return forward_pass(model, data.eval_loader(data.pool, BATCH))

    seen = [(s.features, s.logits, s.batch.y, s.batch.sample_id) for s in steps()]
    features, logits, labels, ids = (torch.cat(parts) for parts in zip(*seen, strict=True))
    means, start = GroupMeans(10), 0
    for step in steps():
        means.update(step.features, data.pool_labels[start : start + len(step.features)])
        start += len(step.features)
    by_label, by_feature = LabelVotes(10), FeatureVotes(means.compute())
    for step in steps():
        by_label.update(step.logits)
        by_feature.update(step.features)
    found = evaluate(model, data.eval_loader("test", BATCH), 10)
    robust = AdversarialClassifier(model, STILL, 1, 0, normalization=data.normalization, **PGD)
    return {
        **{"features": features, "logits": logits, "labels": labels, "ids": ids, "means": means.compute()},
        **{"lm": by_label.compute().votes, "lm_soft": by_label.compute().soft_scores},
        **{"fm": by_feature.compute().votes, "fm_soft": by_feature.compute().soft_scores},
        **{"accuracy": torch.tensor(found.accuracy), "by_class": found.class_accuracy},
        "robust": torch.tensor(robust.robust_accuracy(data.eval_loader("test", 64))),
    }


PGD = {
    **{"objective": "pgd", "beta": None, "eps": 0.1, "step_size": 0.05, "num_steps": 2, "norm": "linf"},
    **{"random_start": True, "record": "clean", "eval_eps": None, "eval_step_size": None, "eval_steps": 2},
}


def train(data, folder, model, recipe, callbacks, *, sampling=None, epochs=EPOCHS, make=Classifier, **settings):
    order = sampling or Shuffled(data.pool, 0)
    loader = data.train_loader(order, recipe.batch_size, 0)
    module = make(model, recipe, epochs, 0, sampling, **settings)
    every = [*callbacks, *([sampling] if sampling else [])]
    return module, fit(
        module, loader, SETTINGS, folder, every, max_epochs=epochs, reload_every_epoch=sampling is not None
    )


def scores(data, folder, record):
    """Every shipped scorer on a network that stays as it is, and the mask that the first one selects."""
    nodes = standard_scores(EPOCHS).items()
    nodes = {name: {**node, **({"record": record} if "record" in node else {})} for name, node in nodes}
    plain = data.train_loader(Shuffled(data.pool, 0), STILL.batch_size, 0, augment=False)

    def clean(epoch):
        plain.set_epoch(epoch)
        return plain

    recorder = ScoreRecorder(
        {name: build(node) for name, node in nodes.items()},
        sample_ids=data.pool,
        eval_loader=lambda: data.eval_loader(data.pool, BATCH),
        clean_loader=clean,
    )
    train(data, folder / record, seeded(Plain), STILL, [recorder])
    tables = recorder.compute()
    found = {f"{name}/score": table.score for name, table in tables.items()}
    for name, table in tables.items():
        found |= {f"{name}/{column}": values for column, values in table.columns.items()}
        found |= {f"{name}/ids": table.sample_id, f"{name}/label": table.label}
    found["mask"] = Top()(tables["el2n"], 9, 0).keep
    found["passed"] = torch.tensor([recorder.forward_samples, recorder.final_samples])
    return found


def trainings(data, folder):
    """A network with batch norm; one with InfoBatch; adversarial training; batches of a single sample."""
    metrics = EpochMetrics({"validation": lambda: data.eval_loader("validation", BATCH)}, 10)
    recorder = ScoreRecorder([EL2N(record="train_forward")], sample_ids=data.pool)
    model = seeded(normed)
    train(data, folder / "plain", model, MOVING, [metrics, recorder], epochs=3)
    found = {f"weights/{name}": values.float() for name, values in model.state_dict().items()}
    found["losses"] = torch.tensor([row["train_loss"] for row in metrics.rows])
    found["el2n"] = recorder.compute()["EL2N"].score
    policy = InfoBatch(NUM_SAMPLES, 0.5, 4, 0)
    train(data, folder / "infobatch", seeded(normed), MOVING, [], sampling=Sampling(policy, data.pool, 9), epochs=4)
    found["infobatch"] = policy.losses
    found["realized"] = torch.tensor(policy.realized_pruning_ratio)
    single = dataclasses.replace(MOVING, batch_size=1)
    alone = seeded(Plain)
    counts = EpochMetrics({}, 10)
    train(data, folder / "single", alone, single, [counts], epochs=1)
    found["single"], found["count"] = alone.head.weight.detach(), torch.tensor(counts.num_samples)
    still = {**PGD, "random_start": False, "normalization": Normalization((0.5,), (0.5,))}
    attacked = seeded(Plain)
    train(data, folder / "pgd", attacked, single, [], epochs=1, make=AdversarialClassifier, **still)
    found["attacked"] = attacked.head.weight.detach()
    return found


def everything(folder: Path):
    torch.set_num_threads(1)
    data = small_digits()
    return {
        "passes": passes(data),
        "eval_pass": scores(data, folder, "eval_pass"),
        "train_forward": scores(data, folder, "train_forward"),
        "before_step": scores(data, folder, "before_step"),
        "trainings": trainings(data, folder),
        "group": exchanges(),
    }


def exchanges():
    """What the group itself does with rows of several types, some of them on one process only."""
    group = current()
    rows = torch.arange(5).tensor_split(group.size)[group.rank]
    first = rows[:0] if group.rank else torch.arange(3)
    numbers, halves, flags = group.gather_rows(rows, rows[:, None] / 2, rows > 2)
    (from_first,) = group.gather_rows(first)
    return {
        **{"numbers": numbers, "halves": halves, "flags": flags, "from_first": from_first},
        "total": group.total(rows.sum()),
        "told": torch.tensor(group.broadcast(stream_seed(group.rank, "any"))),
    }


def sharded(data):
    """A network whose weights are divided, as FSDP does it: evaluated, and whole again afterwards."""
    model = seeded(normed)
    expected = evaluate(model, data.eval_loader("test", BATCH), 10).class_accuracy
    weights = {name: values.clone() for name, values in model.state_dict().items()}
    root = FullyShardedDataParallel(Classifier(model, STILL, 1, 0), use_orig_params=True, device_id=torch.device("cpu"))
    assert any(len(part) != len(weights[name]) for name, part in model.named_parameters())
    open_root(root)
    assert torch.equal(evaluate(model, data.eval_loader("test", BATCH), 10).class_accuracy, expected)
    put_weights(model, whole_weights(model))
    open_root(None)
    assert all(torch.equal(values, weights[name]) for name, values in model.state_dict().items())


def normalized_by_slices(data, folder):
    """Batch norm over each process's slice: another training, after which all have the same statistics."""
    group = current()
    group.strategy = dataclasses.replace(group.strategy, sync_batchnorm=False)
    model = seeded(normed)
    train(data, folder / "slices", model, MOVING, [], epochs=3)
    slice_of_one = next(iter(data.train_loader(Shuffled(data.pool, 0), 1, 0)))
    with pytest.raises(ConfigError, match="the empty slice") if group.rank else nullcontext():
        EqualBuffers().on_train_batch_start(None, None, slice_of_one, 0)
    return {name: values.float() for name, values in model.state_dict().items()}


def process(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    ddp = DataParallel(devices=WORLD, accelerator="cpu", backend="gloo")
    with joined(ddp, torch.device("cpu"), rank=rank, size=WORLD, local_rank=rank, address="127.0.0.1") as group:
        assert (current(), group.size) == (group, WORLD)
        assert group.gather(rank) == [0, 1]
        torch.save(everything(Path(folder)), f"{folder}/{rank}.pt")
        sharded(small_digits())
        torch.save(normalized_by_slices(small_digits(), Path(folder)), f"{folder}/slices{rank}.pt")
    assert current().size == 1


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(process, (port, str(folder)), nprocs=WORLD)
    ranks = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]
    for rank, found in enumerate(ranks):
        found["slices"] = torch.load(folder / f"slices{rank}.pt", weights_only=True)
    return everything(tmp_path_factory.mktemp("one")), ranks


@pytest.mark.parametrize("part", ["passes", "eval_pass", "group"])
def test_what_is_measured_is_the_same_to_the_last_bit(results, part):
    one, ranks = results
    assert len(one[part]) >= 5
    for found in ranks:
        assert found[part].keys() == one[part].keys()
        different = [key for key, values in one[part].items() if not torch.equal(found[part][key], values)]
        assert [key for key in different if key.split("/")[-1] not in SIDE] == []
        for key in different:  # of scorers that read one pass they are of the training's own forward passes
            torch.testing.assert_close(found[part][key], one[part][key], rtol=1e-5, atol=1e-6)


def test_ids_are_complete_and_in_order(results):
    one, ranks = results
    pool = small_digits().pool
    for found in [one, *ranks]:
        assert torch.equal(found["passes"]["ids"], pool)
        assert int(found["passes"]["lm"].sum()) == int(found["passes"]["fm"].sum()) == NUM_SAMPLES
        assert found["eval_pass"]["passed"].tolist() == [EPOCHS * NUM_SAMPLES, NUM_SAMPLES]
        assert int(found["eval_pass"]["mask"].sum()) == 9


def test_the_scores_say_something(results):
    one, _ = results
    assert float(one["eval_pass"]["el2n/score"].std()) > 0.01
    assert len({key.split("/")[0] for key in one["eval_pass"] if "/" in key}) >= 10


@pytest.mark.parametrize("record", ["train_forward", "before_step"])
def test_scores_of_the_steps_are_the_same_up_to_rounding(results, record):
    """Each process has a slice of every batch, so a product may sum in another order; no sample is lost or doubled."""
    one, ranks = results
    assert len(one[record]) > 20
    for found in ranks:
        for key, values in one[record].items():
            torch.testing.assert_close(found[record][key], values, atol=1e-5, rtol=0, equal_nan=True)


@pytest.mark.parametrize("rank", range(WORLD))
def test_trainings_are_the_same_up_to_rounding(results, rank):
    """With 21 samples, batches of 4 and a last one of 5, or of 1 each, slices differ in size and some are empty."""
    one, ranks = results
    assert float(one["trainings"]["losses"][0] - one["trainings"]["losses"][-1]) > 0.1
    assert float(one["trainings"]["realized"]) > 0
    assert int(one["trainings"]["count"]) == NUM_SAMPLES
    for key, values in one["trainings"].items():
        torch.testing.assert_close(ranks[rank]["trainings"][key], values, atol=2e-4, rtol=0)


def test_all_processes_end_with_the_same_weights(results):
    _, (first, second) = results
    for key, values in first["trainings"].items():
        assert torch.equal(values, second["trainings"][key]), key


def test_slices_normalized_by_themselves_end_in_equal_networks_and_another_one(results):
    one, (first, second) = results
    assert all(torch.equal(values, second["slices"][key]) for key, values in first["slices"].items())
    key = "body.1.running_mean"
    assert float((first["slices"][key] - one["trainings"][f"weights/{key}"]).abs().max()) > 1e-3
