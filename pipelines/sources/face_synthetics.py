"""Microsoft Face Synthetics and whatever is written in its layout, our own renders included.

`NNNNNN.png` (RGB), `NNNNNN_ldmks.txt` (70 lines `x y`, pixels), optionally `NNNNNN_seg.png`, and beside our own renders
`NNNNNN_vis.txt` (70 lines: 1 hidden, 2 visible; without it all count as visible) and, where it is asked for,
`NNNNNN_dense.json` (400 points in three dimensions, pipelines/dense_points.py); in one folder or below it,
in a `.zip` that is read in place, or in several of either (`path` holds them separated by commas).
https://github.com/microsoft/FaceSynthetics
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fakeit.pipelines.dense_points import from_json, project
from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.files.file_names import is_picture, printable
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import exists, is_url, join_member, read_bytes
from fakeit.pipelines.files.text_files import POINTS_LIMIT, lines_of, read_text
from fakeit.pipelines.files.walking import Listing, list_inputs, walk_folders
from fakeit.pipelines.sources import Annotation, Sample, SampleList, Unmatched, annotate
from fakeit.pipelines.sources.many import Kind, ManySamples
from fakeit.pipelines.sources.matching import PICTURE, Matching, by_stem, stem_key, told_apart
from fakeit.pipelines.sources.matching import POINTS as POINTS_ALONE

POINTS = 70
POINTS_FILE, VISIBILITY_FILE, DENSE_FILE = "_ldmks.txt", "_vis.txt", "_dense.json"
ENDINGS = frozenset((".png", "_seg.png", POINTS_FILE, VISIBILITY_FILE, DENSE_FILE))
MANY = 20_000  # samples from which on they are held as names alone
_BESIDE = ((), (VISIBILITY_FILE,), (DENSE_FILE,), (VISIBILITY_FILE, DENSE_FILE))
KINDS = tuple(Kind(".png", POINTS_FILE if n >= 4 else None, _BESIDE[n % 4]) for n in range(8))


@dataclass(frozen=True)
class FaceSynthetics:
    """See the module. `path`: folders, URLs or zip archives, comma-separated. `dense`: read NNNNNN_dense.json too."""

    path: str
    dense: bool = False
    scheme: str = "face70"

    def samples(self) -> SampleList | ManySamples:
        whole = exists(self.path)  # a comma may also be part of one folder's name
        parts = [self.path] if whole else self.path.split(",")
        many = _many(parts[0], self.dense) if len(parts) == 1 else None
        if many is not None:
            return many
        made = [self._part(part, prefix=len(parts) > 1) for part in parts]
        return SampleList(told_apart(s for part in made for s in part), [u for part in made for u in part.unmatched])

    def _part(self, root: str, prefix: bool) -> SampleList:
        listing = list_inputs(root)
        known = set(listing.files)
        points = {stem_key(file): file for file in listing.files if file.endswith(POINTS_FILE)}
        pictures = [f for f in listing.files if is_picture(f) and not posixpath.splitext(f)[0].endswith("_seg")]
        books = Matching(listing)
        books.expect(pictures, PICTURE)
        books.expect(points.values(), POINTS_ALONE)
        name = posixpath.splitext(posixpath.basename(root.rstrip("/")))[0]
        stems, samples = by_stem(pictures), []
        for file in pictures:
            stem, key = posixpath.splitext(file)[0], stem_key(file)
            beside = points.get(f"{key}_ldmks")
            if stems[key][0] != file or (beside is None and not file.endswith(".png")):
                continue  # of another picture, or no face of this layout; counted as unmatched
            books.take(file, *([beside] if beside else []))
            annotation = join_member(root, beside) if beside else None
            also = [f"{stem}{end}" for end in (VISIBILITY_FILE, *([DENSE_FILE] if self.dense else []))]
            also = [join_member(root, name) for name in also if name in known]
            label = printable(f"{name}/{stem}" if prefix else stem)
            samples.append(Sample(label, join_member(root, file), annotation, beside=tuple(also)))
        if not any(s.annotation for s in samples):
            raise books.nothing(f"{root}: no pairs of NNNNNN.png and NNNNNN_ldmks.txt; is it a Face Synthetics folder?")
        return books.close(samples)

    def read(self, sample: Sample) -> Annotation:
        if sample.annotation is None:
            raise Rejected(f"{sample.image}: no points file ({posixpath.basename(sample.id)}_ldmks.txt) beside it")
        known = annotate(read_points(sample.annotation, POINTS))
        for seen in (place for place in sample.beside if place.endswith(VISIBILITY_FILE)):
            known = replace(known, visibility=read_visibility(seen, POINTS))
        return self._with_dense(known, sample.annotation) if self.dense else known

    def _with_dense(self, known: Annotation, points_file: str) -> Annotation:
        location = points_file.removesuffix(POINTS_FILE) + DENSE_FILE
        try:
            labels = from_json(read_bytes(location), location)
        except (OSError, KeyError) as error:
            raise Rejected(f"{location}: cannot be read, and source.options.dense asks for it ({error})") from error
        depth = labels.points[:, 2:] - labels.translation[2]
        dense = np.concatenate([project(labels), depth], axis=1).astype(np.float32)
        return replace(known, dense=dense, dense_visibility=labels.visibility)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def _many(root: str, dense: bool) -> ManySamples | None:
    """The samples of a large folder without surprises: plain names, every picture a PNG. Read folder by folder, so that
    its files' names are never all in memory; None where it is small or holds anything else, for `_part` to judge."""
    if is_url(root) or not os.path.isdir(root):
        return None
    listing, unmatched = Listing(), list[Unmatched]()
    stems, kinds = list[pa.Array](), list[NDArray[np.uint8]]()
    for folder, names in walk_folders(root, listing, keep=False):
        text = "".join(names)
        if not (folder + text).isascii() or not (folder + text).isprintable() or "\\" in text or " " in text:
            return None
        before = f"{folder}/" if folder else ""
        alike = _alike(names, dense)
        if alike is not None:
            stems.append(pa.array([before + stem for stem in alike[0]], pa.large_string()))
            kinds.append(np.full(len(alike[0]), alike[1], np.uint8))
            continue
        if any(is_picture(name) for name in names if not name.endswith((".png", ".txt"))):
            return None
        points, seen, deep = (
            {name[: -len(ending)] for name in names if name.endswith(ending)}
            for ending in (POINTS_FILE, VISIBILITY_FILE, DENSE_FILE)
        )
        pictures = [name[:-4] for name in names if name.endswith(".png") and not name.endswith("_seg.png")]
        unmatched += [Unmatched(POINTS_ALONE, f"{before}{s}{POINTS_FILE}") for s in sorted(points.difference(pictures))]
        stems.append(pa.array([before + stem for stem in pictures], pa.large_string()))
        known = [4 * (s in points) + 2 * (dense and s in deep) + (s in seen) for s in pictures]
        kinds.append(np.array(known, np.uint8))
    count = sum(map(len, kinds))
    if count < MANY:
        return None
    order = np.argsort([part[0].as_py() if len(part) else "" for part in stems], kind="stable").tolist()
    kind = np.concatenate([kinds[i] for i in order])
    if not (kind >= 4).any():
        return None
    left = (*unmatched, *Matching(listing).unmatched())
    return ManySamples(f"{root.rstrip('/')}/", "", KINDS, pa.concat_arrays([stems[i] for i in order]), kind, left)


def _alike(names: list[str], dense: bool) -> tuple[list[str], int] | None:
    """The stems of a folder, and their number of KINDS, where each has the same files beside it as the first; else
    None. `names` are sorted, so that a stem's stand together: four passes less for each of millions of names."""
    first = names[0].removesuffix(".png") if names else ""
    endings = [name.removeprefix(first) for name in names[: len(ENDINGS)] if name.startswith(first)]
    if not endings or endings[0] != ".png" or not set(endings) <= ENDINGS or len(names) % len(endings):
        return None
    stems = [name[:-4] for name in names[:: len(endings)]]
    if "_seg." in ".".join([*stems, ""]):
        return None
    for place, ending in enumerate(endings):
        if names[place :: len(endings)] != [stem + ending for stem in stems]:
            return None
    beside = 2 * (dense and DENSE_FILE in endings) + (VISIBILITY_FILE in endings)
    return stems, 4 * (POINTS_FILE in endings) + beside


def read_points(location: str, count: int) -> NDArray[np.float32]:
    """Reads `count` lines `x y`.

    Returns:
        (count, 2) float32, pixels of the image.

    Raises:
        Rejected: file and line of the first thing that is wrong.
    """
    try:
        lines = lines_of(read_text(location))
    except OSError as error:
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


def read_visibility(location: str, count: int) -> NDArray[np.uint8]:
    """`count` lines of 1 (hidden) or 2 (visible) as (count,) uint8.

    Raises:
        Rejected: the file cannot be read, or holds something else.
    """
    try:
        words = read_bytes(location, POINTS_LIMIT).split()
    except OSError as error:
        raise Rejected(f"{location}: cannot be read ({error})") from error
    if len(words) != count or not set(words) <= {b"1", b"2"}:
        raise Rejected(f"{location}: expected {count} lines of 1 (hidden) or 2 (visible)")
    return np.array(words, np.uint8)


def _is_point(line: str) -> bool:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return False
    return len(values) == 2 and bool(np.isfinite(values).all())
