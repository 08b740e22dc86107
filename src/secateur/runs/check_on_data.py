"""What of a configuration only the data can tell; asked once the data is there, before anything is written."""

from secateur.runs.context import Context
from secateur.runs.nodes import shared


def check_on_data(context: Context) -> None:
    """Check a configuration against its data; trains nothing and writes nothing.

    A method may have ``check(context)``, which raises what its ``prune`` would raise before it trains.

    Args:
        context: a run that has not started; a network that cannot take the images to train on has been found by making
            it, because the ledger counts that network's operations.

    Raises:
        ConfigError: a network cannot take the images, or something asked for is more than the data has.
        DataError: a file that the method reads was made for other data, or is no such file.
    """
    warn_of_empty_classes(context)
    if context.config.scoring is not None:
        context.flops("model")
    shared(context.config.method).check(context)


def warn_of_empty_classes(context: Context) -> None:
    """Warn of classes without a sample in the pool: labels with gaps make a network with outputs for nothing."""
    data = context.data
    counts = data.clean_labels[data.pool].bincount(minlength=data.num_classes)
    empty = (counts == 0).nonzero().flatten().tolist()
    if empty:
        context.warn(
            f"{len(empty)} of {data.num_classes} classes of {data.name} have no training sample, the first is "
            f"{data.class_names[empty[0]]!r}; the network has an output for each all the same. Labels should be 0 .. "
            "C - 1 without gaps."
        )
