"""What of a configuration only the data can tell; asked once the data is there, before anything is written."""

from secateur.pipeline.config import build
from secateur.pipeline.context import Context


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
    if context.config["scoring"] is not None:
        context.flops("model")
    method = build(context.config["method"])
    if hasattr(method, "check"):
        method.check(context)
