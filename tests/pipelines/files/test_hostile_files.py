"""Files that are made to fill the memory, to take minutes, or to read what lies elsewhere: refused by name, soon."""

from __future__ import annotations

import io
import json
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.files.image_io import decode, read_image
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.sources.point_files import read_pts
from fakeit.pipelines.store import manifest as manifests
from tests.tiny_dataset import make_dataset


@pytest.fixture
def at_most_half_a_gigabyte() -> Callable[[Callable[[], object]], None]:
    """Runs something and holds what it adds to the process's memory, and its time, against limits."""
    import psutil

    def run(work: Callable[[], object]) -> None:
        before, started = psutil.Process().memory_info().rss, time.process_time()
        work()
        assert time.process_time() - started < 5
        assert psutil.Process().memory_info().rss - before < 500e6

    return run


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is said again and again."""
    data = io.BytesIO()
    Image.fromarray(np.zeros((1600, 1600, 3), np.uint8)).save(data, "JPEG", progressive=True, quality=50)
    whole = data.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + b"\xff\xd9"


def test_a_progressive_jpeg_of_thousands_of_scans() -> None:
    started = time.process_time()
    with pytest.raises(Rejected, match="more than 50 scans"):
        decode(scans(2000), "scans.jpg")
    assert time.process_time() - started < 1
    assert decode(scans(1), "usual.jpg").shape == (1600, 1600, 3)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def whole_png(*extra: bytes) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64)).save(data, "PNG")
    png = data.getvalue()
    return png[:33] + b"".join(extra) + png[33:]


@pytest.mark.parametrize("data", [
    whole_png(*[chunk(b"tEXt", b"a\0b")] * 200_000),
    whole_png(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(300_000_000), 9))),
    whole_png(chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(300_000_000), 9))),
    whole_png(*[chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(5_000_000), 9))] * 200),
], ids=["chunks", "profile", "text", "texts"])  # fmt: skip
def test_a_png_of_endless_chunks_or_text(data: bytes) -> None:
    started = time.process_time()
    try:
        assert decode(data, "x.png").shape == (64, 64, 3)
    except Rejected as reason:
        assert "chunks in a PNG" in str(reason)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_many_frames_the_first_is_decoded(kind: str) -> None:
    frames = [Image.fromarray(np.full((300, 300, 3), value, np.uint8)) for value in range(120)]
    data = io.BytesIO()
    frames[7].save(data, kind, save_all=True, append_images=frames[8:])
    many = data.getvalue()
    started = time.process_time()
    first = decode(many, kind)
    assert time.process_time() - started < 0.5
    assert first.shape == (300, 300, 3) and abs(float(first.mean()) - 7) < 3


def test_a_zip_bomb_is_refused_by_its_sum(tmp_path: Path, at_most_half_a_gigabyte: Callable[..., None]) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(40):
            archive.writestr(f"{index}.png", b"\0" * 150_000_000) if index < 1 else None
    # The same compressed bytes under forty names: what archivers call overlapping entries.
    data = bytearray(bomb.read_bytes())
    start = data.rindex(b"PK\x01\x02")
    entry, end = bytes(data[start : data.rindex(b"PK\x05\x06")]), bytearray(data[data.rindex(b"PK\x05\x06") :])
    struct.pack_into("<HHI", end, 8, 40, 40, 40 * len(entry))
    bomb.write_bytes(bytes(data[:start]) + entry * 40 + bytes(end))

    def ask() -> None:
        with pytest.raises(FakeitError, match="unpacks to 6.0 GB, .*a zip bomb"):
            list_inputs(str(bomb))

    at_most_half_a_gigabyte(ask)


def test_a_member_beyond_the_limit_is_refused_unread(
    tmp_path: Path, at_most_half_a_gigabyte: Callable[..., None]
) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("1.png", "w") as member:
        for _ in range(300):
            member.write(bytes(1_000_000))

    def ask() -> None:
        with pytest.raises(Rejected, match="1.png: cannot be read .300,000,000 bytes or more; .* up to 200,000,000"):
            read_image(f"{bomb}!/1.png")

    at_most_half_a_gigabyte(ask)


def test_points_of_a_gigabyte(tmp_path: Path, at_most_half_a_gigabyte: Callable[..., None]) -> None:
    with open(tmp_path / "a.pts", "wb") as file:
        for _ in range(240):
            file.write(b"1.0 2.0\n" * 125_000)

    def ask() -> None:
        with pytest.raises(Rejected, match="a.pts: cannot be read .240,000,000 bytes or more"):
            read_pts(str(tmp_path / "a.pts"), 68)

    at_most_half_a_gigabyte(ask)


@pytest.mark.parametrize("path", ["../../etc/hostname", "/etc/hostname", "train/../../x.parquet", "link/x.parquet"])
def test_a_manifest_may_not_name_files_elsewhere(tmp_path: Path, path: str) -> None:
    dataset = make_dataset(tmp_path / "d")
    (dataset / "link").symlink_to("/etc")
    value = json.loads((dataset / manifests.NAME).read_text())
    value["shards"][0]["path"] = path
    (dataset / manifests.NAME).write_text(json.dumps(value))
    with pytest.raises(FakeitError, match="leads out of the dataset; it is not read"):
        manifests.load(str(dataset))
