"""What a node knows of itself: the one-hot label and the embedding, assembled only where they are read."""

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.extrapolation.gnn.adjacency import Adjacency

COLUMNS = 128  # columns that are propagated at once


class NodeFeatures:
    """One-hot labels and embeddings side by side, ``[N, C + D]``, without a copy of either.

    Args:
        embeddings: float ``[N, D]``; their device is where rows are handed out.
        labels: int64 ``[N]``, or None to leave them out.
        num_classes: C.
        standardize: center every embedding column and scale it to standard deviation 1, over all nodes; a constant
            column becomes 0. The release takes embeddings as they are.
    """

    def __init__(self, embeddings: Tensor, labels: Tensor | None, num_classes: int, standardize: bool) -> None:
        device = embeddings.device
        self.embeddings = embeddings
        self.labels = None if labels is None else labels.to(device)
        self.num_classes = 0 if labels is None else num_classes
        self.width = self.num_classes + embeddings.shape[1]
        self.mean = torch.zeros(embeddings.shape[1], device=device)
        self.scale = torch.ones(embeddings.shape[1], device=device)
        if standardize:
            self._measure()

    def _measure(self) -> None:
        for start in range(0, self.embeddings.shape[1], COLUMNS):
            part = slice(start, start + COLUMNS)
            columns = self.embeddings[:, part].double()
            std, mean = torch.std_mean(columns, dim=0, correction=0)
            constant = (columns == columns[0]).all(dim=0)
            self.mean[part], self.scale[part] = mean.float(), torch.where(constant, 0.0, 1 / std).float()

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.embeddings)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Return the features of some nodes, float32 ``[n, C + D]``."""
        embeddings = (self.embeddings[rows].float() - self.mean) * self.scale
        if self.labels is None:
            return embeddings
        return torch.cat([F.one_hot(self.labels[rows], self.num_classes).float(), embeddings], dim=1)

    def columns(self, start: int, stop: int) -> Tensor:
        """Return some columns of all nodes, float32 ``[N, stop - start]``."""
        parts = []
        if self.labels is not None and start < self.num_classes:
            classes = torch.arange(start, min(stop, self.num_classes), device=self.labels.device)
            parts.append((self.labels[:, None] == classes).float())
        if stop > self.num_classes:
            part = slice(max(start - self.num_classes, 0), stop - self.num_classes)
            parts.append((self.embeddings[:, part].float() - self.mean[part]) * self.scale[part])
        return torch.cat(parts, dim=1)

    def propagated(self, adjacency: Adjacency) -> Tensor:
        """Return what the first layer hears, the matrix times the features, float32 ``[N, C + D]``.

        Features do not change in training, so their first aggregation is done once. Memory: the result, and three
        times ``[N, 128]``.
        """
        heard = torch.empty(len(self), self.width, device=self.embeddings.device)
        for start in range(0, self.width, COLUMNS):
            stop = min(start + COLUMNS, self.width)
            heard[:, start:stop] = torch.sparse.mm(adjacency.matrix, self.columns(start, stop))
        return heard
