"""What a picture's own bytes say before anyone decodes it: which way up it is, and how much work it would be.

Orientation is EXIF's tag 0x0112 (CIPA DC-008, https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf) and nothing else
of EXIF: cameras and programs write the oddest things into the other tags. Where it lies depends on the container:
behind XMP, a comment or Photoshop's block in a JPEG, in a chunk of PNG and WebP, in the first directory of a TIFF.
"""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import Rejected

MAX_PIXELS = 64_000_000  # no picture of one face is larger; 20,000 × 20,000 would take 1.2 GB
# A progressive JPEG has 10 scans, 20 after the keenest optimiser; each goes over the whole picture once.
USUAL_SCANS, MAX_SCANS = 12, 50
MAX_SCAN_PIXELS = 250_000_000  # scans × pixels beyond the usual ones: about a second
MAX_CHUNKS = 100_000  # of a PNG or WebP: 64 megapixels in pieces of 8 KB are 24,000
MAX_SEGMENTS = 20_000  # of a JPEG: 200 MB in blocks of 64 KB are 3,000
UPRIGHT = 1
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))  # start of a frame, of the kinds that libjpeg decodes
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length


def check_size(width: int, height: int, name: str) -> None:
    """Raises Rejected for nothing and for what would fill the memory."""
    if not 0 < width * height <= MAX_PIXELS:
        raise Rejected(f"{name}: {width}×{height} pixels; 1 to {MAX_PIXELS:,} are allowed")


def jpeg_orientation(data: bytes, name: str) -> int:
    """Walks the segments of a JPEG up to its first scan; where there can be several scans, counts them.

    Returns:
        1 to 8.

    Raises:
        Rejected: more scans, or scans over more pixels, than a camera or an optimiser writes; endless segments.
    """
    found, position, end = UPRIGHT, 2, len(data)
    pixels = components = 0
    progressive = False
    for _ in range(MAX_SEGMENTS):
        if position + 10 > end or data[position] != 0xFF:
            return found
        kind = data[position + 1]
        if kind == 0xFF or kind in _ALONE:
            position += 1 if kind == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if kind == 0xE1 and found == UPRIGHT and data[position + 4 : position + 10] == b"Exif\0\0":
            found = exif_orientation(data[position + 10 : position + 2 + length])
        elif kind in _FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, position + 5)
            pixels, progressive = max(1, height * width), kind in (0xC2, 0xCA)
        elif kind == 0xDA:
            if progressive or data[position + 4] < components:  # the first scan is not all there is
                _check_scans(data, position, pixels, name)
            return found
        elif kind == 0xD9:
            return found
        position += 2 + length
    raise Rejected(f"{name}: more than {MAX_SEGMENTS:,} segments before the picture of a JPEG")


def _check_scans(data: bytes, position: int, pixels: int, name: str) -> None:
    allowed = min(MAX_SCANS, max(USUAL_SCANS, MAX_SCAN_PIXELS // pixels))
    scans = 0
    for marker in _MARKER.finditer(data, position):
        kind = marker[1][0]
        scans += kind == 0xDA
        if kind == 0xD9:
            break
        if scans > allowed:
            raise Rejected(
                f"{name}: a JPEG of more than {allowed} scans over {pixels:,} pixels; 10 are usual, and decoding so "
                f"many would take minutes"
            )


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, that a TIFF header and its first directory name; 1 where they name none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None or len(tiff) < 8:
        return UPRIGHT
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    if start + 2 > len(tiff):
        return UPRIGHT
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for entry in range(min(count, (len(tiff) - start - 2) // 12)):
        tag, kind, values = struct.unpack_from(f"{order}HHI", tiff, start + 2 + 12 * entry)
        if tag == 0x0112 and values == 1 and kind in (3, 4):
            (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", tiff, start + 10 + 12 * entry)
            return int(value) if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def webp_orientation(data: bytes, name: str) -> int:
    """Walks the chunks of a WebP (https://developers.google.com/speed/webp/docs/riff_container) for its EXIF."""
    position, chunks = 12, 0
    while position + 8 <= len(data):
        kind, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        if kind == b"EXIF":
            block = data[position + 8 : position + 8 + length]
            return exif_orientation(block.removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise Rejected(f"{name}: more than {MAX_CHUNKS:,} chunks in a WebP")
    return UPRIGHT


def turn(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels (H, W, C) as they were stored → upright, for an orientation of 1 to 8."""
    if orientation == UPRIGHT:
        return image
    if orientation >= 5:  # stored with rows and columns exchanged
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
