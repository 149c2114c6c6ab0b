"""WFLW's 98 points from what a network gives, by the geometry of a face: no photograph is fitted.

68 of them are 300-W's, two are the pupils; the others lie between those or below them: a point more between each two of
the jaw, one in the middle of each lid, and four along the lower edge of each brow. Three numbers say how, and they are
WFLW's habits, measured on the 48 faces of its labels that are at hand (docs/real_faces.md).
https://wywu.github.io/projects/LAB/WFLW.html
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.jaw_contour import contour_points
from fakeit.pipelines.landmarks import eye_corners

NAME = "wflw98"
SOURCE, TARGET = "face70", "wflw98"
_PUPILS = (68, 69)  # of face70; what stands before are the points of ibug68
_JAW = [(k // 2,) if k % 2 == 0 else (k // 2, k // 2 + 1) for k in range(33)]
_LIDS = [(36,), (37,), (37, 38), (38,), (39,), (40,), (40, 41), (41,)]
# For each of the 98 the points of face70 whose mean it is, before it is moved.
NEIGHBOURS: tuple[tuple[int, ...], ...] = (
    *_JAW,
    *((i,) for i in (17, 18, 19, 20, 21, 21, 20, 19, 18)),  # a brow's upper edge, and back along its lower one
    *((i,) for i in (22, 23, 24, 25, 26, 25, 24, 23, 22)),
    *((i,) for i in range(27, 36)),
    *_LIDS,
    *(tuple(i + 6 for i in lid) for lid in _LIDS),
    *((i,) for i in range(48, 68)),
    *((i,) for i in _PUPILS),
)
_LOWER_BROW = [38, 39, 40, 41, 47, 48, 49, 50]
_BETWEEN = np.arange(3, 30, 2)  # of the jaw: those that have two neighbours on each side
_MIDDLE_LID = np.array([62, 66, 70, 74])  # between two neighbours on their lid, and the eye's corners beyond them
_CORNERS = np.array([(60, 64), (60, 64), (68, 72), (68, 72)])
_THICKNESS = 0.08  # of a brow, of the distance between the outer eye corners; ± 0.025 from face to face
_LID_BEND, _JAW_BEND = 0.45, 0.125  # of the way that the neighbours' mean lies off the mean of the points beyond them
_BRIDGE, _NOSE = 27, 33


def wflw98_points(points: NDArray[np.floating], dense: NDArray[np.floating] | None = None) -> NDArray[np.float32]:
    """Points of `face70` (70, 2) of one face → (98, 2) of `wflw98`, in the same frame; with the dense points (400, 2)
    its jaw is the outline that is seen. What is missing (NaN) leaves those missing that are made of it."""
    given = np.array(points, np.float64)
    if dense is not None:
        given[: _PUPILS[0]] = contour_points(points, dense)
    made = np.array([given[list(near)].mean(axis=0) for near in NEIGHBOURS])
    made[_BETWEEN] += _JAW_BEND * (made[_BETWEEN] - (made[_BETWEEN - 3] + made[_BETWEEN + 3]) / 2)
    made[_MIDDLE_LID] += _LID_BEND * (made[_MIDDLE_LID] - made[_CORNERS].mean(axis=1))
    down = given[_NOSE] - given[_BRIDGE]
    left, right = eye_corners(given, SOURCE)
    made[_LOWER_BROW] += _THICKNESS * np.linalg.norm(right - left) * down / max(float(np.linalg.norm(down)), 1e-9)
    return made.astype(np.float32)


def carried(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(70,) a number for each point of `face70` → (98,) the mean of those that each of `wflw98` is made of."""
    return np.array([values[list(near)].mean() for near in NEIGHBOURS], np.float32)
