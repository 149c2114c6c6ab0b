#!/usr/bin/env python
"""Photographs without labels → a CSV of the points that a network gives them when it is asked about many views.

    python tools/label_photographs.py large PHOTOS --output points.csv

A teacher that sees a face eighteen times (mirrored or not, three turns, three crops) errs less than a student that sees
it once, so its median is something to learn from (noisy student, arXiv 1911.04252). The boxes are the detector's. A
point whose views scatter by more than `--scatter` of the box's side is left empty, and training leaves it out; a
picture without a face has no row. `jobs/preprocess.py --config conf/preprocess/folder.toml` reads the CSV; what learns
from it has seen photographs (docs/own_points.md).
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.backends import Mirrored
from fakeit.model.inference.landmarker import Landmarker
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_fit import BoxFit
from fakeit.pipelines.faces.crop import Picture
from fakeit.pipelines.files.file_names import is_picture
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import join_member, write_atomically
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.progress import counted, progress

TURNS, SIZES = (-12.0, 0.0, 12.0), (0.92, 1.0, 1.08)  # degrees; of the box


def views(landmarker: Landmarker, picture: Picture, box: Box) -> NDArray[np.float64]:
    """What the network says of 18 views of one face: (18, K, 2) source pixels.

    Args:
        picture: that the face is in.
        box: tight around its points, source pixels.
    """
    crops = [(BoxFit(scale=size).apply(box), turn) for size in SIZES for turn in TURNS]
    asked = (landmarker, Landmarker(Mirrored(landmarker.backend), landmarker.config))
    return np.array([face.points for one in asked for face in one.read_crops(picture, crops)], np.float64)


def taught(landmarker: Landmarker, pixels: NDArray[np.uint8], scatter: float) -> NDArray[np.float64] | None:
    """The median points (K, 2) of the most prominent face of (H, W, 3) uint8 RGB, source pixels, NaN where the views
    scatter by more than `scatter` of the box's side; None without a face."""
    found = landmarker.detect(pixels)
    if not found:
        return None
    (first,) = landmarker.predict_boxes(pixels, found[:1])
    try:
        box = from_landmarks(first.points)
    except Rejected:
        return None
    seen = views(landmarker, Picture(pixels, landmarker.metadata.crop.colour), box)
    points = np.median(seen, axis=0)
    apart = np.linalg.norm(seen - points, axis=-1).mean(axis=0) / box.side
    points[apart > scatter] = np.nan
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the teacher: a name of `fakeit models`, a checkpoint or an ONNX file")
    parser.add_argument("photographs", help="a folder of pictures, one face each")
    parser.add_argument("--output", required=True, help="a CSV: image,x0,y0,…")
    parser.add_argument("--scatter", type=float, default=0.03, metavar="SHARE", help="of the box (default: 0.03)")
    arguments = parser.parse_args()
    landmarker = Landmarker.load(arguments.model)
    files = [file for file in list_inputs(arguments.photographs).files if is_picture(file)]
    if not files:
        raise FakeitError(f"{arguments.photographs}: no pictures")
    points = scheme(landmarker.scheme).count
    rows, empty, lost = [], 0, []
    for file in progress(files, "label", "photographs"):
        try:
            found = taught(landmarker, read_image(join_member(arguments.photographs, file)), arguments.scatter)
        except Rejected as error:
            found = None
            print(f"{file}: {error}", file=sys.stderr)
        if found is None:
            lost.append(file)
            continue
        empty += int(np.isnan(found[:, 0]).sum())
        rows.append([file, *("" if np.isnan(value) else f"{value:.2f}" for value in found.ravel())])
    with write_atomically(arguments.output) as out:
        text = io.TextIOWrapper(out, encoding="utf-8", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", *(f"{axis}{index}" for index in range(points) for axis in "xy")])
        table.writerows(rows)
        text.flush()
        text.detach()
    share = empty / max(1, len(rows) * points)
    print(
        f"{arguments.output}: {counted(len(rows), 'face')}, {share:.1%} of their points left empty, "
        f"{counted(len(lost), 'picture')} without a face"
    )


if __name__ == "__main__":
    try:
        main()
    except FakeitError as error:
        raise SystemExit(f"error: {error}") from error
