"""A run's files beside those of its repetition: how far apart, and where first."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from secateur.core.files import read_json
from secateur.core.parquet import METADATA_KEY
from secateur.core.record import RunRecord
from secateur.training.fit import PREDICTIONS
from secateur.verify.verdict import Compared, Kind

ABSENT = "nothing"
SHOWN = 60  # longer values are cut in messages
Where = tuple[str | int, ...]  # keys and positions that lead to a value


@dataclass(frozen=True)
class ValueDifference:
    """The first of several differences.

    Attributes:
        path: keys and positions that lead to it.
        before: the recorded value there.
        after: the repeated one.
        size: the largest difference between two numbers anywhere; infinite if something else than numbers differs.
    """

    path: Where
    before: Any
    after: Any
    size: float

    def __str__(self) -> str:
        where = ".".join(map(str, self.path))
        return f"{where}: {_short(self.before)} recorded, {_short(self.after)} now"


def first_difference(before: Any, after: Any, *, new_keys: bool = False) -> ValueDifference | None:
    """Return the first difference of two JSON values, or None when they are equal.

    Args:
        before: the recorded value.
        after: the repeated one.
        new_keys: whether mappings of ``after`` may have keys that ``before`` has not; an empty one has lost them.

    Example:
        >>> str(first_difference({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}))
        'a.1: 2.0 recorded, 2.5 now'
    """
    found = list(_differences(before, after, (), new_keys))
    if not found:
        return None
    path, old, new = found[0]
    return ValueDifference(path, old, new, max(_relative_size(a, b) for _, a, b in found))


def _differences(before: Any, after: Any, path: Where, new_keys: bool) -> Iterator[tuple[Where, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        missing = [key for key in after if key not in before]
        extra = missing if not new_keys else [] if before else [key for key in missing if after[key] is not None]
        for key in (*before, *extra):
            yield from _differences(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key), new_keys)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, (*path, place), new_keys)
    elif not _equal(before, after):
        yield path, before, after


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float) and math.isnan(before) and math.isnan(after):
        return True
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _relative_size(before: Any, after: Any) -> float:
    numbers = [value for value in (before, after) if isinstance(value, int | float) and not isinstance(value, bool)]
    size = abs(before - after) if len(numbers) == 2 else math.inf
    return size if math.isfinite(size) else math.inf


Reader = Callable[[str, Path, Path, bool], tuple[float, str]]
MASKS = ("mask.parquet", "static_mask.parquet")
# What reading a file can raise that no run has written.
UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError),
    *(pa.ArrowException, SafetensorError, csv.Error),
)


def compare_files(name: str, recorded: Path, repeated: Path, *, new_keys: bool = False) -> Compared:
    """Compare two files by their content: tables by row and column, CSV by cell, JSON by key, weights by element.

    Args:
        name: name of the file in the run's folder; its suffix says what it is.
        recorded: the run's file.
        repeated: the repetition's.
        new_keys: whether a table's header may have gained keys: other code wrote the recorded one.
    """
    kind = _kind(name)
    for path, what in ((recorded, "recorded file"), (repeated, "repetition's file")):
        if not path.is_file():
            return Compared(name, kind, math.inf, f"the {what} is missing")
    if recorded.read_bytes() == repeated.read_bytes():
        return Compared(name, kind)
    try:
        size, first = _READERS.get(recorded.suffix, _compare_bytes)(name, recorded, repeated, new_keys)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Compared(name, kind, math.inf, f"the recorded file cannot be read: {reason}")
    return Compared(name, kind, size, first)


def _kind(name: str) -> Kind:
    if name in MASKS:
        return "mask"
    if name.endswith(PREDICTIONS):
        return "metrics"
    return {".parquet": "scores", ".safetensors": "weights"}.get(Path(name).suffix, "metrics")  # type: ignore[return-value]


def _compare_tables(name: str, recorded: Path, repeated: Path, new_keys: bool) -> tuple[float, str]:
    """Compare tables whose first column names the rows: headers and types of columns, then row by row."""
    tables = [pq.read_table(path) for path in (recorded, repeated)]
    before, after = ({column: table[column].to_numpy() for column in table.column_names} for table in tables)
    if list(before) != list(after):
        return math.inf, f"columns {', '.join(before)} recorded, {', '.join(after)} now"
    for what, of in (("header", _header), ("type of column", _types)):
        if found := first_difference(*map(of, tables), new_keys=new_keys):
            return math.inf, f"{what} {found}"
    key, *others = before
    if problem := _other_rows(key, before[key], after[key]):
        return math.inf, problem
    unequal = {column: _unequal(before[column], after[column]) for column in others}
    rows = [int(where.argmax()) for where in unequal.values() if where.any()]
    if not rows:
        return 0.0, ""  # written in another way
    row = min(rows)
    column = next(column for column, where in unequal.items() if where[row])
    size = max(_size(name, column, before[column], after[column], where) for column, where in unequal.items())
    return size, f"{key} {before[key][row]}, column {column}: {_both(before[column][row], after[column][row])}"


def _header(table: pa.Table) -> dict[str, Any]:
    """Return what a table says of itself: the keys of our JSON header, and whatever else lies beside it."""
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    header = json.loads(metadata.pop(METADATA_KEY.decode(), "{}"))
    return {**header, **metadata}


def _types(table: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


def _other_rows(key: str, before: NDArray[Any], after: NDArray[Any]) -> str:
    """Return how the rows differ, or nothing."""
    if len(before) != len(after):
        return f"{len(before)} rows recorded, {len(after)} now"
    where = before != after
    return f"row {int(where.argmax())}, column {key}: {_both(*_at(before, after, where))}" if where.any() else ""


def _at(before: NDArray[Any], after: NDArray[Any], where: NDArray[np.bool_]) -> tuple[Any, Any]:
    row = int(where.argmax())
    return before[row], after[row]


def _unequal(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where two columns differ, bool ``[N]``; not-a-number equals itself."""
    where: NDArray[np.bool_] = np.asarray(before != after)
    if before.dtype.kind == "f":
        where &= ~(np.isnan(before) & np.isnan(after))
    return where


def _size(name: str, column: str, before: NDArray[Any], after: NDArray[Any], where: NDArray[np.bool_]) -> float:
    if not where.any():
        return 0.0
    if (name in MASKS and column == "keep") or (name.endswith(PREDICTIONS) and column == "prediction"):
        return float(where.mean())
    if name.endswith(PREDICTIONS) and column == "confidence":
        return float(np.abs(before.astype(np.float64) - after.astype(np.float64)).max())
    return _spread_units(before, after) if before.dtype.kind == after.dtype.kind == "f" else math.inf


def _spread_units(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return the largest difference in standard deviations of the recorded values (in units of 1 if they have none)."""
    before, after = before.astype(np.float64), after.astype(np.float64)
    size = float(np.abs(before - after).max() / (before.std() or 1.0))
    return size if math.isfinite(size) else math.inf


def _compare_csv(_: str, recorded: Path, repeated: Path, __: bool) -> tuple[float, str]:
    before, after = (_rows(path) for path in (recorded, repeated))
    if before[0] != after[0] or len(before) != len(after):
        shape = [f"{len(rows) - 1} rows of {', '.join(rows[0])}" for rows in (before, after)]
        return math.inf, f"{shape[0]} recorded, {shape[1]} now"
    header = before[0]
    found = first_difference(
        [dict(zip(header, row, strict=True)) for row in _numbers(before[1:])],
        [dict(zip(header, row, strict=True)) for row in _numbers(after[1:])],
    )
    if found is None:
        return 0.0, ""
    row, column = int(found.path[0]), found.path[1]
    return found.size, f"{header[0]} {before[1:][row][0]}, column {column}: {_both(found.before, found.after)}"


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True)) or [[]]


def _numbers(rows: Sequence[Sequence[str]]) -> list[list[float | str]]:
    return [[_number(cell) for cell in row] for row in rows]


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _compare_json(_: str, recorded: Path, repeated: Path, __: bool) -> tuple[float, str]:
    found = first_difference(read_json(recorded), read_json(repeated))
    return (found.size, str(found)) if found else (0.0, "")


def _compare_weights(_: str, recorded: Path, repeated: Path, __: bool) -> tuple[float, str]:
    tensors = [load_file(path) for path in (recorded, repeated)]
    forms = [{key: (value.shape, value.dtype) for key, value in each.items()} for each in tensors]
    if forms[0] != forms[1]:
        return math.inf, "other tensors, shapes or types"
    before, after = ({key: value.float().numpy() for key, value in each.items()} for each in tensors)
    unequal = {key: _unequal(value.ravel(), after[key].ravel()) for key, value in before.items()}
    wrong = [key for key, where in unequal.items() if where.any()]
    if not wrong:
        return 0.0, ""
    size = max(_spread_units(before[key], after[key]) for key in wrong)
    values = _at(before[wrong[0]].ravel(), after[wrong[0]].ravel(), unequal[wrong[0]])
    return size, f"tensor {wrong[0]}, element {int(unequal[wrong[0]].argmax())}: {_both(*values)}"


def _compare_bytes(_: str, recorded: Path, repeated: Path, __: bool) -> tuple[float, str]:
    return math.inf, f"{recorded.stat().st_size} bytes recorded, {repeated.stat().st_size} now, and not the same ones"


def _both(before: Any, after: Any) -> str:
    return f"{before!s} recorded, {after!s} now"  # not formatted: a float32 has its own shortest digits


_READERS: dict[str, Reader] = {
    ".parquet": _compare_tables,
    ".csv": _compare_csv,
    ".json": _compare_json,
    ".safetensors": _compare_weights,
}


# Made of full scorings, and so a comparison.
OF_FIDELITY = ("fidelity", "seed_level")
# What was asked for must be there, no less and no more; other blocks may have keys that came with later code than the
# record's own.
WHOLE = ("comparison", "fidelity")


def compare_blocks(record: RunRecord, repeated: RunRecord, comparison: bool) -> Iterator[Compared]:
    """Yield every block beside its repetition; seconds and what was reused are no result.

    Args:
        record: the record.
        repeated: the repetition's.
        comparison: whether to compare what the run was compared with: baselines, full scorings.
    """
    before, after = _blocks(record, comparison), _blocks(repeated, comparison)
    other_code = not same_code(record, repeated)
    for name, there in before.items():
        now = after[name]
        if not (_says_something(there) or _says_something(now)):
            continue
        found = first_difference(there, now, new_keys=other_code and (name not in WHOLE or there.keys() == now.keys()))
        size, first = (found.size, str(found)) if found else (0.0, "")
        yield Compared(f"run.json {name}", "metrics", size, first)
    names = first_difference(_names(record, repeated), _names(repeated, record))
    yield Compared("run.json names", "metrics", math.inf if names else 0.0, str(names or ""))
    if same_code(record, repeated):
        warnings = first_difference(_warnings(record, repeated), _warnings(repeated, record))
        yield Compared("run.json warnings", "metrics", math.inf if warnings else 0.0, str(warnings or ""))


def warning_remarks(record: RunRecord, repeated: RunRecord) -> Iterator[str]:
    """Yield the warnings that only one of two runs of different code gave: a warning's wording may change."""
    if not same_code(record, repeated):
        then, now = set(record.warnings), set(repeated.warnings)
        yield from (f"a warning that is not given any more: {message}" for message in sorted(then - now))
        yield from (f"a warning that was not given then: {message}" for message in sorted(now - then))


def same_code(record: RunRecord, repeated: RunRecord) -> bool:
    """Whether two records were made by the same code of Secateur's."""
    return bool(record.provenance.get("code") == repeated.provenance.get("code"))


def _warnings(one: RunRecord, other: RunRecord) -> dict[str, str]:
    """Return every warning of two records, and whether the first one has it."""
    every = dict.fromkeys([*one.warnings, *other.warnings])
    return {message: "a warning" if message in one.warnings else "none" for message in every}


def _names(one: RunRecord, other: RunRecord) -> dict[str, Any]:
    """Return the names that follow from the configuration.

    A data set without a name in the configuration is called by its folder, which may lie elsewhere now.
    """
    names = {"label": one.label, "select_on": one.select_on, "models": one.models.to_json()}
    for key, node, name in (
        ("data.name", "data", one.data.name),
        ("transfer.source", "data", one.transfer.source),
        ("transfer.downstream", "downstream", one.transfer.downstream),
    ):
        own, others = (record.config.get(node) or {} for record in (one, other))
        if own.get("name") or own.get("root") == others.get("root"):
            names[key] = name
    return names


def _blocks(record: RunRecord, comparison: bool) -> dict[str, Any]:
    extrapolation, data = record.extrapolation.to_json(), record.data.to_json()
    counted = ("stage", "samples_forward", "samples_backward", "flops")
    blocks: dict[str, dict[str, Any]] = {
        "metrics": record.metrics.to_json(),
        "pruning": record.pruning.to_json(),
        "extrapolation": _without(extrapolation, *OF_FIDELITY),
        "transfer": _without(record.transfer.to_json(), "source", "downstream"),
        "data": _without(data, "name"),  # a folder's name is the data set's where it has no other
        "ledger": {
            "cost_vs_full": record.ledger.cost_vs_full,
            "cost_vs_full_amortized": record.ledger.cost_vs_full_amortized,
            "stages": [{key: getattr(stage, key) for key in counted} for stage in record.ledger.stages],
        },
    }
    if comparison:
        compared = record.comparison.items()
        blocks["comparison"] = {name: _without(baseline.to_json(), "reused") for name, baseline in compared}
        blocks["fidelity"] = {key: extrapolation.get(key) for key in OF_FIDELITY}
    return blocks


def _says_something(block: Mapping[str, Any]) -> bool:
    return any(value is not None for value in block.values())


def _without(block: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key not in keys}
