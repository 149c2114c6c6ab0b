"""The jaw as people label it, from what a network gives: 300-W's jaw is the outline that is seen, evenly spaced.

Face Synthetics and our renders label the jaw where the head carries it, so on a turned face those points lie inside the
cheek that hides them. The dense points know where that cheek is. Nothing here is fitted on photographs but how evenly
annotators space the points: on AFW the box's jaw comes from 9.8 to 8.4 % of the eyes' distance (docs/LOG.md).
The idea of a contour that slides over the head: Zhu et al. 2015, "High-fidelity pose and expression normalization".
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.dense_points import DENSE, MIDDLE, dense_mirror
from fakeit.pipelines.landmarks import convert

NAME = "contour"
SOURCE, TARGET = "face70", "ibug68"
# Dense points of the middle line and the viewer's left that lie beyond the jaw's line on faces seen from the front (161
# renders): they belong to the neck, the ears and the sides of the head, not to a cheek that may become an outline.
_BEYOND = (3, 7, 37, 39, 43, 51, 55, 60, 61, 80, 82, 84, 87, 98, 107, 120, 122, 131, 137, 139, 141, 158, 165, 197)
_BEYOND_BOTH = [*_BEYOND, *(int(i) for i in dense_mirror()[[i for i in _BEYOND if i >= MIDDLE]])]
_OF_THE_FACE = np.setdiff1d(np.arange(DENSE), _BEYOND_BOTH)
_LEFT, _RIGHT = np.arange(9), np.arange(16, 7, -1)  # from the ear to the chin
_CHIN, _BRIDGE, _OUTER_EYES = 8, 27, (36, 45)
_SPACING = np.array([0, 0.127, 0.254, 0.38, 0.505, 0.632, 0.759, 0.882, 1])  # of a side's length; AFW and HELEN-train
_FINE = 33  # places of a side of the jaw that are moved out
_STAYS = 0.55  # of a side's length, counted from the chin: so far the outline takes over bit by bit


def contour_points(points: NDArray[np.floating], dense: NDArray[np.floating] | None) -> NDArray[np.float32]:
    """Points of `face70` (70, 2) and the dense points (400, 2) of one face → (68, 2) of `ibug68`, in the same frame.
    Only the jaw's seventeen differ from the plain mapping; without dense points, or if one is not finite, none does."""
    made = np.array(convert(points, SOURCE, TARGET), np.float32)
    if dense is None or not (np.isfinite(points).all() and np.isfinite(dense).all()):
        return made
    up = points[_BRIDGE] - points[_CHIN]
    up = up / max(float(np.linalg.norm(up)), 1e-9)
    right = np.array([-up[1], up[0]])
    if right @ (points[_OUTER_EYES[1]] - points[_OUTER_EYES[0]]) < 0:
        right = -right
    axes = np.stack([right, up], axis=1)  # columns: row vectors turn by `points @ axes`
    face = np.concatenate([points[: _BRIDGE + 1], dense[_OF_THE_FACE]]) @ axes
    outline = cv2.convexHull(face.astype(np.float32))[:, 0].astype(np.float64)
    for side, way in ((_LEFT, -1.0), (_RIGHT, 1.0)):
        own = _resampled(points[side] @ axes, np.linspace(0, 1, _FINE))
        out = np.maximum(way * own[:, 0], _reach(outline * [way, 1.0], own[:, 1]))
        share = np.clip(np.linspace(1, 0, _FINE) / _STAYS, 0, 1)
        own[:, 0] += share * (way * out - own[:, 0])
        made[side] = _resampled(own, _SPACING) @ axes.T
    return made


def _reach(outline: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far to the right a convex outline (H, 2) reaches at each of `heights` (J,); −inf above and below it."""
    (x0, y0), (x1, y1) = outline.T[:, :, None], np.roll(outline, -1, axis=0).T[:, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (heights - y0) / (y1 - y0)
    crosses = (along >= 0) & (along <= 1)  # never of a level edge, whose `along` is not finite
    return np.asarray(np.where(crosses, x0 + np.where(crosses, along, 0) * (x1 - x0), -np.inf).max(axis=0), np.float64)


def _resampled(line: NDArray[np.floating], shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points (J, 2) of a polyline (L, 2) at these shares of its length."""
    lengths = np.concatenate([[0.0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
    lengths /= max(lengths[-1], 1e-9)
    return np.stack([np.interp(shares, lengths, line[:, axis]) for axis in (0, 1)], axis=1)
