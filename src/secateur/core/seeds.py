"""Independent random streams: adding a consumer never shifts the numbers another one draws."""

from zlib import crc32

import numpy as np
import torch
from torch import Tensor


def stream_seed(seed: int, stage: str, *counters: int) -> int:
    """Return the 63-bit seed of one random stream.

    Args:
        seed: user-facing seed (``seed``, ``score_seed``, ``data.split_seed``, ...).
        stage: name of the consumer, for example ``"order"`` or ``"augmentation"``.
        *counters: further non-negative coordinates such as epoch, rank or network.

    Returns:
        An integer in ``[0, 2**63)``, a function of the arguments alone.

    Example:
        >>> stream_seed(0, "order", 3) == stream_seed(0, "order", 3)
        True
        >>> stream_seed(0, "order", 3) == stream_seed(0, "order", 4)
        False
    """
    sequence = np.random.SeedSequence([seed, crc32(stage.encode())], spawn_key=counters)
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stage: str, *counters: int) -> torch.Generator:
    """Return a CPU generator seeded with :func:`stream_seed`."""
    return torch.Generator().manual_seed(stream_seed(seed, stage, *counters))


def permutation(num_items: int, seed: int, stage: str, *counters: int) -> Tensor:
    """Return a random permutation ``[num_items]`` (int64) of one stream."""
    return torch.randperm(num_items, generator=generator(seed, stage, *counters))
