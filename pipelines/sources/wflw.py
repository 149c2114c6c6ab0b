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
from fakeit.pipelines.files.file_names import NameIndex, is_picture, printable
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import join_member
from fakeit.pipelines.files.text_files import TABLE_LIMIT, lines_of, read_text
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.sources import Annotation, Sample, SampleList, annotate
from fakeit.pipelines.sources.matching import PICTURE, REPEATED, ROW, Matching
from fakeit.pipelines.sources.point_files import parse_numbers

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

    def samples(self) -> SampleList:
        listing = list_inputs(self.path)
        lists = sorted(
            (f for f in listing.files if posixpath.basename(f).startswith("list_98pt_") and f.endswith(".txt")),
            key=lambda f: ("rect_attr" not in f, f),
        )
        pictures = [f for f in listing.files if is_picture(f)]
        books, index = Matching(listing), NameIndex(pictures)
        books.expect(pictures, PICTURE)
        found: dict[str, Sample] = {}
        for file in lists:
            split = "train" if "train" in posixpath.basename(file) else "test"
            if self.split in ("", split):
                self._read_list(file, split, index, books, found)
        if not found:
            raise books.nothing(f"{self.path}: no list_98pt_*.txt with faces; is it the WFLW folder?")
        return books.close(found.values())

    def _read_list(self, file: str, split: str, index: NameIndex, books: Matching, found: dict[str, Sample]) -> None:
        location = join_member(self.path, file)
        ending = posixpath.splitext(posixpath.basename(file))[0].rpartition("_")[2]
        named = _LISTS.get(ending, ending)
        try:
            lines = lines_of(read_text(location, TABLE_LIMIT))
        except OSError as error:
            raise FakeitError(f"{location}: cannot be read ({error})") from error
        faces: dict[str, int] = {}
        for sample in found.values():
            faces[sample.group] = faces.get(sample.group, 0) + 1
        here: set[str] = set()
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words:
                continue
            where, name = f"{location}:{number}", printable(words[-1])
            told = f"{name} ({printable(where)})"
            pictures = index.find(_key(words[-1]))
            if len(pictures) != 1:  # a list may not name what lies elsewhere
                books.expect([told], ROW)
                continue
            books.take(pictures[0])
            key = f"{words[-1]}:{_rounded(words[:4])}"  # several faces of one picture differ in their first points
            values = words[2 * POINTS : -1]
            attributes, problem = _attributes(values[4:10], printable(where))
            if named in ATTRIBUTES:
                attributes[named] = 1
            if key in here or (key in found and found[key].split != split):
                books.expect([told], REPEATED)
                continue
            here.add(key)
            if key in found:  # by another list of the split: a subset's
                found[key].attributes.update(attributes)
                continue
            annotation = (where, words[: 2 * POINTS], values[:4], len(words))
            label = f"{name}:{faces.get(name, 0)}"
            faces[name] = faces.get(name, 0) + 1
            place = join_member(self.path, pictures[0])
            found[key] = Sample(label, place, annotation, split, attributes, group=name, problem=problem)

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


def _attributes(words: list[str], where: str) -> tuple[dict[str, int], str]:
    """The six attributes of a line, also where a tool has written 1.0 for 1; and what is wrong with them, or ""."""
    try:
        return {name: int(float(word)) for name, word in zip(ATTRIBUTES, words, strict=False)}, ""
    except (ValueError, OverflowError):
        return {}, f"{where}: attributes {' '.join(words)[:40]!r}, expected 0 or 1 for each of {', '.join(ATTRIBUTES)}"


def _rounded(words: list[str]) -> str:
    """The numbers as whole pixels: lists of one dataset write the same face with more or fewer digits."""
    try:
        return " ".join(str(round(float(word))) for word in words)
    except (ValueError, OverflowError):
        return " ".join(words)


def _key(path: str) -> str:
    """The last two parts of a path, which name a picture whatever folder WFLW was unpacked into."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
