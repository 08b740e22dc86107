"""The front door: somebody's own module and loader, a ScoreRecorder among the callbacks, scores at the end."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.scores.base import RECORDS
from secateur.scores.dynamic_uncertainty import DynamicUncertainty, dynamic_uncertainty
from secateur.scores.el2n import EL2N, el2n
from secateur.scores.entropy import Entropy, entropy
from secateur.scores.grand import GraNd, grand
from secateur.scores.tdds import TDDS, tdds
from secateur.training.callbacks.recorder import ScoreRecorder

pytestmark = [
    pytest.mark.filterwarnings("ignore:You defined a `validation_step`"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need to be provided"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
]
N, C, D, T = 23, 4, 5, 6  # samples, classes, features, epochs; N is no multiple of any batch size below
DRAW = torch.Generator().manual_seed(0)
X = torch.randn(N, D, generator=DRAW)
Y = torch.randint(C, (N,), generator=DRAW)
LOGITS = torch.randn(T, N, C, generator=DRAW) * 2


class OwnModule(pl.LightningModule):
    """A user's linear classifier, which notes the logits it made."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(D, C)
        self.noted = torch.full((T, N, C), torch.nan)

    def training_step(self, batch, batch_idx):
        x, y, sample_id = batch
        logits = self.linear(x)
        self.noted[self.current_epoch, sample_id] = logits.detach()
        return {"loss": F.cross_entropy(logits, y), "logits": logits}

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Replay(OwnModule):
    """Makes the logits of a given trajectory, whatever the order; a second visit in an epoch gives other ones."""

    def training_step(self, batch, batch_idx):
        _, y, sample_id = batch
        again = ~torch.isnan(self.noted[self.current_epoch, sample_id, 0])
        self.noted[self.current_epoch, sample_id] = 0.0
        logits = torch.where(again[:, None], -7.0, LOGITS[self.current_epoch, sample_id])
        loss = F.cross_entropy(logits + 0 * self.linear.bias.sum(), y)
        return {"loss": loss, "logits": logits, "features": X[sample_id]}


class Network(Backbone):
    """Batch norm and dropout: it behaves differently in training and in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout())
        self.head = nn.Linear(8, C)

    def features(self, x):
        return self.body(x)


class BackboneModule(OwnModule):
    """Trains a :class:`Network` under the name that an evaluation pass looks for."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.model = Network()
        self.linear = nn.Identity()

    def training_step(self, batch, batch_idx):
        x, y, _ = batch
        logits = self.model(x)
        return {"loss": F.cross_entropy(logits, y), "logits": logits}


class EvaluateByHand(pl.Callback):
    """Notes the logits ``[N, C]`` of every finished epoch, in evaluation mode."""

    def __init__(self):
        self.logits = []

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.model.eval()
        with torch.no_grad():
            self.logits.append(pl_module.model(X))
        pl_module.model.train()


def batches(batch_size=5, seed=None, order=None):
    """A plain loader of ``(x, y, sample_id)``: shuffled by a seed, or in a given order."""
    data = TensorDataset(X, Y, torch.arange(N))
    shuffle = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(data, batch_size, shuffle=shuffle is not None, generator=shuffle, sampler=order)


def eval_batches():
    return [Batch(X[rows], Y[rows], rows) for rows in torch.arange(N).flip(0).split(4)]


class InEpochOrder:
    """A loader whose order is a function of the epoch, as the project's own are, so that a second one agrees."""

    def __init__(self, batch_size=5, shift=0.0):
        self.batch_size, self.shift, self.epoch = batch_size, shift, 0

    def __len__(self):
        return -(-N // self.batch_size)

    def __iter__(self):
        rows = torch.randperm(N, generator=torch.Generator().manual_seed(self.epoch))
        return iter([Batch(X[part] + self.shift, Y[part], part) for part in rows.split(self.batch_size)])


class SetEpoch(pl.Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        trainer.train_dataloader.epoch = trainer.current_epoch


def clean_batches(epoch):
    loader = InEpochOrder()
    loader.epoch = epoch
    return loader


def train(recorder, module, loader=None, *callbacks, max_epochs=T, resume=None, validate=False, **more):
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[recorder, *callbacks],
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **more,
    )
    trainer.fit(module, loader or batches(), batches() if validate else None, ckpt_path=resume)
    return module


def both(record="train_forward"):
    """Two scorers that read all epochs but the last, or all."""
    tdds_of_all = TDDS(window=3, trajectory_epochs=T, record=record)
    return [tdds_of_all, DynamicUncertainty(window=3, record=record)]


def recorded(module, loader=None, **more):
    """Train and return the tables."""
    recorder = ScoreRecorder(both(), num_samples=N)
    train(recorder, module, loader, **more)
    return recorder.compute()


def assert_same_tables(first, second):
    assert first.keys() == second.keys()
    for name, table in first.items():
        for column in ("sample_id", "label", "score", *table.columns):
            assert torch.equal(table.column(column), second[name].column(column)), (name, column)


# -- what comes out ------------------------------------------------------------------------------------------------


def test_the_tables_are_the_pure_functions_of_the_logits():
    module = OwnModule()
    recorder = ScoreRecorder(both(), num_samples=N)
    train(recorder, module, batches(seed=1))
    tables = recorder.compute()

    probs = module.noted.softmax(dim=2).gather(2, Y.expand(T, N)[:, :, None]).squeeze(2)
    assert list(tables) == ["TDDS", "DynamicUncertainty"]
    assert torch.allclose(tables["TDDS"].score, tdds(module.noted, window=3), atol=1e-6)
    assert torch.allclose(tables["DynamicUncertainty"].score, dynamic_uncertainty(probs, window=3), atol=1e-6)
    for table in tables.values():
        assert torch.equal(table.sample_id, torch.arange(N))
        assert torch.equal(table.label, Y)
        assert bool(table.observed.all())
    for name, read in (
        ("TDDS", probs),
        ("DynamicUncertainty", probs[:-1]),
    ):  # side columns: of the epochs that are read
        assert torch.allclose(tables[name].column("mean_probability"), read.mean(0), atol=1e-6)
        assert torch.allclose(tables[name].column("std_probability"), read.std(0, correction=0), atol=1e-6)


def test_the_training_is_the_one_without_a_recorder():
    alone = train(pl.Callback(), OwnModule(), batches(seed=1))
    watched = train(ScoreRecorder(both(), num_samples=N), OwnModule(), batches(seed=1))
    assert torch.equal(alone.linear.weight, watched.linear.weight)


def test_scores_measured_early_read_their_epoch():
    early = {"early": EL2N(epoch=2, record="train_forward"), "features": GraNd(epoch=1, record="train_forward")}
    recorder = ScoreRecorder(early, num_samples=N)
    train(recorder, Replay(), batches(seed=1))
    errors = LOGITS[1].softmax(dim=1) - F.one_hot(Y, C)
    tables = recorder.compute()
    assert torch.allclose(tables["early"].score, errors.norm(dim=1), atol=1e-6)
    assert torch.allclose(tables["features"].score, grand(LOGITS[0], Y, X), atol=1e-6)


def test_neither_order_nor_batch_size_changes_a_bit():
    reference = recorded(Replay())
    for batch_size, seed in [(5, 1), (1, 2), (7, 3), (N, 4)]:
        assert_same_tables(recorded(Replay(), batches(batch_size, seed)), reference)


def test_ids_may_have_gaps():
    ids = torch.arange(N) * 10 + 3
    recorder = ScoreRecorder(both(), sample_ids=ids, fingerprint="abc", metadata={"TDDS": {"score": {"window": 3}}})

    class Gaps(Replay):
        def training_step(self, batch, batch_idx):
            x, y, sample_id = batch
            return super().training_step((x, y, (sample_id - 3) // 10), batch_idx)

    train(recorder, Gaps(), DataLoader(TensorDataset(X, Y, ids), 5, shuffle=True))
    tables = recorder.compute()
    assert torch.equal(tables["TDDS"].sample_id, ids)
    assert torch.equal(tables["TDDS"].score, recorded(Replay())["TDDS"].score)
    assert (tables["TDDS"].fingerprint, tables["TDDS"].metadata) == ("abc", {"score": {"window": 3}})


def test_repetitions_of_a_sampler_that_pads_are_ignored():
    padded = [*range(N), 0, 1, 2, 3, 4, 5, 6]
    assert_same_tables(recorded(Replay(), batches(order=padded)), recorded(Replay()))


def test_of_repetitions_within_a_batch_the_first_counts():
    class Repeats(Replay):
        def training_step(self, batch, batch_idx):
            result, ids = super().training_step(batch, batch_idx), batch[2].tolist()
            again = torch.tensor([sample_id in ids[:position] for position, sample_id in enumerate(ids)])
            return {**result, "logits": torch.where(again[:, None], -7.0, result["logits"])}

    repeated = [0, 1, 0, 2, 1, *range(3, N)]
    assert_same_tables(recorded(Repeats(), batches(order=repeated)), recorded(Replay()))


@pytest.mark.filterwarnings("ignore:You requested to overfit")
@pytest.mark.parametrize("limit", [{"limit_train_batches": 1}, {"overfit_batches": 1}])
def test_one_batch_on_purpose_is_warned_of(limit):
    (name,) = limit
    with pytest.warns(UserWarning, match=f"{name}=1 left 18 of {N} samples out of the first epoch"):
        train(ScoreRecorder(both(), num_samples=N), Replay(), **limit)


def test_a_sample_that_was_never_seen_has_no_score():
    recorder = ScoreRecorder(both(), num_samples=N)
    with pytest.warns(UserWarning, match=f"limit_train_batches=4 left 3 of {N} samples out of the first epoch"):
        train(recorder, Replay(), limit_train_batches=4)
    with pytest.raises(NumericalError, match=f"3 of {N} scores are not finite; the first is sample_id 20"):
        recorder.compute()


def test_a_sample_that_is_left_out_is_told_after_the_first_epoch():
    module = Replay()
    with pytest.raises(DataError, match=rf"1 of {N} samples were not seen .*the first is sample_id {N - 1}\)"):
        train(ScoreRecorder(both(), num_samples=N), module, batches(order=range(N - 1)))
    assert module.noted.isnan().all(dim=(1, 2)).tolist() == [False] + [True] * (T - 1)


def test_an_id_that_repeats_instead_of_another_is_told_after_the_first_epoch():
    with pytest.raises(DataError, match=r"1 of 23 samples .*sample_id 22, and 1 visits repeated an id"):
        train(ScoreRecorder(both(), num_samples=N), Replay(), batches(order=[0, *range(N - 1)]))


@pytest.mark.parametrize("apart", [1, 9])
def test_an_id_that_stands_for_two_samples_is_refused(apart):
    ids = torch.arange(N)
    pair = next((i, i + apart) for i in range(N) if Y[i] != Y[i + apart])
    ids[pair[1]] = pair[0]
    loader = DataLoader(TensorDataset(X, Y, ids), 5)
    with pytest.raises(DataError, match=f"sample_id {pair[0]} came twice in one epoch, with the labels"):
        train(ScoreRecorder(both(), num_samples=N), Replay(), loader)


def test_a_loader_may_drop_its_last_batch():
    recorder, order = ScoreRecorder(both()[:1], num_samples=N), torch.Generator().manual_seed(3)
    data = TensorDataset(X, Y, torch.arange(N))
    train(recorder, Replay(), DataLoader(data, 5, shuffle=True, generator=order, drop_last=True))
    assert int((~recorder._seen["train_forward"]).sum()) == 3


def test_a_sampler_with_replacement_is_warned_of():
    draw = RandomSampler(range(N), replacement=True, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="A sampler with replacement left"):
        train(ScoreRecorder(both(), num_samples=N), Replay(), batches(order=draw))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
def test_ids_that_are_no_int64_are_refused(dtype):
    loader = DataLoader(TensorDataset(X, Y, torch.arange(N).to(dtype)), 5)
    with pytest.raises(DataError, match=f"must be an int64 tensor .*got {dtype}"):
        train(ScoreRecorder(both(), num_samples=N), BackboneModule(), loader)


def test_a_single_scorer_needs_no_list():
    recorder = ScoreRecorder(both()[0], num_samples=N)
    train(recorder, Replay())
    assert torch.equal(recorder.compute()["TDDS"].score, recorded(Replay())["TDDS"].score)


@pytest.mark.parametrize("scores", [TDDS, [], ["tdds"], {"tdds": 3}])
def test_what_is_no_scorer_is_refused(scores):
    with pytest.raises(ConfigError, match=r"takes a scorer such as TDDS\(window=10\)"):
        ScoreRecorder(scores, num_samples=N)


def test_nothing_is_computed_before_a_training():
    with pytest.raises(ConfigError, match=r"Nothing was recorded: call trainer\.fit first"):
        ScoreRecorder(both(), num_samples=N).compute()


def test_a_recorder_can_be_used_for_a_second_training():
    recorder = ScoreRecorder({"tdds": TDDS(window=3), "entropy": Entropy()}, num_samples=N, eval_loader=eval_batches)
    train(recorder, BackboneModule())
    first = recorder.compute()
    train(recorder, BackboneModule())
    assert_same_tables(recorder.compute(), first)


# -- resuming ------------------------------------------------------------------------------------------------------


class DieInTheMiddle(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (3, 2):
            raise RuntimeError("killed")


@pytest.mark.parametrize("validate", [False, True])
def test_a_training_resumed_from_a_checkpoint_has_the_same_tables(tmp_path, validate):
    def saver():
        return ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)

    with pytest.raises(RuntimeError, match="killed"):
        train(ScoreRecorder(both(), num_samples=N), Replay(), None, saver(), DieInTheMiddle(), validate=validate)
    resumed, module = ScoreRecorder(both(), num_samples=N), Replay()
    train(resumed, module, batches(7, seed=1), saver(), resume=tmp_path / "last.ckpt", validate=validate)
    assert module.noted.isnan().all(dim=(1, 2)).tolist() == [True] * 3 + [False] * 3
    assert_same_tables(resumed.compute(), recorded(Replay()))


def test_a_finished_training_only_needs_its_final_pass(tmp_path):
    def recorder():
        return ScoreRecorder({"tdds": TDDS(window=3), "entropy": Entropy()}, num_samples=N, eval_loader=eval_batches)

    saver = ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)
    first, second = recorder(), recorder()
    train(first, BackboneModule(), None, saver)
    module = BackboneModule()
    train(second, module, resume=tmp_path / "last.ckpt")
    second.finish(module.trainer, module)
    assert_same_tables(second.compute(), first.compute())


def test_the_state_is_all_that_the_tables_need():
    recorder, restored = (ScoreRecorder(both(), num_samples=N) for _ in range(2))
    train(recorder, Replay())
    restored.setup_scores(T)
    restored.load_state_dict(recorder.state_dict())
    assert_same_tables(restored.compute(), recorder.compute())


def test_a_state_of_another_pool_is_refused():
    recorder = ScoreRecorder(both(), num_samples=N)
    train(recorder, Replay())
    other = ScoreRecorder(both(), num_samples=N + 1)
    other.setup_scores(T)
    with pytest.raises(DataError, match=f"has {N} rows, but the pool has {N + 1}"):
        other.load_state_dict(recorder.state_dict())


# -- passes of their own -------------------------------------------------------------------------------------------


def test_eval_pass_records_the_network_in_evaluation_mode():
    recorder = ScoreRecorder(both("eval_pass"), num_samples=N, eval_loader=eval_batches)
    by_hand = EvaluateByHand()
    train(recorder, BackboneModule(), batches(seed=1), by_hand)
    tables, logits = recorder.compute(), torch.stack(by_hand.logits)
    probs = logits.softmax(dim=2).gather(2, Y.expand(T, N)[:, :, None]).squeeze(2)
    assert torch.allclose(tables["TDDS"].score, tdds(logits, window=3), atol=1e-6)
    assert torch.allclose(tables["DynamicUncertainty"].score, dynamic_uncertainty(probs, window=3), atol=1e-6)
    assert recorder.forward_samples == N * T


def test_scorers_of_different_kinds_share_a_training_and_its_passes():
    scores = {
        "forward": both()[1],
        "passed": both("eval_pass")[1],
        "early": EL2N(epoch=2),
        "features": GraNd(epoch=2),
        "late": GraNd(epoch=T),
        "final": Entropy(),
    }
    recorder, by_hand = ScoreRecorder(scores, num_samples=N, eval_loader=eval_batches), EvaluateByHand()
    train(recorder, BackboneModule(), batches(seed=1), by_hand)
    tables, logits = recorder.compute(), by_hand.logits
    probs = torch.stack(logits).softmax(dim=2).gather(2, Y.expand(T, N)[:, :, None]).squeeze(2)
    assert torch.allclose(tables["passed"].score, dynamic_uncertainty(probs, window=3), atol=1e-6)
    assert torch.allclose(tables["early"].score, el2n(logits[1], Y), atol=1e-6)
    assert torch.allclose(tables["final"].score, entropy(logits[-1]), atol=1e-6)
    assert not torch.allclose(tables["forward"].score, tables["passed"].score, atol=1e-3)
    # T - 1 passes for Dynamic Uncertainty, which the early ones share; one after the last epoch; one after training
    assert recorder.pass_samples == {"eval_pass": dict.fromkeys(range(T), N), "final_pass": {T - 1: N}}
    assert torch.allclose(tables["passed"].column("mean_probability"), probs[:-1].mean(dim=0), atol=1e-6)
    for name in ("early", "final"):  # one pass has no spread: their columns are of the training's own forward passes
        assert float(tables[name].column("std_probability").min()) > 0
    alone = ScoreRecorder({"early": EL2N(epoch=2)}, num_samples=N, eval_loader=eval_batches)
    train(alone, BackboneModule(), batches(seed=1))
    assert alone.pass_samples == {"eval_pass": {1: N}}
    assert torch.equal(alone.compute()["early"].score, tables["early"].score)


class NoBatchNorm(Network):
    def __init__(self):
        super().__init__()
        self.body[1] = nn.Identity()


@pytest.mark.parametrize("normalized", [True, False])
def test_before_each_step_the_clean_images_of_its_batch_are_measured(normalized):
    class Noting(BackboneModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.model = Network() if normalized else NoBatchNorm()
            if not normalized:
                self.model.body[3] = nn.Identity()  # without dropout the training mode is repeatable
            self.dropped = []

        def training_step(self, batch, batch_idx):
            x, _, sample_id = batch
            self.model.train(not normalized)
            with torch.no_grad():
                self.noted[self.current_epoch, sample_id] = self.model(x - 1.0)
            self.model.train()
            return super().training_step(batch, batch_idx)

    recorder = ScoreRecorder(both("before_step"), num_samples=N, clean_loader=clean_batches)
    module = train(recorder, Noting(), InEpochOrder(shift=1.0), SetEpoch(), reload_dataloaders_every_n_epochs=0)
    tables = recorder.compute()
    assert torch.allclose(tables["TDDS"].score, tdds(module.noted, window=3), atol=1e-6)
    assert recorder.pass_samples == {"before_step": dict.fromkeys(range(T), N)}


def test_a_trainer_that_stops_early_measures_what_is_complete():
    scores = {"early": EL2N(epoch=2), "tdds": TDDS(window=3), "entropy": Entropy()}
    stopped = ScoreRecorder(scores, num_samples=N, num_epochs=T, eval_loader=eval_batches)
    train(stopped, BackboneModule(), batches(seed=1), max_epochs=3)
    assert stopped.final_samples == 0
    whole = ScoreRecorder({"early": EL2N(epoch=2), "tdds": TDDS(window=3)}, num_samples=N, eval_loader=eval_batches)
    train(whole, BackboneModule(), batches(seed=1))
    assert_same_tables(stopped.compute(["early", "tdds"]), whole.compute())


def test_a_final_score_is_measured_once_on_the_trained_network():
    recorder = ScoreRecorder([TDDS(window=3), Entropy()], num_samples=N, eval_loader=eval_batches)
    by_hand = EvaluateByHand()
    train(recorder, BackboneModule(), batches(seed=1), by_hand)
    assert torch.allclose(recorder.compute()["Entropy"].score, entropy(by_hand.logits[-1]), atol=1e-6)
    assert (recorder.forward_samples, recorder.final_samples) == (0, N)


@pytest.mark.parametrize("record", RECORDS)
def test_passes_leave_the_training_alone(record):
    def weights(recorder):
        return train(recorder, BackboneModule(), InEpochOrder(), SetEpoch()).model.state_dict()

    alone = weights(pl.Callback())
    scores = [TDDS(window=3, record=record), EL2N(epoch=2), Entropy()]
    recorder = ScoreRecorder(scores, num_samples=N, eval_loader=eval_batches, clean_loader=clean_batches)
    watched = weights(recorder)
    assert all(torch.equal(alone[name], watched[name]) for name in alone)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [(), ("loss",)])
def test_a_training_step_that_returns_no_logits(keep):
    class Forgetful(OwnModule):
        def training_step(self, batch, batch_idx):
            result = super().training_step(batch, batch_idx)
            return {key: result[key] for key in keep} or result["loss"]

    with pytest.raises(ConfigError, match=r"training_step must return .*'logits'"):
        train(ScoreRecorder(both(), num_samples=N), Forgetful())


def test_a_training_step_that_returns_no_features():
    with pytest.raises(ConfigError, match="GraNd needs features: return them from training_step"):
        train(ScoreRecorder([GraNd(record="train_forward")], num_samples=N), OwnModule())


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (Entropy(), r"eval_loader for Entropy \(record=final_pass\): give it\.$"),
        (EL2N(), r"eval_loader for EL2N \(record=eval_pass\): give it, or give the scorer record='train_forward'"),
        (TDDS(record="before_step"), r"clean_loader for TDDS \(record=before_step\)"),
    ],
)
def test_a_pass_needs_a_loader(score, said):
    with pytest.raises(ConfigError, match=f"ScoreRecorder needs {said}"):
        ScoreRecorder([score], num_samples=N)


def test_a_pass_needs_a_backbone():
    with pytest.raises(ConfigError, match="record=eval_pass needs a module whose `model` is"):
        train(ScoreRecorder([EL2N()], num_samples=N, eval_loader=eval_batches), OwnModule())


def test_clean_batches_in_another_order_are_refused():
    recorder = ScoreRecorder(both("before_step"), num_samples=N, clean_loader=lambda epoch: batches(order=[*range(N)]))
    with pytest.raises(DataError, match="clean_loader must yield the batches of the training in their order"):
        train(recorder, BackboneModule(), batches(order=[*range(N)][::-1]))


def test_a_training_that_is_too_short_is_refused_before_it_starts():
    module = OwnModule()
    with pytest.raises(
        ConfigError, match=r"TDDS needs at least 10 epochs, but .* trains for 6. Train for at least 10 epochs"
    ):
        train(ScoreRecorder([TDDS(window=10)], num_samples=N), module)
    assert bool(module.noted.isnan().all())


def test_a_training_without_end_is_refused():
    with pytest.raises(ConfigError, match="needs a Trainer with max_epochs"):
        train(ScoreRecorder(both(), num_samples=N), OwnModule(), max_epochs=-1)


def test_an_id_outside_the_training_set_is_refused():
    with pytest.raises(DataError, match=f"is not in the pool of {N - 1} samples"):
        train(ScoreRecorder(both(), num_samples=N - 1), OwnModule())


def test_logits_that_are_not_finite_name_epoch_and_sample():
    class Broken(Replay):
        def training_step(self, batch, batch_idx):
            result = super().training_step(batch, batch_idx)
            broken = (batch[2] == 11) & (self.current_epoch == 2)
            return {**result, "logits": torch.where(broken[:, None], torch.inf, result["logits"])}

    with pytest.raises(NumericalError, match="not finite in epoch 2, first for sample_id 11"):
        train(ScoreRecorder(both(), num_samples=N), Broken())


def test_the_pool_must_be_known():
    with pytest.raises(ConfigError, match="needs num_samples, or sample_ids"):
        ScoreRecorder(both())


def test_a_pool_that_is_not_sorted_is_refused_before_training():
    with pytest.raises(DataError, match="strictly increasing"):
        ScoreRecorder(both(), sample_ids=torch.tensor([3, 1, 2]))


def test_two_scorers_of_a_class_need_names():
    with pytest.raises(ConfigError, match=r"Two scorers of one class \(TDDS\) need names"):
        ScoreRecorder([TDDS(window=3), TDDS(window=4)], num_samples=N)
    named = ScoreRecorder({"short": TDDS(window=3), "long": TDDS(window=4)}, num_samples=N)
    train(named, Replay())
    tables = named.compute()
    assert torch.allclose(tables["long"].score, tdds(LOGITS[:4], window=4), atol=1e-6)
    assert torch.allclose(tables["short"].score, tdds(LOGITS[:3], window=3), atol=1e-6)
