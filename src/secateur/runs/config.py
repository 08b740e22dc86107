"""The schema of the configuration: every key with its type, its role and the group of options it is set by.

An :class:`Experiment` is built once from what Hydra composes, or from a run record. Everything after reads its
attributes. What a key means for results is said here alone: see :class:`~secateur.core.roles.Role`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, ValidationInfo, WrapValidator

from secateur.core.errors import ConfigError
from secateur.core.roles import ORDINARY, Role, annotation_of, hints_of, roles_of
from secateur.training.settings import TrainerSettings

Node = dict[str, Any]  # a class, as ``_target_``, and its arguments
Config = dict[str, Any]  # any part of a configuration as plain values

CANONICAL = "canonical"  # validation context of a record: keys that the method does not read are null


@dataclass(frozen=True)
class Group:
    """The group of options that sets a node.

    Attributes:
        name: name of the group, as on the command line.
        folder: folder of its options in conf/.
        part: the chosen option is a part of the run's label and stands in the block ``pruning`` of its record.
        preset: names of presets are made of its option, so it is set to exactly one.
    """

    name: str
    folder: str
    part: bool = False
    preset: bool = False


def _null_if_unread(value: Any, check: Any, info: ValidationInfo) -> Any:
    """Pass null in a recorded configuration: the key is not read by the run's method."""
    return None if value is None and (info.context or {}).get(CANONICAL) else check(value)


UNREAD = WrapValidator(_null_if_unread)
NOT_A_RESULT = Role(key="never", compared=False)
LOCATION = Role(key="never", compared=False, movable=True)
OF_METHOD = Role(read_by="method")
OF_EXTRAPOLATION = Role(read_by="extrapolation")
RECIPE = Role(final="all", scores=False)


class Block(BaseModel):
    """A part of the configuration whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class Scoring(Block):
    """The training of the scoring network: its length in epochs, and its recipe (``optim@scoring.optim=``)."""

    max_epochs: int
    optim: Node


class Fidelity(Block):
    """Full scorings that predicted scores are compared with.

    Attributes:
        against: score seeds of the full scorings.
        ratios: pruning ratios at which the kept sets are compared.
    """

    against: list[int]
    ratios: list[float]


class Paths(Block):
    """Folders of results."""

    output_dir: str


class DataKeys:
    """Keys of ``data:`` and ``downstream:`` nodes with a role of their own; a data set may have others."""

    root: Annotated[str, LOCATION]
    extra: Annotated[str | None, LOCATION]
    download: Annotated[bool, LOCATION]
    num_workers: Annotated[int, LOCATION]
    resident_limit_gib: Annotated[float, LOCATION]
    resident: Annotated[bool | str, Role(compared=False)]
    first: Annotated[int | None, Role(key="if set")]
    per_class: Annotated[int | None, Role(key="if set")]


class Experiment(Block):
    """The configuration of one run.

    Attributes are the keys of conf/config.yaml; docs/configuration.md explains them. A key that only some methods read
    is null for the others once the configuration is canonical. Keys with a default came later: records that lack them
    were made as if they had it.
    """

    name: Annotated[str, NOT_A_RESULT]
    pruning_ratio: Annotated[float, Role(compared=False, read_by="method")]
    seed: Annotated[int, Role(compared=False)]
    score_seed: Annotated[int, UNREAD, Role(compared=False, read_by="method")]
    force: Annotated[bool | Literal["all"] | None, NOT_A_RESULT]
    check: Annotated[bool, NOT_A_RESULT] = False
    subset_fraction: Annotated[float, UNREAD, Role(read_by="extrapolation", scores=False)]
    subset_epochs_factor: Annotated[float, UNREAD, Role(read_by="extrapolation", scores=False)]
    subset_stratified: Annotated[bool, UNREAD, OF_EXTRAPOLATION]
    subset_include: Annotated[Literal["none", "original"], UNREAD, OF_EXTRAPOLATION] = "none"
    merge: Annotated[str, UNREAD, Role(read_by="extrapolation", scores=False)]
    budget: Annotated[Literal["epochs", "steps"], Role(final="pruned", scores=False)] = "epochs"
    relabel: Annotated[bool, Role(scores=False)] = False
    train_final: Annotated[bool, Role(compared=False)]
    compare_with: Annotated[list[str], NOT_A_RESULT]
    mapping: Annotated[Node, UNREAD, OF_METHOD]
    fidelity: Annotated[Fidelity, NOT_A_RESULT]
    scoring: Annotated[Scoring, UNREAD, OF_METHOD]
    retrain_model: Annotated[Node, RECIPE, Group("model@retrain_model", "model")]
    finetune: Annotated[Node | None, RECIPE, Group("finetune", "finetune")]
    final_paradigm: Annotated[Node, RECIPE, Group("paradigm@final_paradigm", "paradigm")]
    paths: Annotated[Paths, NOT_A_RESULT]
    data: Annotated[Node, Role(final="all"), Group("data", "data")]
    model: Annotated[Node, Group("model", "model")]
    method: Annotated[Node, Group("method", "method", part=True, preset=True)]
    score: Annotated[Node, UNREAD, OF_METHOD, Group("score", "score", part=True, preset=True)]
    variant: Annotated[str, UNREAD, OF_METHOD, Group("variant", "variant", preset=True)]
    extrapolation: Annotated[Node | None, OF_METHOD, Group("extrapolation", "extrapolation", part=True, preset=True)]
    selection: Annotated[Node, UNREAD, Role(read_by="method", scores=False), Group("selection", "selection", part=True)]
    paradigm: Annotated[Node, Group("paradigm", "paradigm")]
    optim: Annotated[Node, RECIPE, Group("optim", "optim")]
    trainer: Annotated[TrainerSettings, Role(final="all"), Group("trainer", "trainer")]
    strategy: Annotated[Node | None, NOT_A_RESULT, Group("strategy", "strategy")] = None
    logger: Annotated[Node, NOT_A_RESULT, Group("logger", "logger")]
    downstream: Annotated[Node | None, RECIPE, Group("downstream", "downstream")]

    @classmethod
    def of(cls, values: Mapping[str, Any], *, recorded: bool = False) -> Self:
        """Return the experiment of a configuration as plain values.

        Args:
            values: what Hydra composed, resolved; or the configuration in a record, with import paths for classes.
            recorded: the configuration is canonical: keys that its method does not read may be null.

        Raises:
            MissingKeyError: a recorded configuration lacks a root key that every configuration has today.
            ConfigError: a key is unknown, or its value has another type; one line that names the key.
        """
        given = dict(values)
        if isinstance(given.get("trainer"), Mapping):
            given["trainer"] = _trainer(given["trainer"])
        try:
            return cls.model_validate(given, context={CANONICAL: recorded})
        except ValidationError as error:
            raise _explained(error, values) from error

    def changed(self, **values: Any) -> Self:
        """Return the experiment with other values, which are not checked."""
        return self.model_copy(update=values)

    def pick(self, *names: str) -> Config:
        """Return some keys with their values as plain values, for the key of a stage."""
        return {name: plain(getattr(self, name)) for name in names}

    def to_json(self) -> Config:
        """Return the configuration as plain values: the keys that were given, in the order of this class."""
        return {name: plain(getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set}

    @property
    def select_on(self) -> str:
        """The split on which the method chooses an epoch: ``last``, ``validation`` or ``test``."""
        return str(self.method.get("select_on", "last"))


class MissingKeyError(ConfigError):
    """A recorded configuration lacks a key: it is of code that did not have it.

    Attributes:
        key: the key.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"the configuration has no {key!r}")
        self.key = key


def plain(value: Any) -> Any:
    """Return a value of an experiment as JSON holds it."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _trainer(node: Mapping[str, Any]) -> TrainerSettings:
    known = hints_of(TrainerSettings)
    if unknown := [key for key in node if key not in known]:
        raise ConfigError(f"trainer.{unknown[0]} is not a setting; there are {', '.join(known)}.")
    for key, value in node.items():
        try:
            TypeAdapter(known[key]).validate_python(value, strict=True)
        except ValidationError as error:
            raise _explained(error, {"trainer": node}, "trainer", key) from error
    return TrainerSettings(**node)


def _explained(error: ValidationError, values: Mapping[str, Any], *prefix: str) -> ConfigError:
    """Return the first error in one line: the dotted key, its value and what was expected."""
    found = error.errors()[0]
    path: list[str | int] = [*prefix]
    at: Any = values
    for name in prefix:
        at = at[name]
    for step in found["loc"]:
        if not _has(at, step) and found["type"] != "missing":
            break  # a branch of a union
        path.append(step)
        at = at[step] if _has(at, step) else None
    key = ".".join(map(str, path))
    if found["type"] == "missing":
        return MissingKeyError(key) if len(path) == 1 else ConfigError(f"{key} is missing.")
    if found["type"] == "extra_forbidden":
        return ConfigError(f"{key} is not a key of the configuration; nothing would read it.")
    return ConfigError(f"{key}={at!r}: {found['msg'].lower()}.")


def _has(values: Any, step: str | int) -> bool:
    if isinstance(values, Mapping):
        return step in values
    return isinstance(values, list) and isinstance(step, int) and step < len(values)


# Roles of keys, by their dotted path.

_INNER: Mapping[str, type] = {"data": DataKeys, "downstream": DataKeys, "trainer": TrainerSettings}


def keys_with(**role: Any) -> tuple[str, ...]:
    """Return the root keys whose role has given values, ``keys_with(read_by="method")``."""
    return tuple(name for name, found in roles_of(Experiment).items() if _matches(found, role))


def inner_keys_with(owner: type, **role: Any) -> tuple[str, ...]:
    """Return the keys of a node whose role has given values: of :class:`DataKeys` or of the trainer's settings."""
    return tuple(name for name, found in roles_of(owner).items() if _matches(found, role))


def _matches(found: Role, role: Mapping[str, Any]) -> bool:
    return all(getattr(found, name) == value for name, value in role.items())


def groups() -> dict[str, Group]:
    """Return the group of options of every node that one sets, by key."""
    found = {name: annotation_of(hint, Group) for name, hint in hints_of(Experiment).items()}
    return {name: group for name, group in found.items() if group}


def parts() -> tuple[str, ...]:
    """Return the keys whose options make up a run's label: method, score, extrapolation and selection."""
    return tuple(key for key, group in groups().items() if group.part)


def is_seed(path: str) -> bool:
    """Whether a key, by its dotted path, is a seed."""
    return path == "seed" or path.endswith((".seed", "_seed"))


def is_compared(path: str) -> bool:
    """Whether runs with different values of a key are in different cells of a report.

    Seeds of all kinds are not compared: a cell holds runs that differ in them.
    """
    root, _, rest = path.partition(".")
    if is_seed(path) or not _role(root).compared:
        return False
    inner = _INNER.get(root)
    return inner is None or not rest or roles_of(inner).get(rest, ORDINARY).compared


def is_of_recipe(path: str, *, full: bool = False) -> bool:
    """Whether a key is part of the recipe of the final training.

    Args:
        path: dotted path of the key.
        full: of a training on all data, which takes as many steps as epochs say.
    """
    final = _role(path.partition(".")[0]).final
    return final == "all" or (final == "pruned" and not full)


def is_of_scores(path: str) -> bool:
    """Whether a key can change scores and no column of the tables of fidelity shows it."""
    root, _, rest = path.partition(".")
    if root == "trainer" and rest:
        return roles_of(TrainerSettings).get(rest, ORDINARY).numerics
    return _role(root).scores


def default_of(path: str) -> Any:
    """Return the value of a key for records that lack it; None where there is no such value."""
    field = Experiment.model_fields.get(path)
    return None if field is None or field.is_required() else field.default


def compared_settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration as dotted keys, without what is not compared.

    A key that is null, or has the value that records without it stand for, is left out.
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if not is_compared(key):
            continue
        if isinstance(value, Mapping):
            flat.update(compared_settings(value, f"{key}."))
        elif value is not None and default_of(key) != value:
            flat[key] = value
    return flat


def _role(root: str) -> Role:
    return roles_of(Experiment).get(root, ORDINARY)
