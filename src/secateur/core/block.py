"""The base of a record's blocks: the types of its values, what is known of a key, and what a wrong value is called."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import ErrorDetails, core_schema

from secateur.core.errors import DataError

LARGEST: Final = 10**100  # what is measured is smaller, and sums and squares of it stay finite
SHOWN: Final = 60  # characters of a key or of a value in a message


@dataclass(frozen=True, eq=False)
class Expected:
    """What a value has to be, in words and as pydantic checks it; for ``Annotated``."""

    words: str
    schema: core_schema.CoreSchema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Check the value, and call whatever is wrong with it by one name."""
        return core_schema.custom_error_schema(
            self.schema, custom_error_type="expected", custom_error_message=self.words
        )


def _number(words: str, least: int, most: int = LARGEST, *, below: bool = False) -> Expected:
    """Return a finite number from ``least`` to ``most``, or with ``below`` less than that; an integer stays one."""
    whole: dict[str, Any] = {"ge": least, "lt" if below else "le": most}
    real: dict[str, Any] = {key: float(value) for key, value in whole.items()}
    numbers: list[core_schema.CoreSchema | tuple[core_schema.CoreSchema, str]] = [
        core_schema.int_schema(strict=True, **whole),
        core_schema.float_schema(strict=True, allow_inf_nan=False, **real),
    ]
    return Expected(words, core_schema.union_schema(numbers, mode="left_to_right"))


def _integer(words: str, least: int | None) -> Expected:
    return Expected(words, core_schema.int_schema(strict=True, ge=least))


_SEEDS = core_schema.literal_schema(["seed", "score_seed"])
_STATUS = ["running", "finished", "failed", "interrupted"]

# A boolean is none of these numbers, and neither is NaN or infinity.
Number = Annotated[float, _number("a number", -LARGEST)]
Cost = Annotated[float, _number("a number in [0, 1e100]", 0)]
Share = Annotated[float, _number("a number in [0, 1]", 0, 1)]
Ratio = Annotated[float, _number("a number in [0, 1)", 0, 1, below=True)]
Integer = Annotated[int, _integer("a whole number", None)]
Count = Annotated[int, _integer("a whole number of at least 0", 0)]
Size = Annotated[int, _integer("a whole number of at least 1", 1)]
Flag = Annotated[bool, Expected("true or false", core_schema.bool_schema(strict=True))]
Text = Annotated[str, Expected("a text", core_schema.str_schema(strict=True, pattern=r"\S"))]
Status = Annotated[
    Literal["running", "finished", "failed", "interrupted"],
    Expected(f"one of {', '.join(_STATUS)}", core_schema.literal_schema(_STATUS)),
]
Seeds = Annotated[
    list[str], Expected("a list of seed and score_seed", core_schema.list_schema(_SEEDS, strict=True, min_length=1))
]
# Where null says the same as an empty mapping, or an empty list.
NULL_MAPPING = BeforeValidator(lambda value: {} if value is None else value)
NULL_LIST = BeforeValidator(lambda value: [] if value is None else value)


class Mark(Enum):
    """What else is known of a key of a record, for ``Annotated``.

    Attributes:
        FIRST: every record has it, those of the first version too.
        KNOWN: it is not null in a finished run's record.
        LATER: only the runs that have something to say under it write it; the others leave it out.
        FILTER: a logger's table of runs is filtered and sorted by it.
        SUMMARY: it is among the single numbers that a logger shows of a finished run.
    """

    FIRST = auto()
    KNOWN = auto()
    LATER = auto()
    FILTER = auto()
    SUMMARY = auto()


class Block(BaseModel):
    """A part of a record.

    Keys that are not declared are kept, and those that are missing have their default. ``model_fields_set`` holds the
    keys that were read or assigned, and these are the ones that are written. What is assigned to an attribute is not
    checked; :meth:`update` checks.
    """

    model_config = ConfigDict(extra="allow")

    @classmethod
    def of(cls, values: Any, name: str = "") -> Self:
        """Return the block that some parsed JSON holds.

        Args:
            values: the JSON value.
            name: dotted key of the block, for messages.

        Raises:
            DataError: a value is not what it should be; the message is one line with its dotted key.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise DataError(problem_of(error, name)) from error

    @classmethod
    def blank(cls) -> Self:
        """Return the block of a run that begins: it writes every key but the later ones, null or empty."""
        made = cls()
        for key in cls.model_fields:
            if key not in marked(cls, Mark.LATER):
                value = getattr(made, key)
                setattr(made, key, value.blank() if isinstance(value, Block) else value)
        return made

    def update(self, values: Mapping[str, Any], name: str = "") -> None:
        """Assign some values by their keys.

        Args:
            values: JSON values.
            name: dotted key of the block, for messages.

        Raises:
            DataError: a value is not what it should be; nothing is assigned.
        """
        checked = self.of(values, name)
        for key in values:
            setattr(self, key, getattr(checked, key))

    def marked(self, mark: Mark) -> dict[str, Any]:
        """Return the values of the keys with a mark."""
        return {key: getattr(self, key) for key in marked(type(self), mark)}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: declared keys in their order, then the others; what was not set is left out."""
        names = {key: field.alias or key for key, field in type(self).model_fields.items()}
        known = {name: _plain(getattr(self, key)) for key, name in names.items() if key in self.model_fields_set}
        return {**known, **(self.model_extra or {})}


@cache
def marked(model: type[Block], mark: Mark) -> tuple[str, ...]:
    """Return the keys of a block that have a mark."""
    return tuple(key for key, field in model.model_fields.items() if mark in field.metadata)


def _plain(value: Any) -> Any:
    """Return a block, a stage's cost, or a list or mapping of these, as JSON; other values are JSON."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, list) and value and hasattr(value[0], "to_json"):
        return [item.to_json() for item in value]
    if isinstance(value, dict) and hasattr(next(iter(value.values()), None), "to_json"):
        return {key: item.to_json() for key, item in value.items()}
    return value


# What pydantic finds wrong beside the types above, as what it expected.
_WORDS = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dataclass_type", "dict_type"), "a mapping"),
    **{"list_type": "a list", "string_type": "a text", "string_unicode": "a text"},
}


def problem_of(error: ValidationError, name: str = "") -> str:
    """Return what is wrong with some values in one line: the first value's dotted key, the value, what was expected.

    Args:
        error: what pydantic found.
        name: dotted key of what was checked; empty for a whole record.
    """
    found = error.errors(include_url=False)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return _problem(found[0], name) + more


def _problem(found: ErrorDetails, name: str) -> str:
    *above, last = found["loc"] or ("",)
    if found["type"] == "missing":
        return f"{_key(name, *above) or 'it'} has no {last}"
    expected = _WORDS.get(found["type"], found["msg"])
    return f"{_key(name, *above, last) or 'it'} is {shown(found['input'])}, not {expected}"


def _key(*parts: str | int) -> str:
    """Return a dotted key as one line that every file can hold, cut where it is long."""
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part != "")
    line = " ".join(key.removeprefix(".").split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."


def shown(value: Any) -> str:
    """Return a JSON value as a message shows it: in one line, cut where it is long."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = repr(value[:SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
