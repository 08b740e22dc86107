"""The exceptions Secateur raises on purpose. Each also inherits the built-in that describes it."""


class SecateurError(Exception):
    """Root of all errors that Secateur raises on purpose; the message is one line and says what to do."""


class ConfigError(SecateurError, ValueError):
    """A configuration that cannot work: found before anything starts wherever the config can tell."""


class DataError(SecateurError, ValueError):
    """Data that cannot be used: a missing root, a corrupt image, labels outside ``[0, C)``."""


class FingerprintError(DataError):
    """A table or a mask that was made for another data set, or for another pool of the same one."""


class NumericalError(SecateurError, ArithmeticError):
    """A non-finite number where a result depends on it: a loss, a logit or a score."""


class StoreError(SecateurError, OSError):
    """The store cannot be used as it is: no file locks, or a finished stage that lacks its files."""


class CheckpointError(SecateurError, RuntimeError):
    """A checkpoint that other code wrote does not fit today's classes; the store begins the stage again without it."""
