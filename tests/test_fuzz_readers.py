"""Readers of bytes under thousands of damaged files: each is read or refused in our words, in little time and memory.

Seeded and short here; `python tests/test_fuzz_readers.py SECONDS` goes on for longer with other seeds.
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fakeit.model.inference.adapter import load_adapter  # noqa: E402
from fakeit.model.inference.video import VideoReader, VideoWriter  # noqa: E402
from fakeit.model.training import checkpoint  # noqa: E402
from fakeit.pipelines.errors import FakeitError, Rejected  # noqa: E402
from fakeit.pipelines.faces.crop import CropConfig  # noqa: E402
from fakeit.pipelines.files.image_io import decode  # noqa: E402
from fakeit.pipelines.store import manifest  # noqa: E402
from fakeit.pipelines.store.schema import RowShape, decode_png  # noqa: E402
from tests.peak_memory import peak_memory  # noqa: E402

SECONDS = 5  # a file of these sizes may take
Reader = Callable[[Path], object]


def pictures() -> dict[str, bytes]:
    """Small pictures in every format that OpenCV and Pillow write here."""
    from PIL import Image

    noise = np.random.default_rng(1).integers(0, 255, (24, 31, 3), np.uint8)
    made = {}
    for kind in ("png", "jpg", "webp", "bmp", "tiff", "ppm"):
        made[kind] = cv2.imencode(f".{kind}", noise)[1].tobytes()
    for kind, options in (("gif", {}), ("jpeg", {"progressive": True}), ("tiff", {"compression": "jpeg"})):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, kind, **options)
        made[f"pillow.{kind}"] = file.getvalue()
    return made


def a_checkpoint() -> bytes:
    from fakeit.model.networks import NetworkConfig, build

    crop = CropConfig(size=32)
    weights = build(NetworkConfig(name="lenet"), 5, 3, 32).state_dict()
    small = {name: value[:1] if value.ndim else value for name, value in weights.items()}
    return checkpoint.dump(checkpoint.Checkpoint(NetworkConfig(name="lenet"), crop, "five", small))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bits, bytes, lengths and ends changed, parts doubled or taken out."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        if not changed:
            break
        at = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                changed[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"))
            case 3:
                del changed[at:]
            case 4:
                del changed[at : at + chance.randrange(1, 64)]
            case 5:
                changed[at:at] = changed[at : at + chance.randrange(1, 64)]
    return bytes(changed)


def cases(folder: Path) -> dict[str, tuple[bytes, Reader]]:
    """What is read → a good file of it and its reader."""
    from tiny_dataset import make_dataset

    found: dict[str, tuple[bytes, Reader]] = {}
    for kind, data in pictures().items():
        found[f"picture.{kind}"] = data, lambda path: decode(path.read_bytes(), "it")
    adapter = ROOT / "model/box/face70.adapter-ibug68.npz"
    if adapter.is_file():
        found["adapter.npz"] = adapter.read_bytes(), load_adapter
    found["checkpoint.pt"] = a_checkpoint(), lambda path: checkpoint.load(path)
    dataset = make_dataset(folder / "set", codec="png")

    def read_manifest(path: Path) -> object:
        (path.parent / "m").mkdir(exist_ok=True)
        path.replace(path.parent / "m" / "manifest.json")
        return manifest.load(str(path.parent / "m"))

    name = next(file.name for file in dataset.iterdir() if file.suffix == ".json")
    assert name == "manifest.json"
    found["manifest.json"] = (dataset / name).read_bytes(), read_manifest
    shape = manifest.load(str(dataset)).shape
    shard = next((dataset / "train").glob("*.parquet"))

    def read_shard(path: Path) -> object:
        from fakeit.model.data import arrow_reader

        return arrow_reader.read(str(path), shape)

    found["shard.parquet"] = shard.read_bytes(), read_shard
    film = VideoWriter(folder / "film.avi", 10)
    for step in range(3):
        film.write(np.full((48, 64, 3), 80 * step, np.uint8))
    film.close()
    found["video.avi"] = (folder / "film.avi").read_bytes(), lambda path: [None for _ in VideoReader(str(path))]
    return found


def attack(name: str, good: bytes, read: Reader, folder: Path, chance: random.Random) -> str:
    """One damaged file; "" or what went wrong."""
    path = folder / ("a." + name.rsplit(".", 1)[1])
    path.write_bytes(data := damaged(good, chance))
    began = time.monotonic()
    try:
        read(path)
    except (FakeitError, Rejected):
        pass
    except Exception as error:
        (folder / f"{name}.found").write_bytes(data)
        return f"{name}: {type(error).__name__}: {str(error)[:200]} ({folder}/{name}.found)"
    if (took := time.monotonic() - began) > SECONDS:
        (folder / f"{name}.slow").write_bytes(data)
        return f"{name}: {took:.1f} s ({folder}/{name}.slow)"
    return ""


NAMES = [*(f"picture.{kind}" for kind in pictures()), "adapter.npz", "checkpoint.pt", "manifest.json", "shard.parquet",
         "video.avi"]  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, Reader]]:
    return cases(tmp_path_factory.mktemp("good"))


@pytest.mark.fault
@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_read_or_refused_in_our_words(
    name: str, good: dict[str, tuple[bytes, Reader]], tmp_path: Path
) -> None:
    if name not in good:
        pytest.skip("the file is not in this clone")
    chance = random.Random(name)
    before = peak_memory()
    rounds = {"video.avi": 20, "checkpoint.pt": 60, "shard.parquet": 80}.get(name, 150)
    problems = [p for p in (attack(name, *good[name], tmp_path, chance) for _ in range(rounds)) if p]
    assert not problems, problems[:3]
    assert peak_memory() - before < 600 << 20, "a damaged file took over 600 MB"


def test_a_png_column_with_a_jpeg_in_it_is_refused() -> None:
    import pyarrow as pa

    pixels = np.zeros((8, 8, 3), np.uint8)
    good, bad = cv2.imencode(".png", pixels)[1].tobytes(), cv2.imencode(".jpg", pixels)[1].tobytes()
    shape = RowShape(8, 3, 5, "png").arrays()["image"][1]
    assert decode_png(pa.array([good]), shape).shape == (1, 8, 8, 3)
    with pytest.raises(FakeitError, match="row 1: not a PNG"):
        decode_png(pa.array([good, bad]), shape)


def test_a_video_is_opened_by_ffmpeg_and_nothing_else(tmp_path: Path) -> None:
    """Numbered pictures are a film to OpenCV's own reader, which leads JPEGs to its own decoder."""
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"a{number}.bmp"), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(FakeitError):
        film = VideoReader(str(tmp_path / "a0.bmp"))
        if len(list(film)) > 1:
            return  # all three were read: another reader than FFmpeg's
        raise FakeitError("one picture, by FFmpeg")


def main(seconds: float) -> None:
    """Goes on for so long with seeds of its own; prints what it finds."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    tracemalloc.stop()
    good, seed = cases(folder), int.from_bytes(os.urandom(4), "big")
    end, count, seen = time.monotonic() + seconds, dict.fromkeys(good, 0), set[str]()
    while time.monotonic() < end:
        for name, (data, read) in good.items():
            seed += 1
            found = attack(name, data, read, folder, random.Random(seed))
            count[name] += 1
            kind = found.split("(")[0][:90]
            if found and kind not in seen:
                seen.add(kind)
                print(found, flush=True)
    print(json.dumps(count), f"{peak_memory() >> 20} MB at most")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
