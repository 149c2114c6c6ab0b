"""MMLAB's five-point set (Sun et al., CVPR 2013): `trainImageList.txt` and `testImageList.txt`, paths with backslashes.

A line: path, box as left right top bottom, then x y of left eye, right eye, nose tip, mouth left, mouth right.
http://mmlab.ie.cuhk.edu.hk/archive/CNN_FacePoint.htm
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import NameIndex, is_picture, printable
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import join_member
from fakeit.pipelines.files.text_files import TABLE_LIMIT, lines_of, read_text
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.sources import Annotation, Sample, SampleList, annotate
from fakeit.pipelines.sources.matching import PICTURE, REPEATED, ROW, Matching
from fakeit.pipelines.sources.point_files import parse_numbers


@dataclass(frozen=True)
class Mmlab:
    """`path`: the folder that holds the lists and the pictures' folders."""

    path: str
    scheme: str = "five"

    def samples(self) -> SampleList:
        listing = list_inputs(self.path)
        pictures = [file for file in listing.files if is_picture(file)]
        books, index, samples = Matching(listing), NameIndex(pictures), []
        books.expect(pictures, PICTURE)
        seen: set[tuple[str, ...]] = set()
        for file in listing.files:  # the test list comes first, and keeps what stands in both
            split = {"trainimagelist.txt": "train", "testimagelist.txt": "test"}.get(posixpath.basename(file).lower())
            if split is None:
                continue
            root = posixpath.dirname(file)
            location = join_member(self.path, file)
            for number, line in enumerate(lines_of(_list(location)), 1):
                if not line.strip():
                    continue
                name, *words = line.split()
                name, where = name.replace("\\", "/"), f"{location}:{number}"
                told = f"{printable(name)} ({printable(where)})"
                found = index.find(posixpath.join(root, name)) or index.find(name)
                if len(found) != 1:  # a list may not name what lies elsewhere
                    books.expect([told], ROW)
                    continue
                if (found[0], *words) in seen:
                    books.expect([told], REPEATED)
                    continue
                seen.add((found[0], *words))
                books.take(found[0])
                place = join_member(self.path, found[0])
                label, group = printable(f"{split}/{name}"), printable(found[0])
                samples.append(Sample(label, place, (where, words), split, group=group))
        if not samples:
            raise books.nothing(f"{self.path}: no trainImageList.txt or testImageList.txt; is it MMLAB's folder?")
        return books.close(samples)

    def read(self, sample: Sample) -> Annotation:
        where, words = sample.annotation
        left, right, top, bottom, *points = parse_numbers(words, 14, where)
        return annotate(np.array(points, np.float32).reshape(5, 2), (left, top, right - left, bottom - top))

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def _list(location: str) -> str:
    try:
        return read_text(location, TABLE_LIMIT)
    except OSError as error:
        raise FakeitError(f"{location}: cannot be read ({error})") from error
