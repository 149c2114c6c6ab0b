"""Any bytes as a picture, points, a table, a list, an archive or a conf: a result or one named refusal, soon and small.

Seeded: what fails once fails again. Inputs are whole files with bytes flipped, cut, repeated, numbers made large, and
noise. The many-inputs runs are marked slow; a few hundred of each kind run every time.
"""

from __future__ import annotations

import io
import random
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakeit.pipelines.config import load
from fakeit.pipelines.errors import LONGEST, FakeitError, Rejected
from fakeit.pipelines.faces.box_table import read_boxes
from fakeit.pipelines.files.image_io import decode
from fakeit.pipelines.files.pictures import expand
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.sources import open_source, read_sample
from fakeit.pipelines.sources.face_synthetics import read_points
from fakeit.pipelines.sources.kaggle import COORDINATES
from fakeit.pipelines.sources.point_files import read_pts
from tests.peak_memory import peak_memory
from tests.pipelines.files.test_walking import PICTURE, POINTS, put
from tests.pipelines.flows.test_books import HEADER, row

Open = Callable[[Path, bytes], None]
SECONDS, BYTES = 2.0, 1e9  # of a processor, whatever else runs on the machine
INTERESTING = (
    *(b"\0", b"\xff", b"-1", b"nan", b"inf", b"1e999", b"9" * 400, b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b'"'),
    *(b"\n", b"\r", b",", b"../", b"\xed\xa0\x80", b"{", b"}", b"\xef\xbb\xbf", b"1_0", b"\xff\xda"),
)


def mutated(draw: random.Random, whole: bytes) -> bytes:
    """One of many ways in which a file is not what it was."""
    data = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(7)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= draw.randrange(1, 256)
        elif kind == 1:
            data[at:at] = draw.choice(INTERESTING) * draw.choice((1, 1, 50))
        elif kind == 2:
            data[at : at + draw.randrange(64)] = b""
        elif kind == 3:
            data[at : at + 4] = draw.choice(INTERESTING)
        elif kind == 4:
            data = data[:at]
        elif kind == 5:
            data[at:at] = data[at : at + draw.randrange(1, 2000)] * draw.choice((1, 3, 40))
        else:
            data[at : at + 16] = draw.randbytes(16)
    return draw.randbytes(draw.randrange(600)) if draw.random() < 0.02 else bytes(data)


def pictures() -> list[bytes]:
    soft = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8), (0, 0), 2)
    made = []
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, options in (
        ("JPEG", {"exif": exif.tobytes()}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("TIFF", {}),
        ("GIF", {}), ("BMP", {}), ("PPM", {}), ("AVIF", {}), ("JPEG2000", {}),
        ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True, "exif": exif.tobytes()}),
    ):  # fmt: skip
        data = io.BytesIO()
        Image.fromarray(soft).save(data, kind, **options)
        made.append(data.getvalue())
    return [*made, PICTURE]


def a_picture(_: Path, data: bytes) -> None:
    found = decode(data, "x.jpg")
    assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8


def a_png_with_true_checksums(folder: Path, data: bytes) -> None:
    """Checksums guard against accidents alone: whoever means harm sets them right."""
    made, position = data[:8], 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = data[position + 4 : position + 8 + length]
        made += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    a_picture(folder, made)


def pngs() -> list[bytes]:
    made = []
    for mode, interlaced in (
        ("RGB", False),
        ("P", False),
        ("I;16", False),
        ("RGBA", True),
        ("1", False),
        ("LA", False),
    ):
        data = io.BytesIO()
        grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24)).astype(np.uint8))
        grey.convert(mode).save(data, "PNG", interlace=interlaced)
        made.append(data.getvalue())
    frames = [Image.new("RGB", (24, 20), (9 * i, 0, 0)) for i in range(4)]
    data = io.BytesIO()
    frames[0].save(data, "PNG", save_all=True, append_images=frames[1:])
    return [*made, data.getvalue()]


def some_pts(folder: Path, data: bytes) -> None:
    (folder / "x.pts").write_bytes(data)
    assert np.isfinite(read_pts(str(folder / "x.pts"), 68)).all()


def some_points(folder: Path, data: bytes) -> None:
    (folder / "x_ldmks.txt").write_bytes(data)
    assert np.isfinite(read_points(str(folder / "x_ldmks.txt"), 68)).all()


def _read_all(kind: str, path: Path, **options: str) -> None:
    source = open_source(kind, str(path), **options)
    for sample in source.samples()[:20]:
        try:
            read_sample(source, sample)
        except Rejected as reason:
            assert "\n" not in str(reason)


def a_table(folder: Path, data: bytes) -> None:
    put(folder / "table", "a.png", "b.png")
    (folder / "table" / "p.csv").write_bytes(data)
    _read_all("folder", folder / "table", scheme="five", points="p.csv")


def a_table_of_boxes(folder: Path, data: bytes) -> None:
    (folder / "b.csv").write_bytes(data)
    read_boxes(str(folder / "b.csv")).match(["a.png", "b.png"])


def a_wflw_list(folder: Path, data: bytes) -> None:
    put(folder / "wflw", "WFLW_images/a.png", "WFLW_images/b.png")
    put(folder / "wflw", "list_98pt_rect_attr_test.txt", data=data)
    _read_all("wflw", folder / "wflw")


def an_mmlab_list(folder: Path, data: bytes) -> None:
    put(folder / "mmlab", "net/a.png", "net/b.png")
    put(folder / "mmlab", "testImageList.txt", data=data)
    _read_all("mmlab", folder / "mmlab")


def a_kaggle_table(folder: Path, data: bytes) -> None:
    put(folder / "kaggle", "training.csv", data=data)
    _read_all("kaggle", folder / "kaggle")


def an_archive(folder: Path, data: bytes) -> None:
    (folder / "x.zip").write_bytes(data)
    for found in expand([str(folder / "x.zip")]):
        assert not found.problem or "x" in found.problem
    _read_all("300w", folder / "x.zip")


def a_conf(folder: Path, data: bytes) -> None:
    (folder / "x.toml").write_bytes(data)
    load(folder / "x.toml", PreprocessConfig)


def zipped() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", PICTURE)
        archive.writestr("a/1.pts", f"n_points: 68\n{{\n{POINTS}}}")
        archive.writestr("a/2.png", PICTURE)
    return data.getvalue()


def a_line(name: str) -> str:
    points = " ".join(f"{3 + 2 * (i % 14)} {3 + 3 * (i // 14)}" for i in range(98))
    return f"{points} 2 2 32 30 1 0 0 0 1 0 {name}\n"


KAGGLE = ",".join(COORDINATES) + ",Image\n" + ("30.5," * 30 + " ".join(["7"] * 9216) + "\n") * 2
FIVE = "net\\a.png 2 32 2 32 5 5 30 6 18 20 8 30 28 31\nnet\\b.png 2 32 2 32 5 5 30 6 18 20 8 30 28 31\n"
CONF = (
    b'seed = 1\n[source]\nkind = "300w"\n[crop]\nsize = 64\nmargin = 0.2\n[augment]\nrotation = { range = [-9, 9] }\n'
)
KINDS: dict[str, tuple[Open, list[bytes]]] = {
    "picture": (a_picture, pictures()),
    "png": (a_png_with_true_checksums, pngs()),
    "pts": (some_pts, [f"version: 1\nn_points: 68\n{{\n{POINTS}}}".encode()]),
    "points": (some_points, [POINTS.encode()]),
    "table": (a_table, [(HEADER + row("a.png") + row("b.png")).encode()]),
    "boxes": (a_table_of_boxes, [b"image,x,y,width,height\na.png,1,2,30,30\nb.png,1,2,30,30\n"]),
    "wflw": (a_wflw_list, [(a_line("a.png") + a_line("b.png")).encode()]),
    "mmlab": (an_mmlab_list, [FIVE.encode()]),
    "kaggle": (a_kaggle_table, [KAGGLE.encode()]),
    "zip": (an_archive, [zipped()]),
    "conf": (a_conf, [CONF]),
}


def fuzz(kind: str, folder: Path, count: int) -> None:
    opened, wholes = KINDS[kind]
    draw, read = random.Random(f"files as people have them: {kind}"), 0
    before = peak_memory()
    for number in range(count):
        data = mutated(draw, draw.choice(wholes)) if number else wholes[0]
        started = time.process_time()
        try:
            opened(folder, data)
            read += 1
        except (FakeitError, Rejected) as refusal:
            assert str(refusal).strip() and len(str(refusal)) <= LONGEST, refusal
        except Exception as error:
            (folder / "found").write_bytes(data)
            raise AssertionError(
                f"{kind} {number}: {type(error).__name__}: {error}; kept as {folder / 'found'}"
            ) from error
        assert time.process_time() - started < SECONDS, (kind, number, data[:80])
    assert read, "not even the whole file was read"
    assert peak_memory() - before < BYTES


@pytest.mark.parametrize("kind", list(KINDS))
def test_any_bytes_end_in_a_result_or_a_refusal(kind: str, tmp_path: Path) -> None:
    fuzz(kind, tmp_path, 150)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", list(KINDS))
def test_any_bytes_at_length(kind: str, tmp_path: Path) -> None:
    fuzz(kind, tmp_path, 6000 if kind in ("picture", "png") else 2000)
