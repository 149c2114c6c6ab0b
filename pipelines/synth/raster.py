"""Triangles → pixels: the z-buffer, vertex normals and shadow look-ups of the renderer, compiled.

Screen frame: x to the right, y down, pixels with centres at whole numbers; depth grows towards the viewer.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _rasterise(points: Any, triangles: Any, depth: Any, owner: Any, second: Any, third: Any) -> None:
    height, width = depth.shape
    named = owner.shape[0] == height  # or depth alone is asked for
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= -1e-9:  # y points down: a triangle that faces the viewer has a negative area
            continue
        left, right = max(0, math.ceil(min(x0, x1, x2))), min(width - 1, math.floor(max(x0, x1, x2)))
        top, bottom = max(0, math.ceil(min(y0, y1, y2))), min(height - 1, math.floor(max(y0, y1, y2)))
        if left > right or top > bottom:
            continue
        inverse = 1.0 / area
        z0, z1, z2 = points[i, 2], points[j, 2], points[k, 2]
        du, dv = (y2 - y0) * inverse, -(y1 - y0) * inverse
        for y in range(top, bottom + 1):
            u = ((left - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) * inverse
            v = ((x1 - x0) * (y - y0) - (left - x0) * (y1 - y0)) * inverse
            for x in range(left, right + 1):
                if u >= -1e-5 and v >= -1e-5 and u + v <= 1.00001:
                    z = z0 + u * (z1 - z0) + v * (z2 - z0)
                    if z > depth[y, x]:
                        depth[y, x] = z
                        if named:
                            owner[y, x] = t
                            second[y, x] = u
                            third[y, x] = v
                u += du
                v += dv


def rasterise(points: Floats, triangles: Ints, height: int, width: int) -> tuple[Floats, Ints, Floats, Floats]:
    """Which triangle each pixel shows.

    Args:
        points: (V, 3) float32: x, y in pixels, depth (greater is nearer).
        triangles: (T, 3) int32, counter-clockwise seen from outside.
        height: of the picture.
        width: of the picture.

    Returns:
        depth (H, W), −1e9 where nothing is; owner (H, W) int32, −1 where nothing is; and the barycentric weights
        (H, W) of the owner's second and third vertex.
    """
    depth = np.full((height, width), -1e9, np.float32)
    owner = np.full((height, width), -1, np.int32)
    second, third = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    _rasterise(points, triangles, depth, owner, second, third)
    return depth, owner, second, third


def depth_only(points: Floats, triangles: Ints, height: int, width: int) -> Floats:
    """`rasterise` without saying what is seen: (height, width) depth, −1e9 where nothing is."""
    depth = np.full((height, width), -1e9, np.float32)
    nobody, nowhere = np.zeros((1, 1), np.int32), np.zeros((1, 1), np.float32)
    _rasterise(points, triangles, depth, nobody, nowhere, nowhere)
    return depth


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def vertex_normals(vertices: Any, triangles: Any) -> Any:
    """Area-weighted unit normals (V, 3) of a mesh (V, 3), (T, 3)."""
    normals = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = (
            vertices[j, 0] - vertices[i, 0],
            vertices[j, 1] - vertices[i, 1],
            vertices[j, 2] - vertices[i, 2],
        )
        bx, by, bz = (
            vertices[k, 0] - vertices[i, 0],
            vertices[k, 1] - vertices[i, 1],
            vertices[k, 2] - vertices[i, 2],
        )
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(vertices.shape[0]):
        length = math.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-9
        normals[v, 0] /= length
        normals[v, 1] /= length
        normals[v, 2] /= length
    return normals
