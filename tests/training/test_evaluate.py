"""Passes without training: right numbers, and no trace left behind."""

import math

import pytest
import torch
from torch import nn

from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.evaluate import evaluate, evaluating, forward_pass


class Network(Backbone):
    """Batch norm and dropout before a linear head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Dropout())
        self.head = nn.Linear(6, 4)

    def features(self, x):
        return self.body(x)


class Identity(Backbone):
    """Predicts what it is shown."""

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(num_classes, num_classes, bias=False)
        nn.init.eye_(self.head.weight)

    def features(self, x):
        return x


def batches(x, y, size=4):
    return [Batch(x[rows], y[rows], rows) for rows in torch.arange(len(y)).split(size)]


@pytest.fixture
def network():
    """In training mode, but for a batch norm that its owner froze."""
    network = Network()
    network.body[1].eval()
    return network


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(11, 3, generator=draw), torch.randint(4, (11,), generator=draw)


def modes(network):
    return {name: module.training for name, module in network.named_modules()}


def test_evaluation_mode_inside_and_each_modules_own_mode_afterwards(network):
    before = modes(network)
    with evaluating(network):
        assert not any(modes(network).values())
        assert not torch.is_grad_enabled()
    assert modes(network) == before
    assert (before[""], before["body.1"]) == (True, False)
    assert torch.is_grad_enabled()


def test_modes_are_restored_after_an_error(network):
    before = modes(network)
    with pytest.raises(ZeroDivisionError), evaluating(network):
        raise ZeroDivisionError
    assert modes(network) == before
    assert torch.is_grad_enabled()


def test_a_network_in_evaluation_mode_stays_in_it(network):
    with evaluating(network.eval()):
        pass
    assert not any(modes(network).values())


def test_a_pass_gives_the_deterministic_outputs_in_the_loaders_order(network, data):
    steps = list(forward_pass(network, batches(*data)))
    network.eval()
    assert torch.equal(torch.cat([step.batch.sample_id for step in steps]), torch.arange(11))
    assert torch.allclose(torch.cat([step.features for step in steps]), network.features(data[0]), atol=1e-6)
    assert torch.allclose(torch.cat([step.logits for step in steps]), network(data[0]), atol=1e-6)
    assert not steps[0].logits.requires_grad


def test_a_pass_changes_no_statistics(data):
    network = Network()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    list(forward_pass(network, batches(*data)))
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


@pytest.mark.parametrize("leave", ["finish", "break", "error in the loop", "error in the loader"])
def test_a_pass_restores_the_modes_however_it_ends(network, data, leave):
    before = modes(network)

    def loader():
        yield from batches(*data)
        if leave == "error in the loader":
            raise ZeroDivisionError

    def consume():
        for _ in forward_pass(network, loader()):
            assert not network.training
            if leave == "break":
                break
            if leave == "error in the loop":
                raise ZeroDivisionError

    if leave.startswith("error"):
        with pytest.raises(ZeroDivisionError):
            consume()
    else:
        consume()
    assert modes(network) == before
    assert torch.is_grad_enabled()


def test_bf16_runs_under_autocast_and_returns_float32(network, data):
    (exact,) = forward_pass(network, batches(*data, size=11))
    (rounded,) = forward_pass(network, batches(*data, size=11), "bf16-mixed")
    assert rounded.logits.dtype == rounded.features.dtype == torch.float32
    assert torch.equal(rounded.logits, rounded.logits.bfloat16().float())
    assert not torch.equal(rounded.logits, exact.logits)
    assert torch.allclose(rounded.logits, exact.logits, atol=0.05)


def test_accuracies_by_hand():
    shown = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    truth = torch.tensor([0, 0, 1, 1, 1, 1, 0])
    result = evaluate(Identity(4), batches(torch.nn.functional.one_hot(shown, 4).float(), truth, size=3), 4)
    assert result.num_samples == 7
    assert result.accuracy == 4 / 7
    assert result.class_accuracy[:2].tolist() == pytest.approx([2 / 3, 2 / 4])
    assert all(math.isnan(value) for value in result.class_accuracy[2:].tolist())
    assert result.worst_class_accuracy == pytest.approx(0.5)


@pytest.mark.parametrize("size", [1, 4, 11])
def test_the_batch_size_does_not_change_the_accuracy(network, data, size):
    accuracy = evaluate(network, batches(*data, size=size), 4).accuracy
    assert accuracy == (network.eval()(data[0]).argmax(dim=1) == data[1]).double().mean()
