"""Bytes → pixels, strictly: what OpenCV would decode into a wrong picture without a word is refused here.

For a damaged JPEG OpenCV returns a plausible wrong picture; so JPEGs go through libjpeg-turbo in its strict mode
(simplejpeg), which raises on what libjpeg only warns about. For PNGs every chunk's checksum is verified (about 3 % of
the decoding time). Sizes are read from headers first, so that a decompression bomb is refused unread. Which way up a
picture is, is decided here for every decoder (`image_headers.py`); none of them turns it by itself.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.files.image_headers import (
    MAX_CHUNKS,
    MAX_PIXELS,
    UPRIGHT,
    check_size,
    exif_orientation,
    jpeg_orientation,
    turn,
    webp_orientation,
)
from fakeit.pipelines.files.storage import read_bytes

__all__ = ["MAX_BYTES", "MAX_PIXELS", "decode", "read_image"]
MAX_BYTES = 200_000_000  # of a file: MAX_PIXELS as they are take 192 MB
MAX_SLOW_PIXELS = 24_000_000  # of formats that decode ten times as slowly as JPEG
warnings.filterwarnings("ignore", module=r"PIL\.")  # of tags that nobody asks for
_CHUNK_HEAD, _NUMBER = struct.Struct(">I4s"), struct.Struct(">I")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# Text, profiles, further frames: nothing of the first frame's pixels; OpenCV 4.11 falls over some of the latter.
_WORDS = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"sPLT", b"eXIf", b"acTL", b"fcTL", b"fdAT"))
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_HEIF = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def read_image(location: str) -> NDArray[np.uint8]:
    """The picture at a location, (H, W, 3) RGB uint8. Raises Rejected naming the location and what is wrong."""
    try:
        data = read_bytes(location, MAX_BYTES)
    except (OSError, FakeitError, MemoryError) as error:
        raise Rejected(f"{location}: cannot be read ({_words(error)})") from error
    return decode(data, location)


def _words(error: BaseException) -> str:
    """An error in one line."""
    return " ".join((str(error) or type(error).__name__).split())[:200]


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decodes PNG, JPEG or whatever else Pillow reads.

    Args:
        data: the file's bytes.
        name: what messages call it.

    Returns:
        (H, W, 3) RGB uint8; 16 bits and floats are scaled to 8, alpha is dropped, CMYK converted, EXIF rotation
        applied.

    Raises:
        Rejected: whatever is wrong: empty, no image, truncated, damaged, or larger than MAX_PIXELS.
    """
    if not data:
        raise Rejected(f"{name}: empty file")
    try:
        if data.startswith(_JPEG):
            return _decode_jpeg(data, name)
        if data.startswith(_PNG):
            return _decode_png(data, name)
        return _decode_other(data, name)
    except Rejected:
        raise
    except Exception as error:  # decoders raise what they like on bytes that were made to break them
        raise Rejected(f"{name}: cannot be decoded ({_words(error)})") from error


def _decode_jpeg(data: bytes, name: str) -> NDArray[np.uint8]:
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        check_size(width, height, name)
        orientation = jpeg_orientation(data, name)
        if colorspace in ("CMYK", "YCCK"):
            image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.uint8)
        else:
            image = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    except (ValueError, OSError) as error:
        raise Rejected(f"{name}: damaged JPEG ({_words(error)})") from error
    return turn(image, orientation)


def _decode_png(data: bytes, name: str) -> NDArray[np.uint8]:
    """Walks the chunks (https://www.w3.org/TR/png-3/#5Chunk-layout) and holds each checksum against its bytes."""
    position, kind, view, orientation, chunks = len(_PNG), b"", memoryview(data), UPRIGHT, 0
    size, head_at, number_at, crc32 = len(data), _CHUNK_HEAD.unpack_from, _NUMBER.unpack_from, zlib.crc32
    words: list[tuple[int, int]] = []  # where chunks lie that say nothing of the pixels
    while kind != b"IEND":  # some encoders write a chunk for every 8 KB
        if position + 12 > size:
            raise Rejected(f"{name}: truncated PNG ({size} bytes)")
        length, kind = head_at(data, position)
        end = position + 12 + length
        if end > size:
            raise Rejected(f"{name}: truncated PNG ({size} bytes)")
        if crc32(view[position + 4 : end - 4]) != number_at(data, end - 4)[0]:
            raise Rejected(f"{name}: damaged PNG (checksum of chunk {kind.decode('latin1')!r} is wrong)")
        if kind == b"IDAT":
            pass
        elif kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, position + 8)
            check_size(width, height, name)
        elif kind == b"eXIf":
            orientation = exif_orientation(data[position + 8 : end - 4])
        if kind != b"IDAT" and kind in _WORDS:
            words.append((position, end))
        position = end
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise Rejected(f"{name}: more than {MAX_CHUNKS:,} chunks in a PNG")
    if words:  # libpng would unpack them all, up to 8 MB each
        starts, ends = [0, *(end for _, end in words)], [*(start for start, _ in words), len(data)]
        data = b"".join(view[start:end] for start, end in zip(starts, ends, strict=True))
    return turn(_with_opencv(data, name), orientation)


def _decode_other(data: bytes, name: str) -> NDArray[np.uint8]:
    """With Pillow: OpenCV's decoders of these formats end the process on some damaged files."""
    if data[4:8] == b"ftyp" and _is_heif(data):
        return _decode_heif(data, name)
    try:
        picture = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise Rejected(f"{name}: {_words(error)}; 1 to {MAX_PIXELS:,} pixels are allowed") from error
    except Exception as error:
        raise Rejected(f"{name}: not an image that can be decoded ({data[:8]!r} …)") from error
    with picture:
        check_size(picture.size[0], picture.size[1], name)
        if picture.format in ("JPEG2000", "AVIF") and picture.width * picture.height > MAX_SLOW_PIXELS:
            found = f"{picture.width}×{picture.height} pixels as {picture.format}"
            raise Rejected(f"{name}: {found}; up to {MAX_SLOW_PIXELS:,} are read of this slow format")
        if data[8:12] == b"WEBP":
            return turn(_pixels(picture), webp_orientation(data, name))
        image = _pixels(picture)
        return turn(image, _tag(picture))  # of a TIFF Pillow has turned the pixels and taken the tag away


def _pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """The first frame as (H, W, 3) RGB; 16 bits and floats are scaled, which Pillow would clip."""
    if picture.mode == "F":
        grey = _from_floats(np.asarray(picture))
    elif picture.mode.startswith("I"):
        grey = (np.clip(np.asarray(picture), 0, 65535) >> 8).astype(np.uint8)
    else:
        return np.asarray(picture.convert("RGB"), np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _from_floats(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Floats as uint8; no number is black. Files do not say which value is white: 1, 255 or 65535, the first that the
    largest value is at most twice as much as, since resampled pictures overshoot a little."""
    largest = np.max(values, where=np.isfinite(values), initial=0)
    white = next((white for white in (1, 255) if largest <= 2 * white), 65535)
    return np.nan_to_num(np.rint(np.clip(values / white, 0, 1) * 255)).astype(np.uint8)


def _with_opencv(data: bytes, name: str) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    if image is None:
        raise Rejected(f"{name}: not an image that can be decoded ({data[:8]!r} …)")
    return np.asarray(image, np.uint8)


def _tag(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(0x0112, UPRIGHT)
    except Exception:
        return UPRIGHT  # the tag is all that is wanted of this block; a block that cannot be read holds none
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def _is_heif(data: bytes) -> bool:
    size = int.from_bytes(data[:4], "big")
    brands = {data[start : start + 4] for start in range(8, min(size, 256, len(data)), 4)}
    return bool(brands & _HEIF) and not brands & {b"avif", b"avis"}


def _decode_heif(data: bytes, name: str) -> NDArray[np.uint8]:
    """iPhones' HEIC, where the package for it is installed. libheif turns the picture by the container's own boxes."""
    try:
        import pillow_heif  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise Rejected(f"{name}: HEIC needs the package pillow-heif (pip install pillow-heif)") from error
    picture = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
    check_size(picture.size[0], picture.size[1], name)
    return np.asarray(picture.to_pillow().convert("RGB"), np.uint8)
