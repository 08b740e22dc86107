"""The downstream data set of transfer learning, as the source's network takes it."""

from dataclasses import replace
from typing import Any

from secateur.core.errors import ConfigError
from secateur.data.prepare import prepare
from secateur.data.prepared import PreparedData
from secateur.data.recipe import DataRecipe
from secateur.pipeline.config import Config


def prepare_downstream(recipe: DataRecipe, source: PreparedData) -> PreparedData:
    """Prepare a downstream set with the source's mean and standard deviation: one transform, owned by the network.

    Raises:
        ConfigError: its images do not have the shape of the source's.
        DataError: the data is missing, unreadable or empty.
    """
    data = prepare(replace(recipe, mean=list(source.mean), std=list(source.std)))
    if data.image_shape != source.image_shape:
        theirs, ours = ("x".join(map(str, shape)) for shape in (data.image_shape, source.image_shape))
        raise ConfigError(
            f"The images of downstream={data.name} are {theirs} (channels x height x width), but the network is "
            f"made for the {ours} of data={source.name}: set downstream.image_size and downstream.channels."
        )
    return data


def transfer_facts(config: Config, source: PreparedData, downstream: PreparedData | None) -> dict[str, Any]:
    """Return the record's ``transfer`` block; empty values without a downstream set."""
    if downstream is None:
        return {"source": None, "downstream": None, "finetune": None}
    return {
        "source": source.name,
        "downstream": downstream.name,
        "finetune": list(config["finetune"]["modes"]),
        "num_train": len(downstream.pool),
        "num_validation": len(downstream.validation),
        "num_test": len(downstream.test),
        "num_classes": downstream.num_classes,
        "fingerprint": downstream.fingerprint,
    }
