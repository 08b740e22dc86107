"""The role of a configuration key: what its value means for results, for their keys and for comparing them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True)
class Role:
    """The role of a key, written beside its type: ``precision: Annotated[str, Role(numerics=True)]``.

    Attributes:
        key: whether the value enters the key of a run, so that runs with different values are different runs; ``if
            set`` is for keys that came later and change nothing where they are null.
        compared: runs with different values are in different cells of a report. False for what cannot change a result,
            and for what a report tells apart by itself (ratio and seeds).
        final: the value is part of the recipe of the final training: ``all`` for every final training, ``pruned`` for
            those on a part of the pool only. Runs are compared only where their recipes are equal.
        scores: the value can change scores, and no column of the tables of fidelity shows it.
        read_by: where only some methods, or only extrapolations, read the key; it is null for the others.
        numerics: every training reads the value, so it enters the key of every stage that trains.
        movable: a repetition of the run may have another value: it says where things lie, or what computes.
    """

    key: Literal["always", "if set", "never"] = "always"
    compared: bool = True
    final: Literal["all", "pruned"] | None = None
    scores: bool = True
    read_by: Literal["method", "extrapolation"] | None = None
    numerics: bool = False
    movable: bool = False


ORDINARY = Role()


@lru_cache(maxsize=32)
def roles_of(owner: type) -> Mapping[str, Role]:
    """Return the role of every annotated field of a class; :data:`ORDINARY` where none is given."""
    return {name: annotation_of(hint, Role) or ORDINARY for name, hint in hints_of(owner).items()}


def hints_of(owner: type) -> Mapping[str, Any]:
    """Return the type hints of a class with their annotations, without class variables' own."""
    return get_type_hints(owner, include_extras=True)


def annotation_of(hint: Any, kind: type[T]) -> T | None:
    """Return the annotation of one kind in a type hint, or None."""
    return next((found for found in getattr(hint, "__metadata__", ()) if isinstance(found, kind)), None)
