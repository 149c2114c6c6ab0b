"""Bytes → pixels, strictly: what OpenCV would decode into a wrong picture without a word is refused here.

For a damaged JPEG OpenCV returns a plausible wrong picture; so JPEGs go through libjpeg-turbo in its strict mode
(simplejpeg), which raises on what libjpeg only warns about. For PNGs every chunk's checksum is verified (about 3 % of
the decoding time). Sizes are read from headers first, so that a decompression bomb is refused unread.
"""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.storage import read_bytes

MAX_PIXELS = 64_000_000  # no picture of one face is larger; 20,000 × 20,000 would take 1.2 GB
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"


def read_image(location: str) -> NDArray[np.uint8]:
    """The picture at a location, (H, W, 3) RGB uint8. Raises Rejected naming the location and what is wrong."""
    try:
        data = read_bytes(location)
    except (OSError, KeyError) as error:
        raise Rejected(f"{location}: cannot be read ({error})") from error
    return decode(data, location)


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decodes PNG, JPEG or whatever else OpenCV reads.

    Args:
        data: the file's bytes.
        name: what messages call it.

    Returns:
        (H, W, 3) RGB uint8; 16 bits are scaled to 8, alpha is dropped, CMYK converted, EXIF rotation applied.

    Raises:
        Rejected: empty, no image, truncated, damaged, or larger than MAX_PIXELS.
    """
    if not data:
        raise Rejected(f"{name}: empty file")
    if data.startswith(_JPEG):
        return _decode_jpeg(data, name)
    if data.startswith(_PNG):
        _check_png(data, name)
    else:
        _check_header(data, name)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise Rejected(f"{name}: cannot be decoded ({error.err})") from error
    return np.asarray(image, np.uint8) if image is not None else _decode_with_pillow(data, name)


def _decode_with_pillow(data: bytes, name: str) -> NDArray[np.uint8]:
    """What this build of OpenCV cannot read (GIF, for one): the first frame."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(ImageOps.exif_transpose(picture.convert("RGB")), np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise Rejected(f"{name}: not an image that can be decoded ({error})") from error


def _check_size(width: int, height: int, name: str) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise Rejected(f"{name}: {width}×{height} pixels; 1 to {MAX_PIXELS:,} are allowed")


def _check_png(data: bytes, name: str) -> None:
    """Walks the chunks (https://www.w3.org/TR/png-3/#5Chunk-layout) and holds each checksum against its bytes."""
    position, kind, view = len(_PNG), b"", memoryview(data)
    while kind != b"IEND":
        if position + 12 > len(data):
            raise Rejected(f"{name}: truncated PNG ({len(data)} bytes)")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise Rejected(f"{name}: truncated PNG ({len(data)} bytes)")
        if zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise Rejected(f"{name}: damaged PNG (checksum of chunk {kind.decode('latin1')!r} is wrong)")
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, position + 8)
            _check_size(width, height, name)
        position = end


def _decode_jpeg(data: bytes, name: str) -> NDArray[np.uint8]:
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height, name)
        if colorspace in ("CMYK", "YCCK"):
            return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), np.uint8)
        image = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    except (ValueError, OSError) as error:
        raise Rejected(f"{name}: damaged JPEG ({error})") from error
    if b"Exif\0" in data[:64]:
        image = np.asarray(ImageOps.exif_transpose(_with_exif(image, data)), np.uint8)
    return image


def _with_exif(image: NDArray[np.uint8], data: bytes) -> Image.Image:
    """The decoded pixels as a Pillow image that carries the file's EXIF block, which holds the camera's rotation."""
    picture = Image.fromarray(image)
    picture.getexif().load(Image.open(io.BytesIO(data)).getexif().tobytes())
    return picture


def _check_header(data: bytes, name: str) -> None:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise Rejected(f"{name}: not an image that can be decoded ({data[:8]!r} …)") from error
    _check_size(width, height, name)
