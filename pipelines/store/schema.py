"""What one row of a dataset is: one face crop with its points, written so that any Petastorm reader opens it.

Arrays are stored as Petastorm's NdarrayCodec stores them: the bytes of a .npy file. All rows of a dataset have one
shape, so all their headers are the same bytes, and a whole Parquet column of them is one block of memory: it is encoded
and decoded as one array (`encode_column`, `decode_column`), never row by row.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

Rows = dict[str, Any]
COLUMN_LIMIT = (1 << 31) - 1  # bytes of a column of one shard


@dataclass(frozen=True)
class RowShape:
    """The shapes of a dataset's rows: crops are (size, size, channels) uint8, points (points, 2) float32; datasets with
    dense labels have `dense` of them, (dense, 3) float32: x, y as the points, and cm further than the head's middle."""

    size: int
    channels: int
    points: int
    image_codec: str = "raw"
    dense: int = 0

    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Column → (dtype, shape of one row), for the columns that hold arrays."""
        columns: dict[str, tuple[str, tuple[int, ...]]] = {
            "image": ("uint8", (self.size, self.size, self.channels)),
            "landmarks": ("float32", (self.points, 2)),
            "visibility": ("uint8", (self.points,)),
            "weight": ("float32", (self.points,)),
            "box": ("float32", (4,)),
            "source_from_crop": ("float64", (3, 3)),
        }
        if self.dense:
            columns |= {"dense": ("float32", (self.dense, 3)), "dense_visibility": ("uint8", (self.dense,))}
        return columns


def array_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The .npy header in front of every array of this dtype and shape."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(shape, dtype))
    return buffer.getvalue()[: -array_bytes(dtype, shape) or None]


def array_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of an array without its header."""
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def encode_column(values: NDArray[Any]) -> pa.Array:
    """(N, …) array → N .npy files as one Arrow binary column, without a loop over rows."""
    header = np.frombuffer(array_header(values.dtype.name, values.shape[1:]), np.uint8)
    body = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
    block = np.empty((len(values), len(header) + body.shape[1]), np.uint8)
    block[:, : len(header)] = header
    block[:, len(header) :] = body
    offsets = np.arange(len(values) + 1, dtype=np.int32) * block.shape[1]
    return pa.BinaryArray.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(block)])


def decode_column(column: pa.Array, dtype: str, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """The reverse of `encode_column`: a read-only view (N, *shape) of the Arrow buffer where alignment allows.

    Raises:
        FakeitError: when a row is not such an array.
    """
    header = array_header(dtype, shape)
    stride = len(header) + array_bytes(dtype, shape)
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    if (np.diff(offsets) != stride).any():
        raise FakeitError(f"column '{name}': rows are not {dtype} arrays of shape {shape}")
    data = np.frombuffer(column.buffers()[2], np.uint8, stride * len(column), int(offsets[0])).reshape(-1, stride)
    if len(data) and (data[:, : len(header)] != np.frombuffer(header, np.uint8)).any():
        raise FakeitError(f"column '{name}': rows are not {dtype} arrays of shape {shape}")
    body = data[:, len(header) :]
    if dtype == "uint8":
        return body.reshape(len(column), *shape) if len(shape) == 1 else _view(body, shape)
    return np.ascontiguousarray(body).view(dtype).reshape(len(column), *shape)


def _view(body: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Rows of a strided byte block as (N, *shape) without copying."""
    inner = np.cumprod((1, *shape[:0:-1]))[::-1]
    strides = (body.strides[0], *(int(s) for s in inner))
    return np.lib.stride_tricks.as_strided(body, (len(body), *shape), strides, writeable=False)


def encode_png(images: NDArray[np.uint8]) -> pa.Array:
    """(N, H, W, C) uint8 RGB or grey → N PNG files, as Petastorm's CompressedImageCodec('png') writes them."""
    files = []
    for image in images:
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2] == 3 else image
        files.append(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes())
    return pa.array(files, pa.binary())


def decode_png(column: pa.Array, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The reverse of `encode_png`: (N, *shape) uint8."""
    images = np.empty((len(column), *shape), np.uint8)
    flag = cv2.IMREAD_COLOR_RGB if shape[2] == 3 else cv2.IMREAD_GRAYSCALE
    for index, data in enumerate(column):
        png = bytes(memoryview(data.as_buffer())[:8]) == b"\x89PNG\r\n\x1a\n"  # OpenCV would take any format, JPEG too
        decoded = cv2.imdecode(np.frombuffer(data.as_buffer(), np.uint8), flag) if png else None
        if decoded is None or decoded.shape[:2] != shape[:2]:
            raise FakeitError(f"column 'image', row {index}: not a PNG of shape {shape}")
        images[index] = decoded.reshape(shape)
    return images


def to_table(rows: Rows, shape: RowShape) -> pa.Table:
    """Columns of a shard ({name: (N, …) array or list}) → the Arrow table that is written."""
    columns: dict[str, pa.Array] = {
        "image_id": pa.array(rows["image_id"], pa.string()),
        "variant": pa.array(rows["variant"], pa.int32()),
    }
    for name in shape.arrays():
        png = name == "image" and shape.image_codec == "png"
        columns[name] = encode_png(rows[name]) if png else encode_column(rows[name])
    return pa.table(columns)


def from_table(table: pa.Table, shape: RowShape) -> Rows:
    """The reverse of `to_table`. Images are a view of the table's memory when stored raw.

    Raises:
        FakeitError: a column is missing or holds something else.
    """
    rows: Rows = {}
    for name in ("image_id", "variant", *shape.arrays()):
        if name not in table.column_names:
            raise FakeitError(f"column '{name}' is missing; found {', '.join(table.column_names)}")
    rows["image_id"] = table["image_id"].to_pylist()
    rows["variant"] = table["variant"].to_numpy()
    for name, (dtype, dims) in shape.arrays().items():
        column = table[name].combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        png = name == "image" and shape.image_codec == "png"
        rows[name] = decode_png(column, dims) if png else decode_column(column, dtype, dims, name)
    return rows
