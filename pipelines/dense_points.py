"""Dense labels: 400 places of a head in camera coordinates, which of them are seen, the head's pose and the gaze.

The frame is OpenCV's: x to the right, y down, z away from the camera, centimetres, the camera at the origin; a point
(X, Y, Z) is seen at pixel (focal · X / Z + cx, focal · Y / Z + cy). A child's head is drawn as large as an adult's and
told in its own size: everything, the distance too, is scaled, which no picture can tell apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import Rejected

Floats = NDArray[np.float32]
MIDDLE, _HALF = 30, 185
DENSE = MIDDLE + 2 * _HALF  # points: those on the middle line, at the viewer's left, and their mirror images in order


@dataclass(frozen=True)
class Dense:
    """Labels of one face.

    Attributes:
        points: (400, 3) float32 cm, camera frame; point k is the same place on every head (`synth.places`).
        visibility: (400,) uint8, 1 hidden (by hair, a hand, glasses, the head itself, or beyond the frame), 2 visible.
        rotation: (3, 3) float32, head → camera; the identity for a face that looks straight into the camera.
        translation: (3,) cm, where the head's origin (between the ears, below the eyes) lies.
        focal: pixels.
        centre: (2,) principal point, pixels.
        gaze: (3,) unit vector, camera frame, that the eyes look along.
    """

    points: Floats
    visibility: NDArray[np.uint8]
    rotation: Floats
    translation: Floats
    focal: float
    centre: tuple[float, float]
    gaze: Floats


def dense_mirror() -> NDArray[np.int64]:
    """(400,) index of each dense point's mirror image."""
    half = np.arange(_HALF)
    return np.concatenate([np.arange(MIDDLE), half + MIDDLE + _HALF, half + MIDDLE])


def project(dense: Dense) -> NDArray[np.float64]:
    """(400, 2) pixels."""
    points = dense.points.astype(np.float64)
    return np.asarray(dense.focal * points[:, :2] / points[:, 2:] + dense.centre, np.float64)


def to_json(dense: Dense) -> bytes:
    """The file of one face."""

    def rounded(values: Floats, digits: int) -> list[float]:
        return [round(float(value), digits) for value in values]

    value = {
        "points": [rounded(point, 4) for point in dense.points],
        "visibility": dense.visibility.tolist(),
        "rotation": [rounded(row, 6) for row in dense.rotation],
        "translation": rounded(dense.translation, 4),
        "focal": round(dense.focal, 4),
        "centre": [round(c, 4) for c in dense.centre],
        "gaze": rounded(dense.gaze, 6),
    }
    return json.dumps(value, separators=(",", ":")).encode()


def from_json(data: bytes, location: str) -> Dense:
    """The reverse of `to_json`.

    Raises:
        Rejected: names the file, the field and what is wrong with it.
    """
    try:
        value = json.loads(data)
        fields = {name: value[name] for name in Dense.__annotations__}
    except ValueError as error:
        raise Rejected(f"{location}: not JSON ({error})") from error
    except (KeyError, TypeError) as error:
        raise Rejected(f"{location}: field {error} is missing") from error
    shapes = {"points": (DENSE, 3), "visibility": (DENSE,), "rotation": (3, 3), "translation": (3,), "centre": (2,),
              "gaze": (3,), "focal": ()}  # fmt: skip
    arrays = {}
    for name, shape in shapes.items():
        try:
            arrays[name] = np.array(fields[name], np.float64)
        except (TypeError, ValueError):
            raise Rejected(f"{location}: field '{name}' is not {shape} numbers") from None
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise Rejected(f"{location}: field '{name}' has shape {arrays[name].shape}, expected {shape} of numbers")
    if not np.isin(arrays["visibility"], (1, 2)).all():
        raise Rejected(f"{location}: field 'visibility' holds something else than 1 (hidden) and 2 (visible)")
    if arrays["points"][:, 2].min() <= 0:
        raise Rejected(f"{location}: field 'points' has points behind the camera (z is not above 0)")
    return Dense(
        points=arrays["points"].astype(np.float32),
        visibility=arrays["visibility"].astype(np.uint8),
        rotation=arrays["rotation"].astype(np.float32),
        translation=arrays["translation"].astype(np.float32),
        focal=float(arrays["focal"]),
        centre=(float(arrays["centre"][0]), float(arrays["centre"][1])),
        gaze=arrays["gaze"].astype(np.float32),
    )
