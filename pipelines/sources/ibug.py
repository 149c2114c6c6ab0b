"""300-W and whatever has its form: pictures with a `.pts` file of 68 points beside each, in any folders.

https://ibug.doc.ic.ac.uk/resources/300-W/. The folder says which subset a face belongs to: LFPW's and HELEN's test sets
are "common", iBUG is "challenging", 01_Indoor and 02_Outdoor are "private": they are test faces; all else is "train".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.files.file_names import is_picture, printable, unique_stems
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import join_member
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.sources import Annotation, Sample, SampleList, annotate
from fakeit.pipelines.sources.matching import PICTURE, POINTS, Matching, by_stem, stem_key
from fakeit.pipelines.sources.point_files import Subset, read_pts

COUNT = 68
_PRIVATE = re.compile(r"(0[12]_)?(indoor|outdoor)")


@dataclass(frozen=True)
class Ibug:
    """Every `.pts` below `path` that has a picture is a sample.

    Attributes:
        path: a folder, URL or zip archive.
        subset: what all faces here are, where `path` is one subset's own folder: only folders below `path` are read
            as names of subsets.
    """

    path: str
    subset: Subset | None = None
    scheme: str = "ibug68"

    def samples(self) -> SampleList:
        listing = list_inputs(self.path)
        points = [file for file in listing.files if file.lower().endswith(".pts")]
        pictures = [file for file in listing.files if is_picture(file)]
        books = Matching(listing)
        books.expect(pictures, PICTURE)
        books.expect(points, POINTS)
        stems, names = by_stem(pictures), unique_stems(points)
        folded = {key.casefold(): found for key, found in stems.items()}
        samples = []
        for file in points:
            key = stem_key(file)
            found = stems.get(key) or folded.get(key.casefold())
            if not found:
                continue
            books.take(file, found[0])
            subset = self.subset or subset_of(file)
            image, annotation = join_member(self.path, found[0]), join_member(self.path, file)
            split = None if subset == "train" else "test"
            samples.append(Sample(printable(names[file]), image, annotation, split, {"subset": subset}))
        if not samples:
            raise books.nothing(f"{self.path}: no pictures with a .pts file beside them; is it a 300-W folder?")
        return books.close(samples)

    def read(self, sample: Sample) -> Annotation:
        return annotate(read_pts(sample.annotation, COUNT))

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def subset_of(name: str) -> Subset:
    """The subset that the folders of a name, relative to the source, say: never those around it."""
    folders = posixpath.dirname(name.lower().replace("\\", "/")).split("/")
    if "ibug" in folders:
        return "challenging"
    if any(_PRIVATE.fullmatch(folder) for folder in folders):
        return "private"
    return "common" if "testset" in folders else "train"
