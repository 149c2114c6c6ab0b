"""Which way up: wherever a camera, a phone or a program has written it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakeit.pipelines.files.image_headers import exif_orientation, turn
from fakeit.pipelines.files.image_io import decode
from fakeit.pipelines.files.video_io import Frames, read_frame
from tests.containers import slowed, turned, write_mp4

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 80, 3)).astype(np.uint8), (0, 0), 4)
JUNK = {
    "xmp": b"\xff\xe1" + struct.pack(">H", 2 + 29 + 3000) + b"http://ns.adobe.com/xap/1.0/\0" + b" " * 3000,
    "comment": b"\xff\xfe" + struct.pack(">H", 2 + 9000) + b"c" * 9000,
    "app13": b"\xff\xed" + struct.pack(">H", 2 + 14 + 500) + b"Photoshop 3.0\0" + b"8" * 500,
    "padding": b"\xff\xff\xff",
}


def stored(orientation: int, kind: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(PICTURE).save(data, kind, exif=exif if kind == "TIFF" else exif.tobytes(), **options)
    return data.getvalue()


def same(found: np.ndarray, orientation: int) -> bool:
    wanted = turn(PICTURE, orientation)
    return found.shape == wanted.shape and float(np.abs(found.astype(int) - wanted).mean()) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [
    ("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {"quality": 95}),
])  # fmt: skip
def test_every_container(kind: str, options: dict[str, object], orientation: int) -> None:
    assert same(decode(stored(orientation, kind, **options), kind), orientation)


@pytest.mark.parametrize("what", list(JUNK))
def test_exif_behind_other_blocks_of_a_jpeg(what: str) -> None:
    data = stored(6, "JPEG", quality=95)
    assert same(decode(data[:2] + JUNK[what] + data[2:], what), 6)


@pytest.mark.parametrize("order", ["<", ">"])
def test_other_tags_may_be_as_odd_as_they_like(order: str) -> None:
    tags = [(0x010F, 99, 0xFFFFFFFF, 0xFFFFFFF0), (0x0112, 3, 1, 6), (0x011A, 5, 7, 3), (0x8769, 4, 1, 0x7FFFFFFF)]
    body = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        + (struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value))
        for tag, kind, count, value in tags
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    tiff = head + body
    assert exif_orientation(tiff) == 6
    data = stored(1, "JPEG", quality=95)
    block = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff
    assert same(decode(data[:2] + block + data[2:], "odd tags"), 6)
    for cut in range(len(tiff)):
        assert exif_orientation(tiff[:cut]) in (1, 6)


def film() -> list[np.ndarray]:
    frames = []
    for index in range(60):
        frame = np.full((96, 160, 3), 40, np.uint8)
        frame[:20, :30] = (250, 0, 0)
        frame[40:60, 2 * index : 2 * index + 10] = 255
        frames.append(frame)
    return frames


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_phones_video_is_turned_as_its_container_says(tmp_path: Path, degrees: int) -> None:
    path = turned(write_mp4(tmp_path / "phone.mp4", film()), degrees)
    frames = Frames(str(path))
    pixels = frames.read()
    assert pixels is not None and frames.size == (pixels.shape[1], pixels.shape[0])
    corner = {90: pixels[:15, -15:], 180: pixels[-15:, -15:], 270: pixels[-15:, :15]}[degrees]
    assert corner[..., 0].mean() > 200 and corner[..., 2].mean() < 60
    assert np.array_equal(read_frame(str(path), 1), pixels)


def test_times_come_from_the_container(tmp_path: Path) -> None:
    frames = Frames(str(slowed(write_mp4(tmp_path / "phone.mp4", film(), 20), 60, 30, 3)))
    times = [seconds for seconds, _ in frames]
    assert len(times) == 60
    assert np.allclose(times[:31], np.arange(31) / 20, atol=2e-3)
    assert np.allclose(np.diff(times[31:]), 3 / 20, atol=2e-3)
