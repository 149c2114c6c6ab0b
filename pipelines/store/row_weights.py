"""Σ weight of each row's points, as the manifest keeps it: a rank then opens no shard for others' rows.

One number where all rows of a shard weigh the same, as nearly always; else the rows' float64 numbers, zlib and base64.
They are exactly those that come of opening the shard, which holds them against each other.
"""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

Packed = float | str


def without_missing(landmarks: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, K) weights, 0 where a point of (N, K, 2) `landmarks` is missing."""
    missing = ~np.isfinite(landmarks).all(-1)
    return np.where(missing, np.float32(0), weight) if missing.any() else weight


def sums(weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) of (N, K)."""
    return weight.sum(1, dtype=np.float64)


def pack(values: NDArray[np.float64]) -> Packed:
    """(N,) sums of a shard's rows → what the manifest keeps."""
    if len(values) and (values == values[0]).all():
        return float(values[0])
    return base64.b64encode(zlib.compress(values.astype("<f8").tobytes())).decode()


def unpack(packed: Packed, rows: int, shard: str) -> NDArray[np.float64]:
    """(rows,) sums. Raises FakeitError: they are none of so many rows."""
    if not isinstance(packed, str):
        return np.full(rows, float(packed))
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(packed, validate=True), 8 * rows)
        whole = unpacking.eof or not (unpacking.unconsumed_tail or unpacking.decompress(b"", 1))
    except (binascii.Error, zlib.error) as error:
        raise FakeitError(f"manifest: row_weights of {shard} cannot be read ({error})") from error
    if len(data) != 8 * rows or not whole:
        raise FakeitError(f"manifest: row_weights of {shard} are not those of {rows} rows")
    return np.frombuffer(data, "<f8").astype(np.float64)
