"""Two processes with half a batch each move the mask as one process with the whole batch does."""

import socket

import pytest
import torch
from torch import distributed, nn
from torch.multiprocessing import spawn

from secateur.core.seeds import permutation
from secateur.data.batch import Batch
from secateur.dynamic.adapruner_schedule import AdaPrunerConstants, ScaleController
from secateur.models.backbone import Backbone
from secateur.training.modules.joint_pruning import JointPruning
from secateur.training.recipe import Recipe

pytestmark = pytest.mark.slow
WORLD, LOCAL_BATCH, EPOCHS, CLASSES, FEATURES = 2, 8, 4, 3, 5
POOL_SIZES = (53, 49)  # the last step has 5 samples, split 3 and 2, or a single one, split 1 and 0


class Plain(Backbone):
    """No batch norm and no dropout: a sample's output depends on nothing but the sample."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)

    def features(self, x):
        return torch.relu(self.body(x))


class InEpoch(JointPruning):
    """Takes the epoch from the loop below instead of from a Trainer."""

    epoch = 0

    @property
    def current_epoch(self):
        return self.epoch


def train(num_samples, index, rank=0, world=1):
    """Train as DDP would: every process has a slice of the global batch, and gradients are averaged over processes.

    Returns mask ``[N]``, scale, penalty and one weight of the network.
    """
    torch.manual_seed(0)
    images, labels = torch.randn(num_samples, FEATURES), torch.randint(CLASSES, (num_samples,))
    pool = 3 * torch.arange(num_samples) + 1
    optim = Recipe(optimizer="sgd", lr=0.1, batch_size=WORLD * LOCAL_BATCH, schedule="constant", momentum=0.9)
    steps = -(-num_samples // optim.batch_size)
    constants = AdaPrunerConstants(scale_start=1.0, scale_end=9.0)
    controller = ScaleController(constants, 0.7, EPOCHS, steps)
    module = InEpoch(
        Plain(),
        optim,
        EPOCHS,
        0,
        pool=pool,
        controller=controller,
        index=index,
        mask_optim={"weight_decay": 5e-3},
    )
    optimizer = module.configure_optimizers()
    for module.epoch in range(EPOCHS):
        module.on_train_epoch_start()
        for step, rows in enumerate(permutation(num_samples, 0, "order", module.epoch).split(optim.batch_size)):
            mine = rows.tensor_split(world)[rank]
            optimizer.zero_grad()
            module.training_step(Batch(images[mine], labels[mine], pool[mine]), step)["loss"].backward()
            average_gradients(module, world)
            module.on_before_optimizer_step(optimizer)
            optimizer.step()
        module.on_train_epoch_end()
        assert bool(module.epoch_losses().isfinite().all())
    state = controller.state
    return torch.cat(
        [module.mask_logits.detach(), torch.tensor([state.scale, state.penalty]), module.model.head.bias.detach()]
    )


def average_gradients(module, world):
    """What DDP does after a backward pass."""
    if world > 1:
        for parameter in module.parameters():
            distributed.all_reduce(parameter.grad)
            parameter.grad /= world


def process(rank, port, cases, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    for case in cases:
        torch.save(train(*case, rank, WORLD), f"{folder}/{case[0]}-{case[1]}-{rank}.pt")
    distributed.destroy_process_group()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_equal_one_with_the_same_global_batches(tmp_path):
    cases = [(size, index) for size in POOL_SIZES for index in ("sample", "position")]
    spawn(process, (free_port(), cases, str(tmp_path)), nprocs=WORLD)
    for size, index in cases:
        expected = train(size, index)
        assert float(expected[:size].std()) > 0.05  # the mask has gone somewhere
        for rank in range(WORLD):
            found = torch.load(tmp_path / f"{size}-{index}-{rank}.pt", weights_only=True)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
