"""300-W and whatever has its form: pictures with a `.pts` file of 68 points beside each, in any folders.

https://ibug.doc.ic.ac.uk/resources/300-W/. The folder says which subset a face belongs to: LFPW's and HELEN's test sets
are "common", iBUG is "challenging", 01_Indoor and 02_Outdoor are "private": they are test faces; all else is "train".
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.sources import Annotation, Sample, annotate
from fakeit.pipelines.sources.point_files import read_pts
from fakeit.pipelines.storage import exists, join_member, list_files

POINTS = 68
_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Ibug:
    """`path`: a folder, URL or zip archive; every `.pts` below it that has a picture is a sample."""

    path: str
    scheme: str = "ibug68"

    def samples(self) -> list[Sample]:
        if not exists(self.path):
            raise FakeitError(f"input {self.path}: no such folder or archive")
        files = list_files(self.path)
        pictures = {posixpath.splitext(f)[0]: f for f in files if f.lower().endswith(_PICTURES)}
        stems = [posixpath.splitext(f)[0] for f in files if f.lower().endswith(".pts")]
        samples = []
        for stem in stems:
            if stem in pictures:
                points, subset = join_member(self.path, f"{stem}.pts"), subset_of(join_member(self.path, stem))
                split = None if subset == "train" else "test"
                samples.append(Sample(stem, join_member(self.path, pictures[stem]), points, split, {"subset": subset}))
        if not samples:
            raise FakeitError(f"{self.path}: no pictures with a .pts file beside them; is it a 300-W folder?")
        return samples

    def read(self, sample: Sample) -> Annotation:
        return annotate(read_pts(sample.annotation, POINTS))

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def subset_of(location: str) -> str:
    """common, challenging, private or train, from the folders in a location."""
    parts = location.lower().replace("\\", "/").split("/")
    if "ibug" in parts:
        return "challenging"
    if any("indoor" in part or "outdoor" in part for part in parts):
        return "private"
    return "common" if "testset" in parts else "train"
