"""Margin of equality: the difference below which two results count as equal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from secateur.core.errors import ConfigError

LARGEST = 0.01
SHARE_OF_ERROR = 0.2
FULL_DATA = "full data"


@dataclass(frozen=True)
class Margin:
    """The margin of equality of a table.

    By default it is 20 % of the error of full data (without it, of the baseline), at most one point and at least one
    test image: a point is little where one image in ten is wrong, and more than all errors together at 99.2 %.

    Args:
        points: a fixed margin in percentage points, above 0 and below 100; None: the default.

    Raises:
        ConfigError: ``points`` is out of range.

    Example:
        >>> round(Margin().of(0.992, 1 / 360), 5), Margin().of(0.90, 1 / 360), Margin(0.5).of(0.992, 1 / 360)
        (0.00278, 0.01, 0.005)
    """

    points: float | None = None

    def __post_init__(self) -> None:
        if self.points is not None and not (math.isfinite(self.points) and 0 < self.points < 100):
            raise ConfigError(
                f"--margin is a number of percentage points above 0 and below 100, got {self.points:g}; 1 is the "
                "largest that the default takes."
            )

    def of(self, accuracy: float | None, resolution: float) -> float | None:
        """Return the margin as a fraction.

        Args:
            accuracy: mean of the reference, in ``[0, 1]``; None where there is none.
            resolution: one test image; 0 where the size of the test set is not known.

        Returns:
            The margin; None where there is neither a fixed one nor a reference.
        """
        if self.points is not None:
            return self.points / 100
        if accuracy is None:
            return None
        return max(min(LARGEST, SHARE_OF_ERROR * (1 - accuracy)), resolution)

    @property
    def words(self) -> str:
        """How the margin was set, whatever it was of in a table."""
        return self.words_of([FULL_DATA, "the baseline"])

    def words_of(self, references: Sequence[str]) -> str:
        """Return how the margin of a table was set.

        Args:
            references: whose error it is a share of, in the order of their use: full data, the baseline.

        Example:
            >>> Margin().words_of(["random"])
            '20 % of the error of random, at most 1 point, at least one test image'
        """
        if self.points is not None:
            return "set by --margin"
        first, *others = references or [FULL_DATA]
        instead = "".join(f", or of {other} where there is none" for other in others)
        return f"20 % of the error of {first}{instead}, at most 1 point, at least one test image"
