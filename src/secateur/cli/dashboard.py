"""``secateur dashboard``: a W&B workspace over the runs of a project."""

import argparse
import json
import sys
from typing import Any

from secateur.core.errors import ConfigError, SecateurError
from secateur.core.record import one_line


def dashboard(argv: list[str]) -> int:
    """Build the workspace and save it on the server, or print it.

    Returns:
        0; 1 when the server did not take it; 2 after one line of error.
    """
    arguments = _parser().parse_args(argv)
    try:
        return _save(arguments)
    except SecateurError as error:
        sys.stderr.write(f"secateur: error: {one_line(error)}\n")
        return 2


def _save(arguments: argparse.Namespace) -> int:
    from secateur.tracking.dashboard import build_workspace, check_installed, specification
    from secateur.tracking.wandb import logged_in

    check_installed()
    if not arguments.dry_run:
        _check_destination(arguments.entity, logged_in())
    workspace: Any = build_workspace(arguments.entity or "", arguments.project, arguments.name, arguments.group)
    if arguments.dry_run:
        sys.stdout.write(json.dumps(specification(workspace), indent=2) + "\n")
        return 0
    try:
        workspace.save()
    except Exception as error:  # the server's or the network's
        sys.stderr.write(f"secateur: error: the workspace was not saved: {one_line(error)}\n")
        return 1
    sys.stdout.write(f"{workspace.url}\n")
    return 0


def _check_destination(entity: str | None, is_logged_in: bool) -> None:
    """Raise :class:`ConfigError` when there is nowhere to save to."""
    if not is_logged_in:
        raise ConfigError(
            "a workspace lives on a W&B server and nobody is logged in: run `wandb login` or set WANDB_API_KEY; "
            "--dry-run prints it without a server."
        )
    if not entity:
        raise ConfigError("whose workspace? Add --entity USER_OR_TEAM.")


def _parser() -> argparse.ArgumentParser:
    text = "Build a W&B workspace: accuracy against ratio by method, cost, mask statistics, images."
    parser = argparse.ArgumentParser(prog="secateur dashboard", description=text)
    parser.add_argument("--entity", help="user or team that the project belongs to")
    parser.add_argument("--project", default="secateur", help="project of the runs (default: secateur)")
    parser.add_argument("--group", metavar="NAME", help="only the runs of one sweep, by their name=")
    parser.add_argument("--name", default="Secateur", help="what the workspace is called (default: Secateur)")
    parser.add_argument("--dry-run", action="store_true", help="print the workspace as JSON; needs no login")
    return parser
