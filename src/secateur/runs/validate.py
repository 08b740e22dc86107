"""Everything a configuration can tell before anything starts."""

import inspect
import os
from pathlib import Path
from typing import Any, Protocol, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from secateur.core.errors import ConfigError
from secateur.core.mask import check_pruning_ratio
from secateur.core.names import TARGET
from secateur.core.tables import BASE_COLUMNS
from secateur.data.joined import check_extra
from secateur.extrapolation.base import Extrapolator, Needs
from secateur.extrapolation.merging import Merge
from secateur.runs.baselines import check_baselines
from secateur.runs.config import Experiment, Node
from secateur.runs.history import tracker_of
from secateur.runs.methods.base import Method
from secateur.runs.nodes import build, class_of, method_class, scorer, shared, targets
from secateur.runs.paradigms import classifies, is_trainable, passes_of
from secateur.runs.subset import subset_epochs
from secateur.scores.base import Score
from secateur.scores.dynamics import TRAJECTORY_COLUMNS
from secateur.selection.base import Selection
from secateur.training.distributed.strategy import Strategy


class NetworkFactory(Protocol):
    """The partial of a ``model:`` node, and what it is called with."""

    def __call__(self, *, num_classes: int, in_channels: int) -> Any:
        """Make the network."""


class ModuleFactory(Protocol):
    """The partial of a ``paradigm:`` node, and what it is called with; arguments it does not have are left out."""

    def __call__(
        self, model: Any, recipe: Any, *, num_epochs: int, seed: int, sampling: Any, normalization: Any
    ) -> Any:
        """Make the module."""


def validate(config: Experiment) -> None:
    """Check a configuration against the classes it names, this machine and the files it reads.

    Raises:
        ConfigError: it cannot work; one line that says what, what was got, what is allowed.
        DataError: the data set cannot be there.
    """
    _check_values(config)
    for path, node in targets(config.to_json()):
        check_node(path, node)
    _check_data(config.data)
    tracker_of(config).check()
    _check_transfer(config)
    check_strategy(config)
    shared(config.optim).check_epochs(config.trainer.max_epochs)
    if not isinstance(shared(config.method), Method):
        raise ConfigError(f"{config.method[TARGET]} is not a secateur.runs.methods.base.Method.")
    for paradigm in (config.paradigm, config.final_paradigm):
        passes_of(paradigm)  # builds and checks it
    if not is_trainable(config.final_paradigm):
        raise ConfigError(
            "This paradigm measures and cannot train a final network: add paradigm@final_paradigm=supervised."
        )
    if "score" in method_class(config).reads:
        _check_scoring(config)
    if config.extrapolation is not None:
        _check_extrapolation(config)


def check_node(path: str, node: Node) -> None:
    """Check that a node's keys and values fit its ``_target_``'s signature.

    Raises:
        ConfigError: the target does not exist, a key is unknown or missing, or a value has the wrong type.
    """
    try:
        target = class_of(node)
    except Exception as error:
        raise ConfigError(f"{path}._target_={node['_target_']} cannot be imported: {error}") from error
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    given = {key: value for key, value in node.items() if not key.startswith("_")}
    for key, value in given.items():
        if key not in parameters:
            allowed = f"it has {', '.join(parameters)}" if parameters else "it has no arguments"
            raise ConfigError(f"{path}.{key} is not an argument of {node['_target_']}; {allowed}.")
        if not any(targets(value)):  # nested nodes are checked by themselves
            check_type(f"{path}.{key}", value, hints.get(key, Any))
    required = {
        name
        for name, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    missing = sorted(required - set(given) - (_supplied() if node.get("_partial_") else set()))
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(missing)}, needed by {node['_target_']}.")


def _supplied() -> set[str]:
    """Return the arguments that partials are called with."""
    factories = (NetworkFactory, ModuleFactory)
    return {name for factory in factories for name in inspect.signature(factory.__call__).parameters} - {"self"}


def check_type(key: str, value: Any, annotation: Any) -> None:
    """Check a value against a type annotation; text is never taken for a number.

    Raises:
        ConfigError: the value has another type; the message names the key.
    """
    try:
        TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value, strict=True)
    except ValidationError as error:
        detail = error.errors()[0]
        raise ConfigError(f"{key}={value!r}: {detail['msg'].lower()}.") from error


def _check_values(config: Experiment) -> None:
    """Check values of root keys against what is allowed beside their type."""
    for key, seed in (("seed", config.seed), ("score_seed", config.score_seed)):
        if seed < 0:
            raise ConfigError(f"{key} must not be negative, got {seed}.")
    if not config.name or "/" in config.name or config.name.startswith("."):
        raise ConfigError(f"name is a folder name and may not be empty, hidden or contain '/': got {config.name!r}.")
    check_type("merge", config.merge, Merge)
    _check_output_dir(config.paths.output_dir)
    check_pruning_ratio(config.pruning_ratio)
    check_baselines(config.compare_with)
    for ratio in config.fidelity.ratios:
        check_pruning_ratio(ratio)
    if config.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError(
            "trainer.accelerator=gpu, but this machine has no GPU that PyTorch can use; take auto or cpu."
        )


def _check_output_dir(output_dir: str) -> None:
    """Check that results can be written; makes nothing."""
    if not output_dir.strip():
        raise ConfigError("paths.output_dir is empty; give a folder.")
    folder = Path(output_dir).absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"paths.output_dir={output_dir} cannot be used: {nearest} is not a writable folder.")


def _check_data(node: Node) -> None:
    """Check that a data set can be there, and the file of extra images beside it."""
    recipe = build(node)
    recipe.check()
    if getattr(recipe, "extra", None) is not None:
        check_extra(recipe.extra)


def _check_transfer(config: Experiment) -> None:
    """Check that a downstream set comes with a way to adapt to it, and the other way round."""
    if (config.downstream is None) != (config.finetune is None):
        lacking, given = ("finetune", "downstream") if config.finetune is None else ("downstream", "finetune")
        options = "linear_probe, full or both" if lacking == "finetune" else "a data set"
        raise ConfigError(f"{given}= needs {lacking}= as well: {options}.")
    if config.downstream is not None:
        _check_data(config.downstream)
        shared(config.finetune)
    elif config.train_final and not classifies(config.final_paradigm):
        raise ConfigError("This paradigm trains features without classes: judging it needs downstream= and finetune=.")
    elif method_class(config).needs_downstream:
        raise ConfigError(
            "This method needs a downstream set: add downstream=... and finetune=linear_probe, full or both."
        )
    if method_class(config).needs_classes and not classifies(config.paradigm):
        raise ConfigError(
            "label_mapping reads the classes of the surrogate, and this paradigm trains none: take feature_mapping."
        )


def _check_scoring(config: Experiment) -> None:
    """Check the scorer against the length of its training, and the selection against the scorer's columns."""
    if config.scoring.max_epochs < 1:
        raise ConfigError(f"scoring.max_epochs must be at least 1, got {config.scoring.max_epochs}.")
    predicting = config.extrapolation is not None
    num_epochs = subset_epochs(config) if predicting else config.scoring.max_epochs
    shared(config.scoring.optim).check_epochs(getattr(shared(config.paradigm), "encoder_epochs", num_epochs))
    score = scorer(config.score)
    if not isinstance(score, Score):
        raise ConfigError(f"{config.score['_target_']} is not a secateur.scores.base.Score.")
    score.setup(1, num_epochs)
    labels_known = _labels_known(config)
    if not labels_known:
        _check_without_labels(config, score)
    selection = shared(config.selection)
    if not isinstance(selection, Selection):
        raise ConfigError(f"{config.selection[TARGET]} is not a secateur.selection.base.Selection.")
    selection.check(config.pruning_ratio, score.signed)
    there = {*BASE_COLUMNS, *(TRAJECTORY_COLUMNS if labels_known and not predicting else ())}
    lacking = [column for column in selection.needs if column not in there]
    if lacking:
        raise ConfigError(
            f"selection needs the column {lacking[0]!r}, but {'predicted ' if predicting else ''}scores "
            f"{'' if labels_known else 'without labels '}come with {', '.join(sorted(there))}."
        )


def _labels_known(config: Experiment) -> bool:
    """Whether the paradigm that measures reads the data's labels."""
    return bool(getattr(shared(config.paradigm), "labels_known", True))


def _check_without_labels(config: Experiment, score: Score) -> None:
    """Check what a paradigm that reads no labels cannot do, or would ignore.

    A selection may read the label column all the same: it holds the classes that were found.
    """
    if score.num_networks != 1:
        raise ConfigError(
            f"score.num_networks={score.num_networks} averages trainings on labels, and this paradigm has none: set "
            "score.num_networks=1."
        )


def _check_extrapolation(config: Experiment) -> None:
    """Check what the extrapolation is given: how much is scored, and whether what it reads is known."""
    if "extrapolation" not in method_class(config).reads:
        raise ConfigError("extrapolation= predicts scores, and this method reads none: use method=score, or none.")
    if not 0 < config.subset_fraction < 1:
        hint = " extrapolation=none scores every sample." if config.subset_fraction == 1 else ""
        raise ConfigError(f"subset_fraction must be in (0, 1), got {config.subset_fraction:g}.{hint}")
    if not config.subset_epochs_factor > 0:
        raise ConfigError(f"subset_epochs_factor must be positive, got {config.subset_epochs_factor:g}.")
    assert config.extrapolation is not None
    extrapolator = shared(config.extrapolation)
    if not isinstance(extrapolator, Extrapolator):
        raise ConfigError(f"{config.extrapolation[TARGET]} is not a secateur.extrapolation.base.Extrapolator.")
    wanted = extrapolator.merge
    if wanted is not None and config.merge != wanted:
        raise ConfigError(f"This extrapolation needs merge={wanted}; merge={config.merge} would undo it.")
    if not _labels_known(config):
        _check_extrapolation_without_labels(config)


def _check_extrapolation_without_labels(config: Experiment) -> None:
    """Check that neither the subset nor what is predicted from it depends on labels that the paradigm does not read."""
    needs = shared(config.extrapolation).needs
    if Needs.LABELS in needs:
        raise ConfigError(
            "This extrapolation reads the labels of all samples, and the paradigm has none: for knn set "
            "extrapolation.same_class=false, or take another extrapolation."
        )
    if Needs.PROXY_LOGITS in needs:
        raise ConfigError(
            "This extrapolation reads the logits of a network trained on labels, and the paradigm has none: take "
            "extrapolation=knn, or another that reads embeddings."
        )
    if config.subset_stratified:
        raise ConfigError(
            "subset_stratified=true draws the scored subset class by class, and the paradigm has no labels: set "
            "subset_stratified=false."
        )


def check_strategy(config: Experiment) -> Strategy:
    """Check the ``strategy:`` node against the rest of a configuration, and return it built.

    Raises:
        ConfigError: it cannot work with what else was asked for.
    """
    strategy: Strategy = shared(config.strategy)
    if strategy.num_processes == 1:
        return strategy
    if getattr(strategy, "accelerator", None) == "cpu" and config.trainer.accelerator == "gpu":
        raise ConfigError("strategy.accelerator=cpu computes on CPUs, but trainer.accelerator=gpu: take strategy=ddp.")
    if any(node.get("method") == "moco" for _, node in targets(_paradigms(config))):
        raise ConfigError(
            "paradigm.method=moco keeps its queue of keys in one process: take paradigm.method=simsiam, or "
            "strategy=single."
        )
    if getattr(strategy, "sharded", False):
        _check_sharded(config)
    return strategy


def _check_sharded(config: Experiment) -> None:
    """Check what reads a network from outside its training step, or its weights one by one."""
    if "optim" in config.method:
        raise ConfigError("strategy=fsdp cannot divide AdaPruner's mask, one number per sample: take strategy=ddp.")
    for key, node in _paradigms(config).items():
        if not node["_target_"].endswith(".Classifier"):
            raise ConfigError(f"strategy=fsdp trains {key}=supervised only, got {node['_target_']}: take strategy=ddp.")
    for path, node in targets(config.to_json()):
        if node.get("grad_clip_norm") is not None:
            raise ConfigError(f"strategy=fsdp cannot clip by {path}.grad_clip_norm: set it to null.")
        if node.get("decay_norm_and_bias") is False:
            raise ConfigError(
                f"strategy=fsdp cannot tell biases from other weights, which {path}.decay_norm_and_bias=false needs."
            )


def _paradigms(config: Experiment) -> dict[str, Any]:
    return config.pick("paradigm", "final_paradigm")
