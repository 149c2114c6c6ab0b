"""What was found in pictures, as files that others read: CSV, JSON, `.pts` (iBUG) and COCO keypoints."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fakeit.model.inference.results import Face, ImageResult
from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.storage import write_atomically

FORMATS = ("csv", "json", "pts", "coco")


def choose_format(output: str, asked: str | None) -> str:
    """The format asked for, else the one that the output's ending says."""
    if asked is not None:
        return asked
    ending = os.path.splitext(output)[1].lower().lstrip(".")
    if ending in ("csv", "json"):
        return ending
    if not ending:
        return "pts"
    near = nearest(ending, FORMATS)
    raise FakeitError(f"output {output}: in what format? end it in .csv or .json, or say --format{near}")


def write(found: Sequence[ImageResult], output: str, kind: str, scheme_name: str) -> None:
    """Writes `found` to a file (`pts`: to a folder). Raises FakeitError when that is not possible."""
    try:
        if kind == "pts":
            _write_pts(found, Path(output))
            return
        text = {"csv": as_csv, "json": as_json, "coco": as_coco}[kind](found, scheme_name)
        Path(output).resolve().parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(output) as file:
            file.write(text.encode())
    except OSError as error:
        raise FakeitError(f"output {output}: cannot be written ({error})") from error


def as_csv(found: Sequence[ImageResult], scheme_name: str) -> str:
    """`image,x0,y0,…` in source pixels; a picture without a face has an empty row."""
    count = scheme(scheme_name).count
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", *(f"{axis}{i}" for i in range(count) for axis in "xy")])
    for picture in found:
        for face in picture.faces:
            table.writerow([picture.image, *(f"{value:.3f}" for value in face.points.ravel())])
        if not picture.faces:
            table.writerow([picture.image, *[""] * (2 * count)])
    return text.getvalue()


def as_json(found: Sequence[ImageResult], scheme_name: str) -> str:
    """A list of pictures, each with its faces' points, confidence and box."""

    def one(face: Face) -> dict[str, Any]:
        return {
            "box": _rounded(face.box.array()),
            "points": [_rounded(point) for point in face.points],
            "confidence": _rounded(face.confidence),
        }

    pictures = [
        {
            "image": picture.image,
            "width": picture.width,
            "height": picture.height,
            **({"problem": picture.problem} if picture.problem else {}),
            "faces": [one(face) for face in picture.faces],
        }
        for picture in found
    ]
    made = {"scheme": scheme_name, "names": scheme(scheme_name).names, "pictures": pictures}
    return json.dumps(made, indent=1) + "\n"


def as_coco(found: Sequence[ImageResult], scheme_name: str) -> str:
    """COCO keypoints (https://cocodataset.org/#format-data); its keypoints count pixels from their corners, so half a
    pixel is added to our points, whose pixel centres are whole numbers."""
    names = scheme(scheme_name)
    category = {
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
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, picture in enumerate(found, 1):
        images.append({"id": index, "file_name": picture.image, "width": picture.width, "height": picture.height})
        for face in picture.faces:
            keypoints = [v for x, y in face.points for v in (round(float(x) + 0.5, 3), round(float(y) + 0.5, 3), 2)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": 1,
                    "keypoints": keypoints,
                    "num_keypoints": names.count,
                    "bbox": _rounded(face.box.array()),
                    "area": round(face.box.width * face.box.height, 1),
                    "iscrowd": 0,
                    "score": round(float(face.confidence.mean()), 4),
                }
            )
    return json.dumps({"images": images, "annotations": annotations, "categories": [category]}) + "\n"


def _write_pts(found: Sequence[ImageResult], folder: Path) -> None:
    """`NAME.pts` for a picture's first face, `NAME_2.pts` … for more; iBUG counts pixels from 1."""
    for picture in found:
        for number, face in enumerate(picture.faces, 1):
            stem = os.path.splitext(picture.image.replace("#", "_"))[0] if "#" not in picture.image else picture.image
            suffix = "" if number == 1 else f"_{number}"
            path = folder / f"{stem.replace('#', '_')}{suffix}.pts"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in face.points)
            path.write_text(f"version: 1\nn_points: {len(face.points)}\n{{\n{lines}\n}}\n")


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in np.asarray(values)]
