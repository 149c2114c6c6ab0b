"""WFLW: list files of one face a line, 98 points, and pictures below `WFLW_images`.

A line holds 196 coordinates, then (in `list_98pt_rect_attr_*.txt`) a box as two corners and six attributes, then the
picture's path; the lists of the test subsets (`list_98pt_test_largepose.txt`, …) hold coordinates and path alone.
https://wywu.github.io/projects/LAB/WFLW.html
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.sources import Annotation, Sample, annotate
from fakeit.pipelines.sources.point_files import parse_numbers
from fakeit.pipelines.storage import exists, join_member, list_files, read_bytes

POINTS = 98
ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
_LISTS = {"largepose": "pose"}  # a subset list's ending → its attribute, where they differ


@dataclass(frozen=True)
class Wflw:
    """`path`: the folder that holds `WFLW_annotations` and `WFLW_images`; `split`: "test", "train" or "" for both.

    Where a full list is there it is read; faces that only stand in subset lists are added with that attribute set.
    """

    path: str
    split: str = ""
    scheme: str = "wflw98"

    def samples(self) -> list[Sample]:
        if not exists(self.path):
            raise FakeitError(f"input {self.path}: no such folder")
        files = list_files(self.path)
        lists = sorted(
            (f for f in files if posixpath.basename(f).startswith("list_98pt_") and f.endswith(".txt")),
            key=lambda f: ("rect_attr" not in f, f),
        )
        pictures = {_key(f): f for f in files if f.lower().endswith((".jpg", ".jpeg", ".png"))}
        found: dict[str, Sample] = {}
        for file in lists:
            split = "train" if "train" in posixpath.basename(file) else "test"
            if self.split in ("", split):
                self._read_list(file, split, pictures, found)
        if not found:
            raise FakeitError(f"{self.path}: no list_98pt_*.txt with faces; is it the WFLW folder?")
        return list(found.values())

    def _read_list(self, file: str, split: str, pictures: dict[str, str], found: dict[str, Sample]) -> None:
        location = join_member(self.path, file)
        ending = posixpath.splitext(posixpath.basename(file))[0].rpartition("_")[2]
        named = _LISTS.get(ending, ending)
        for number, line in enumerate(read_bytes(location).decode("utf-8").splitlines(), 1):
            words = line.split()
            if not words:
                continue
            where = f"{location}:{number}"
            picture = pictures.get(_key(words[-1]), f"WFLW_images/{words[-1]}")
            key = f"{words[-1]}:{_rounded(words[:4])}"  # several faces of one picture differ in their first points
            values = words[2 * POINTS : -1]
            attributes = {n: int(v) for n, v in zip(ATTRIBUTES, values[4:10], strict=False)}
            if named in ATTRIBUTES:
                attributes[named] = 1
            if key in found:
                found[key].attributes.update(attributes)
                continue
            annotation = (where, words[: 2 * POINTS], values[:4], len(words))
            name = f"{words[-1]}:{sum(k.startswith(words[-1] + ':') for k in found)}"
            found[key] = Sample(name, join_member(self.path, picture), annotation, split, attributes)

    def read(self, sample: Sample) -> Annotation:
        where, words, corners, count = sample.annotation
        if count not in (2 * POINTS + 1, 2 * POINTS + 11):
            raise Rejected(f"{where}: {count} fields, expected {2 * POINTS + 1} or {2 * POINTS + 11}")
        points = np.array(parse_numbers(words, 2 * POINTS, where), np.float32).reshape(POINTS, 2)
        box = None
        if corners:
            x0, y0, x1, y1 = parse_numbers(corners, 4, where)
            box = (x0, y0, x1 - x0, y1 - y0)
        return annotate(points, box)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def _rounded(words: list[str]) -> str:
    """The numbers as whole pixels: lists of one dataset write the same face with more or fewer digits."""
    try:
        return " ".join(str(round(float(word))) for word in words)
    except ValueError:
        return " ".join(words)


def _key(path: str) -> str:
    """The last two parts of a path, which name a picture whatever folder WFLW was unpacked into."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
