"""Write the cards: per paper what is claimed, what the release does differently, and what was measured here.

    python docs/cards/make.py

The text of a card is in the YAML file beside it; its numbers are taken out of the tables in docs/results, each with the
command that stands above it there. A test fails when a card is not what this makes.
"""

import re
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
Table = list[list[str]]

HEADER = """\
<!-- Made by `python docs/cards/make.py` from {name}.yaml and docs/results: edit those, not this. -->
# {title}

{paper}

Code: {code}
"""


def main() -> None:
    """Write every card."""
    for source in sources():
        source.with_suffix(".md").write_text(card(source), encoding="utf-8")


def sources() -> list[Path]:
    """Return the YAML file of every card."""
    return sorted(HERE.glob("*.yaml"))


def card(source: Path) -> str:
    """Return the text of one card.

    Args:
        source: its YAML file.

    Raises:
        ValueError: a table, a row or a column it names is not in docs/results.
    """
    content: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    parts = [HEADER.format(name=source.stem, **{key: _line(content[key]) for key in ("title", "paper", "code")})]
    parts.append("## What is claimed\n")
    parts.append(_markdown([["claim", "where"], *[[claim["claim"], claim["where"]] for claim in content["claims"]]]))
    parts.append(f"Not known: {_line(content['unknown'])}\n")
    parts.append("## What the release does differently\n")
    parts.append(f"{_line(content['differences_note'])}\n")
    parts.append(_markdown([["the release", "here", "to have it as released", "shown by"], *_differences(content)]))
    parts.append("## What we measured\n")
    parts.append(f"{_line(content['measured_note'])}\n")
    parts += [_measured(entry) for entry in content["measured"]]
    return "\n".join(parts)


def _differences(content: dict[str, Any]) -> Table:
    """Return the rows of the table of differences."""
    rows = []
    for entry in content["differences"]:
        run, test = entry.get("run"), entry.get("test")
        reproduce = f"`secateur run {run}`" if run else entry.get("instead", "-")
        rows.append([entry["release"], entry["here"], reproduce, f"`{test}`" if test else "-"])
    return rows


def _measured(entry: dict[str, Any]) -> str:
    """Return one result: what it says, its command, and its rows."""
    path = RESULTS / entry["file"]
    section, command = find_section(path.read_text(encoding="utf-8"), entry.get("section"))
    table = chosen(table_in(section, entry.get("table", 0)), entry.get("columns"), entry.get("rows") or {})
    lines = [
        f"### {_line(entry['what'])}\n",
        f"Command: `{entry.get('command') or command}`; all of it: {_link(entry)}\n",
    ]
    names: dict[str, str] = entry.get("names") or {}
    lines.append(_markdown([[names.get(name, name) for name in table[0]], *table[1:]]))
    lines += [f"{_line(entry['says'])}\n"] if "says" in entry else []
    return "\n".join(lines)


def _link(entry: dict[str, Any]) -> str:
    return f"[{entry['file']}](../results/{entry['file']})"


def find_section(text: str, heading: str | None) -> tuple[str, str]:
    """Return the text under a heading, and the command that stands nearest above its table.

    Args:
        text: a document in Markdown.
        heading: the heading's words without its marks; None: what stands before the first second-level heading.

    Raises:
        ValueError: there is no such heading, or no command.
    """
    parts = re.split(r"^(#+) (.*)$", text, flags=re.MULTILINE)
    above: dict[int, str] = {}
    for marks, words, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        level = len(marks)
        above = {key: value for key, value in above.items() if key < level}
        above[level] = body
        if words == heading or (heading is None and level == 1):
            commands = [found for key in sorted(above, reverse=True) if (found := _command(above[key]))]
            if not commands:
                raise ValueError(f"No command stands under {words!r} or above it.")
            return body, commands[0]
    raise ValueError(f"There is no heading {heading!r}.")


def _command(text: str) -> str | None:
    found = re.search(r"Commands?: `([^`]*)`", text)
    return re.sub(r"\s+", " ", found[1]) if found else None


def table_in(text: str, number: int = 0) -> Table:
    """Return one of the tables in a text: its header, and its rows.

    Raises:
        ValueError: there are not that many.
    """
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE)
    if number >= len(blocks):
        raise ValueError(f"There is no table number {number}.")
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in blocks[number].splitlines()]
    return [rows[0], *rows[2:]]


def chosen(table: Table, columns: list[str] | None, rows: dict[str, list[str]]) -> Table:
    """Return some columns of some rows.

    Args:
        table: header and rows.
        columns: names of the columns; None: all.
        rows: the values that are wanted, by column.

    Raises:
        ValueError: a column is not there, or no row is left.
    """
    header = table[0]
    unknown = [name for name in [*(columns or []), *rows] if name not in header]
    if unknown:
        raise ValueError(f"The table has no column {unknown[0]!r}; it has {', '.join(header)}.")
    kept = [row for row in table[1:] if all(row[header.index(name)] in values for name, values in rows.items())]
    lost = [
        (name, value)
        for name, values in rows.items()
        for value in values
        if value not in {row[header.index(name)] for row in kept}
    ]
    if lost or not kept:
        raise ValueError(f"No row has {lost[0] if lost else rows}.")
    places = [header.index(name) for name in columns or header]
    return [[row[place] for place in places] for row in [header, *kept]]


def _markdown(table: Table) -> str:
    rows = [f"| {' | '.join(_line(cell) for cell in row)} |" for row in table]
    return "\n".join([rows[0], f"|{' --- |' * len(table[0])}", *rows[1:]]) + "\n"


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", str(text)).strip()


if __name__ == "__main__":
    main()
