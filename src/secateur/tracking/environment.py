"""Environment variables for a while."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment(values: Mapping[str, str], also_restored: tuple[str, ...] = ()) -> Iterator[None]:
    """Set environment variables inside the block and put back afterwards what was there.

    Args:
        values: variables to set.
        also_restored: variables that something in the block may set.
    """
    before = {name: os.environ.get(name) for name in (*values, *also_restored)}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
