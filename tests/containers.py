"""MP4 files as phones write them, made from OpenCV's by editing boxes: turned, or of variable frame rate."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

_NESTED = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")
_DURATIONS = {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16, b"elst": 8}  # where a box of version 0 has its duration
_MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def write_mp4(path: Path, frames: list[np.ndarray], fps: float = 20) -> Path:
    """RGB frames as an MP4."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def _edit(data: bytes, change: Callable[[bytes, bytes], bytes]) -> bytes:
    """Every box (ISO/IEC 14496-12), nested ones too, through `change` (kind, content) → content."""
    made, position = b"", 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        start = 8
        if size == 1:
            size, start = struct.unpack_from(">Q", data, position + 8)[0], 16
        content = data[position + start : position + size]
        content = _edit(content, change) if kind in _NESTED else change(kind, content)
        made += struct.pack(">I4s", 1 if start == 16 else len(content) + 8, kind)
        made += (struct.pack(">Q", len(content) + 16) if start == 16 else b"") + content
        position += size
    return made + data[position:]


def turned(path: Path, degrees: int) -> Path:
    """The container now says: show it turned by so many degrees clockwise."""
    a, b, c, d = _MATRICES[degrees]

    def change(kind: bytes, content: bytes) -> bytes:
        if kind != b"tkhd":
            return content
        at = 40 if content[0] == 0 else 52
        matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        return content[:at] + matrix + content[at + 36 :]

    path.write_bytes(_edit(path.read_bytes(), change))
    return path


def slowed(path: Path, frames: int, first: int, factor: int) -> Path:
    """Of so many frames all but the `first` ones are shown `factor` times as long: a variable frame rate."""

    def change(kind: bytes, content: bytes) -> bytes:
        if kind in _DURATIONS:
            at = _DURATIONS[kind]
            (duration,) = struct.unpack_from(">I", content, at)
            longer = duration // frames * (first + factor * (frames - first))
            return content[:at] + struct.pack(">I", longer) + content[at + 4 :]
        if kind != b"stts":
            return content
        (step,) = struct.unpack_from(">I", content, 12)
        return content[:4] + struct.pack(">IIIII", 2, first, step, frames - first, factor * step)

    path.write_bytes(_edit(path.read_bytes(), change))
    return path
