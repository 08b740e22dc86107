"""Images in Parquet files, in the layout that Hugging Face data sets use."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.data.checks import check_root
from secateur.data.encoded import EncodedImages
from secateur.data.recipe import DataRecipe, Split

TEST_NAMES = ("test", "validation")


class ParquetImages(EncodedImages):
    """Encoded images of one split, held in memory as stored; nothing is decoded until asked for.

    Args:
        files: the shards, in row order.
        image_column: column of ``struct<bytes, path>`` or of bytes.
        label_column: column of integers.

    Raises:
        DataError: a file is unreadable, lacks a column, or has a missing image or label.
    """

    def __init__(self, files: Sequence[Path], image_column: str, label_column: str) -> None:
        self._files = [str(file) for file in files]
        self._starts = [0]
        self._shards: list[tuple[np.ndarray, np.ndarray]] = []
        labels = []
        for file in files:
            table = _read(file, image_column, label_column)
            self._shards.append(_offsets_and_bytes(table[image_column], file, image_column))
            labels.append(_labels(table[label_column], file, label_column))
            self._starts.append(self._starts[-1] + len(table))
        self.labels = torch.cat(labels)

    def stored_bytes(self, row: int) -> bytes:
        """Return the encoded image."""
        shard, local = self._locate(row)
        offsets, content = self._shards[shard]
        return content[offsets[local] : offsets[local + 1]].tobytes()

    def describe(self, row: int) -> str:
        """Return the file and the row in it."""
        shard, local = self._locate(row)
        return f"{self._files[shard]} row {local}"

    def _locate(self, row: int) -> tuple[int, int]:
        if len(self._shards) == 1:
            return 0, row
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        return shard, row - self._starts[shard]


@dataclass(kw_only=True)
class ParquetData(DataRecipe):
    """A folder with ``train.parquet`` and ``test.parquet``, or with shards ``train-*`` and ``test-*``.

    The files may also lie in a subfolder ``data``; ``validation`` stands in for a missing ``test``. Encoded
    images are read into memory, both splits. Class names come from the ``huggingface`` metadata of the
    training split; without it they are the label values 0 .. the largest one in training.

    Args:
        image_column: column of ``struct<bytes, path>`` (or of bytes).
        label_column: column of integers.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "data/parquet"
    image_column: str = "image"
    label_column: str = "label"

    def check(self) -> None:
        """Raise :class:`DataError` unless both splits have a file."""
        for split in ("train", "test"):
            self._find(split)

    def load(self, split: Split) -> ParquetImages:
        """Read one split.

        Raises:
            DataError: a file is missing, unreadable, or lacks a column.
        """
        if split == "train":
            return self._train
        return ParquetImages(self._find(split), self.image_column, self.label_column)

    def class_names(self) -> list[str]:
        """Return the names in the metadata, or the label values."""
        schema = pq.read_schema(self._find("train")[0])
        raw = (schema.metadata or {}).get(b"huggingface")
        features = json.loads(raw)["info"]["features"] if raw else {}
        names = features.get(self.label_column, {}).get("names")
        return list(names) if names else [str(label) for label in range(int(self._train.labels.max()) + 1)]

    @cached_property
    def _train(self) -> ParquetImages:
        return ParquetImages(self._find("train"), self.image_column, self.label_column)

    def _find(self, split: str) -> list[Path]:
        """Return the files of a split in row order."""
        root = check_root(self.root, self.name, "a folder with train.parquet and test.parquet")
        if root.is_file():
            raise DataError(f"data.root={root} is a file; give its folder, which has train.parquet and test.parquet.")
        for name in (split,) if split == "train" else TEST_NAMES:
            for folder in (root, root / "data"):
                single, shards = folder / f"{name}.parquet", sorted(folder.glob(f"{name}-*.parquet"))
                if single.is_file() or shards:
                    return [single] if single.is_file() else shards
        raise DataError(f"data.root={root} has neither {split}.parquet nor {split}-*.parquet.")


def _read(file: Path, image_column: str, label_column: str) -> pa.Table:
    try:
        found = pq.read_schema(file).names
        for key, column in (("image_column", image_column), ("label_column", label_column)):
            if column not in found:
                raise DataError(f"{file} has no column {column!r}, only {', '.join(found)}. Set data.{key}.")
        return pq.read_table(file, columns=list(dict.fromkeys([image_column, label_column])))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file.") from error


def _offsets_and_bytes(column: pa.ChunkedArray, file: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets ``[n + 1]`` and the concatenated images of a column, without copying each."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks], type=None)
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise DataError(f"{file}: column {name!r} holds {column.type}, not encoded images (struct<bytes, path>).")
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise DataError(f"{file} row {row} has no image bytes in column {name!r}; images must be embedded.")
    array = pa.concat_arrays([chunk.cast(pa.large_binary()) for chunk in column.chunks])
    _, offsets, content = array.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return starts, np.frombuffer(content, dtype=np.uint8)


def _labels(column: pa.ChunkedArray, file: Path, name: str) -> Tensor:
    if not pa.types.is_integer(column.type):
        raise DataError(f"{file}: column {name!r} holds {column.type}, but labels must be integers 0 .. C - 1.")
    if column.null_count:
        raise DataError(f"{file} row {column.is_null().index(True).as_py()} has no label in column {name!r}.")
    return torch.from_numpy(column.to_numpy().astype(np.int64))
