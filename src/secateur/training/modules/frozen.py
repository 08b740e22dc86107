"""Training on features that were computed once: what a linear probe is, without passing the images again."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from secateur.core.group import current
from secateur.data.batch import Batch
from secateur.data.loaders import batch_sizes
from secateur.data.order import EpochOrder, InOrder
from secateur.models.backbone import Backbone


class HeadOnly(Backbone):
    """A backbone whose input is the features themselves.

    Args:
        head: the linear layer that is trained.
    """

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    def features(self, x: Tensor) -> Tensor:
        """Return the features ``[B, D]`` as they came."""
        return x


class FeatureLoader:
    """Batches of stored features, with the interface of the image loaders.

    With an order, for training, and several processes, it yields this one's slice of every batch.

    Args:
        features: float ``[n, D]``, of the samples ``sample_ids``.
        labels: int64 ``[n]``.
        sample_ids: int64 ``[n]``, increasing.
        batch_size: samples per batch.
        order: which samples an epoch visits; None: all, as they are stored.
    """

    batch_sampler: None = None  # Lightning looks for it on whatever has a sampler

    def __init__(
        self, features: Tensor, labels: Tensor, sample_ids: Tensor, batch_size: int, order: EpochOrder | None = None
    ) -> None:
        self.features, self.labels, self.sample_ids = features, labels, sample_ids
        self.batch_size, self.order = batch_size, order or InOrder(sample_ids)
        self.part = (0, 1) if order is None else (current().rank, current().size)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(batch_sizes(self.order.num_samples(self.epoch), self.batch_size, drop_last=False))

    def __iter__(self) -> Iterator[Batch]:
        ids = self.order.ids(self.epoch)
        rows = torch.searchsorted(self.sample_ids, ids)
        number, parts = self.part
        for batch in torch.split(rows, batch_sizes(len(rows), self.batch_size, drop_last=False)):
            part = batch.tensor_split(parts)[number]
            yield Batch(self.features[part], self.labels[part], self.sample_ids[part])
