#!/usr/bin/env python
"""From a picture to points, by how large the face in it is: how often the face is found, and how long it takes, beside
MediaPipe Face Mesh, whose own detector sees no small ones.

    python benchmarks/face_sizes.py --input AFW [--model box-int8]

Each of the labelled faces is put, with what lies around it, near the middle of a picture of 960×720 pixels, so
large that its tight box takes a share of the shorter side. Found: points whose box has its centre within 0.3 and its
side within 0.6 to 1.6 of the true one's. Times are medians on one core, detector and network, with as many faces as
there are; MediaPipe looks for one. One row a share, one column a `smallest_face`.
Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cv2
import numpy as np

from benchmarks import mediapipe_mesh
from fakeit.jobs.cli import Parser, run
from fakeit.model.evaluation.protocols import open_protocol, protocol
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.pipelines.faces.box import Box, from_landmarks

WIDTH, HEIGHT = 960, 720
SHARES = (0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.3, 0.5)
SMALLEST = (0.05, 0.1, 0.15)


def placed(pixels: np.ndarray, box: Box, share: float, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
    """The face with its surroundings on a blurred ground, (HEIGHT, WIDTH, 3), and its box there."""
    ground = rng.integers(60, 190, (9, 12, 3)).astype(np.uint8)
    picture = np.asarray(cv2.resize(ground, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    scale = share * HEIGHT / box.side
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    part = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=how), np.uint8)
    middle = np.array(box.centre) * scale
    left, top = (rng.uniform(0.4, 0.6, 2) * [WIDTH, HEIGHT] - middle).astype(int).tolist()
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(WIDTH, left + part.shape[1]), min(HEIGHT, top + part.shape[0])
    picture[y0:y1, x0:x1] = part[y0 - top : y1 - top, x0 - left : x1 - left]
    return picture, Box(box.x * scale + left, box.y * scale + top, box.width * scale, box.height * scale)


def found(points: np.ndarray, true: Box) -> bool:
    if not np.isfinite(points).all():
        return False
    box = from_landmarks(points)
    apart = np.hypot(*np.subtract(box.centre, true.centre))
    return bool(apart < 0.3 * true.side and 0.6 < box.side / true.side < 1.6)


def ours(landmarker: Landmarker, pictures: list[np.ndarray], boxes: list[Box]) -> tuple[float, float]:
    hits, spent = [], []
    landmarker(pictures[0])
    for picture, true in zip(pictures, boxes, strict=True):
        started = time.perf_counter()
        faces = landmarker(picture)
        spent.append(time.perf_counter() - started)
        hits.append(any(found(face.points, true) for face in faces))
    return 100 * float(np.mean(hits)), 1000 * float(np.median(spent))


def theirs(version: str, pictures: list[np.ndarray], boxes: list[Box]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{index}.png")) for index in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            cv2.imwrite(path, picture[..., ::-1])
        ms, points = mediapipe_mesh.look(version, [{"path": p, "crop": None, "mirrored": False} for p in paths])
    hits = [found(mesh, true) for mesh, true in zip(points, boxes, strict=True)]
    return 100 * float(np.mean(hits)), ms


def main(arguments: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    source, samples = open_protocol(protocol(arguments.source), arguments.input)
    chosen = samples[:: max(1, len(samples) // arguments.limit)][: arguments.limit]
    faces = [(source.image(sample), from_landmarks(source.read(sample).landmarks)) for sample in chosen]
    readers = {f"smallest {s:g}": Landmarker.load(arguments.model, LandmarkerConfig(smallest_face=s)) for s in SMALLEST}
    columns = [*readers] + ([] if arguments.no_mediapipe else [f"MediaPipe {arguments.mediapipe}"])
    print(f"{'share':6}" + "".join(f"{name:>20}" for name in columns) + "   (found %, ms)")
    rows = {}
    for share in SHARES:
        rng = np.random.default_rng(1)
        pictures, boxes = zip(*(placed(*face, share, rng) for face in faces), strict=True)
        row = {name: ours(reader, [*pictures], [*boxes]) for name, reader in readers.items()}
        if not arguments.no_mediapipe:
            row[columns[-1]] = theirs(arguments.mediapipe, [*pictures], [*boxes])
        print(f"{share:<6g}" + "".join(f"{hit:>12.0f} {ms:>7.1f}" for hit, ms in row.values()))
        rows[f"{share:g}"] = {name: [round(hit, 1), round(ms, 2)] for name, (hit, ms) in row.items()}
    print(json.dumps({"faces": len(faces), "found_percent_and_ms": rows}))


def parser() -> Parser:
    p = Parser(description=__doc__)
    p.add_argument("--model", help="a name or file; without it, the model in the box")
    p.add_argument("--source", default="300w", help="a protocol or a source")
    p.add_argument("--input", required=True, metavar="PATH", help="labelled faces with room around them")
    p.add_argument("--limit", type=int, default=60, metavar="N", help="faces (60)")
    mediapipe_mesh.add_options(p)
    return p


if __name__ == "__main__":
    run(main, parser())
