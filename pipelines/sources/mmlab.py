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
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.sources import Annotation, Sample, annotate
from fakeit.pipelines.sources.point_files import parse_numbers
from fakeit.pipelines.storage import exists, join_member, list_files, read_bytes


@dataclass(frozen=True)
class Mmlab:
    """`path`: the folder that holds the lists and the pictures' folders."""

    path: str
    scheme: str = "five"

    def samples(self) -> list[Sample]:
        if not exists(self.path):
            raise FakeitError(f"input {self.path}: no such folder")
        samples = []
        for file in list_files(self.path):
            split = {"trainimagelist.txt": "train", "testimagelist.txt": "test"}.get(posixpath.basename(file).lower())
            if split is None:
                continue
            root = posixpath.dirname(file)
            location = join_member(self.path, file)
            for number, line in enumerate(read_bytes(location).decode("utf-8").splitlines(), 1):
                if not line.strip():
                    continue
                name, *words = line.split()
                name = name.replace("\\", "/")
                place = join_member(self.path, posixpath.join(root, name))
                samples.append(Sample(f"{split}/{name}", place, (f"{location}:{number}", words), split))
        if not samples:
            raise FakeitError(f"{self.path}: no trainImageList.txt or testImageList.txt; is it MMLAB's folder?")
        return samples

    def read(self, sample: Sample) -> Annotation:
        where, words = sample.annotation
        left, right, top, bottom, *points = parse_numbers(words, 14, where)
        return annotate(np.array(points, np.float32).reshape(5, 2), (left, top, right - left, bottom - top))

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)
