"""Write docs/reference/keys.md: the role of every configuration key, from the schema."""

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from secateur.core.roles import ORDINARY, Role, hints_of, roles_of
from secateur.runs.config import DataKeys, Experiment, default_of
from secateur.training.settings import TrainerSettings

PAGE = Path(__file__).with_name("keys.md")
HEAD = """\
# Roles of configuration keys

What the value of a key means for results: made from `src/secateur/runs/config.py` by `make docs`, do not edit.
[configuration.md](../configuration.md) says what each key does.

- **run key**: the value is part of the key of a run; *if set*: unless it is null.
- **read by**: only some methods (or only `extrapolation=`) read it; it is null for the others.
- **compared**: runs with different values are in different cells of a report. Seeds and the ratio are told apart by
  themselves.
- **final recipe**: runs are compared only where it is equal; *pruned*: unless both train on all data.
- **scores**: of compared keys: the value can change scores, and no column of the tables of fidelity shows it.
- **numerics**: part of the key of every stage that trains.
- **movable**: `secateur verify` may set it anew.

"""
COLUMNS = ("key", "type", "run key", "read by", "compared", "final recipe", "scores", "numerics", "movable")


def page() -> str:
    """Return the page."""
    parts = [HEAD, "## Root\n\n", *_table("", Experiment)]
    parts += ["\n## `data`, `downstream`\n\n", *_table("data.", DataKeys)]
    parts += ["\nEvery other key of a data set has the role of `data`.\n"]
    parts += ["\n## `trainer`\n\n", *_table("trainer.", TrainerSettings)]
    return "".join(parts)


def _table(prefix: str, owner: type) -> list[str]:
    lines = [f"| {' | '.join(COLUMNS)} |\n", f"|{'---|' * len(COLUMNS)}\n"]
    for name, hint in hints_of(owner).items():
        if name.startswith("model_config"):
            continue
        cells = [f"`{prefix}{name}`", f"`{_type(hint)}`", *_role(roles_of(owner).get(name, ORDINARY))]
        default = default_of(name) if owner is Experiment else None
        cells[0] += f" ({default})" if default is not None else ""
        lines.append(f"| {' | '.join(cells)} |\n")
    return lines


def _role(role: Role) -> list[str]:
    in_key = {"always": "yes", "if set": "if set", "never": ""}[role.key]
    flags = [role.compared, {"all": True, None: False}.get(role.final, role.final)]
    flags += [role.scores and role.compared, role.numerics]
    words = ["yes" if flag is True else "" if flag is False else str(flag) for flag in (*flags, role.movable)]
    return [in_key, role.read_by or "", *words]


def _type(hint: Any) -> str:
    """Return a type in words: a node is a mapping with a class."""
    if hasattr(hint, "__metadata__"):
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is dict:
        return "node"
    if get_origin(hint) is list:
        return f"list of {_type(get_args(hint)[0])}"
    if get_args(hint):
        return " or ".join(_type(one) for one in get_args(hint))
    return "null" if hint is type(None) else getattr(hint, "__name__", str(hint))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
