#!/usr/bin/env python
"""Face detectors on labelled faces: processor milliseconds a picture, hits, faces where none is, and whether the first
face that `predict` names is the labelled one.

    python benchmarks/detectors.py [--limit 200] [--detector mtcnn] [--renders DIR]

A hit is a box that, mapped to the tight box of points (`box_fit.py`), overlaps the true one by half (intersection over
union) and holds both eyes. Other boxes are counted too: not all are wrong, other people stand in these pictures.
"Lost" are pictures whose most prominent face meets the labelled one by less than 0.3, or that have none: end to end,
their points are another's.
Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_fit import box_fit
from fakeit.pipelines.faces.detect import DETECTORS, detector
from fakeit.pipelines.faces.locate import most_prominent_first
from fakeit.pipelines.landmarks import eye_corners
from fakeit.pipelines.sources import open_source

SHARED = Path(__file__).resolve().parent.parent.parent / "shared/data"
REAL = {
    "youtube_faces_68": "youtube_faces",
    "afw_68": "300w",
    "helen_train_870": "300w",
    "face_synthetics_100": "face_synthetics",
}


def holds(box: Box, points: np.ndarray) -> bool:
    x, y = points[:, 0], points[:, 1]
    inside = (x >= box.x) & (x <= box.x + box.width) & (y >= box.y) & (y <= box.y + box.height)
    return bool(inside.all())


def score(name: str, kind: str, folder: Path, limit: int) -> dict[str, float]:
    source, finder = open_source(kind, str(folder)), detector(name)
    fit = box_fit(name, source.scheme)
    hits, others, lost, overlaps, spent = 0, 0, 0, [], []
    samples = source.samples()[:limit]
    finder.detect(source.image(samples[0]))  # warm
    for sample in samples:
        image, points = source.image(sample), source.read(sample).landmarks
        started = time.process_time()
        found = finder.detect(image)
        spent.append(time.process_time() - started)
        true = from_landmarks(points)
        boxes = [fit.apply(d.box) for d in found]
        shares = [true.overlap(box) for box in boxes]
        first = most_prominent_first(boxes, image.shape[1], image.shape[0])[:1]
        lost += not first or true.overlap(first[0]) < 0.3
        best = int(np.argmax(shares)) if shares else -1
        eyes = np.stack(eye_corners(points, source.scheme))
        hit = best >= 0 and shares[best] >= 0.5 and holds(boxes[best], eyes)
        hits += hit
        others += len(found) - hit
        overlaps += [shares[best]] if hit else []
    return {
        "pictures": len(samples),
        "hits_percent": round(100 * hits / len(samples), 1),
        "other_boxes_a_picture": round(others / len(samples), 2),
        "lost_percent": round(100 * lost / len(samples), 1),
        "overlap_of_hits": round(statistics.mean(overlaps), 3) if overlaps else 0.0,
        "ms": round(1000 * statistics.median(spent), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder that holds the sets above")
    parser.add_argument("--detector", nargs="*", default=list(DETECTORS), choices=list(DETECTORS))
    parser.add_argument("--renders", type=Path, help="faces of jobs/synthesize.py, as one more set")
    parser.add_argument("--limit", type=int, default=1000, help="pictures of each set")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    folders = {name: (kind, arguments.shared / name) for name, kind in REAL.items()}
    if arguments.renders:
        folders[arguments.renders.name] = ("face_synthetics", arguments.renders)
    figures: dict[str, dict[str, float]] = {}
    print(f"{'detector':10}{'set':20}{'pictures':>9}{'hits %':>8}{'others':>8}{'lost %':>8}{'overlap':>9}{'ms':>8}")
    for name in arguments.detector:
        for benchmark, (kind, folder) in folders.items():
            row = score(name, kind, folder, arguments.limit)
            figures[f"{name} {benchmark}"] = row
            print(
                f"{name:10}{benchmark:20}{row['pictures']:9}{row['hits_percent']:8}{row['other_boxes_a_picture']:8}"
                f"{row['lost_percent']:8}{row['overlap_of_hits']:9}{row['ms']:8}"
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
