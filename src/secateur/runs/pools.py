"""The data sets of a configuration, prepared once for the jobs of a process; also the downstream set of transfer."""

import json
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from secateur.core.errors import ConfigError, DataError
from secateur.core.group import current
from secateur.core.hashing import canonical_json, content_key
from secateur.core.ledger import Ledger
from secateur.core.record import Transfer
from secateur.data.prepared import PreparedData, prepare
from secateur.data.recipe import DataRecipe
from secateur.runs.config import Experiment
from secateur.runs.nodes import build


def pools(config: Experiment) -> tuple[PreparedData, PreparedData | None]:
    """Return the prepared data set of a configuration, and its downstream set or None."""
    data = _prepared(canonical_json(config.data))
    return data, _downstream(canonical_json(config.downstream), data) if config.downstream else None


def forget_pools() -> None:
    """Let the next run read its data anew: it may be other data on disk by then."""
    _prepared.cache_clear()
    _downstream.cache_clear()


@lru_cache(maxsize=1)
def _prepared(data_node: str) -> PreparedData:
    """Prepare a data set; the jobs of a sweep in one process share the last one."""
    return share_fingerprint(prepare(build(json.loads(data_node))))


@lru_cache(maxsize=2)
def _downstream(node: str, source: PreparedData) -> PreparedData:
    """Prepare a downstream set for a source; the jobs of a sweep in one process share it."""
    return prepare_downstream(build(json.loads(node)), source)


# Stages of a mapping that depend on the source and not on the downstream set.
OF_SOURCE = ("surrogate", "embeddings", "groups", "group_means")


def prepare_downstream(recipe: DataRecipe, source: PreparedData) -> PreparedData:
    """Prepare a downstream set with the source's mean and standard deviation: one transform, owned by the network.

    Raises:
        ConfigError: its images do not have the shape of the source's.
        DataError: the data is missing, unreadable or empty.
    """
    data = share_fingerprint(prepare(replace(recipe, mean=list(source.mean), std=list(source.std))))
    if data.image_shape != source.image_shape:
        theirs, ours = ("x".join(map(str, shape)) for shape in (data.image_shape, source.image_shape))
        raise ConfigError(
            f"The images of downstream={data.name} are {theirs} (channels x height x width), but the network is "
            f"made for the {ours} of data={source.name}: set downstream.image_size and downstream.channels."
        )
    return data


def share_fingerprint(data: PreparedData) -> PreparedData:
    """Let rank 0 alone read every stored image for the fingerprints; return the data.

    Raises:
        DataError: another process has other labels.
    """
    group = current()
    if group.size > 1:
        for name in ("fingerprint", "evaluation_fingerprint"):
            data.__dict__[name] = group.from_zero(partial(getattr, data, name))
        labels = group.gather(content_key([data.pool.tolist(), data.pool_labels.tolist()], 16))
        if len(set(labels)) > 1:
            others = [rank for rank, key in enumerate(labels) if key != labels[0]]
            raise DataError(f"Process {others[0]} reads other samples or labels of {data.name} than process 0 does.")
    return data


def shared_cost(ledger: Ledger) -> dict[str, Any]:
    """Return what the record's ``transfer`` block says of the cost when several downstream sets share the surrogate.

    ``surrogate_cost_vs_full`` is the share of the stages that belong to the source alone; ``cost_vs_full_shared`` the
    cost of this run if 2, 5 or 10 downstream sets divide them among themselves. Empty without a surrogate.
    """
    stages = [stage for stage in ledger.stages if stage.stage in OF_SOURCE]
    if not any(stage.stage == "surrogate" for stage in stages):
        return {}
    surrogate = sum(stage.flops for stage in stages) / ledger.full_flops
    shared = {str(sets): ledger.cost_vs_full - surrogate * (1 - 1 / sets) for sets in (2, 5, 10)}
    return {"surrogate_cost_vs_full": surrogate, "cost_vs_full_shared": shared}


def transfer_facts(config: Experiment, source: PreparedData, downstream: PreparedData | None) -> Transfer:
    """Return the record's ``transfer`` block; empty values without a downstream set."""
    if downstream is None:
        return Transfer.blank()
    return Transfer(
        source=source.name,
        downstream=downstream.name,
        finetune=list(config.finetune["modes"]) if config.finetune else None,
        num_train=len(downstream.pool),
        num_validation=len(downstream.validation),
        num_test=len(downstream.test),
        num_classes=downstream.num_classes,
        fingerprint=downstream.fingerprint,
        evaluation_fingerprint=downstream.evaluation_fingerprint,
    )
