"""The data sets of a configuration, prepared once for the jobs of a sweep that share a process."""

import json
from functools import lru_cache

from secateur.core.hashing import canonical_json
from secateur.data.prepare import prepare
from secateur.data.prepared import PreparedData
from secateur.runs.config import Config, build
from secateur.runs.downstream import prepare_downstream, share_fingerprint


def pools(config: Config) -> tuple[PreparedData, PreparedData | None]:
    """Return the prepared data set of a configuration, and its downstream set or None."""
    data = _prepared(canonical_json(config["data"]))
    return data, _downstream(canonical_json(config["downstream"]), data) if config["downstream"] else None


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
