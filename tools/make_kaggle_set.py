#!/usr/bin/env python
"""Real faces with 68 points → a folder in the very format of Kaggle's Facial Keypoints Detection, gaps included.

The competition's pictures may not be passed on, so nobody can test a reader on them; this makes a stand-in from two
sets of real faces. As the original it has two label sources with framings of their own: tight pictures with 15 points
(here from AFW) and looser ones with 4 (from video frames). Their shares and each column's count of missing values are
the original's, scaled to the number of rows. Pictures of a person lie beside each other, and nobody of the test file is
in the training file.

Writes training.csv, test.csv, IdLookupTable.csv, sampleSubmission.csv, and what the original keeps to itself:
solution.csv (the true values, in the form of a submission) and complete.csv (the training coordinates without gaps).
The output is made of research-only pictures: keep it out of the repository.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.jobs.cli import Parser, run
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.crop import CropConfig, Picture, crop_from_source
from fakeit.pipelines.faces.matrix import transform
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.landmarks import KAGGLE_NAMES, convert
from fakeit.pipelines.sources.kaggle import SIDE
from fakeit.pipelines.sources.kaggle_tables import COORDINATES

ROWS = 7049
# Missing values of each point's columns in the original training.csv.
MISSING = dict(
    zip(
        KAGGLE_NAMES,
        (10, 13, 4778, 4782, 4781, 4781, 4779, 4824, 4779, 4813, 0, 4780, 4779, 4774, 33),
        strict=True,
    )
)
FOUR = ("left_eye_center", "right_eye_center", "nose_tip", "mouth_center_bottom_lip")  # what the second source marks
FULL_SHARE = 1 - MISSING["mouth_center_top_lip"] / ROWS  # rows of the first source


@dataclass(frozen=True)
class Face:
    """`points` (68, 2) float32 source pixels; `group` keeps pictures of one person together."""

    image: str
    group: str
    points: NDArray[np.float32]


@dataclass(frozen=True)
class Framing:
    """How a label source cuts its pictures: side in units of the face's box, and jitters as shares of that."""

    side: float
    jitter: float
    shift: float


TIGHT, LOOSE = Framing(1.18, 0.04, 0.02), Framing(1.42, 0.10, 0.05)


def read_keypoints(folder: str) -> list[Face]:
    """keypoints.csv (`image,x0,y0,…,x67,y67`) beside `images/`; the name before the last number is the person."""
    with open(os.path.join(folder, "keypoints.csv"), newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [
        Face(
            os.path.join(folder, "images", row[0]),
            re.sub(r"_\d+\.\w+$", "", row[0]),
            np.array(row[1:], np.float32).reshape(68, 2),
        )
        for row in rows
    ]


def read_pts(folder: str) -> list[Face]:
    """300-W's `.pts` beside `.jpg`; points count from 1. `123_1.jpg` and `123_2.jpg` are faces of one photo."""
    faces = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".pts"):
            with open(os.path.join(folder, name)) as file:
                body = file.read().split("{")[1].split("}")[0]
            points = np.array(body.split(), np.float32).reshape(-1, 2) - 1
            image = os.path.join(folder, name[:-4] + ".jpg")
            faces.append(Face(image, name.split("_")[0], points))
    return faces


def cut(face: Face, framing: Framing, random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """One picture of the set: (96, 96) uint8 and its (15, 2) points in its pixels."""
    box = from_landmarks(face.points)
    side = box.side * framing.side * (1 + framing.jitter * random.uniform(-1, 1))
    x, y = np.array(box.centre) + framing.shift * side * random.uniform(-1, 1, 2)
    square = Box(x - side / 2, y - side / 2, side, side)
    config = CropConfig(size=SIDE, margin=0.0, colour="grey")
    matrix = crop_from_source(square, config)
    image = Picture(read_image(face.image), "grey").warp(matrix, SIDE)[..., 0]
    points = transform(np.asarray(convert(face.points, "ibug68", "kaggle15")), matrix)
    return image, np.where((points >= 0) & (points <= SIDE), points, np.nan).round(3)


def by_group(faces: Iterable[Face], random: np.random.Generator) -> list[list[Face]]:
    """Faces in lists of one person each, in a drawn order."""
    groups: dict[str, list[Face]] = {}
    for face in faces:
        groups.setdefault(face.group, []).append(face)
    names = sorted(groups)
    return [groups[names[i]] for i in random.permutation(len(names))]


def share(groups: list[list[Face]], count: int) -> tuple[list[Face], list[Face]]:
    """About `count` faces, whole groups at a time, and the rest."""
    taken: list[Face] = []
    rest: list[Face] = []
    for group in groups:
        (taken if len(taken) + len(group) <= count else rest).extend(group)
    return taken, rest


def punch(points: NDArray[np.float64], full: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.float64]:
    """The original's gaps: 11 points of every row of the second source, then single values to its columns' counts.

    Args:
        points: (N, 15, 2), every point there is.
        full: (N,) rows of the first source.
    """
    gaps = np.zeros(points.shape[:2], bool)
    others = np.array([name not in FOUR for name in KAGGLE_NAMES])
    gaps[np.ix_(~full, others)] = True
    least = MISSING["mouth_center_top_lip"]
    for index, name in enumerate(KAGGLE_NAMES):
        extra = MISSING[name] - (least if others[index] else 0)
        candidates = np.flatnonzero(~gaps[:, index])
        count = min(int(np.ceil(extra * len(points) / ROWS)), len(candidates))
        gaps[random.choice(candidates, count, replace=False), index] = True
    punched = points.copy()
    punched[gaps] = np.nan
    return punched


def text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.10g}"


def write_rows(path: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def pixels(image: NDArray[np.uint8]) -> str:
    return " ".join(map(str, image.ravel()))


def make(full: list[Face], four: list[Face], output: str, test_share: float, seed: int) -> str:
    """Writes the set; returns a line that says what is in it."""
    random = np.random.default_rng(seed)
    train_four, test_four = share(by_group(four, random), round(len(four) * (1 - test_share)))
    wanted = round(len(train_four) * FULL_SHARE / (1 - FULL_SHARE))
    train_full, test_full = share(by_group(full, random), wanted)
    os.makedirs(output, exist_ok=True)

    train = [cut(f, TIGHT, random) for f in train_full] + [cut(f, LOOSE, random) for f in train_four]
    complete = np.stack([points for _, points in train])
    marked = np.arange(len(train)) < len(train_full)  # the original, too, begins with its 15-point rows
    punched = punch(complete, marked, random)
    rows = zip(punched, train, strict=True)
    path = os.path.join(output, "training.csv")
    write_rows(path, [*COORDINATES, "Image"], ([*map(text, p.ravel()), pixels(i)] for p, (i, _) in rows))
    write_rows(os.path.join(output, "complete.csv"), COORDINATES, (map(text, p.ravel()) for p in complete))

    test = [(*cut(f, TIGHT, random), True) for f in test_full] + [(*cut(f, LOOSE, random), False) for f in test_four]
    test = [test[i] for i in random.permutation(len(test))]
    ids = range(1, len(test) + 1)
    path = os.path.join(output, "test.csv")
    write_rows(path, ("ImageId", "Image"), ((n, pixels(t[0])) for n, t in zip(ids, test, strict=True)))
    lookup: list[tuple[int, int, str, str]] = []
    for number, (_, points, every) in zip(ids, test, strict=True):
        for (name, place), value in zip(((n, a) for n in KAGGLE_NAMES for a in "xy"), points.ravel(), strict=True):
            if (every or name in FOUR) and np.isfinite(points[KAGGLE_NAMES.index(name)]).all():
                lookup.append((len(lookup) + 1, number, f"{name}_{place}", text(value)))
    table = os.path.join(output, "IdLookupTable.csv")
    write_rows(table, ("RowId", "ImageId", "FeatureName", "Location"), ((*entry[:3], "") for entry in lookup))
    write_rows(os.path.join(output, "solution.csv"), ("RowId", "Location"), ((e[0], e[3]) for e in lookup))
    write_rows(os.path.join(output, "sampleSubmission.csv"), ("RowId", "Location"), ((e[0], 0) for e in lookup))
    return (
        f"{output}: training.csv {len(train)} rows ({len(train_full)} with 15 points, {len(train_four)} with 4), "
        f"test.csv {len(test)} rows ({len(test_full)} and {len(test_four)}), {len(lookup):,} rows to submit"
    )


def main(arguments: argparse.Namespace) -> None:
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.abspath(arguments.output).startswith(home + os.sep):
        raise FakeitError(f"--output {arguments.output} lies inside the repository; these pictures must not be in it")
    for folder in (arguments.full, arguments.four):
        if not os.path.isdir(folder):
            raise FakeitError(f"{folder}: no such folder")
    full, four = read_pts(arguments.full), read_keypoints(arguments.four)
    print(make(full, four, arguments.output, arguments.test, arguments.seed))


def parser() -> Parser:
    p = Parser(description=__doc__)
    p.add_argument("--full", required=True, help="folder of *.pts and *.jpg: becomes the source with 15 points")
    p.add_argument("--four", required=True, help="folder of keypoints.csv and images/: the source with 4 points")
    p.add_argument("--output", required=True, help="folder to write, outside the repository")
    p.add_argument("--test", type=float, default=0.15, help="share of the second source's pictures for test.csv")
    p.add_argument("--seed", type=int, default=1)
    return p


if __name__ == "__main__":
    run(main, parser())
