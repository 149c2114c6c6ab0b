"""What was found in pictures, as files that others read: CSV, JSON, `.pts` (iBUG) and COCO keypoints.

Written as it is found: after hours, what was found stands in `OUTPUT.partial` whatever ends the run, and takes the
output's place when all is there.
"""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from fakeit.model.inference.results import Face, ImageResult
from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import OutputNames, is_picture, is_video, unique_stems
from fakeit.pipelines.files.outputs import Sources, inside, refuse_file
from fakeit.pipelines.files.storage import is_url, write_atomically
from fakeit.pipelines.landmarks import scheme

FORMATS = ("csv", "json", "pts", "coco")
PARTIAL = ".partial"


def choose_format(output: str, asked: str | None) -> str:
    """The format asked for, else the one that the output's ending says. Raises FakeitError where neither does."""
    if output == "-":
        raise FakeitError("output -: name a file or folder; results are not written to standard output")
    if asked is not None:
        return asked
    ending = os.path.splitext(output)[1].lower().lstrip(".")
    if ending in ("csv", "json"):
        return ending
    if not ending:
        return "pts"
    near = nearest(ending, FORMATS)
    if is_picture(output) or is_video(output):
        near = "; points drawn go to --draw FOLDER, or as a film to fakeit video's --film FILE"
    raise FakeitError(f"output {output}: in what format? end it in .csv or .json, or say --format{near}")


class ResultWriter:
    """Takes results one by one and writes each at once; a context that puts the whole in place when it ends well."""

    def __init__(
        self, output: str, kind: str, scheme_name: str, pictures: Sequence[str] = (), sources: Sources | None = None
    ) -> None:
        """Args:
            output: file, or for `.pts` a folder.
            kind: of FORMATS.
            scheme_name: of the points.
            pictures: names that will come, so that a second face of one is not called as another.
            sources: what must not be written over.

        Raises:
            FakeitError: the output is a source, or a folder where a file is wanted or the other way round, or cannot be
                written.
        """
        self.output, self.kind, self.scheme = output, kind, scheme_name
        self._sources = sources or Sources(())
        self._stems = unique_stems(pictures)
        self._names = OutputNames()
        self._first = (
            {p: self._names.take(f"{s}.pts", f"{p}.pts") for p, s in self._stems.items()} if kind == "pts" else {}
        )
        self._rows = 0
        self._text = _Text(kind, scheme_name)
        self._partial = output + PARTIAL
        self._file: IO[str] | None = None
        self._beside: IO[str] | None = None  # COCO's annotations, which stand behind all images
        if kind == "pts":
            refuse_file(output)
            for name in self._first.values():
                self._sources.check_annotation(os.path.join(output, name))
            return
        self._sources.check(output)
        try:
            if not is_url(output):
                Path(output).resolve().parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._partial, "w", encoding="utf-8", newline="")  # noqa: SIM115
            if kind == "coco":
                self._beside = open(f"{self._partial}.faces", "w", encoding="utf-8")  # noqa: SIM115
            self._file.write(self._text.begin())
        except OSError as error:
            raise FakeitError(f"output {output}: cannot be written ({error})") from error

    def add(self, found: ImageResult) -> None:
        """Writes what was found in one picture or frame. Raises FakeitError where that is not possible."""
        try:
            if self.kind == "pts":
                self._add_pts(found)
                return
            assert self._file is not None
            picture, faces = self._text.add(found)
            self._file.write(picture)
            if self._beside is not None:
                self._beside.write(faces)
                self._beside.flush()
            self._rows += 1
            self._file.flush()
        except OSError as error:
            raise FakeitError(f"output {self.output}: cannot be written ({error})") from error

    def _add_pts(self, found: ImageResult) -> None:
        """`NAME.pts` for a picture's first face, `NAME_2.pts` … for more."""
        for number, face in enumerate(found.faces, 1):
            name = found.image.replace("#", "_")
            stem = self._stems.get(found.image, name if "#" in found.image else posixpath.splitext(name)[0])
            suffix = "" if number == 1 else f"_{number}"
            first = self._first.get(found.image) if number == 1 else None
            path = inside(self.output, first or self._names.take(f"{stem}{suffix}.pts", f"{name}{suffix}.pts"))
            self._sources.check_annotation(path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with write_atomically(path, durable=False) as file:
                file.write(as_pts(face).encode())

    def close(self) -> None:
        """Puts the whole in place. Raises FakeitError where that is not possible."""
        if self._file is None:
            return
        try:
            self._file.write(self._text.middle())
            if self._beside is not None:
                self._beside.close()
                with open(f"{self._partial}.faces", encoding="utf-8") as faces:
                    while piece := faces.read(1 << 20):
                        self._file.write(piece)
            self._file.write(self._text.end())
            self._file.close()
            os.replace(self._partial, self.output)
            if self._beside is not None:
                os.unlink(f"{self._partial}.faces")
        except OSError as error:
            raise FakeitError(f"output {self.output}: cannot be written ({error})") from error
        self._file = None

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._file is not None:
            self._file.close()
            if self._beside is not None:
                self._beside.close()
            if not self._rows:  # nothing was found yet that could be lost
                os.unlink(self._partial)


def write(found: Iterable[ImageResult], output: str, kind: str, scheme_name: str) -> None:
    """Writes `found` to a file (`pts`: to a folder). Raises FakeitError when that is not possible."""
    results = list(found)
    names = [picture.image for picture in results if "#" not in picture.image]
    with ResultWriter(output, kind, scheme_name, names) as writer:
        for picture in results:
            writer.add(picture)


def as_text(found: Iterable[ImageResult], kind: str, scheme_name: str) -> str:
    """A whole file of FORMATS but pts, as `ResultWriter` writes it."""
    text = _Text(kind, scheme_name)
    added = [text.add(picture) for picture in found]
    pictures, faces = ("".join(parts) for parts in zip(*added, strict=True)) if added else ("", "")
    return text.begin() + pictures + text.middle() + faces + text.end()


def as_pts(face: Face) -> str:
    """One face as iBUG's `.pts`, which counts pixels from 1."""
    lines = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in face.points)
    return f"version: 1\nn_points: {len(face.points)}\n{{\n{lines}\n}}\n"


class _Text:
    """A file's text, piece by piece as pictures are found.

    CSV: `image,x0,y0,…` in source pixels; a picture without a face has an empty row. JSON: a list of pictures, each
    with its faces' points, confidence and box. COCO keypoints (https://cocodataset.org/#format-data) count pixels from
    their corners: half a pixel is added to points and boxes, whose pixel centres are whole numbers here.
    """

    def __init__(self, kind: str, scheme_name: str) -> None:
        self._kind, self._scheme, self._pictures, self._faces = kind, scheme_name, 0, 0

    def begin(self) -> str:
        points = scheme(self._scheme)
        if self._kind == "csv":
            return ",".join(["image", *(f"{axis}{i}" for i in range(points.count) for axis in "xy")]) + "\n"
        if self._kind == "json":
            head = json.dumps({"scheme": self._scheme, "names": points.names}, indent=1)
            return head[: head.rindex("\n}")] + ',\n "pictures": ['
        return '{"images": ['

    def add(self, found: ImageResult) -> tuple[str, str]:
        """What a picture adds, and what it adds behind all pictures: COCO's annotations stand there."""
        self._pictures += 1
        if self._kind == "csv":
            return _csv_rows(found, scheme(self._scheme).count), ""
        more = self._pictures > 1
        if self._kind == "json":
            return (",\n" if more else "\n") + json.dumps(_as_dict(found), indent=1), ""
        image = {"id": self._pictures, "file_name": found.image, "width": found.width, "height": found.height}
        faces = ""
        for face in found.faces:
            self._faces += 1
            faces += (", " if self._faces > 1 else "") + json.dumps(_coco_face(face, self._faces, self._pictures))
        return (", " if more else "") + json.dumps(image), faces

    def middle(self) -> str:
        """Between what pictures add and what they add behind."""
        return '], "annotations": [' if self._kind == "coco" else ""

    def end(self) -> str:
        if self._kind == "coco":
            return f'], "categories": [{json.dumps(_coco_category(self._scheme))}]}}\n'
        return "\n ]\n}\n" if self._kind == "json" else ""


def _csv_rows(picture: ImageResult, count: int) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for face in picture.faces:
        table.writerow([picture.image, *(f"{value:.3f}" for value in face.points.ravel())])
    if not picture.faces:
        table.writerow([picture.image, *[""] * (2 * count)])
    return text.getvalue()


def _as_dict(picture: ImageResult) -> dict[str, Any]:
    def one(face: Face) -> dict[str, Any]:
        return {
            "box": _rounded(face.box.array()),
            "points": [_rounded(point) for point in face.points],
            "confidence": _rounded(face.confidence),
        }

    return {
        "image": picture.image,
        "width": picture.width,
        "height": picture.height,
        **({"problem": picture.problem} if picture.problem else {}),
        "faces": [one(face) for face in picture.faces],
    }


def _coco_face(face: Face, number: int, image: int) -> dict[str, Any]:
    x, y, width, height = face.box.array()
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "keypoints": [v for x, y in face.points for v in (round(float(x) + 0.5, 3), round(float(y) + 0.5, 3), 2)],
        "num_keypoints": scheme(face.scheme).count,
        "bbox": _rounded([x + 0.5, y + 0.5, width, height]),
        "area": round(face.box.width * face.box.height, 1),
        "iscrowd": 0,
        "score": round(float(face.confidence.mean()), 4),
    }


def _coco_category(scheme_name: str) -> dict[str, Any]:
    names = scheme(scheme_name)
    return {
        "id": 1,
        "name": "face",
        "supercategory": "person",
        "keypoints": names.names,
        "skeleton": [
            [a + 1, b + 1]
            for line, closed in names.edges
            for a, b in zip(line, [*line[1:], line[0]] if closed else line[1:], strict=False)
        ],
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in np.asarray(values)]
