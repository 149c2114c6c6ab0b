"""Which way a head looks: PnP of points that hardly move with the face, on the mean head that this project draws.

The mean head is `pipelines.synth.builtin_head`'s at rest; one head for everybody and an assumed lens make angles good
to a few degrees, which is what points from one picture give. Angles are the renderer's: in degrees, 0 straight into the
camera, yaw positive towards the viewer's right, pitch positive downwards, roll positive counter-clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import convert

# iBUG-68 index → centimetres: x to the viewer's right, y up, z towards the viewer.
RIGID: dict[int, tuple[float, float, float]] = {
    8: (0.0, -7.85, 5.08),
    27: (0.0, 3.56, 9.23),
    28: (0.0, 2.57, 10.06),
    29: (0.0, 1.56, 10.99),
    30: (0.0, 0.29, 11.87),
    31: (-1.31, -0.70, 9.44),
    33: (0.0, -1.19, 8.62),
    35: (1.31, -0.70, 9.44),
    36: (-4.52, 3.32, 7.17),
    39: (-1.89, 3.32, 8.11),
    42: (1.89, 3.32, 8.11),
    45: (4.52, 3.32, 7.17),
    48: (-2.76, -3.34, 7.39),
    54: (2.76, -3.34, 7.39),
}
INDICES = list(RIGID)
CENTRE = np.mean(list(RIGID.values()), axis=0)


@dataclass(frozen=True)
class HeadPose:
    """Degrees, see above; `distance` from the camera in centimetres, for the focal length that was assumed."""

    yaw: float
    pitch: float
    roll: float
    distance: float


def head_pose(points: NDArray[np.floating], scheme: str, width: int, height: int, focal: float = 0.0) -> HeadPose:
    """The pose of a head from its points.

    Args:
        points: (K, 2), pixels of a picture of `width` × `height`.
        scheme: of the points; one that maps to iBUG's 68.
        width, height: of the picture, whose middle the lens is taken to look at.
        focal: pixels; 0 takes the picture's longer side, as of a lens of about 53°.

    Raises:
        FakeitError: a scheme without those points, or points that no pose explains (NaN).
    """
    pixels = np.asarray(convert(np.asarray(points), scheme, "ibug68"), np.float64)[INDICES]
    model = (np.array(list(RIGID.values())) - CENTRE) * (1, -1, -1)  # OpenCV: y down, z away
    length = focal or float(max(width, height))
    lens = np.array([[length, 0, (width - 1) / 2], [0, length, (height - 1) / 2], [0, 0, 1]])
    if not np.isfinite(pixels).all():
        raise FakeitError("head pose: some of the points it needs are missing")
    flags = {"flags": cv2.SOLVEPNP_SQPNP}
    good, turn, move = cv2.solvePnP(model, np.ascontiguousarray(pixels), lens, None, **flags)
    if not good or move[2, 0] <= 0:
        raise FakeitError("head pose: no pose explains these points")
    turn, move = cv2.solvePnPRefineLM(model, np.ascontiguousarray(pixels), lens, None, turn, move)
    flip = np.diag([1.0, -1.0, -1.0])
    matrix = flip @ cv2.Rodrigues(turn)[0] @ flip  # roll (z) · pitch (x) · yaw (y)
    pitch = np.arcsin(np.clip(matrix[2, 1], -1, 1))
    yaw = np.arctan2(-matrix[2, 0], matrix[2, 2])
    roll = np.arctan2(-matrix[0, 1], matrix[1, 1])
    degrees = [float(np.rad2deg(angle)) for angle in (yaw, pitch, roll)]
    return HeadPose(degrees[0], degrees[1], degrees[2], float(move[2, 0]))
