"""What the filters put on faces: glasses, hat, moustache and mask, drawn by this file with transparency, in the frame
of a front-on face (`CANONICAL`, 800×800 pixels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
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


# name → how it is drawn, and the points (iBUG's 68) that hold it; None: all, triangle by triangle
ART: dict[str, tuple[Callable[[], Art], tuple[int, ...] | None]] = {
    "glasses": (_glasses, EYES),
    "hat": (_hat, HEAD),
    "moustache": (_moustache, LIP),
    "mask": (_mask, None),
}
