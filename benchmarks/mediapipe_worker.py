"""MediaPipe Face Mesh on a folder of pictures, run by `inference.py` with the Python of mediapipe's own venv.

Reads a JSON list of picture paths on stdin, writes {"ms": …, "points": {path: [[x, y], …] or null}} on stdout: the 68
points of its mesh that lie nearest to iBUG's, source pixels.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import mediapipe

# Vertices of the mesh in iBUG's order, as they are commonly paired; the mesh has no jaw contour of its own.
VERTICES = [
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
]


def main() -> None:
    cv2.setNumThreads(1)
    paths = json.load(sys.stdin)
    pictures = {path: cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB) for path in paths}
    points: dict[str, object] = {}
    taken = []
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1) as mesh:
        mesh.process(next(iter(pictures.values())))
        for path, picture in pictures.items():
            start = time.perf_counter()
            found = mesh.process(picture).multi_face_landmarks
            taken.append(time.perf_counter() - start)
            height, width = picture.shape[:2]
            points[path] = (
                [[found[0].landmark[v].x * width - 0.5, found[0].landmark[v].y * height - 0.5] for v in VERTICES]
                if found
                else None
            )
    json.dump({"ms": 1000 * sorted(taken)[len(taken) // 2], "points": points}, sys.stdout)


if __name__ == "__main__":
    main()
