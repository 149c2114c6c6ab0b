"""Things to wear: glasses, hat, moustache and mask laid onto a face by its points; faces swapped; faces made unknown.

Art is drawn by this file, once, with transparency, in the frame of a front-on face (`CANONICAL`, 800×800 pixels). Onto
a picture it goes by an affine map fitted to a few of the face's points (stiff things) or triangle by triangle (things
that cling). Points are iBUG's 68, source pixels; pictures are uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.config import nearest
from pipelines.errors import FakeitError
from pipelines.landmarks import scheme

Pixels = NDArray[np.uint8]
Points = NDArray[np.floating]
Art = NDArray[np.float32]  # (800, 800, 4): RGB multiplied by alpha, and alpha, in 0 to 1

SIDE = 800
# A neutral front-on face: the 68 landmark vertices of the ICT Face Model Light (MIT licence, https://github.com/ICT-VGL),
# seen along the nose, outer eye corners 200 apart.
CANONICAL = np.array(
    [
        *[(235, 435), (237, 484), (244, 527), (253, 570), (272, 618), (304, 656), (332, 672), (366, 680), (400, 687)],
        *[(434, 680), (468, 672), (496, 656), (528, 618), (547, 570), (556, 527), (563, 484), (565, 435)],
        *[(270, 400), (289, 383), (315, 377), (346, 378), (374, 384)],
        *[(426, 384), (454, 378), (485, 377), (511, 383), (530, 400)],
        *[(400, 433), (400, 458), (400, 481), (400, 508), (372, 543), (386, 542), (400, 544), (414, 542), (428, 543)],
        *[(300, 440), (313, 430), (338, 429), (359, 444), (339, 448), (314, 448)],
        *[(441, 444), (462, 429), (487, 430), (500, 440), (486, 448), (461, 448)],
        *[(343, 596), (362, 579), (384, 571), (400, 573), (416, 571), (438, 579), (457, 596)],
        *[(440, 608), (423, 613), (400, 615), (377, 613), (360, 608)],
        *[(350, 595), (378, 591), (400, 592), (422, 591), (450, 595), (424, 593), (400, 593), (376, 593)],
    ],
    np.float32,
)
EYES = (*range(17, 27), *range(36, 48), 27)
HEAD = (*range(17, 27), *range(36, 48), 0, 16, 8)
LIP = (*range(31, 36), *range(48, 55), 33, 33, 33)


class _Canvas:
    """Layers of colour with smooth edges. Shapes are drawn three times too large and averaged down."""

    SCALE = 3

    def __init__(self) -> None:
        self.art: Art = np.zeros((SIDE, SIDE, 4), np.float32)

    def _lay(self, mask: Pixels, colour: Sequence[int], alpha: float, shade: NDArray[np.float32] | None) -> None:
        cover = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] * alpha / 255
        rgb = np.broadcast_to(np.array(colour, np.float32) / 255, (SIDE, SIDE, 3))
        if shade is not None:
            rgb = np.clip(rgb * shade[..., None], 0, 1)
        self.art = np.concatenate([rgb * cover, cover], axis=2) + self.art * (1 - cover)

    def shape(
        self,
        outline: Sequence[tuple[float, float]] | NDArray[np.floating],
        colour: Sequence[int],
        alpha: float = 1.0,
        width: float = 0,
        closed: bool = True,
        shade: NDArray[np.float32] | None = None,
    ) -> None:
        """A filled outline, or, with `width`, a line. `shade` (800, 800) multiplies the colour."""
        mask = np.zeros((SIDE * self.SCALE, SIDE * self.SCALE), np.uint8)
        points = np.rint(np.asarray(outline, np.float64) * self.SCALE).astype(np.int32).reshape(1, -1, 2)
        if width:
            cv2.polylines(mask, points, closed, 255, round(width * self.SCALE))
        else:
            cv2.fillPoly(mask, points, 255)
        self._lay(mask, colour, alpha, shade)

    def lines(self, lines: Sequence[Any], colour: Sequence[int], alpha: float, width: float) -> None:
        """Many open lines as one layer."""
        mask = np.zeros((SIDE * self.SCALE, SIDE * self.SCALE), np.uint8)
        scaled = [np.rint(np.asarray(line, np.float64) * self.SCALE).astype(np.int32) for line in lines]
        cv2.polylines(mask, scaled, False, 255, round(width * self.SCALE))
        self._lay(mask, colour, alpha, None)


def _curve(*points: tuple[float, float], steps: int = 24) -> list[tuple[float, float]]:
    """A Bézier curve through its first and last control points."""
    control = np.array(points, np.float64)
    curve = []
    for t in np.linspace(0, 1, steps):
        level = control
        while len(level) > 1:
            level = level[:-1] * (1 - t) + level[1:] * t
        curve.append((float(level[0, 0]), float(level[0, 1])))
    return curve


def _mirrored(outline: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(SIDE - x, y) for x, y in outline]


def _lens(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    """A rounded lens: a superellipse, a little fuller below."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    xs = x + width / 2 * np.sign(cosine) * np.abs(cosine) ** 0.7
    ys = y + height / 2 * np.sign(sine) * np.abs(sine) ** 0.75 * np.where(sine > 0, 1.06, 0.94)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _glasses() -> Art:
    canvas = _Canvas()
    fade = np.broadcast_to(np.linspace(0.4, 1.9, SIDE, dtype=np.float32)[:, None], (SIDE, SIDE))
    for centre in (326.0, 474.0):
        lens = _lens(centre, 448, 124, 92)
        canvas.shape(lens, (40, 62, 82), 0.55, shade=fade)
        glint = [(centre - 34, 420), (centre - 18, 416), (centre - 36, 462), (centre - 46, 458)]
        canvas.shape(glint, (255, 255, 255), 0.35)
        canvas.shape(lens, (26, 22, 24), width=9)
    canvas.shape(_curve((384, 436), (400, 424), (416, 436)), (26, 22, 24), width=8, closed=False)
    for temple in ([(268, 432), (232, 424)], _mirrored([(268, 432), (232, 424)])):
        canvas.shape(temple, (26, 22, 24), width=9, closed=False)
    return canvas.art


def _hat() -> Art:
    canvas = _Canvas()
    x = np.abs(np.linspace(-1.35, 1.35, SIDE, dtype=np.float32))
    round_shade = np.broadcast_to((1.15 - 0.55 * x**2)[None], (SIDE, SIDE))
    crown = [*_curve((248, 330), (236, 170), (262, 74)), *_curve((262, 74), (400, 40), (538, 74))]
    crown += _curve((538, 74), (564, 170), (552, 330))
    crown += _curve((552, 330), (400, 352), (248, 330))
    canvas.shape(crown, (64, 50, 44), shade=round_shade)
    band = [*_curve((246, 280), (400, 306), (554, 280)), *_curve((552, 334), (400, 358), (248, 334))]
    canvas.shape(band, (150, 34, 40), shade=round_shade)
    brim = [
        *_curve((122, 322), (400, 258), (678, 322)),
        *_curve((678, 322), (660, 400), (400, 372), (140, 400), (122, 322)),
    ]
    below = np.zeros((SIDE, SIDE), np.float32)
    below[:] = np.clip(np.linspace(2.0, -0.2, SIDE) + 0.12, 0.35, 1.2)[:, None]
    back = _Canvas()
    back.shape(brim, (64, 50, 44), shade=below)
    # The crown stands before the back of the brim, and behind nothing.
    cover = canvas.art[..., 3:]
    return np.asarray(canvas.art + back.art * (1 - cover), np.float32)


def _moustache() -> Art:
    canvas = _Canvas()
    half = [*_curve((400, 556), (376, 540), (352, 560), (322, 590), (286, 570))]
    half += _curve((286, 570), (300, 622), (352, 610), (384, 590), (400, 580))
    for side in (half, _mirrored(half)):
        canvas.shape(side, (50, 34, 24), 0.97)
    random = np.random.default_rng(7)
    path = np.array(_curve((398, 564), (366, 556), (336, 590), (296, 582), steps=60))
    for tone in (0, 12, 24, 36):
        hairs: list[list[tuple[float, float]]] = []
        for along in random.uniform(0, 1, 40):
            start = path[int(along * 59)] + random.normal(0, 5, 2) * (1 - 0.5 * along)
            end = start + np.array([-16 - 8 * along, 9 - 14 * along]) * random.uniform(0.7, 1.2)
            hair = [(float(x), float(y)) for x, y in (start, end)]
            hairs += [hair, _mirrored(hair)]
        canvas.lines(hairs, (62 + tone, 42 + tone, 30 + tone // 2), 0.5, 1.6)
    return canvas.art


def _mask() -> Art:
    canvas = _Canvas()
    low = [tuple(p) for p in CANONICAL[2:15]]
    top = _curve(tuple(CANONICAL[14]), (520, 500), (440, 462), (400, 462), steps=20)
    top += _curve((400, 462), (360, 462), (280, 500), tuple(CANONICAL[2]), steps=20)
    x = np.abs(np.linspace(-2.2, 2.2, SIDE, dtype=np.float32))
    shade = np.broadcast_to((1.04 - 0.12 * x**2)[None], (SIDE, SIDE))
    canvas.shape([*low, *top], (126, 178, 200), 0.94, shade=shade)
    for y in (520, 560, 600, 640):
        canvas.shape(_curve((250, y - 8), (400, y + 22), (550, y - 8)), (84, 136, 160), 0.55, width=3, closed=False)
    canvas.shape(top, (226, 240, 246), 0.9, width=6, closed=False)
    return canvas.art


_ART: dict[str, tuple[Callable[[], Art], tuple[int, ...] | None]] = {
    "glasses": (_glasses, EYES),
    "hat": (_hat, HEAD),
    "moustache": (_moustache, LIP),
    "mask": (_mask, None),
}
WORN = tuple(_ART)
FILTERS = (*WORN, "blur")


@cache
def art(name: str) -> Art:
    """What is worn, drawn. Raises FakeitError for an unknown name."""
    if name not in _ART:
        raise FakeitError(f"filter '{name}' is unknown; known are {', '.join(FILTERS)}{nearest(name, FILTERS)}")
    return _ART[name][0]()


def apply_filter(name: str, image: Pixels, points: Points) -> Pixels:
    """A picture (H, W, 3) with one filter on the face whose points (68, 2) are given; a new picture."""
    if name == "blur":
        return blur(image, points)
    drawn = art(name)
    if not np.isfinite(points).all():
        return image.copy()
    anchors = _ART[name][1]
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
    from scipy.spatial import Delaunay

    return np.asarray(Delaunay(CANONICAL[:60]).simplices, np.int32)


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
