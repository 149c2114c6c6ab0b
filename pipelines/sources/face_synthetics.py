"""Microsoft Face Synthetics and whatever is written in its layout, our own renders included.

`NNNNNN.png` (RGB), `NNNNNN_ldmks.txt` (70 lines `x y`, pixels), optionally `NNNNNN_seg.png`, and beside our own renders
`NNNNNN_vis.txt` (70 lines: 1 hidden, 2 visible; without it all count as visible) and, where it is asked for,
`NNNNNN_dense.json` (400 points in three dimensions, pipelines/dense_points.py); in one folder or below it,
in a `.zip` that is read in place, or in several of either (`path` holds them separated by commas).
https://github.com/microsoft/FaceSynthetics
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.dense_points import from_json, project
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.sources import Annotation, Sample, annotate
from fakeit.pipelines.storage import exists, join_member, list_files, read_bytes

POINTS = 70


@dataclass(frozen=True)
class FaceSynthetics:
    """See the module. `path`: folders, URLs or zip archives, comma-separated. `dense`: read NNNNNN_dense.json too."""

    path: str
    dense: bool = False
    scheme: str = "face70"

    def samples(self) -> list[Sample]:
        parts = self.path.split(",")
        found = [s for part in parts for s in self._part(part, prefix=len(parts) > 1)]
        if not found:
            raise FakeitError(
                f"{self.path}: no pairs of NNNNNN.png and NNNNNN_ldmks.txt found; is it a Face Synthetics folder?"
            )
        return found

    def _part(self, root: str, prefix: bool) -> list[Sample]:
        if not exists(root):
            raise FakeitError(f"input {root}: no such folder or archive")
        files = list_files(root)
        known = set(files)
        name = posixpath.splitext(posixpath.basename(root.rstrip("/")))[0]
        samples = []
        for file in files:
            stem, extension = posixpath.splitext(file)
            if extension == ".png" and not stem.endswith("_seg"):
                points = f"{stem}_ldmks.txt"
                annotation = join_member(root, points) if points in known else None
                samples.append(Sample(f"{name}/{stem}" if prefix else stem, join_member(root, file), annotation))
        return samples if any(s.annotation for s in samples) else []

    def read(self, sample: Sample) -> Annotation:
        if sample.annotation is None:
            raise Rejected(f"{sample.image}: no points file ({posixpath.basename(sample.id)}_ldmks.txt) beside it")
        known = annotate(read_points(sample.annotation, POINTS))
        seen = read_visibility(sample.annotation.removesuffix("_ldmks.txt") + "_vis.txt", POINTS)
        known = known if seen is None else replace(known, visibility=seen)
        return self._with_dense(known, sample.annotation) if self.dense else known

    def _with_dense(self, known: Annotation, points_file: str) -> Annotation:
        location = points_file.removesuffix("_ldmks.txt") + "_dense.json"
        try:
            labels = from_json(read_bytes(location), location)
        except (OSError, KeyError) as error:
            raise Rejected(f"{location}: cannot be read, and source.options.dense asks for it ({error})") from error
        depth = labels.points[:, 2:] - labels.translation[2]
        dense = np.concatenate([project(labels), depth], axis=1).astype(np.float32)
        return replace(known, dense=dense, dense_visibility=labels.visibility)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def read_points(location: str, count: int) -> NDArray[np.float32]:
    """Reads `count` lines `x y`.

    Returns:
        (count, 2) float32, pixels of the image.

    Raises:
        Rejected: file and line of the first thing that is wrong.
    """
    try:
        lines = read_bytes(location).decode("ascii").split("\n")
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise Rejected(f"{location}: cannot be read ({error})") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) != count:
        raise Rejected(f"{location}: {len(lines)} lines, expected {count} of 'x y'")
    try:
        points = np.array([line.split() for line in lines], np.float32)
        if points.shape == (count, 2) and np.isfinite(points).all():
            return points
    except ValueError:
        pass  # told line by line below
    for number, line in enumerate(lines, 1):
        if not _is_point(line):
            raise Rejected(f"{location}:{number}: expected two finite numbers 'x y', found {line.strip()[:40]!r}")
    raise Rejected(f"{location}: not {count} lines of 'x y'")


def read_visibility(location: str, count: int) -> NDArray[np.uint8] | None:
    """`count` lines of 1 (hidden) or 2 (visible) as (count,) uint8; None where there is no such file.

    Raises:
        Rejected: the file holds something else.
    """
    try:
        words = read_bytes(location).split()
    except (OSError, KeyError):
        return None
    if len(words) != count or not set(words) <= {b"1", b"2"}:
        raise Rejected(f"{location}: expected {count} lines of 1 (hidden) or 2 (visible)")
    return np.array(words, np.uint8)


def _is_point(line: str) -> bool:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return False
    return len(values) == 2 and bool(np.isfinite(values).all())
