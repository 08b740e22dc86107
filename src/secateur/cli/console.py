"""The console of every command: terminal width on a terminal, wide lines elsewhere."""

import sys

from rich.console import Console

WIDTH_OF_FILES = 120


def make_console(*, quiet: bool = False) -> Console:
    """Return a console on standard output that neither highlights numbers nor wraps what goes to a file.

    Args:
        quiet: print nothing, in a process that does not speak for all.
    """
    terminal = sys.stdout.isatty()
    width = None if terminal else WIDTH_OF_FILES
    return Console(highlight=False, soft_wrap=not terminal, width=width, quiet=quiet)
