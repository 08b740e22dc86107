"""The strategy node, and batch norm over several slices."""

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy
from torch import distributed, nn

from secateur.core.errors import ConfigError
from secateur.training.distributed.strategy import DataParallel, ShardedDataParallel, SingleProcess
from secateur.training.distributed.sync_batchnorm import SyncBatchNorm, synchronize_batchnorm

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


def test_the_number_of_processes():
    assert SingleProcess().num_processes == 1
    assert DataParallel(devices=4, num_nodes=3).num_processes == 12


@pytest.mark.parametrize(
    ("make", "settings", "complaint"),
    [
        (DataParallel, {"devices": 0}, r"strategy\.devices must be at least 1, got 0"),
        (DataParallel, {"devices": 1, "num_nodes": -1}, r"strategy\.num_nodes must be at least 1, got -1"),
        (DataParallel, {"devices": 2, "accelerator": "cpu", "backend": "nccl"}, "nccl works between GPUs only"),
        (ShardedDataParallel, {"devices": 2, "accelerator": "cpu"}, "take strategy=ddp_cpu"),
        (ShardedDataParallel, {"devices": 2, "backend": "gloo"}, "take strategy=ddp_cpu"),
    ],
)
def test_what_cannot_be_is_refused(make, settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make(**settings)


@pytest.mark.parametrize(
    ("settings", "device", "backends"),
    [({}, CPU, "gloo"), ({}, GPU, "cpu:gloo,cuda:nccl"), ({"backend": "gloo"}, GPU, "cpu:gloo,cuda:gloo")],
)
def test_decisions_travel_between_cpus_and_gradients_between_devices(settings, device, backends):
    assert DataParallel(devices=2, **settings).backends(device) == backends


@pytest.mark.parametrize(
    ("make", "strategy"),
    [(DataParallel, DDPStrategy), (ShardedDataParallel, FSDPStrategy)],
    ids=["ddp", "fsdp"],
)
def test_what_lightning_is_told(make, strategy):
    told = make(devices=2, num_nodes=3).lightning(None, GPU)
    assert isinstance(told["strategy"], strategy)
    assert (told["devices"], told["num_nodes"]) == (2, 3)
    assert told["use_distributed_sampler"] is False
    assert told["sync_batchnorm"] is True


def test_lightning_synchronizes_batchnorm_on_gpus_only_where_asked():
    assert DataParallel(devices=2).lightning(None, CPU)["sync_batchnorm"] is False
    assert DataParallel(devices=2, sync_batchnorm=False).lightning(None, GPU)["sync_batchnorm"] is False


# -- batch norm ----------------------------------------------------------------------------------------------------


@pytest.fixture
def one_process(tmp_path):
    distributed.init_process_group("gloo", f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def network():
    torch.manual_seed(0)
    norms = (nn.BatchNorm2d(4, momentum=None), nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(5))
    body = nn.Sequential(nn.Conv2d(2, 4, 3), norms[0], nn.Conv2d(4, 3, 1), norms[1], nn.Conv2d(3, 5, 1), norms[2])
    return nn.Sequential(body, nn.Flatten(), nn.LazyLinear(6), nn.BatchNorm1d(6))


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_it_does_what_torch_does(layout):
    x = torch.randn(7, 2, 6, 5).to(memory_format=layout)
    outcomes = []
    for synchronous in (False, True):
        net = network()
        net(x[:2])  # the lazy layer
        torch.manual_seed(1)
        net[2].reset_parameters()
        if synchronous:
            synchronize_batchnorm(net)
        images = x.clone().requires_grad_()
        for _ in range(2):
            net(images).square().sum().backward()
        net.eval()
        outcomes.append((net, images.grad, net(x)))
    (plain, *expected), (net, *found) = outcomes
    assert sum(isinstance(layer, SyncBatchNorm) for layer in net.modules()) == 4
    assert plain.state_dict().keys() == net.state_dict().keys()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net.state_dict(), plain.state_dict(), atol=1e-5, rtol=1e-4)
    for one, other in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-3, rtol=1e-4)


def test_parameters_stay_the_same_objects():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    before = [*net.parameters(), *net.buffers()]
    synchronize_batchnorm(net)
    synchronize_batchnorm(net)
    assert isinstance(net[1], SyncBatchNorm)
    assert not net[1].training
    assert all(one is other for one, other in zip([*net.parameters(), *net.buffers()], before, strict=True))
