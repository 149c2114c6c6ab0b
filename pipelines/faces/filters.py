"""Things to wear: glasses, hat, moustache and mask laid onto a face by its points; faces swapped; faces made unknown.

Art (`art.py`) goes onto a picture by an affine map fitted to a few of the face's points (stiff things) or triangle by
triangle (things that cling). Points are iBUG's 68, source pixels; pictures are uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.art import ART, CANONICAL, SIDE, Art
from fakeit.pipelines.landmarks import scheme

Pixels = NDArray[np.uint8]
Points = NDArray[np.floating]

WORN = tuple(ART)
FILTERS = (*WORN, "blur")


@cache
def art(name: str) -> Art:
    """What is worn, drawn. Raises FakeitError for an unknown name."""
    if name not in ART:
        raise FakeitError(f"filter '{name}' is unknown; known are {', '.join(FILTERS)}{nearest(name, FILTERS)}")
    return ART[name][0]()


def apply_filter(name: str, image: Pixels, points: Points) -> Pixels:
    """A picture (H, W, 3) with one filter on the face whose points (68, 2) are given; a new picture."""
    if name == "blur":
        return blur(image, points)
    drawn = art(name)
    if not np.isfinite(points).all():
        return image.copy()
    anchors = ART[name][1]
    return _lay_mesh(image, drawn, points) if anchors is None else _lay_affine(image, drawn, points, anchors)


def _lay_affine(image: Pixels, drawn: Art, points: Points, anchors: Sequence[int]) -> Pixels:
    """Least-squares affine map of the anchors, so that things foreshorten as the head turns."""
    chosen = list(anchors)
    canonical = np.column_stack([CANONICAL[chosen], np.ones(len(chosen))])
    matrix = np.linalg.lstsq(canonical, np.asarray(points, np.float64)[chosen], rcond=None)[0].T  # (2, 3)
    ys, xs = np.nonzero(drawn[..., 3] > 0)
    box = np.array([[x, y, 1.0] for x in (xs.min(), xs.max()) for y in (ys.min(), ys.max())]) @ matrix.T
    window = _window(box, image)
    if window is None:
        return image.copy()
    x, y, width, height = window
    matrix[:, 2] -= (x, y)
    layer = cv2.warpAffine(drawn, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT)
    return _blend(image, layer, x, y)


def _window(points: Points, image: Pixels) -> tuple[int, int, int, int] | None:
    """x, y, width, height of the part of `image` that `points` span; None where that is outside or empty."""
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, [image.shape[1], image.shape[0]])
    width, height = (high - low).tolist()
    return (int(low[0]), int(low[1]), width, height) if width > 1 and height > 1 else None


def _blend(image: Pixels, layer: NDArray[np.float32], x: int, y: int) -> Pixels:
    """`layer` (h, w, 4) with multiplied colours over `image` at (x, y)."""
    result = image.copy()
    part = result[y : y + layer.shape[0], x : x + layer.shape[1]]
    part[:] = np.clip(np.rint(layer[..., :3] * 255 + part * (1 - layer[..., 3:])), 0, 255).astype(np.uint8)
    return result


@cache
def _triangles() -> NDArray[np.int32]:
    """(T, 3) point indices: Delaunay on the canonical face, so that they are the same for every face."""
    points = CANONICAL[:60] - CANONICAL[:60].min(axis=0)
    points = np.asarray(points / points.max() * 1000, np.float32)
    plane = cv2.Subdiv2D((-50_000, -50_000, 101_000, 101_000))  # a far frame, or slivers at the hull go to it
    plane.insert(points.tolist())
    corners = np.asarray(plane.getTriangleList(), np.float32).reshape(-1, 3, 2)
    apart = np.linalg.norm(corners[:, :, None] - points, axis=3)
    inside = (apart.min(axis=2) < 0.1).all(axis=1)  # the others hang on the frame that it begins with
    return np.asarray(apart.argmin(axis=2)[inside], np.int32)


def mesh_map(
    target: Points, source: Points, window: tuple[int, int, int, int], twins: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Where each pixel of a window of the target comes from in the source, triangle by triangle.

    Args:
        target, source: (68, 2) points of the two.
        window: x, y, width, height in the target.
        twins: (68,) points whose triangles come from their mirror twins in the source; None: none.

    Returns:
        (height, width, 2) float32 source pixels; -1e6 outside of the face.
    """
    x, y, width, height = window
    index = np.full((height, width), -1, np.int16)
    triangles = _triangles()
    shifted = np.asarray(target, np.float64) - (x, y)
    maps = np.zeros((len(triangles), 2, 3))
    flip = np.array(scheme("ibug68").flip)
    for number, corners in enumerate(triangles):
        from_twins = twins is not None and bool(twins[corners].all())
        to, origin = shifted[corners], np.asarray(source, np.float64)[flip[corners] if from_twins else corners]
        if abs(np.linalg.det(np.column_stack([to, np.ones(3)]))) < 1e-6:
            continue  # seen edge-on: it has no pixels
        cv2.fillConvexPoly(index, np.rint(to * 16).astype(np.int32), int(number), cv2.LINE_8, 4)
        maps[number] = np.linalg.solve(np.column_stack([to, np.ones(3)]), origin).T
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    chosen = maps[np.maximum(index, 0)].astype(np.float32)
    grid = chosen[..., 0] * xs[..., None] + chosen[..., 1] * ys[..., None] + chosen[..., 2]
    grid[index < 0] = -1e6
    return np.asarray(grid, np.float32)


def _lay_mesh(image: Pixels, drawn: Art, points: Points) -> Pixels:
    window = _window(np.asarray(points[:60]), image)
    if window is None:
        return image.copy()
    grid = mesh_map(points, CANONICAL, window)
    layer = cv2.remap(drawn, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return _blend(image, layer, window[0], window[1])


def swap(image: Pixels, points: Points, other: Pixels, other_points: Points) -> Pixels:
    """`image` with the face of `other` in the place of its own.

    Args:
        image, other: (H, W, 3) uint8 RGB, of any sizes.
        points, other_points: (68, 2) in each one's pixels.
    """
    window = _window(np.asarray(points[:60]), image)
    if window is None or not (np.isfinite(points).all() and np.isfinite(other_points).all()):
        return image.copy()
    x, y, width, height = window
    grid = mesh_map(points, other_points, window, _hidden_half(points, other_points))
    face = cv2.remap(other, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    inside = (grid[..., 0] > -1e5).astype(np.float32)
    edge = max(3, round(0.06 * width)) | 1
    alpha = cv2.GaussianBlur(cv2.erode(inside, np.ones((edge, edge), np.uint8), borderValue=0), (edge, edge), 0)
    under = image[y : y + height, x : x + width].astype(np.float32)
    face = _matched(face, under, inside > 0)
    layer = np.concatenate([np.clip(face, 0, 255) / 255 * alpha[..., None], alpha[..., None]], axis=2)
    return _blend(image, layer.astype(np.float32), x, y)


def _hidden_half(target: Points, source: Points) -> NDArray[np.bool_] | None:
    """(68,) points of the half of a face, the middle included, that the source shows far narrower than the target does:
    it has turned away, and its pixels would be stretched; the other half's mirror image is nearer to the truth."""

    def left_share(points: Points) -> float:
        """Of the face's width along the line of the eyes, what lies left of the nose."""
        along = points[45] - points[36]
        left, nose, right = (float(points[i] @ along) for i in (2, 30, 14))
        return float(np.clip((nose - left) / max(right - left, 1e-6), 0.02, 0.98))

    mine, theirs = left_share(np.asarray(target, float)), left_share(np.asarray(source, float))
    if theirs < 0.55 * mine:
        return np.asarray(CANONICAL[:, 0] <= SIDE / 2)
    if 1 - theirs < 0.55 * (1 - mine):
        return np.asarray(CANONICAL[:, 0] >= SIDE / 2)
    return None


def _matched(face: NDArray[np.float32], under: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`face` with the mean and spread of `under` inside the face, in CIE Lab (Reinhard et al. 2001)."""
    there, here = (cv2.cvtColor(a.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for a in (face, under))
    if inside.sum() < 16:
        return face
    spread = np.clip(here[inside].std(axis=0) / np.maximum(there[inside].std(axis=0), 1e-3), 0.5, 2)
    matched = (there - there[inside].mean(axis=0)) * spread + here[inside].mean(axis=0)
    return np.asarray(cv2.cvtColor(matched.astype(np.float32), cv2.COLOR_LAB2RGB) * 255, np.float32)


def blur(image: Pixels, points: Points, blocks: int = 7) -> Pixels:
    """The face made unknowable: what is left of it are about `blocks`² colours, softened. The forehead goes too.

    Averaging over blocks loses what a blur alone keeps: a blur can be undone in part.
    """
    finite = np.asarray(points)[np.isfinite(points).all(axis=1)]
    if len(finite) < 3:
        return image.copy()
    centre, size = (finite.min(axis=0) + finite.max(axis=0)) / 2, finite.max(axis=0) - finite.min(axis=0)
    centre = centre - (0, 0.12 * size[1])
    radii = np.maximum(size * (0.66, 0.82), 2)
    window = _window(np.array([centre - radii * 1.1, centre + radii * 1.1]), image)
    if window is None:
        return image.copy()
    x, y, width, height = window
    part = image[y : y + height, x : x + width]
    coarse = cv2.resize(part, (min(blocks, width), min(blocks, height)), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    ys, xs = np.mgrid[y : y + height, x : x + width].astype(np.float32)
    distance = np.hypot((xs - centre[0]) / radii[0], (ys - centre[1]) / radii[1])
    alpha = np.clip((1.08 - distance) / 0.08, 0, 1)[..., None]
    layer = np.concatenate([np.clip(soft, 0, 255) / 255 * alpha, alpha], axis=2)
    return _blend(image, layer.astype(np.float32), x, y)
