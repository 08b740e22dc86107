"""Any data set of pairs as one whose samples say which they are."""

from typing import Any

from torch.utils.data import Dataset

from secateur.core.errors import DataError


class IndexedDataset(Dataset[tuple[Any, Any, int]]):
    """A data set of pairs ``(x, y)`` as one of ``(x, y, sample_id)``, as a ScoreRecorder and masks want it.

    The ``sample_id`` is the row in the wrapped data set, which a loader collates to int64 ``[B]``. So wrap the whole
    training split first and take parts of the result: in a part that is wrapped the rows count from 0 again.

    Args:
        dataset: a map-style data set whose items are pairs ``(x, y)``.

    Raises:
        DataError: the data set has no length, so its samples have no rows.

    Example:
        >>> IndexedDataset([("a", 1), ("b", 0)])[1]
        ('b', 0, 1)
    """

    def __init__(self, dataset: Any) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise DataError(
                f"IndexedDataset needs a data set with rows (__len__ and __getitem__), got {type(dataset).__name__}."
            )
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> tuple[Any, Any, int]:
        """Return image, label and row of one sample.

        Raises:
            DataError: an item is no pair.
            IndexError: there is no such row.
        """
        sample_id = row + len(self) if row < 0 else int(row)
        if not 0 <= sample_id < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        item = self.dataset[sample_id]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"IndexedDataset needs items (x, y); row {sample_id} is a {type(item).__name__}.")
        return item[0], item[1], sample_id
