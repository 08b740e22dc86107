"""Which process of a job this is."""

import os


def is_rank_zero() -> bool:
    """Whether this process is the only one of its job, or the first: the one that writes records and logs."""
    return int(os.environ.get("RANK") or 0) == 0
