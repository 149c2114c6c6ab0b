"""Which pictures a user means: files, folders, globs, archives, URLs, a list on stdin; and the boxes of their faces."""

from __future__ import annotations

import csv
import glob
import io
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.storage import MEMBER, exists, is_url, join_member, list_files, read_bytes

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2", ".avif")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv")


@dataclass(frozen=True)
class PictureFile:
    """A picture that was asked for. `name`: relative to the folder it was found in, as tables call it."""

    name: str
    location: str

    @property
    def is_video(self) -> bool:
        return self.location.lower().endswith(VIDEOS)


def expand(asked: Iterable[str], stdin: Iterable[str] = ()) -> list[PictureFile]:
    """Every picture and video that is meant, in order.

    Args:
        asked: files, folders (searched whole), globs, zip archives, URLs; `-` means the lines of `stdin`.
        stdin: one location a line.

    Raises:
        FakeitError: something asked for is not there, or holds no picture.
    """
    found: list[PictureFile] = []
    for item in asked:
        for place in (line.strip() for line in stdin) if item == "-" else (item,):
            if place:
                found += _expand_one(place)
    if not found:
        raise FakeitError("no pictures were named (an empty list on stdin?)")
    return found


def _expand_one(place: str) -> list[PictureFile]:
    if place.lower().endswith(".zip") or os.path.isdir(place) or (is_url(place) and place.endswith("/")):
        if not exists(place):
            raise FakeitError(f"input {place}: no such folder or archive")
        names = [name for name in list_files(place) if name.lower().endswith(IMAGES + VIDEOS)]
        names = [name for name in names if not name.endswith("_seg.png")]  # Face Synthetics' class maps are no pictures
        if not names:
            raise FakeitError(f"input {place}: holds no pictures ({', '.join(IMAGES[:4])}, …)")
        return [PictureFile(name, join_member(place, name)) for name in names]
    if MEMBER in place or is_url(place) or os.path.isfile(place):
        return [PictureFile(os.path.basename(place), place)]
    matches = sorted(glob.glob(place, recursive=True))
    files = [match for match in matches if os.path.isfile(match)]
    if not files:
        kind = "no file matches" if any(c in place for c in "*?[") else "no such file or folder"
        raise FakeitError(f"input {place}: {kind}")
    names = [os.path.basename(file) for file in files]
    if len(set(names)) < len(names):  # two folders hold the same name: keep what tells them apart
        top = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
        names = [os.path.relpath(os.path.abspath(file), top) for file in files]
    return [PictureFile(name, file) for name, file in zip(names, files, strict=True)]


def read_boxes(location: str) -> dict[str, list[Box]]:
    """Face boxes from a CSV `image,x,y,width,height` (header first, source pixels, several rows an image allowed).

    Raises:
        FakeitError: file, line, what was found.
    """
    try:
        text = read_bytes(location).decode("utf-8-sig")
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise FakeitError(f"boxes {location}: cannot be read ({error})") from error
    rows = list(csv.reader(io.StringIO(text)))
    wanted = ["image", "x", "y", "width", "height"]
    if not rows or [cell.strip().lower() for cell in rows[0]] != wanted:
        header = ",".join(rows[0])[:60] if rows else "an empty file"
        raise FakeitError(f"boxes {location}:1: expected the header {','.join(wanted)}, found {header}")
    boxes: dict[str, list[Box]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        try:
            name, (x, y, width, height) = row[0], map(float, row[1:])
        except ValueError as error:
            raise FakeitError(f"boxes {location}:{number}: expected a name and four numbers, found {row}") from error
        if not (all(map(math.isfinite, (x, y, width, height))) and width > 0 and height > 0):
            raise FakeitError(f"boxes {location}:{number}: a box needs a width and a height above 0, found {row[1:]}")
        boxes.setdefault(name, []).append(Box(x, y, width, height))
    return boxes
