"""MakeHuman's mean face bent to people's: its nose is flat, its chin falls back, its lips stand out.

How deep points lie was asked of photographs and of scans: AFW's and HELEN-train's labels of faces that are turned every
way give a mean face in three dimensions (pose and shape by turns, weak perspective; Tomasi and Kanade, Shape and motion
from image streams under orthography, 1992), and ICT's mean face is one of scans. Both say so; the table takes points to
where scans have them in depth, and up or down to where upright photographs have the mouth (docs/LOG.md, 2026-12-01).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

Floats = NDArray[np.float32]
# Point of the viewer's left (its mirror image does the same) → cm upwards and forwards; all others stay.
_MOVES = {
    6: (0.15, 0.2), 7: (0.2, 0.5), 8: (0.25, 0.85),
    17: (0.0, 0.25), 18: (0.0, -0.1), 19: (0.0, -0.3), 20: (0.0, -0.15), 21: (0.05, 0.1),
    27: (0.0, 0.4), 28: (0.0, 0.8), 29: (0.0, 0.85), 30: (0.0, 0.65), 31: (0.0, 0.45), 32: (0.05, 0.25),
    33: (0.05, 0.2),
    48: (0.2, -0.5), 49: (0.1, -0.4), 50: (0.1, -0.3), 51: (0.1, -0.3), 57: (0.3, 0.0), 58: (0.3, 0.0), 59: (0.3, -0.1),
    60: (0.25, -0.4), 61: (0.2, -0.15), 62: (0.2, -0.05), 66: (0.25, -0.05), 67: (0.25, -0.05),
}  # fmt: skip
_NEAR = 3.5  # cm from the nearest point of the face: from here on nothing moves


def bend(vertices: Floats, points: Floats, mirrored: Sequence[int]) -> Floats:
    """How far the vertices (N, 3) of a head move, cm; `points` (68, 3) lie on it, `mirrored` (68,) are their mirror
    images. A thin-plate spline through the table's moves; back of the head, neck and ears stay where they are."""
    moves = np.zeros((68, 3))
    for point, move in _MOVES.items():
        moves[[point, mirrored[point]], 1:] = move
    away = np.linalg.norm(vertices[:, None] - points, axis=2).min(axis=1)
    still = vertices[away > _NEAR]
    still = still[:: max(1, len(still) // 150)]
    known = np.concatenate([points, still])
    spline = RBFInterpolator(known, np.concatenate([moves, np.zeros_like(still)]), smoothing=0.02)
    moved = (spline(vertices) + spline(vertices * [-1, 1, 1])) / 2  # alike on both sides
    return np.asarray(moved.round(4), np.float32)  # and on any processor
