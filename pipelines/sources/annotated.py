"""Points made in an annotation tool: COCO keypoints, CVAT's XML ("CVAT for images 1.1"), Label Studio's JSON.

A folder of pictures and the tool's export, `points` (else the only .json or .xml in the folder). Without a scheme the
export's own point names make one, mirror pairs by "left" and "right" in the names. All three count pixels from their
corners; half a pixel is taken off, since here the centre of the first pixel is (0, 0).

https://cocodataset.org/#format-data, https://docs.cvat.ai/docs/manual/advanced/xml_format/,
https://labelstud.io/guide/export (keypointlabels: per cent of the picture).
"""

from __future__ import annotations

import json
import posixpath
import re
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.files.file_names import NameIndex, is_picture, printable, unique_stems
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import is_url, join_member, read_bytes
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.landmarks import Scheme
from fakeit.pipelines.landmarks import scheme as scheme_called
from fakeit.pipelines.own_scheme import from_names, word
from fakeit.pipelines.sources import HIDDEN, VISIBLE, Annotation, Sample, SampleList
from fakeit.pipelines.sources.matching import PICTURE, Matching

CORNER = 0.5
FACE, AMBIGUOUS = "faces without a picture", "faces that may be of several pictures"
Point = tuple[float, float, int]  # x, y from the picture's corner, COCO's visibility


@dataclass
class Labelled:
    """One face of an export: its picture's name there, point name → point, its box where it has one; `problem`: why it
    cannot be used."""

    image: str
    points: dict[str, Point] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    problem: str = ""

    def put(self, name: str, point: Point) -> None:
        """A point under its name there. Of two of one name nobody knows which is this face's."""
        name = word(name)
        if name in self.points:
            self.problem = f"point '{name}' stands twice; a face has each once, CVAT's several faces are skeletons"
        self.points[name] = point


@dataclass(frozen=True)
class Annotated:
    """Pictures below `path` with the points of an export.

    Attributes:
        path: folder, URL or zip archive of the pictures.
        scheme: of the points; point names must be the export's.
        points: the export, relative to `path` or absolute.
        kind: "coco", "cvat" or "label_studio".
    """

    path: str
    scheme: str
    points: str
    kind: str

    def samples(self) -> SampleList:
        names = scheme_called(self.scheme).names
        listing = list_inputs(self.path)
        files = [file for file in listing.files if is_picture(file)]
        books, stems = Matching(listing), unique_stems(files)
        books.expect(files, PICTURE)
        index, uploads = NameIndex(files), dict[str, list[str]]()
        for file in files:
            uploads.setdefault(as_uploaded(posixpath.basename(file)), []).append(file)
        samples: list[Sample] = []
        seen: dict[str, int] = {}
        faces = read_export(self.points, self.kind)
        for position, face in enumerate(faces, 1):
            asked = (index.find(name) or uploads.get(name) for name in spellings(face.image))
            found = next(filter(None, asked), [])
            strange = [name for name in face.points if name not in names]
            if strange:
                raise FakeitError(
                    f"{self.points}: {face.image}: point '{strange[0]}' is not in the scheme ({', '.join(names)})"
                )
            if not face.points:
                continue
            if len(found) != 1:
                told = f"{face.image} (face {position} of {self.points})"
                books.expect([f"{told}: {' or '.join(found[:2])}" if found else told], AMBIGUOUS if found else FACE)
                continue
            file = found[0]
            books.take(file)
            number, picture = seen.get(file, 0) + 1, printable(stems[file])
            seen[file], label = number, picture + (f"_face{number}" if number > 1 else "")
            made = tuple(face.points.get(name, (np.nan, np.nan, 0)) for name in names)
            problem = f"{self.points}: {face.image}: {face.problem}" if face.problem else ""
            place = join_member(self.path, file)
            samples.append(Sample(label, place, (made, face.box), group=picture, problem=problem))
        if not samples:
            named = f" (the first picture there is '{faces[0].image}')" if faces else ""
            raise books.nothing(f"{self.path}: none of its {len(files)} pictures has points in {self.points}{named}")
        return books.close(samples)

    def read(self, sample: Sample) -> Annotation:
        points, box = sample.annotation
        array = np.array(points, np.float64)
        landmarks = np.where(array[:, 2:] > 0, array[:, :2] - CORNER, np.nan).astype(np.float32)
        if not np.isfinite(landmarks).any():
            raise Rejected(f"{self.points}: {sample.id}: no point is labelled")
        corner = None if box is None else (box[0] - CORNER, box[1] - CORNER, box[2], box[3])
        return Annotation(landmarks, array[:, 2].astype(np.uint8), corner)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def spellings(name: str) -> Iterator[str]:
    """How an export's name of a picture may be spelt in the folder: whole, without what Label Studio puts around a
    local file's; then without folders, and without what it puts before an upload's name."""
    address = name.partition("?")[0]  # what follows is a signature
    whole = [*parse_qs(urlsplit(name).query).get("d", []), name, unquote(name), address, unquote(address)]
    yield from whole
    for spelt in whole:
        base = posixpath.basename(spelt.replace("\\", "/"))
        yield from (base, re.sub(r"^[0-9a-f]{8}-", "", base))


def as_uploaded(name: str) -> str:
    """A file's name as Label Studio keeps an upload: spaces are underscores, brackets and the like are dropped."""
    return re.sub(r"[^-\w.]", "", name.replace(" ", "_"))


def read_export(location: str, kind: str) -> list[Labelled]:
    """The faces of an export. Raises FakeitError naming the file and what in it is not as the format has it."""
    data = _bytes(location, kind)
    try:
        return list(_READERS[kind](data))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, xml.ParseError) as error:
        raise FakeitError(f"{location}: not a {kind} export ({type(error).__name__}: {error})") from error


def _bytes(location: str, kind: str) -> bytes:
    try:
        return read_bytes(location)
    except OSError as error:
        hint = "source.options.points names it"
        raise FakeitError(f"{location}: cannot be read as a {kind} export; {hint} ({error})") from error


def _coco(data: bytes) -> Iterator[Labelled]:
    values = json.loads(data)
    files = {image["id"]: image["file_name"] for image in values["images"]}
    names = {category["id"]: category.get("keypoints", []) for category in values["categories"]}
    for number, face in enumerate(values["annotations"], 1):
        for key, known in (("image_id", files), ("category_id", names)):
            if face[key] not in known:
                raise ValueError(f"annotation {number}: {key} {face[key]!r} is none of the export's")
        flat, known = face.get("keypoints") or [], names[face["category_id"]]  # or a box alone
        if flat and len(flat) != 3 * len(known):
            raise ValueError(f"annotation {number}: {len(flat)} numbers as 'keypoints', expected {3 * len(known)}")
        triples = [tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)]
        points = {word(n): (float(x), float(y), int(v)) for n, (x, y, v) in zip(known, triples, strict=False) if v}
        box = face.get("bbox")
        yield Labelled(files[face["image_id"]], points, tuple(map(float, box)) if box else None)  # type: ignore[arg-type]


def _cvat(data: bytes) -> Iterator[Labelled]:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("CVAT writes no DOCTYPE; entities are not expanded here")
    for image in xml.fromstring(data).iter("image"):
        faces = [face for face in image.iter("skeleton")] or [image]
        for face in faces:
            made = Labelled(image.get("name", ""))
            for point in face.findall("points"):
                if point.get("outside") == "1":
                    continue
                hidden = point.get("occluded") == "1"
                for pair in point.get("points", "").split(";"):
                    x, y = map(float, pair.split(","))
                    made.put(point.get("label", ""), (x, y, HIDDEN if hidden else VISIBLE))
            yield made


def _label_studio(data: bytes) -> Iterator[Labelled]:
    for number, task in enumerate(json.loads(data), 1):
        told = [str(value) for value in task["data"].values()]
        image = next((text for text in told if any(map(is_picture, text.split("?")))), None)  # or `…/?d=a.jpg`
        if image is None:
            raise ValueError(f"task {number}: no picture in its data, {', '.join(told)[:80]!r}")
        for entry in (task.get("annotations") or [{}])[:1]:
            made = Labelled(image)
            for result in entry.get("result", []):
                if result.get("type") != "keypointlabels":
                    continue
                value, width, height = result["value"], result["original_width"], result["original_height"]
                x, y = float(value["x"]) * width / 100, float(value["y"]) * height / 100
                made.put(str(value["keypointlabels"][0]), (x, y, VISIBLE))
            yield made


_READERS: dict[str, Callable[[bytes], Iterator[Labelled]]] = {
    "coco": _coco,
    "cvat": _cvat,
    "label_studio": _label_studio,
}


def _open(path: str, kind: str, points: str, scheme: str) -> Annotated:
    ending = ".xml" if kind == "cvat" else ".json"
    if not points:
        found = [name for name in list_inputs(path).files if name.lower().endswith(ending)]
        if len(found) != 1:
            raise FakeitError(f"{path}: {len(found)} files end in {ending}; say which is the export (points = …)")
        points = found[0]
    location = points if is_url(points) or points.startswith("/") else join_member(path, points)
    return Annotated(path, scheme or _scheme_of(location, kind).name, location, kind)


def _scheme_of(location: str, kind: str) -> Scheme:
    """The scheme that an export's own names make, in the order they come in."""
    names: dict[str, Any] = {}
    if kind == "coco":
        data = _bytes(location, kind)
        try:
            lists = [category.get("keypoints") for category in json.loads(data)["categories"]]
            names = dict.fromkeys(next(filter(None, lists)))
        except (KeyError, ValueError, AttributeError, TypeError, StopIteration) as error:
            raise FakeitError(
                f"{location}: not a coco export with keypoints ({type(error).__name__}: {error})"
            ) from error
    else:
        for face in read_export(location, kind):
            names.update(dict.fromkeys(face.points))
    return from_names("points", list(names), location)


def coco(path: str, points: str = "", scheme: str = "") -> Annotated:
    """COCO keypoints."""
    return _open(path, "coco", points, scheme)


def cvat(path: str, points: str = "", scheme: str = "") -> Annotated:
    """CVAT for images 1.1: points, or skeletons where pictures hold several faces."""
    return _open(path, "cvat", points, scheme)


def label_studio(path: str, points: str = "", scheme: str = "") -> Annotated:
    """Label Studio's JSON with keypoint labels, one face a picture."""
    return _open(path, "label_studio", points, scheme)
