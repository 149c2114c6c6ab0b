#!/usr/bin/env python
"""Face detectors on labelled real faces: milliseconds a picture on one core, hits, faces where none is.

    python benchmarks/detectors.py [--limit 200]

A hit is a box that, mapped to the tight box of points (`box_fit.py`), overlaps the true one by half (intersection over
union) and holds both eyes. Other boxes are counted too: not all are wrong, other people stand in these pictures.
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
from fakeit.pipelines.faces.locate import overlap
from fakeit.pipelines.landmarks import eye_corners
from fakeit.pipelines.sources import open_source

SHARED = Path(__file__).resolve().parent.parent.parent / "shared/data"
REAL = {"youtube_faces_68": "youtube_faces", "afw_68": "300w"}


def holds(box: Box, points: np.ndarray) -> bool:
    x, y = points[:, 0], points[:, 1]
    inside = (x >= box.x) & (x <= box.x + box.width) & (y >= box.y) & (y <= box.y + box.height)
    return bool(inside.all())


def score(name: str, kind: str, folder: Path, limit: int) -> dict[str, float]:
    source, finder = open_source(kind, str(folder)), detector(name)
    fit = box_fit(name, source.scheme)
    hits, others, overlaps, spent = 0, 0, [], []
    samples = source.samples()[:limit]
    finder.detect(source.image(samples[0]))  # warm
    for sample in samples:
        image, points = source.image(sample), source.read(sample).landmarks
        started = time.perf_counter()
        found = finder.detect(image)
        spent.append(time.perf_counter() - started)
        true = from_landmarks(points)
        shares = [overlap(fit.apply(d.box), true) for d in found]
        best = int(np.argmax(shares)) if shares else -1
        eyes = np.stack(eye_corners(points, source.scheme))
        hit = best >= 0 and shares[best] >= 0.5 and holds(fit.apply(found[best].box), eyes)
        hits += hit
        others += len(found) - hit
        overlaps += [shares[best]] if hit else []
    return {
        "pictures": len(samples),
        "hits_percent": round(100 * hits / len(samples), 1),
        "other_boxes_a_picture": round(others / len(samples), 2),
        "overlap_of_hits": round(statistics.mean(overlaps), 3) if overlaps else 0.0,
        "ms": round(1000 * statistics.median(spent), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder that holds youtube_faces_68 and afw_68")
    parser.add_argument("--limit", type=int, default=1000, help="pictures of each set")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    import torch

    torch.set_num_threads(1)
    figures: dict[str, dict[str, float]] = {}
    print(f"{'detector':10}{'set':20}{'pictures':>9}{'hits %':>8}{'others':>8}{'overlap':>9}{'ms':>8}")
    for name in DETECTORS:
        for benchmark, kind in REAL.items():
            row = score(name, kind, arguments.shared / benchmark, arguments.limit)
            figures[f"{name} {benchmark}"] = row
            print(
                f"{name:10}{benchmark:20}{row['pictures']:9}{row['hits_percent']:8}{row['other_boxes_a_picture']:8}"
                f"{row['overlap_of_hits']:9}{row['ms']:8}"
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
