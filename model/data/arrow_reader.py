"""The default reader: pyarrow alone, pixels used where they lie in the mapped file.

Raw images are a Parquet column of one uncompressed page, `length, bytes, length, bytes …`, all of one length; so the
rows are a strided view of the file. The view is checked row by row (length and npy header) before it is trusted; a
shard laid out in another way (PNG, a remote URL, written by another program) is decoded through the store instead.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fakeit.model.data.shard_reader import MappedFile, OpenShard, columns, from_columns
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import is_url
from fakeit.pipelines.store.schema import RowShape, array_header, decode_column
from fakeit.pipelines.store.shards import read_shard

LENGTH = 4  # bytes of Parquet's length in front of each value


def read(location: str, shape: RowShape) -> OpenShard:
    """Opens a shard; see `fakeit.model.data.shard_reader.Reader`."""
    if shape.image_codec == "raw" and not is_url(location):
        try:
            opened = _mapped(location, shape)
        except FileNotFoundError as error:
            raise FakeitError(f"shard {location} is missing; the dataset is not whole any more") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            raise FakeitError(f"shard {location} cannot be read: {error}") from error
        if opened is not None:
            return opened
    rows = read_shard(location, shape)
    return from_columns(rows, rows["image"])


def _mapped(location: str, shape: RowShape) -> OpenShard | None:
    as_found = MappedFile.of(location)
    with open(location, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    mapped.madvise(mmap.MADV_WILLNEED)  # the disk begins to read it all, before the first row is asked for
    parquet = pq.ParquetFile(pa.BufferReader(pa.py_buffer(mapped)))
    images = _image_view(mapped, parquet, shape)
    if images is None:
        return None
    table = parquet.read(columns=["image_id", "variant", *columns(shape)], use_threads=False)
    arrays = shape.arrays()
    rows: dict[str, Any] = {"image_id": table["image_id"].to_pylist(), "variant": table["variant"].to_numpy()}
    for name in columns(shape):
        column = table[name].combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        rows[name] = decode_column(column, *arrays[name], name)
    return from_columns(rows, images, mapped=as_found)


def _image_view(mapped: mmap.mmap, parquet: pq.ParquetFile, shape: RowShape) -> NDArray[np.uint8] | None:
    """(R, H, W, C) view of the image column's only page, or None where the file is laid out otherwise."""
    metadata = parquet.metadata
    if metadata.num_row_groups != 1 or "image" not in parquet.schema_arrow.names:
        return None
    column = metadata.row_group(0).column(parquet.schema_arrow.names.index("image"))
    if column.compression != "UNCOMPRESSED" or column.has_dictionary_page or column.path_in_schema != "image":
        return None
    dims = shape.arrays()["image"][1]
    header = np.frombuffer(array_header("uint8", dims), np.uint8)
    stride = LENGTH + len(header) + int(np.prod(dims))
    end = column.data_page_offset + column.total_compressed_size
    start = end - metadata.num_rows * stride
    if start < column.data_page_offset:
        return None
    block = np.frombuffer(mapped, np.uint8, metadata.num_rows * stride, start).reshape(-1, stride)
    lengths = np.ascontiguousarray(block[:, :LENGTH]).view("<u4")[:, 0]
    if (lengths != stride - LENGTH).any() or (block[:, LENGTH : LENGTH + len(header)] != header).any():
        return None
    body = block[:, LENGTH + len(header) :]
    inner = (dims[1] * dims[2], dims[2], 1)
    return np.lib.stride_tricks.as_strided(body, (len(block), *dims), (stride, *inner), writeable=False)
