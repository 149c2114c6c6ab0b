"""One shard is one Parquet file with one row group: written under a temporary name, hashed, renamed; read as arrays.

Parquet is written uncompressed and without dictionaries or statistics: the crops are noise to a compressor, and a
reader may then map the file and use the pixels where they lie.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import is_url, read_bytes, write_atomically
from fakeit.pipelines.store.row_weights import Packed
from fakeit.pipelines.store.schema import Rows, RowShape, decode_column, from_table, to_table


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a dataset.

    Attributes:
        path: relative to the dataset's folder, e.g. `train/shard-00000.parquet`.
        split: train, val or test.
        rows: of its one row group.
        images: source images behind these rows.
        bytes: of the file.
        sha256: of the file.
        row_weights: Σ weight of each row's points (fakeit.pipelines.store.row_weights); None in older manifests.
    """

    path: str
    split: str
    rows: int
    images: int
    bytes: int
    sha256: str
    row_weights: Packed | None = None


def write_shard(location: str, rows: Rows, shape: RowShape) -> tuple[int, str]:
    """Writes rows as a shard that appears whole or not at all.

    Returns:
        The file's size in bytes and its SHA-256.

    Raises:
        OSError: the disk is full, or the place cannot be written.
    """
    data, sha256 = serialise(rows, shape)
    with write_atomically(location) as file:
        file.write(data)
    return len(data), sha256


def serialise(rows: Rows, shape: RowShape) -> tuple[memoryview, str]:
    """The bytes of a shard's file and their SHA-256."""
    buffer = io.BytesIO()
    table = to_table(rows, shape)
    pq.write_table(
        table,
        buffer,
        row_group_size=max(table.num_rows, 1),
        compression="NONE",
        use_dictionary=False,
        write_statistics=False,
        data_page_size=1 << 30,
    )
    data = buffer.getbuffer()
    return data, hashlib.sha256(data).hexdigest()


def read_shard(location: str, shape: RowShape) -> Rows:
    """The columns of a shard: image (N, H, W, C) uint8, landmarks (N, K, 2) float32 unit crop, and the rest of
    `RowShape.arrays`, `image_id` a list and `variant` (N,) int32.

    Raises:
        FakeitError: missing, truncated or of another shape; names the file.
    """
    try:
        source = pa.BufferReader(read_bytes(location)) if is_url(location) else pa.memory_map(location)
        return from_table(pq.ParquetFile(source).read(use_threads=False), shape)
    except FileNotFoundError as error:
        raise FakeitError(f"shard {location} is missing; the dataset is not whole any more") from error
    except (pa.ArrowException, OSError) as error:
        raise FakeitError(f"shard {location} cannot be read: {error}") from error
    except FakeitError as error:
        raise FakeitError(f"shard {location}: {error}") from error


def read_columns(location: str, shape: RowShape, names: Sequence[str]) -> Rows:
    """Some columns of a shard, without touching the others: arrays of `RowShape.arrays`, not the picture.

    Raises:
        FakeitError: missing, truncated or of another shape; names the file.
    """
    try:
        source = pa.BufferReader(read_bytes(location)) if is_url(location) else pa.memory_map(location)
        table = pq.ParquetFile(source).read(columns=list(names), use_threads=False)
        kinds = shape.arrays()
        return {name: decode_column(table[name].combine_chunks(), *kinds[name], name) for name in names}
    except (pa.ArrowException, OSError, KeyError, FakeitError) as error:
        raise FakeitError(f"shard {location} cannot be read: {error}") from error


def file_hash(location: str) -> str:
    """SHA-256 of a file, read in blocks where it is local."""
    if is_url(location):
        return hashlib.sha256(read_bytes(location)).hexdigest()
    made = hashlib.sha256()
    with open(location, "rb") as file:
        while block := file.read(1 << 20):
            made.update(block)
    return made.hexdigest()
